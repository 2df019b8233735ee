import LinuxSystem
import VFIOABI
import VFIOHost

/// What is wrong with the text of a ``FaultRule``.
public struct FaultTextError: Error, CustomStringConvertible, Sendable {
    /// The reason, in plain words.
    public let description: String
}

extension FaultRule {
    /// Reads a rule from text: `EVENT:CONDITION…=EFFECT@MOMENT`.
    ///
    /// ```
    /// map-dma=ENOMEM@3                       the third VFIO_IOMMU_MAP_DMA fails
    /// pin:after=16=EFAULT                    locking memory fails after 16 pages
    /// irq:0000:01:00.0=drop@10%              every tenth interrupt or so is lost
    /// irq:vector=2=delay=5ms                 interrupts of vector 2 come 5 ms late
    /// dma-write:length=16=flip:byte=14@/100  one bit of every hundredth NVMe completion's status is inverted
    /// device:0000:01:00.0=vanish@1000        the device is pulled out at the thousandth access
    /// ```
    ///
    /// It is made of words; what is between them (`:`, `=`, `@`) is up to taste, and so is the order after the
    /// first word: `map-dma:3=ENOMEM` and `irq:0000:01:00.0:drop=0.1` are as good.
    /// - The first word is the event: the name of a request in small letters ("map-dma", "set-irqs"), `request`
    ///   for any; `open`, `read`, `write`, `map`, `pin`, `dma-read`, `dma-write`, `irq`, `device`.
    /// - Conditions: a PCI address, the UUID of a mediated device, or a bus and a name ("platform/fff51000.ethernet";
    ///   a name with separators of this language can't be told); `node` and a path, for `open`; `on` and `container`, `group`, `device` or
    ///   `iommufd`, and `number` and a request's number, for `request`; `after` and a number of pages, for `pin`; `length` and a number of bytes, for
    ///   `dma-write`; `vector` and a number, for `irq`.
    /// - Effects: an errno ("ENOMEM", or `errno` and a number); `refuse` for DMA; `drop` for `irq` and `dma-write`; `delay` and a
    ///   time in `ms` or `s` for `irq`; `flip` for `dma-write`, with `byte` and `bits` if chance isn't to choose;
    ///   `vanish` and `silent` for `device`.
    /// - Moments: `3` for the third time, `3+` from the third on, `/3` every third, `10%` or `0.1` with that
    ///   chance. None: always.
    /// - Throws: what can't be read.
    public init(_ text: String) throws(FaultTextError) {
        var reader = FaultTextReader([UInt8](text.utf8))
        self = try reader.rule()
    }
}

/// Reads the words of a rule.
private struct FaultTextReader {
    private let bytes: [UInt8]
    private var place = 0

    /// What has been read.
    private var scope = FaultScope.any
    private var moment: FaultMoment?
    private var errno: Errno?
    private var effect: String?
    private var node: Node?
    private var pages: UInt64?
    private var length: UInt64?
    private var vector: UInt64?
    private var byte: UInt64?
    private var bits: UInt64?
    private var delay: UInt32?
    private var request: Request?
    private var hasFiles = false

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    private func failure(_ reason: String) -> FaultTextError {
        FaultTextError(description: "the fault \"\(String(decoding: bytes, as: UTF8.self))\": \(reason)")
    }

    // MARK: words

