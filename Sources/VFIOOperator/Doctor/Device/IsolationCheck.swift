import LinuxSystem
import VFIOHost

/// Why the members of a group are in one: which bridge on the way doesn't keep devices apart (access control services).
struct IsolationCheck: Check {
    let id = "isolation"
    let title = "isolation"

    /// Source validation, request redirection, completion redirection, upstream forwarding: what the kernel wants.
    private static let wanted: UInt16 = 0x1d

    func judge(_ examination: Examination, _ notes: inout Notes) -> Judgement? {
        guard let subject = examination.subject, let record = subject.record, let number = record.group,
            let inventory = examination.inventory, !record.isUnprotected
        else { return nil }
        let override = examination.commandLine(&notes).value?.has("pcie_acs_override") == true
        if override {
            return .warning(
                "pcie_acs_override only hides what isn't there: devices may reach each other past the IOMMU",
                [
                    .advice(
                        "take it out of the kernel's command line where the devices' users don't trust each other"
                    )
                ])
        }
        let others = inventory.devices.filter { device in
            // Bridges may share a group with what is behind them.
            device.group == number && device.address != record.address && device.classCode >> 16 != 0x06
        }
        if others.isEmpty { return .ok("nothing but bridges shares its group") }
        let path = Self.bridges(of: record.address, examination, &notes)
        let isOneCard = others.allSatisfy {
            $0.address.segment == record.address.segment && $0.address.bus == record.address.bus
                && $0.address.device == record.address.device
        }
        if isOneCard {
            return .ok("shares its group with functions of the same card, which reach each other within it")
        }
        var unknown = 0
        for bridge in path {
            let file = examination.sysfs + "/bus/pci/devices/\(bridge)/config"
            guard let bytes = try? FileSystem.bytes(of: file, limit: 4096), bytes.count > 0x100 else {
                notes.note(file, "only its first 64 bytes can be read, and the rest tells of access control")
                unknown += 1
                continue
            }
            if let problem = Self.problem(ConfigurationBytes(bytes: bytes)) {
                notes.note(file, problem)
                return .warning(
                    "\(counted(others.count, "other device")) in its group: \(bridge), on the way to it, \(problem)",
                    [
                        .advice(
                            "put the card into another slot, behind a port of its own that keeps devices apart"
                        )
                    ])
            }
            notes.note(file, "keeps devices apart")
        }
        if unknown > 0 {
            return .undetermined(
                "\(counted(others.count, "other device")) in its group; why, the bridges' configuration tells to root",
                [.run("sudo vfio doctor \(record.address)")])
        }
        return .warning(
            "\(counted(others.count, "other device")) in its group, and no bridge on the way says why: the group's other "
                + "members may sit where nothing keeps them apart",
            [.advice("put the card into another slot")])
    }

    /// The bridges between the processor and a function, the outermost first: the folders that its own lies in.
    private static func bridges(
        of address: PCIAddress, _ examination: Examination, _ notes: inout Notes
    ) -> [PCIAddress] {
        let path = examination.sysfs + "/bus/pci/devices/\(address)"
        guard let target = try? FileSystem.linkTarget(path) else { return [] }
        notes.note(path, "→ " + target)
        return target.split(separator: "/").compactMap { PCIAddress($0) }.filter { $0 != address }
    }

    /// What is wrong with how a bridge keeps devices apart; nil if nothing is.
    private static func problem(_ space: ConfigurationBytes) -> String? {
        guard let express = space.capability(0x10), let flags = space.load16(express + 2) else {
            return "is a conventional PCI bridge: all behind it look like one"
        }
        switch flags >> 4 & 0xf {
        case 4, 6: break  // A root port, or a switch's downstream port: the two that must keep devices apart.
        case 7: return "leads to conventional PCI: all behind it look like one"
        default: return nil
        }
        guard let control = space.extendedCapability(0x0d).flatMap({ space.load16($0 + 6) }) else {
            return "has no access control services"
        }
        return control & wanted == wanted ? nil : "has its access control services turned off"
    }
}
