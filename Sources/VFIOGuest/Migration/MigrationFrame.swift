import LinuxSystem
import VFIO

/// The kinds of sections of a guest's stream.
enum MigrationFrameKind: UInt16 {
    // From the source.
    /// Which blocks of RAM, devices and further states there are.
    case setUp = 1
    /// Pages of a block.
    case pages = 2
    /// Pages of a block that are zeros.
    case zeroPages = 3
    /// A part of a device's state.
    case deviceData = 4
    /// A device's state came up to its end.
    case deviceEnd = 5
    /// What a device wants to have sent before it is stopped was sent.
    case initialDataSent = 6
    /// A device's configuration space.
    case configuration = 7
    /// A further state of the machine.
    case state = 8
    /// May the guest be stopped?
    case mayStop = 9
    /// That was all.
    case complete = 10
    /// The guest is the destination's.
    case handOver = 11

    // From the destination.
    /// What is to come fits.
    case accepted = 32
    /// The guest may be stopped.
    case ready = 33
    /// All is there.
    case loaded = 34

    // From either.
    /// It is over; in words why.
    case failure = 64

    /// The most bytes that a section of the kind has.
    var byteLimit: Int {
        switch self {
        case .pages, .deviceData, .state, .setUp: MigrationFrame.longestData + 1024
        case .configuration: 4096 + 64
        case .failure: 4096
        default: 64
        }
    }
}

/// A section of a guest's stream: a header of 24 bytes (mark, kind, check of the header, length, number, checksum) and what it is about.
/// All numbers have their lowest byte first.
struct MigrationFrame {
    var kind: MigrationFrameKind
    var payload: [UInt8]

    /// "SwGM", of each section.
    static let mark: UInt32 = 0x4d47_7753
    static let headerByteCount = 24
    /// The most bytes of memory or state in a section.
    static let longestData = 1 << 20

    /// How a stream begins: "SwGuest\n", version, page size.
    static let streamMark: UInt64 = 0x0a74_7365_7547_7753
    static let streamVersion: UInt16 = 1
    static let prologueByteCount = 16

    /// Finds a damaged header.
    static func headerCheck(_ kind: UInt16, _ count: UInt32, _ number: UInt32) -> UInt16 {
        var hash = (UInt64(count) << 32 | UInt64(number)) ^ UInt64(kind) << 16
        hash = (hash ^ 0x9e37_79b9_7f4a_7c15) &* 0x9fb2_1c65_1e98_df25
        return UInt16(truncatingIfNeeded: hash >> 48)
    }

    /// Finds what was damaged on the way, not who lies.
    static func checksum(_ kind: UInt16, _ number: UInt32, _ bytes: RawSpan) -> UInt64 {
        var hash: UInt64 = 0x9e37_79b9_7f4a_7c15 ^ UInt64(kind) << 32 ^ UInt64(number)
        func mix(_ word: UInt64) {
            hash = (hash ^ word) &* 0x9fb2_1c65_1e98_df25
            hash ^= hash >> 29
        }
        let words = bytes.byteCount / 8
        for index in 0..<words {
            // SAFETY: within the span; any bytes are a UInt64.
            mix(
                UInt64(
                    littleEndian: unsafe bytes.unsafeLoadUnaligned(
                        fromByteOffset: 8 * index, as: UInt64.self)))
        }
        var tail = UInt64(bytes.byteCount) << 56
        for index in 8 * words..<bytes.byteCount {
            // SAFETY: within the span; any byte is a UInt8.
            let byte = unsafe bytes.unsafeLoad(fromByteOffset: index, as: UInt8.self)
            tail |= UInt64(byte) << UInt64(8 * (index - 8 * words))
        }
        mix(tail)
        return hash
    }
}

/// Puts a section together.
struct MigrationWriter {
    private(set) var bytes: [UInt8] = []

    mutating func append<T: FixedWidthInteger & UnsignedInteger>(_ value: T) {
        for index in 0..<MemoryLayout<T>.size {
            bytes.append(UInt8(truncatingIfNeeded: value >> T(truncatingIfNeeded: 8 * index)))
        }
    }

    /// A text of at most 255 bytes; longer ones are refused before anything is sent.
    mutating func append(text: String) {
        let text = Array(text.utf8.prefix(255))
        append(UInt8(text.count))
        bytes += text
    }

    mutating func append(bytes more: some Collection<UInt8>) { bytes.append(contentsOf: more) }
}

/// Takes a section apart; the bytes are a stranger's.
struct MigrationReader {
    let bytes: [UInt8]
    private(set) var position = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var remainingCount: Int { bytes.count - position }

    static func error(_ cause: String) -> VFIOGuestError {
        VFIOGuestError(
            operation: "take over the guest", object: "the stream", code: .unsuitableStream, cause: cause)
    }

    mutating func next<T: FixedWidthInteger & UnsignedInteger>(_ type: T.Type) throws(VFIOGuestError) -> T {
        let count = MemoryLayout<T>.size
        guard remainingCount >= count else { throw Self.error("a section ends too early") }
        var value: T = 0
        for index in 0..<count {
            value |= T(truncatingIfNeeded: bytes[position + index]) << T(truncatingIfNeeded: 8 * index)
        }
        position += count
        return value
    }

    mutating func nextText() throws(VFIOGuestError) -> String {
        let count = Int(try next(UInt8.self))
        guard remainingCount >= count else { throw Self.error("a section ends too early") }
        defer { position += count }
        return String(decoding: bytes[position..<position + count], as: UTF8.self)
    }

    /// All that is left.
    mutating func rest() -> [UInt8] {
        defer { position = bytes.count }
        return position == 0 ? bytes : Array(bytes[position...])
    }

    func finish() throws(VFIOGuestError) {
        guard remainingCount == 0 else { throw Self.error("a section is too long") }
    }
}