    private static func isSeparator(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: ":") || byte == UInt8(ascii: "=") || byte == UInt8(ascii: "@")
    }

    private mutating func word() -> String? {
        guard place < bytes.count else { return nil }
        let start = place
        while place < bytes.count && !Self.isSeparator(bytes[place]) { place += 1 }
        let word = String(decoding: bytes[start..<place], as: UTF8.self)
        place += 1
        return word
    }

    /// The PCI address that comes next, if one does: it has separators of its own.
    private mutating func address() -> PCIAddress? {
        var end = place
        while end < bytes.count && end - place < 16 && bytes[end] != UInt8(ascii: ".") { end += 1 }
        end += 2
        guard end <= bytes.count, end == bytes.count || Self.isSeparator(bytes[end]),
            let address = PCIAddress(String(decoding: bytes[place..<end], as: UTF8.self))
        else { return nil }
        place = end + 1
        return address
    }

    private mutating func value(of key: String) throws(FaultTextError) -> String {
        guard let word = word(), !word.isEmpty else { throw failure("\"\(key)\" needs a value") }
        return word
    }

    private mutating func number(
        of key: String, atMost limit: UInt64 = UInt64(Int32.max)
    ) throws(FaultTextError) -> UInt64 {
        let word = try value(of: key)
        guard let number = Self.number(word), number <= limit else {
            throw failure("\"\(key)\" needs a number up to \(limit), not \"\(word)\"")
        }
        return number
    }

    /// A number in decimal, or in hexadecimal after "0x".
    private static func number(_ text: String) -> UInt64? {
        var digits = [UInt8](text.utf8)[...]
        var base: UInt64 = 10
        if digits.count > 2 && digits[0] == UInt8(ascii: "0") && digits[1] | 0x20 == UInt8(ascii: "x") {
            base = 16
            digits = digits[2...]
        }
        guard !digits.isEmpty else { return nil }
        var value: UInt64 = 0
        for digit in digits {
            let worth: UInt64
            switch digit {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): worth = UInt64(digit - UInt8(ascii: "0"))
            case UInt8(ascii: "a")...UInt8(ascii: "f"): worth = UInt64(digit - UInt8(ascii: "a")) + 10
            case UInt8(ascii: "A")...UInt8(ascii: "F"): worth = UInt64(digit - UInt8(ascii: "A")) + 10
            default: return nil
            }
            guard worth < base else { return nil }
            let (product, overflow) = value.multipliedReportingOverflow(by: base)
            let (sum, carry) = product.addingReportingOverflow(worth)
            if overflow || carry { return nil }
            value = sum
        }
        return value
    }

    /// `3`, `3+`, `/3`, `10%`, `0.1`; nil for what isn't a moment at all.
    private func moment(_ word: String) throws(FaultTextError) -> FaultMoment? {
        let text = [UInt8](word.utf8)
        guard let first = text.first, let last = text.last else { return nil }
        let isDigit = first >= UInt8(ascii: "0") && first <= UInt8(ascii: "9")
        guard isDigit || first == UInt8(ascii: "/") else { return nil }
        func positive(_ part: some Sequence<UInt8>) throws(FaultTextError) -> UInt64 {
            guard let number = Self.number(String(decoding: [UInt8](part), as: UTF8.self)), number > 0 else {
                throw failure("\"\(word)\" is no moment: events are counted from 1")
            }
            return number
        }
        if first == UInt8(ascii: "/") { return .every(try positive(text.dropFirst())) }
        if last == UInt8(ascii: "+") { return .from(try positive(text.dropLast())) }
        if last == UInt8(ascii: "%") {
            return .chance(perMillion: try millionths(text.dropLast(), 10_000, word))
        }
        if text.contains(UInt8(ascii: ".")) {
            return .chance(perMillion: try millionths(text[...], 1_000_000, word))
        }
        return .nth(try positive(text))
    }

    /// A decimal fraction, times `unit`; digits beyond the millionth don't count.
    private func millionths(
        _ text: ArraySlice<UInt8>, _ unit: UInt64, _ word: String
    ) throws(FaultTextError) -> UInt32 {
        var value: UInt64 = 0
        var place = unit
        var isFraction = false
        for digit in text {
            if digit == UInt8(ascii: "."), !isFraction {
                isFraction = true
                continue
            }
            guard digit >= UInt8(ascii: "0") && digit <= UInt8(ascii: "9"), value <= 1_000_000 else {
                throw failure("\"\(word)\" is no chance")
            }
            let worth = UInt64(digit - UInt8(ascii: "0"))
            if isFraction {
                place /= 10
                value += worth * place
            } else {
                value = value * 10 + worth * unit
            }
        }
        guard value <= 1_000_000 else { throw failure("\"\(word)\" is more than certain") }
        return UInt32(value)
    }

    private func duration(_ word: String) throws(FaultTextError) -> UInt32 {
        let text = [UInt8](word.utf8)
        var digits = text[...]
        var unit: UInt64 = 0
        if text.suffix(2).elementsEqual("ms".utf8) {
            digits = text.dropLast(2)
            unit = 1
        } else if text.last == UInt8(ascii: "s") {
            digits = text.dropLast()
            unit = 1000
        }
        guard unit > 0, let number = Self.number(String(decoding: digits, as: UTF8.self)),
            number <= 3_600_000 / unit
        else {
            throw failure("\"\(word)\" is no delay: one looks like 5ms or 1s, at most an hour")
        }
        return UInt32(number * unit)
    }

    // MARK: the rule

    mutating func rule() throws(FaultTextError) -> FaultRule {
        guard let event = word(), !event.isEmpty else { throw failure("it is empty") }
        let named = FaultRequestName.all.first { Self.isSame($0.text, event) }
        if let named { scope.files = named.files }
        while place <= bytes.count {
            if let address = address() {
                guard scope.device == nil else { throw failure("it names two devices") }
                scope.device = DeviceID(address)
            } else if let word = word(), !word.isEmpty {
                try take(word)
            } else {
                // Separators may follow one another, and end the text.
                if place >= bytes.count { break }
            }
        }
        let fault = try fault(event, named?.request)
        try checkLeftovers(event, fault)
        return FaultRule(fault, on: scope, moment ?? .always)
    }

    private static func isSame(_ text: StaticString, _ word: String) -> Bool {
        "\(text)".utf8.elementsEqual(word.utf8)
    }

    private mutating func take(_ word: String) throws(FaultTextError) {
        switch Keyword(word) {
        case .node:
            let path = try value(of: word)
            guard let found = Node(path: path) else { throw failure("\"\(path)\" isn't a node's path") }
            node = found
        case .on:
            let files = try files(try value(of: word))
            // The first replaces what the event's name says, further ones are added.
            scope.files = hasFiles ? scope.files.union(files) : files
            hasFiles = true
        case .number: request = Request(rawValue: UInt(try number(of: word, atMost: UInt64(UInt32.max))))
        case .errno:
            let number = try number(of: word, atMost: 4095)
            guard errno == nil, effect == nil, number > 0 else { throw failure("it has two effects") }
            errno = Errno(rawValue: Int32(number))
        case .after: pages = try number(of: word)
        case .length: length = try number(of: word)
        case .vector: vector = try number(of: word, atMost: 2047)
        case .byte: byte = try number(of: word)
        case .bits: bits = try number(of: word, atMost: 255)
        case .delay:
            delay = try duration(try value(of: word))
            try setEffect(word)
        case .effect: try setEffect(word)
        case nil:
            if let id = DeviceID(word) {
                guard scope.device == nil else { throw failure("it names two devices") }
                scope.device = id
            } else if let named = Errno(named: word) {
                guard errno == nil, effect == nil else { throw failure("it has two effects") }
                errno = named
            } else if let found = try moment(word) {
                guard moment == nil else { throw failure("it has two moments") }
                moment = found
            } else {
                throw failure("\"\(word)\" isn't known")
            }
        }
    }

    private mutating func setEffect(_ word: String) throws(FaultTextError) {
        guard errno == nil, effect == nil else { throw failure("it has two effects") }
        effect = word
    }

    private func files(_ word: String) throws(FaultTextError) -> FaultScope.Files {
        for (name, files) in FaultScope.Files.named where Self.isSame(name, word) { return files }
        throw failure("\"on\" needs container, group, device or iommufd, not \"\(word)\"")
    }

    private enum Keyword {
        case node, on, number, errno, after, length, vector, byte, bits, delay, effect

        init?(_ word: String) {
            let all: [(StaticString, Keyword)] = [
                ("node", .node), ("on", .on), ("number", .number), ("errno", .errno), ("after", .after),
                ("length", .length), ("vector", .vector),
                ("byte", .byte), ("bits", .bits), ("delay", .delay), ("drop", .effect), ("refuse", .effect),
                ("flip", .effect), ("vanish", .effect), ("silent", .effect),
            ]
            guard let found = all.first(where: { FaultTextReader.isSame($0.0, word) }) else { return nil }
            self = found.1
        }
    }

    private func has(_ word: StaticString) -> Bool {
        guard let effect else { return false }
        return Self.isSame(word, effect)
    }

    private func required(_ event: String) throws(FaultTextError) -> Errno {
        guard let errno else { throw failure("\"\(event)\" fails with an errno, such as EIO") }
        return errno
    }

    private func fault(_ event: String, _ request: Request?) throws(FaultTextError) -> Fault {
        if let request { return .request(request, try required(event)) }
        if Self.isSame("request", event) { return .request(self.request, try required(event)) }
        if Self.isSame("open", event) { return .open(node, try required(event)) }
        if Self.isSame("read", event) { return .read(try required(event)) }
        if Self.isSame("write", event) { return .write(try required(event)) }
        if Self.isSame("map", event) { return .map(try required(event)) }
        if Self.isSame("pin", event) { return .pin(afterPages: pages ?? 0, try required(event)) }
        if Self.isSame("dma-read", event) {
            guard has("refuse") else { throw failure("\"dma-read\" can only be answered with \"refuse\"") }
            return .dmaRead
        }
        if Self.isSame("dma-write", event) {
            let effect: DMAWriteFault
            if has("refuse") {
                effect = .refused
            } else if has("drop") {
                effect = .dropped
            } else if has("flip") {
                effect = .flipped(byte: byte.map { Int($0) }, bits: bits.map { UInt8($0) })
            } else {
                throw failure("what happens to \"dma-write\" is refuse, drop or flip")
            }
            return .dmaWrite(byteCount: length.map { Int($0) }, effect)
        }
        if Self.isSame("irq", event) {
            let vector = vector.map { Int($0) }
            if has("drop") { return .interrupt(vector: vector, .dropped) }
            if let delay { return .interrupt(vector: vector, .delayed(milliseconds: delay)) }
            throw failure("what happens to \"irq\" is drop or delay")
        }
        if Self.isSame("device", event) {
            if has("vanish") { return .device(.vanished) }
            if has("silent") { return .device(.silent) }
            throw failure("what happens to \"device\" is vanish or silent")
        }
        throw failure("\"\(event)\" isn't an event")
    }

    /// Refuses words that the rule has no use for: whoever wrote them means something else.
    private func checkLeftovers(_ event: String, _ fault: Fault) throws(FaultTextError) {
        var known: (node: Bool, pages: Bool, length: Bool, vector: Bool, flip: Bool, files: Bool)
        known = (false, false, false, false, false, false)
        switch fault {
        case .open: known.node = true
        case .pin: known.pages = true
        case .dmaWrite(_, let effect):
            known.length = true
            if case .flipped = effect { known.flip = true }
        case .interrupt: known.vector = true
        case .request: known.files = true
        case .read, .write, .map, .dmaRead, .device: break
        }
        if request != nil && !Self.isSame("request", event) { throw failure("\"number\" is for \"request\"") }
        if node != nil && !known.node { throw failure("\"node\" is for \"open\"") }
        if pages != nil && !known.pages { throw failure("\"after\" is for \"pin\"") }
        if length != nil && !known.length { throw failure("\"length\" is for \"dma-write\"") }
        if vector != nil && !known.vector { throw failure("\"vector\" is for \"irq\"") }
        if (byte != nil || bits != nil) && !known.flip {
            throw failure("\"byte\" and \"bits\" are for \"flip\"")
        }
        if scope.files != .all && !known.files { throw failure("\"on\" is for requests") }
        if errno != nil && fault.errno == nil { throw failure("\"\(event)\" doesn't fail with an errno") }
        if fault.errno != nil && effect != nil { throw failure("\"\(event)\" fails with an errno") }
        guard scope.device != nil else { return }
        switch fault {
        case .open, .pin: throw failure("\"\(event)\" isn't about one device")
        case .request where !scope.files.contains(.devices):
            throw failure("\"\(event)\" isn't about one device")
        default: break
        }
    }
}

extension FaultScope.Files {
    /// The kinds, by their names in text.
    static var named: [(StaticString, FaultScope.Files)] {
        [
            ("container", .containers), ("group", .groups), ("device", .devices), ("iommufd", .iommufds),
        ]
    }
}

extension Errno {
    /// Whether it has a name here.
    var hasName: Bool { !"\(name)".utf8.elementsEqual("errno".utf8) }

    /// The errno with a name such as "EINVAL"; nil for one that has no name here.
    fileprivate init?(named text: String) {
        for number in Int32(1)...133 {
            let errno = Errno(rawValue: number)
            if errno.hasName, "\(errno.name)".utf8.elementsEqual(text.utf8) {
                self = errno
                return
            }
        }
        return nil
    }
}
