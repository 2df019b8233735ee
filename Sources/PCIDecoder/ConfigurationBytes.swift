/// A configuration space's bytes, little-endian, with bounds.
struct ConfigurationBytes: Sendable {
    let bytes: [UInt8]

    var count: Int { bytes.count }

    /// 1 to 8 bytes; nil where they aren't all there.
    func number(_ offset: Int, _ width: Int) -> UInt64? {
        guard offset >= 0, offset <= bytes.count, width <= bytes.count - offset else { return nil }
        var value: UInt64 = 0
        for index in 0..<min(width, 8) { value |= UInt64(bytes[offset + index]) << UInt64(8 * index) }
        return value
    }
}

/// One capability while it is taken apart: registers are named by their offset from its beginning.
struct CapabilityBody {
    private let space: ConfigurationBytes
    /// Where it begins in the space.
    let base: Int
    /// Where its part of the space ends: nothing of it may lie beyond.
    private let limit: Int
    /// The registers so far.
    private(set) var registers: [ConfigurationField] = []
    /// What is wrong with it.
    private(set) var problems: [String] = []
    /// Where the last register that was named ends, from the capability's beginning.
    private(set) var end: Int
    /// The layout of the header: 0 for functions, 1 for bridges.
    let headerType: UInt8
    /// What the capability is in a few words, where there is something to say beyond its name.
    var summary: String?
    private var isCut = false

    /// - Parameter headerLength: the bytes of ID and link.
    init(
        _ space: ConfigurationBytes, at base: Int, limit: Int, headerLength: Int, headerType: UInt8
    ) {
        self.space = space
        self.base = base
        self.limit = min(limit, space.count)
        self.headerType = headerType
        end = headerLength
    }

    /// The function's vendor, who says what is in capabilities of its own.
    var vendor: UInt64 { space.number(0, 2) ?? 0 }

    /// The number at an offset, which isn't named with this; 0 where the space ends before.
    func number(_ offset: Int, _ width: Int) -> UInt64 {
        guard offset >= 0, base + offset + width <= limit else { return 0 }
        return space.number(base + offset, width) ?? 0
    }

    /// Names a register.
    /// - Parameters:
    ///   - width: its length in bytes, at most 8.
    ///   - meaning: what it says, where its fields don't.
    /// - Returns: its value; 0 where the space ends before.
    @discardableResult
    mutating func register(
        _ name: String, _ offset: Int, _ width: Int, _ layout: [FieldLayout] = [],
        meaning: ((UInt64) -> String?)? = nil
    ) -> UInt64 {
        guard has(offset, width), let value = space.number(base + offset, width) else { return 0 }
        let place = base + offset
        registers.append(
            ConfigurationField(
                name, offset: place, byteCount: width, bits: 0...(8 * width - 1), value: value,
                meaning: meaning?(value),
                fields: layout.map { $0.field(of: value, offset: place, byteCount: width) }))
        return value
    }

    /// Names bytes whose meaning isn't public.
    mutating func bytes(_ name: String, _ range: Range<Int>) {
        guard !range.isEmpty, has(range.lowerBound, range.count) else { return }
        let place = base + range.lowerBound
        registers.append(
            ConfigurationField(
                name, offset: place, byteCount: range.count, bits: 0...(8 * range.count - 1),
                value: space.number(place, min(8, range.count)) ?? 0,
                meaning: Wording.bytes(space.bytes[place..<place + range.count])))
    }

    /// Says that something is wrong.
    mutating func complain(_ problem: String) { problems.append(problem) }

    /// Whether so many bytes are there; where they aren't, that is said once.
    mutating func has(_ offset: Int, _ width: Int) -> Bool {
        guard offset >= 0, base + offset + width <= limit else {
            if !isCut { problems.append("it goes on beyond byte 0x\(hex(limit)), where its space ends") }
            isCut = true
            return false
        }
        end = max(end, offset + width)
        return true
    }
}
