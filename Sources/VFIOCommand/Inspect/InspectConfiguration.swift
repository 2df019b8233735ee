import PCIDecoder
import VFIOHost
import VFIOOperator

/// A configuration space for people: in short, with registers, or with every field of them.
struct ConfigurationText {
    private let source: String
    private let decoded: DecodedConfiguration
    private let showsRegisters: Bool
    private let showsFields: Bool

    init(_ configuration: DeviceReport.Configuration, showsRegisters: Bool, showsFields: Bool) {
        decoded = configuration.decoded
        self.showsRegisters = showsRegisters
        self.showsFields = showsFields
        source =
            switch configuration.source {
            case "vfio": ", as VFIO shows it"
            case "sysfs": ", as the device shows it"
            default: ""
            }
    }

    /// The lines, each as long as it is.
    var lines: [String] {
        var lines = ["", "configuration space (\(decoded.byteCount) bytes\(source))"]
        for problem in decoded.problems {
            lines.append("  wrong at 0x\(hexadecimal(problem.offset, digits: 2)): \(problem.text)")
        }
        for register in decoded.header where showsRegisters || isTelling(register) {
            lines += registerLines(register, indent: "  ", mark: "0x", offset: register.offset)
        }
        for capability in decoded.capabilities { lines += capabilityLines(capability, digits: 2) }
        for capability in decoded.extendedCapabilities { lines += capabilityLines(capability, digits: 3) }
        return lines
    }

    /// What of the header is shown in short: what isn't told elsewhere.
    private func isTelling(_ register: ConfigurationField) -> Bool {
        [4, 6, 0x18, 0x19, 0x1a].contains(register.offset)
            && (register.offset < 0x10 || decoded.headerType == 1)
    }

    private func capabilityLines(_ capability: DecodedCapability, digits: Int) -> [String] {
        var title = "  0x\(hexadecimal(capability.offset, digits: digits)): \(capability.name)"
        if showsRegisters, let version = capability.version { title += " (version \(version))" }
        if let summary = capability.summary { title += ": \(summary)" }
        var lines = [title]
        lines += capability.problems.map { "      wrong: \($0)" }
        guard showsRegisters else { return lines }
        for register in capability.registers {
            lines += registerLines(
                register, indent: "      ", mark: "+0x", offset: register.offset - capability.offset)
        }
        return lines
    }

    private func registerLines(
        _ register: ConfigurationField, indent: String, mark: String, offset: Int
    ) -> [String] {
        let summary = register.summary
        let title =
            indent + mark + hexadecimal(offset, digits: 2) + " \(register.name) \(register.hexadecimal)"
        if !showsFields {
            // Registers of zeros that mean nothing are left out.
            if summary.isEmpty && register.value == 0 && register.offset >= 0x40 { return [] }
            if summary.isEmpty && register.offset < 0x40 && register.offset != 4 { return [] }
            return [summary.isEmpty || summary == register.hexadecimal ? title : "\(title): \(summary)"]
        }
        guard !register.fields.isEmpty else {
            return [summary.isEmpty || summary == register.hexadecimal ? title : "\(title): \(summary)"]
        }
        return [title] + register.fieldLines(indent: indent)
    }
}

extension ConfigurationField {
    /// A line for each field of a register, with its bits and what they say.
    func fieldLines(indent: String) -> [String] {
        fields.map { field in
            let bits =
                field.bits.count == 1
                ? "[\(field.bits.lowerBound)]" : "[\(field.bits.upperBound):\(field.bits.lowerBound)]"
            let value =
                if let meaning = field.meaning, !meaning.isEmpty { meaning } else if field.isFlag {
                    field.value == 0 ? "no" : "yes"
                } else { "\(field.value)" }
            let space = String(repeating: " ", count: max(0, 7 - bits.count))
            return "\(indent)      \(space)\(bits) \(field.name): \(value)"
        }
    }
}
