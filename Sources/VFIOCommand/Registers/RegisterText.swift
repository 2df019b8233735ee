import LinuxSystem
import PCIDecoder
import VFIO
import VFIOHost
import VFIOOperator

/// Registers for people.
enum RegisterText {
    /// Prints what was read: one word with its fields, or several as a dump.
    static func print(_ reading: RegisterReading) {
        for line in lines(reading) { Swift.print(line) }
        StandardStream.flush()
    }

    /// What was read.
    static func lines(_ reading: RegisterReading) -> [String] {
        var lines: [String] = []
        if let register = reading.register {
            var line = place(reading.region, reading.offset, register) + " " + value(reading)
            let summary = reading.decoded?.fields.isEmpty == true ? reading.decoded?.summary ?? "" : ""
            if !summary.isEmpty, summary != reading.decoded?.hexadecimal { line += ": \(summary)" }
            lines.append(line)
            if !reading.isCertainlyGone { lines += reading.decoded?.fieldLines(indent: "") ?? [] }
        } else if reading.values.count == 1 {
            lines.append(place(reading.region, reading.offset, nil) + " " + value(reading))
        } else {
            lines += dump(reading)
        }
        if reading.isAllOnes {
            lines.append(
                reading.isCertainlyGone
                    ? "  all ones: the device doesn't answer"
                    : "  all ones: the device doesn't answer there, or the register reads so")
        }
        return lines
    }

    /// "config+0x4 COMMAND (Command)"
    private static func place(_ region: String, _ offset: UInt64, _ register: NamedRegister?) -> String {
        let place = "\(region)+0x\(String(offset, radix: 16))"
        guard let register else { return place }
        // Where the name is the title, it is said once.
        let isTold =
            register.title.isEmpty
            || register.title.lowercased().filter { $0 != " " }
                == register.name.lowercased().filter { $0 != "_" }
        return "\(place) \(register.name)" + (isTold ? "" : " (\(register.title))")
    }

    /// All words of one register as one number, as far as 64 bits go.
    private static func value(_ reading: RegisterReading) -> String {
        let words = reading.values.reversed().map { hexadecimal($0, digits: 2 * reading.width) }
        guard reading.values.count * reading.width <= 8 else {
            return reading.values.map { hexadecimal($0, digits: 2 * reading.width) }.joined(separator: " ")
        }
        return "0x" + words.joined()
    }

    /// 16 bytes in a line, with the offset of the first.
    private static func dump(_ reading: RegisterReading) -> [String] {
        let perLine = 16 / reading.width
        let end = reading.offset + UInt64(reading.values.count * reading.width)
        let digits = max(4, String(end, radix: 16).count)
        return stride(from: 0, to: reading.values.count, by: perLine).map { first in
            let words = reading.values[first..<min(first + perLine, reading.values.count)]
            let offset = reading.offset + UInt64(first * reading.width)
            let text = words.map { hexadecimal($0, digits: 2 * reading.width) }.joined(separator: " ")
            let line = "\(reading.region)+0x\(hexadecimal(offset, digits: digits))  \(text)"
            guard reading.width == 1 else { return line }
            let space = String(repeating: " ", count: 3 * (16 - words.count) + 2)
            return line + space + String(String.UnicodeScalarView(words.map { letter($0) }))
        }
    }

    /// A byte as a letter; a dot for what can't be printed.
    private static func letter(_ byte: UInt64) -> Unicode.Scalar {
        (0x20..<0x7f).contains(byte) ? Unicode.Scalar(UInt8(byte)) : "."
    }

    /// Prints what became of a writing.
    static func print(_ change: RegisterChange) {
        let words = { (value: UInt64) in "0x" + hexadecimal(value, digits: 2 * change.width) }
        Swift.print(place(change.region, change.offset, change.register))
        if let before = change.before?.values.first { Swift.print("  before   \(words(before))") }
        Swift.print("  \(change.isDone ? "written " : "to write") \(words(change.written))")
        if let after = change.after, let value = after.values.first {
            Swift.print(
                "  after    \(words(value))" + (value == change.written ? "" : notKept(change, value)))
            for line in after.decoded?.fieldLines(indent: "    ") ?? [] { Swift.print(line) }
            if after.isCertainlyGone { Swift.print("  all ones: the device doesn't answer any more") }
        }
        if let unread = change.unread { Swift.print("  not read: \(unread)") }
        StandardStream.flush()
    }

    /// Which bits aren't as they were written.
    private static func notKept(_ change: RegisterChange, _ value: UInt64) -> String {
        " (bits 0x\(String(value ^ change.written, radix: 16)) read otherwise than written)"
    }

    /// Prints the names of a device's registers.
    static func list(_ registers: DeviceRegisters, json: Bool) throws(CommandFailure) {
        let named = registers.map.registers
        if json {
            let report = Names(
                device: registers.deviceName,
                registers: named.map {
                    Name(
                        region: registers.name(of: $0.region), offset: $0.offset, byteCount: $0.byteCount,
                        name: $0.name, title: $0.title, isWriteOnly: $0.isWriteOnly)
                })
            return try JSONOutput.print(report)
        }
        let console = Console()
        var table = Table(["PLACE", "BYTES", "NAME", "WHAT"], rightAligned: [1])
        for register in named {
            let region = registers.name(of: register.region)
            table.add([
                "\(region):0x\(String(register.offset, radix: 16))", "\(register.byteCount)",
                "\(region):\(register.name)", register.title + (register.isWriteOnly ? " (write only)" : ""),
            ])
        }
        for line in table.lines(on: console) { Swift.print(line) }
        if registers.map.isNVMe {
            Swift.print("and the doorbells of the other queues: bar0:SQ1TDBL, bar0:CQ1HDBL, …")
        }
        if named.isEmpty {
            Swift.print("no register of \(registers.deviceName) has a name; read it by offset")
        }
    }

    /// What `--list --json` prints.
    private struct Names: Encodable {
        let version = 1
        let device: String
        let registers: [Name]
    }

    private struct Name: Encodable {
        let region: String
        let offset: UInt64
        let byteCount: Int
        let name: String
        let title: String
        let isWriteOnly: Bool
    }
}
