import PCIDecoder
import VFIOHost
import VFIOOperator

/// `vfio list` for people.
struct ListText {
    let machine: MachineFacts
    let shown: [DeviceFacts]
    let names: PCINames
    let console: Console

    /// How the devices are laid out.
    enum Layout {
        case classes(isWide: Bool)
        case groups(isWide: Bool)
        case tree
    }

    /// Prints the devices, and what else there is to say.
    func write(_ layout: Layout) {
        switch layout {
        case .classes(let isWide): writeClasses(isWide)
        case .groups(let isWide): writeGroups(isWide)
        case .tree: ListTree(text: self).write()
        }
        writeNotes(layout)
    }

    // MARK: tables

    private func writeClasses(_ isWide: Bool) {
        let functions = shown.filter { $0.record != nil }
        let sections = Dictionary(grouping: functions) { ($0.record?.classCode ?? 0) >> 16 }
        // Bridges are there to be looked at last.
        let order = sections.keys.sorted { ($0 == 6 ? 0x100 : $0) < ($1 == 6 ? 0x100 : $1) }
        write(
            order.map { base in (Self.plural(ofBaseClass: base), sections[base] ?? []) }
                + otherSections(), isWide)
    }

    /// The devices of other buses, each bus for itself.
    private func otherSections() -> [(String, [DeviceFacts])] {
        let others = Dictionary(grouping: shown.filter { $0.record == nil }) { $0.id.bus.name }
        return others.sorted { $0.key < $1.key }.map { ("\($0.key) devices", $0.value) }
    }

    private func writeGroups(_ isWide: Bool) {
        let sections = Dictionary(grouping: shown) { $0.summary.group ?? -1 }
        write(
            sections.sorted { $0.key < $1.key }.map { number, members in
                (number < 0 ? "no IOMMU group" : heading(ofGroup: number), members)
            }, isWide)
    }

    /// "group 26: viable, DMA-FQ"
    func heading(ofGroup number: Int) -> String {
        var text = "group \(number): \(machine.words(forGroup: number))"
        let group = machine.inventory.group(number)
        if let type = group?.domainType { text += " [\(type)]" }
        if group?.isUnprotected == true { text += " (no IOMMU behind it)" }
        return text
    }

    /// Prints one table whose rows are divided by headings.
    private func write(_ sections: [(title: String, devices: [DeviceFacts])], _ isWide: Bool) {
        let devices = sections.flatMap(\.devices)
        guard !devices.isEmpty else { return console.line(emptyText) }
        // A column in which nothing stands tells nothing.
        let columns = columns(isWide).filter { column in
            !column.isOptional || devices.contains { column.cell($0) != "-" }
        }
        var table = Table(
            columns.map(\.title), rightAligned: Set(columns.indices.filter { columns[$0].isNumber }))
        let stateColumn = columns.firstIndex { $0.title == "STATE" } ?? 0
        for device in devices {
            table.add(columns.map { $0.cell(device) }, style(of: device).map { [stateColumn: $0] } ?? [:])
        }
        let indent = "  "
        let lines = table.lines(on: console, indented: indent.count)
        console.line(indent + console.styled(lines[0], .faint))
        var next = 1
        for section in sections {
            console.heading(section.title)
            for _ in section.devices {
                console.line(indent + lines[next])
                next += 1
            }
        }
    }

    private var emptyText: String {
        machine.devices.isEmpty
            ? "no PCI devices, and none of other buses that VFIO knows" : "no device matches"
    }

    private struct Column {
        let title: String
        var isNumber = false
        var isOptional = false
        let cell: (DeviceFacts) -> String
    }

    /// Whether lines are short of room: then the long columns stay away.
    private var isNarrow: Bool { (console.lineLength ?? .max) < 120 }

    private func columns(_ isWide: Bool) -> [Column] {
        let isNarrow = isNarrow && !isWide
        var columns = [
            Column(title: "DEVICE") { $0.id.name },
            Column(title: "GROUP", isNumber: true) { $0.summary.group.map { "\($0)" } ?? "-" },
            Column(title: "ID") { device in
                device.record.map {
                    "\(hexadecimal($0.vendor, digits: 4)):\(hexadecimal($0.device, digits: 4))"
                } ?? device.id.bus.name
            },
            Column(title: "DRIVER") { $0.summary.driver?.name ?? "-" },
            Column(title: "NODE", isOptional: true) { node(of: $0) ?? "-" },
            Column(title: "STATE") { isNarrow ? machine.shortWords(for: $0) : machine.words(for: $0) },
        ]
        if isNarrow { columns.removeAll { $0.title == "ID" || $0.title == "NODE" } }
        if isWide { columns += wideColumns }
        columns.append(Column(title: "WHAT IT IS") { what(of: $0) })
        return columns
    }

