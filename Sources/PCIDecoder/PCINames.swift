/// The names of vendors, devices, subsystems and classes: what a `pci.ids` says.
///
/// The file is the machine's own (Debian's package `pci.ids`, others' `hwdata`); none is carried along. Its lines are
/// "vvvv  name" for a vendor, below it "⇥dddd  name" for a device, and below that "⇥⇥vvvv dddd  name" for a
/// subsystem; classes stand likewise under "C cc  name", with sub-classes and programming interfaces below. What
/// isn't such a line is passed over, so that any bytes can be read.
public struct PCINames: Sendable {
    /// The most bytes of a file that are looked at: ten times today's.
    public static let longestFile = 16 << 20

    private let text: [UInt8]
    /// Where the lines below a vendor begin, and its name's place.
    private var vendors: [UInt16: Entry] = [:]
    /// The same for base classes.
    private var classes: [UInt16: Entry] = [:]

    private struct Entry {
        let name: Range<Int>
        /// Where the next line begins.
        let below: Int
    }

    /// Knows no names.
    public init() { self.init(parsing: []) }

    /// Reads what a `pci.ids` holds; bytes after ``longestFile`` are left out. Where a number stands twice, the first
    /// one counts.
    public init(parsing bytes: [UInt8]) {
        text = bytes.count > Self.longestFile ? Array(bytes[..<Self.longestFile]) : bytes
        var position = 0
        while position < text.count {
            let line = self.line(at: position)
            let next = line.upperBound + 1
            if let (number, name) = numbered(line, digits: 4) {
                if vendors[number] == nil { vendors[number] = Entry(name: name, below: next) }
            } else if line.count > 2, text[line.lowerBound] == UInt8(ascii: "C"),
                text[line.lowerBound + 1] == 0x20,
                let (number, name) = numbered(line.dropFirst(2), digits: 2)
            {
                if classes[number] == nil { classes[number] = Entry(name: name, below: next) }
            }
            position = next
        }
    }

    /// Whether nothing is known.
    public var isEmpty: Bool { vendors.isEmpty && classes.isEmpty }

    /// The name of a vendor.
    public func vendor(_ vendor: UInt16) -> String? { vendors[vendor].map { name($0.name) } }

    /// The name of a device of a vendor.
    public func device(_ device: UInt16, of vendor: UInt16) -> String? {
        guard let entry = vendors[vendor] else { return nil }
        return find(device, digits: 4, below: entry.below).map { name($0.name) }
    }

    /// The name of a subsystem: of a board with a certain device on it.
    /// - Parameters:
    ///   - subsystem: the board's subsystem ID.
    ///   - subsystemVendor: whose ID that is.
    ///   - device: the device on it.
    ///   - vendor: the device's vendor.
    public func subsystem(
        _ subsystem: UInt16, of subsystemVendor: UInt16, on device: UInt16, of vendor: UInt16
    ) -> String? {
        guard let entry = vendors[vendor],
            let device = find(device, digits: 4, below: entry.below)
        else { return nil }
        var position = device.below
        while position < text.count {
            let line = self.line(at: position)
            position = line.upperBound + 1
            switch depth(line) {
            case nil: continue
            case 2:
                guard let (first, rest) = numbered(line.dropFirst(2), digits: 4, spaces: 1),
                    first == subsystemVendor, let (second, name) = numbered(rest, digits: 4),
                    second == subsystem
                else { continue }
                return self.name(name)
            default: return nil
            }
        }
        return nil
    }

    /// The name of a class: that of its sub-class where there is one, else of its base class.
    /// - Parameter classCode: base class, sub-class and programming interface.
    public func className(_ classCode: UInt32) -> String? {
        guard let base = classes[UInt16(truncatingIfNeeded: classCode >> 16 & 0xff)] else { return nil }
        guard let sub = find(UInt16(truncatingIfNeeded: classCode >> 8 & 0xff), digits: 2, below: base.below)
        else { return name(base.name) }
        return name(sub.name)
    }

    /// The name of a class's programming interface, where it has one: "NVM Express", "XHCI".
    /// - Parameter classCode: base class, sub-class and programming interface.
    public func programmingInterface(_ classCode: UInt32) -> String? {
        guard let base = classes[UInt16(truncatingIfNeeded: classCode >> 16 & 0xff)],
            let sub = find(UInt16(truncatingIfNeeded: classCode >> 8 & 0xff), digits: 2, below: base.below)
        else { return nil }
        return find(UInt16(truncatingIfNeeded: classCode & 0xff), digits: 2, below: sub.below, depth: 2)
            .map { name($0.name) }
    }

    // MARK: lines

    /// The line with a number, among those that stand a level deeper.
    private func find(_ wanted: UInt16, digits: Int, below start: Int, depth wantedDepth: Int = 1) -> Entry? {
        var position = start
        while position < text.count {
            let line = self.line(at: position)
            position = line.upperBound + 1
            guard let depth = depth(line) else { continue }
            if depth < wantedDepth { return nil }
            guard depth == wantedDepth, let (number, name) = numbered(line.dropFirst(depth), digits: digits),
                number == wanted
            else { continue }
            return Entry(name: name, below: position)
        }
        return nil
    }

    /// The line that begins at a place, without its end.
    private func line(at start: Int) -> Range<Int> {
        var end = start
        while end < text.count, text[end] != 0x0a { end += 1 }
        return start..<end
    }

    /// How many tabulators a line begins with; nil for one that says nothing.
    private func depth(_ line: Range<Int>) -> Int? {
        guard let first = line.first, text[first] != UInt8(ascii: "#"), text[first] != 0x0d else {
            return nil
        }
        var depth = 0
        while depth < line.count, text[line.lowerBound + depth] == 0x09 { depth += 1 }
        return depth
    }

    /// A hexadecimal number at the start of a line, and where what follows stands.
    /// - Parameters:
    ///   - digits: how many digits it has.
    ///   - spaces: how many spaces there are at least after it.
    private func numbered(_ line: Range<Int>, digits: Int, spaces: Int = 2) -> (UInt16, Range<Int>)? {
        guard line.count > digits + spaces else { return nil }
        var value: UInt16 = 0
        for position in line.prefix(digits) {
            let digit: UInt8
            switch text[position] {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = text[position] - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = text[position] - UInt8(ascii: "a") + 10
            case UInt8(ascii: "A")...UInt8(ascii: "F"): digit = text[position] - UInt8(ascii: "A") + 10
            default: return nil
            }
            value = value << 4 | UInt16(digit)
        }
        for position in line.dropFirst(digits).prefix(spaces) where text[position] != 0x20 { return nil }
        return (value, line.dropFirst(digits + spaces))
    }

    private func name(_ place: Range<Int>) -> String {
        var place = place
        while let last = place.last, text[last] == 0x0d || text[last] == 0x20 { place.removeLast() }
        return PrintableText.of(text[place])
    }
}
