import LinuxSystem
import PCIDecoder
import VFIOHost
import VFIOOperator

/// What is known of a device, for people.
struct InspectText {
    private let report: DeviceReport
    private let isVerbose: Bool
    private let isConfigurationOnly: Bool
    /// Where lines are broken; nil in a pipe, where each thing stays on its line.
    private let width: Int?

    /// - Parameter width: the columns of the terminal; nil for none.
    init(_ report: DeviceReport, isVerbose: Bool, isConfigurationOnly: Bool, width: Int?) {
        self.report = report
        self.isVerbose = isVerbose
        self.isConfigurationOnly = isConfigurationOnly
        self.width = width
    }

    /// The columns of the terminal that standard output is; nil if it isn't one.
    static var terminalWidth: Int? { Terminal.isTerminal(1) ? max(60, Terminal.columns(1)) : nil }

    /// Writes it to standard output.
    func print() {
        let console = Console()
        console.heading("\(report.name)  \(identity)")
        for line in lines { Swift.print(line) }
    }

    /// Everything below the heading.
    var lines: [String] {
        var lines = factLines
        if !isConfigurationOnly, let opened = report.opened { lines += openedLines(opened) }
        if let configuration = report.configuration {
            lines += ConfigurationText(
                configuration, showsRegisters: isVerbose || isConfigurationOnly, showsFields: isVerbose
            ).lines.flatMap { broken($0) }
        }
        // Who asks for the configuration space only doesn't miss the rest.
        let missing = report.missing.filter {
            !isConfigurationOnly || report.configuration == nil || $0.isOfSpace
        }
        if !missing.isEmpty { lines += ["", "not known"] }
        for missing in missing { lines += broken("  \(missing.part): \(missing.reason)") }
        return lines
    }

    private var identity: String {
        let facts = report.facts
        guard let vendor = facts.vendor, let device = facts.device else { return "\(report.bus) device" }
        var text = facts.classCode.map { PCIClass.name($0) } ?? "PCI device"
        text += "  \(hexadecimal(vendor, digits: 4)):\(hexadecimal(device, digits: 4))"
        if let revision = facts.revision { text += " (revision \(hexadecimal(revision, digits: 2)))" }
        return text
    }

    private var factLines: [String] {
        let facts = report.facts
        var lines: [String] = []
        if let vendor = facts.subsystemVendor, let device = facts.subsystem, vendor != 0 || device != 0 {
            let name = facts.subsystemName.map { "  \($0)" } ?? ""
            lines.append(
                "subsystem \(hexadecimal(vendor, digits: 4)):\(hexadecimal(device, digits: 4))\(name)")
        }
        let names = [facts.vendorName, facts.deviceName].compactMap { $0 }
        if !names.isEmpty { lines.insert(names.joined(separator: " "), at: 0) }
        if let function = facts.physicalFunction { lines.append("virtual function of \(function)") }
        if report.host != "lspci" { lines.append(driverLine) }
        lines += groupLines
        if !facts.holders.isEmpty { lines += broken("open in \(facts.holders.joined(separator: ", "))") }
        if let opened = report.opened {
            lines += broken("opened through \(opened.route): \(opened.routeReason)")
            lines.append(resetLine(opened.canReset))
        } else if !facts.resetMethods.isEmpty {
            lines.append("resets: \(facts.resetMethods.joined(separator: ", "))")
        }
        return lines
    }

    private var driverLine: String {
        let facts = report.facts
        var parts = [facts.driver.map { "driver \($0)" } ?? "no driver"]
        if let override = facts.driverOverride { parts.append("only \(override) may be bound to it") }
        if let node = facts.deviceNode { parts.append("node vfio\(node)") }
        if let node = facts.numaNode { parts.append("NUMA node \(node)") }
        return parts.joined(separator: ", ")
    }

    private var groupLines: [String] {
        let facts = report.facts
        guard let group = facts.group else { return [] }
        var line = "group \(group)"
        if let type = facts.domainType { line += " (\(type))" }
        if facts.groupMembers.isEmpty { return [line + ", alone in it"] }
        let members = facts.groupMembers.map { member in
            member.name + " (" + (member.driver ?? "no driver")
                + (member.blocks ? ", blocks the group)" : ")")
        }
        return broken(line + ", with " + members.joined(separator: ", "))
    }

    private func resetLine(_ canReset: Bool) -> String {
        guard canReset else { return "can't be reset" }
        let methods = report.facts.resetMethods
        return "can be reset"
            + (methods.isEmpty ? "" : " (in this order: \(methods.joined(separator: ", ")))")
    }

    /// A line that is too long for the terminal, in lines of which all but the first are further in.
    private func broken(_ line: String) -> [String] {
        guard let width, line.count > width else { return [line] }
        let indent = String(line.prefix { $0 == " " })
        var lines: [String] = []
        var current = indent
        for word in line.split(separator: " ") {
            if current.count + 1 + word.count > width, current.contains(where: { $0 != " " }) {
                lines.append(current)
                current = indent + "    "
            }
            current += (current.allSatisfy { $0 == " " } ? "" : " ") + word
        }
        return lines + [current]
    }
}

