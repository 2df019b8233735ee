import LinuxSystem
import VFIOABI

/// The words and the ways of writing in which messages are described.
enum MessageWords {
    /// "0x1f"
    static func hexadecimal(_ value: UInt64) -> String { "0x" + String(value, radix: 16) }

    /// A value with all digits of its width, in bytes: "0x0000001f".
    static func hexadecimal(_ value: UInt64, width: Int) -> String {
        let digits = String(value, radix: 16)
        return "0x" + String(repeating: "0", count: max(0, width * 2 - digits.utf8.count)) + digits
    }

    /// "0x1000-0x1fff"; a range that isn't one is told as it came: "0x1000+0x0".
    static func range(_ first: UInt64, _ byteCount: UInt64) -> String {
        let (last, overflow) = first.addingReportingOverflow(byteCount &- 1)
        guard byteCount > 0, !overflow else {
            return "\(hexadecimal(first))+\(hexadecimal(byteCount))"
        }
        return "\(hexadecimal(first))-\(hexadecimal(last))"
    }

    /// The most bytes that are shown of a message's data.
    static let mostBytes = 16

    /// Bytes: as one number where they have a register's width, lowest byte first; otherwise the first ones in order.
    static func data(_ bytes: RawSpan) -> String {
        switch bytes.byteCount {
        case 1: hexadecimal(UInt64(UInt8(bytes) ?? 0), width: 1)
        case 2: hexadecimal(UInt64(UInt16(bytes) ?? 0), width: 2)
        case 4: hexadecimal(UInt64(UInt32(bytes) ?? 0), width: 4)
        case 8: hexadecimal(UInt64(bytes) ?? 0, width: 8)
        default: self.bytes(bytes)
        }
    }

    /// The first bytes in order: "de:ad:be:ef…".
    static func bytes(_ bytes: RawSpan) -> String {
        var text = ""
        for index in 0..<min(bytes.byteCount, mostBytes) {
            let byte = bytes.loadByte(index)
            text += (index == 0 ? "" : ":") + (byte < 16 ? "0" : "") + String(byte, radix: 16)
        }
        return bytes.byteCount > mostBytes ? text + "…" : text
    }

    /// Text that somebody else wrote: whatever isn't printable ASCII is written as its number, and a long one is cut.
    static func text(_ bytes: RawSpan, most: Int) -> String {
        var text = ""
        for index in 0..<bytes.byteCount {
            let byte = bytes.loadByte(index)
            let piece =
                byte >= 0x20 && byte < 0x7f && byte != 0x5c
                ? String(UnicodeScalar(byte))
                : "\\x" + (byte < 16 ? "0" : "") + String(byte, radix: 16)
            guard text.utf8.count + piece.utf8.count <= most else { return text + "…" }
            text += piece
        }
        return text
    }

    /// The names of bits, and what is left as a number: "READ|WRITE|0x80"; "0" for none.
    static func flags(_ value: UInt64, _ names: [(UInt64, String)]) -> String {
        var words: [String] = []
        var rest = value
        for (bit, name) in names where value & bit != 0 {
            words.append(name)
            rest &= ~bit
        }
        if rest != 0 || words.isEmpty { words.append(rest == 0 ? "0" : hexadecimal(rest)) }
        return words.joined(separator: "|")
    }

    /// "BAR0", "CONFIG"; a number where there is no such region.
    static func region(_ index: UInt32) -> String {
        switch PCIRegion(rawValue: index) {
        case .bar0, .bar1, .bar2, .bar3, .bar4, .bar5: "BAR\(index)"
        case .rom: "ROM"
        case .config: "CONFIG"
        case .vga: "VGA"
        default: "\(index)"
        }
    }

    /// "MSIX"; a number where there is no such index.
    static func interrupt(_ index: UInt32) -> String {
        switch PCIInterrupt(rawValue: index) {
        case .intx: "INTX"
        case .msi: "MSI"
        case .msix: "MSIX"
        case .err: "ERR"
        case .req: "REQ"
        default: "\(index)"
        }
    }

    /// "DMA_LOGGING_REPORT"; a number for one that isn't known.
    static func feature(_ feature: Feature) -> String {
        feature.word.map { "\($0)" } ?? "\(feature.rawValue)"
    }

    /// "STOP_COPY"; a number for one that isn't known.
    static func migrationState(_ state: MigrationState) -> String {
        switch state {
        case .error: "ERROR"
        case .stop: "STOP"
        case .running: "RUNNING"
        case .stopCopy: "STOP_COPY"
        case .resuming: "RESUMING"
        case .runningP2P: "RUNNING_P2P"
        case .preCopy: "PRE_COPY"
        case .preCopyP2P: "PRE_COPY_P2P"
        default: "\(state.rawValue)"
        }
    }

    /// "EINVAL(22)"; a number where it has no name here.
    static func errno(_ number: UInt32) -> String {
        guard let known = Int32(exactly: number).map(Errno.init(rawValue:)) else { return "\(number)" }
        let name = "\(known.name)"
        return name.utf8.elementsEqual("errno".utf8) ? "\(number)" : "\(name)(\(number))"
    }

    /// "640 ns", "9.1 µs", "1.2 ms", "3.0 s"
    static func duration(_ nanoseconds: UInt64) -> String {
        let units: [(UInt64, String)] = [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "µs")]
        for (unit, name) in units where nanoseconds >= unit {
            return "\(nanoseconds / unit).\(nanoseconds % unit / (unit / 10)) \(name)"
        }
        return "\(nanoseconds) ns"
    }

    /// A moment in seconds, with six digits behind the point.
    static func seconds(_ nanoseconds: UInt64) -> String {
        let fraction = String(nanoseconds % 1_000_000_000 / 1000)
        return "\(nanoseconds / 1_000_000_000)."
            + String(repeating: "0", count: 6 - fraction.utf8.count) + fraction
    }
}