    private var wideColumns: [Column] {
        [
            Column(title: "RESET", isOptional: true) { device in
                device.record.map {
                    $0.resetMethods.isEmpty ? "none" : $0.resetMethods.joined(separator: ",")
                } ?? "-"
            },
            Column(title: "INTERRUPTS", isOptional: true) { Self.words(for: $0.interrupts) },
            Column(title: "NUMA", isNumber: true, isOptional: true) {
                $0.record?.numaNode.map { "\($0)" } ?? "-"
            },
            Column(title: "POWER", isOptional: true) { $0.powerState ?? "-" },
            Column(title: "ENABLED", isNumber: true, isOptional: true) {
                $0.enableCount.map { "\($0)" } ?? "-"
            },
            Column(title: "IOMMU", isOptional: true) { $0.iommu ?? "-" },
            Column(title: "FUNCTIONS", isOptional: true) { Self.functions(of: $0) },
            Column(title: "OVERRIDE", isOptional: true) { $0.record?.driverOverride ?? "-" },
            Column(title: "MADE OF IT", isOptional: true) { device in
                let made = device.networkInterfaces + device.disks
                return made.isEmpty ? "-" : made.joined(separator: ",")
            },
        ]
    }

    // MARK: words

    /// "12 MSI-X", "line 16", "-"
    private static func words(for interrupts: DeviceFacts.Interrupts) -> String {
        if interrupts.messages > 0 {
            return "\(interrupts.messages) \(interrupts.isExtended ? "MSI-X" : "MSI")"
        }
        return interrupts.line.map { "line \($0)" } ?? "-"
    }

    /// "2 of 64 VFs", "VF 1 of 0000:03:00.0", "-"
    private static func functions(of device: DeviceFacts) -> String {
        if let functions = device.virtualFunctions {
            return "\(functions.enabled.map { "\($0)" } ?? "?") of \(functions.total) VFs"
        }
        guard let parent = device.record?.physicalFunction else { return "-" }
        return "VF \(device.virtualFunctionNumber.map { "\($0) " } ?? "")of \(parent)"
    }

    /// What a program would open: the device's own node, or its group's.
    func node(of device: DeviceFacts) -> String? {
        guard device.summary.driver?.isVFIO == true else { return nil }
        return device.summary.deviceNode.map { "/dev/\(Node.device($0).path)" }
            ?? machine.groupNode(of: device.summary.group)
    }

    /// The class, and the names where the machine has them.
    func what(of device: DeviceFacts) -> String {
        guard let record = device.record else {
            return device.mediatedType.map { "mediated device \($0)" } ?? "\(device.id.bus.name) device"
        }
        let name = PCIClass.name(record.classCode)
        return record.title(names).map { "\(name): \($0)" } ?? name
    }

    func style(of device: DeviceFacts) -> Console.Style? {
        switch machine.readiness(of: device) {
        case .ready: .good
        case .held: .warning
        case .blocked: .bad
        case .bridge: .faint
        case .otherDriver, .noGroup: nil
        }
    }

    /// "network controllers"
    private static func plural(ofBaseClass base: UInt32) -> String {
        // A sub-class that none has leaves the name of the base class.
        let name = PCIClass.name(base << 16 | 0xfd00)
        return name.hasPrefix("class ") || name.hasPrefix("unassigned") ? name : name + "s"
    }

    // MARK: notes

    /// What takes the devices that are in the way: a command.
    static func remedy(_ blockers: [DeviceSummary]) -> String {
        "vfio bind " + blockers.map { $0.id.qualifiedName }.joined(separator: " ")
    }

    private func isShown(_ group: Int) -> Bool { shown.contains { $0.summary.group == group } }

    private func writeNotes(_ layout: Layout) {
        var notes: [String] = []
        if let note = machine.holdersNote { notes.append(note) }
        let unread = shown.filter { !$0.unknown.isEmpty }
        if let first = unread.first {
            notes.append(
                "\(first.unknown.joined(separator: ", ")) of \(first.id) can't be read"
                    + (unread.count > 1 ? ", and more of \(unread.count - 1) other devices" : ""))
        }
        if !machine.holders.ofUnknownDevices.isEmpty {
            notes.append(
                "devices that the kernel doesn't name are held by "
                    + MachineFacts.processes(machine.holders.ofUnknownDevices))
        }
        if case .tree = layout {
        } else {
            for (number, blockers) in machine.blockedGroups where isShown(number) {
                let list = blockers.map { "\($0.id) is bound to \($0.driver?.name ?? "a driver")" }
                notes.append(
                    "group \(number) can't be used: \(list.joined(separator: ", ")); to use it: "
                        + Self.remedy(blockers)
                )
            }
        }
        if machine.inventory.groups.isEmpty && !machine.inventory.devices.isEmpty {
            notes.append("there are no IOMMU groups: `vfio doctor` says what is missing")
        }
        if !machine.inventory.hasContainers && !machine.inventory.hasIOMMUFD {
            notes.append(
                "neither /dev/vfio/vfio nor /dev/iommu is there: load the vfio-pci module (modprobe vfio-pci)"
            )
        }
        if notes.isEmpty { return }
        console.line()
        for note in notes { console.line(note) }
    }
}