extension DeviceReport.Missing {
    /// Whether it is a part of the configuration space.
    fileprivate var isOfSpace: Bool { part == "capabilities" || part == "configuration space" }
}

extension InspectText {
    private func openedLines(_ opened: DeviceReport.Opened) -> [String] {
        var lines = ["", "regions"]
        for region in opened.regions { lines += regionLines(region).flatMap { broken($0) } }
        if !opened.interrupts.isEmpty { lines += ["", "interrupts"] }
        for interrupt in opened.interrupts {
            let flags = interrupt.flags.isEmpty ? "" : " (\(interrupt.flags.joined(separator: ", ")))"
            lines.append("  \(interrupt.name): \(interrupt.count)\(flags)")
        }
        lines += featureLines(opened)
        if let addresses = opened.addresses { lines += addressLines(addresses) }
        if !opened.atomics.isEmpty {
            let widths = opened.atomics.map { "\($0)" }.joined(separator: ", ")
            lines.append("  atomic operations completed on the way to memory: \(widths) bits")
        }
        if let refusal = opened.hotResetRefusal { lines += ["", "no hot reset"] + broken("  \(refusal)") }
        if let functions = opened.hotReset {
            lines += ["", "a hot reset resets"]
            lines += functions.map { function in
                let driver = function.driver.map { ", \($0)" } ?? ""
                return "  \(function.address): \(function.owner)\(driver)"
                    + (function.holders.isEmpty
                        ? "" : ", open in \(function.holders.joined(separator: ", "))")
                    + (function.address == report.name ? " (this device)" : "")
            }
        }
        return lines
    }

    private func regionLines(_ region: DeviceReport.Region) -> [String] {
        var line = "  \(region.name): \(Human.bytes(region.byteCount)), \(region.access)"
        if !region.mapped.isEmpty { line += ", mapped: " + areas(region.mapped) }
        var lines = [line]
        if let type = region.type {
            lines.append(
                "    "
                    + (type.words
                        ?? "device-specific: type 0x\(hexadecimal(type.type)), subtype \(type.subtype)"))
        }
        if let sparse = region.sparseAreas {
            lines.append("    can be mapped in part only: " + (sparse.isEmpty ? "nothing" : areas(sparse)))
        }
        if let table = region.msixTable {
            lines.append(
                "    MSI-X table: \(areas([table]))"
                    + (region.isMSIXMappable ? ", which may be mapped with the rest" : ""))
        }
        if let problem = region.mappingProblem { lines.append("    can't be mapped: \(problem)") }
        return lines
    }

    private func areas(_ areas: [DeviceReport.Area]) -> String {
        areas.map { "\(Human.bytes($0.byteCount)) at 0x\(hexadecimal($0.offset))" }.joined(separator: ", ")
    }

    private func featureLines(_ opened: DeviceReport.Opened) -> [String] {
        var lines: [String] = []
        let present = opened.features.filter { $0.canGet || $0.canSet }
        if !present.isEmpty || isVerbose && !opened.features.isEmpty { lines += ["", "features"] }
        for feature in present {
            let abilities = [feature.canGet ? "get" : nil, feature.canSet ? "set" : nil].compactMap { $0 }
            lines.append("  \(feature.word): \(abilities.joined(separator: ", "))")
        }
        let absent = opened.features.filter { !$0.canGet && !$0.canSet }.map(\.word)
        if isVerbose, !absent.isEmpty { lines += broken("  not there: \(absent.joined(separator: ", "))") }
        if let migration = opened.migration {
            lines += ["", "migration"]
            lines.append("  \(migration.flags.joined(separator: ", "))")
            if let state = migration.state { lines.append("  state \(state)") }
        }
        return lines
    }

    private func addressLines(_ addresses: DeviceReport.Addresses) -> [String] {
        var lines = ["", "addresses for DMA"]
        for range in addresses.ranges {
            lines.append("  0x\(hexadecimal(range.lowerBound)) to 0x\(hexadecimal(range.upperBound))")
        }
        for region in report.facts.reservedRegions {
            lines.append(
                "  not 0x\(hexadecimal(region.first)) to 0x\(hexadecimal(region.last)) (\(region.kind))")
        }
        lines.append("  pages: \(pages(addresses.pageSizes))")
        if let left = addresses.mappingsLeft {
            lines.append("  mappings left: \(Human.grouped(UInt64(left)))")
        }
        if addresses.dirtyPageSizes != 0 {
            lines.append("  dirty pages are reported in: \(pages(addresses.dirtyPageSizes))")
        }
        return lines
    }

    /// "4 KiB, 2 MiB"; a long run of sizes is told by its ends.
    private func pages(_ bits: UInt64) -> String {
        let sizes = (0..<64).map { UInt64(1) << $0 }.filter { bits & $0 != 0 }
        guard sizes.count > 4, let first = sizes.first, let last = sizes.last else {
            return sizes.map { Human.bytes($0) }.joined(separator: ", ")
        }
        return "\(Human.bytes(first)) to \(Human.bytes(last)), \(sizes.count) sizes"
    }
}
