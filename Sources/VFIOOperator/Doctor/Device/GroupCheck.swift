import VFIOHost

/// Whether the device's group can be used: who is in it, and which member keeps it from that.
struct GroupCheck: Check {
    let id = "group"
    let title = "group"
    let isEssential = true

    func judge(_ examination: Examination, _ notes: inout Notes) -> Judgement? {
        guard let subject = examination.subject, let inventory = examination.inventory else { return nil }
        let me = subject.summary.id
        guard let number = subject.summary.group else {
            _ = notes.link(subject.folder + "/iommu_group")
            let isOn = !examination.protectedGroups.isEmpty
            return .failed(
                isOn
                    ? "in no IOMMU group: the IOMMU isn't in front of it"
                    : "in no IOMMU group: no IOMMU is in use",
                [
                    isOn
                        ? .advice(
                            "a device of the processor or chipset may be left out by the firmware; use another"
                        )
                        : .advice("see what is said of the IOMMU")
                ])
        }
        let members =
            inventory.devices.filter { $0.group == number }.map(\.summary)
            + inventory.otherDevices.filter { $0.group == number }
        let blockers = inventory.blockers(ofGroup: number)
        let folder = examination.sysfs + "/kernel/iommu_groups/\(number)/devices"
        for member in members.prefix(64) {
            notes.note(
                "\(folder)/\(member.id)",
                Self.role(member, isBlocker: blockers.contains { $0.id == member.id }))
        }
        let others = blockers.filter { $0.id != me }
        if !others.isEmpty {
            let named = others.prefix(4).map { "\($0.id) (\($0.driver?.name ?? "?"))" }.joined(
                separator: ", ")
            let more = others.count > 4 ? " and \(others.count - 4) more" : ""
            var remedies = examination.bindRemedies
            if let other = others.first, examination.doctor.kind == .linux {
                remedies.append(
                    .run(
                        "sudo vfio unbind "
                            + others.prefix(16).map(\.id.qualifiedName).joined(separator: " "),
                        "or leave \(others.count == 1 ? "\(other.id)" : "them") without a driver"))
            }
            return .failed("group \(number) can't be used: \(named)\(more) is in it too", remedies)
        }
        if subject.summary.isUnprotected {
            return .warning("group \(number) has no IOMMU behind it: the device may write to all memory")
        }
        let rest = members.count - 1
        return .ok(
            "\(number), \(rest == 0 ? "alone in it" : "with " + counted(rest, "other device") + ", none in the way")"
        )
    }

    /// What a member means for the group.
    private static func role(_ member: DeviceSummary, isBlocker: Bool) -> String {
        guard let driver = member.driver else { return "no driver: not in the way" }
        if isBlocker { return "\(driver.name): keeps the group from being used" }
        if driver.isVFIO { return driver.name }
        return "\(driver.name): not in the way (a bridge or a stub may stay as it is)"
    }
}

extension Examination {
    /// How the device that is looked at gets a VFIO driver, together with whatever else keeps its group from being used.
    var bindRemedies: [Remedy] {
        guard let device = subject?.summary, let inventory else { return [] }
        let blockers = device.group.map { inventory.blockers(ofGroup: $0) } ?? []
        let bridges = blockers.filter { other in
            // PCI-to-PCI bridges, which VFIO doesn't take.
            other.id.address.flatMap { inventory.device(at: $0) }.map { $0.classCode >> 8 == 0x0604 } ?? false
        }
        var wanted = device.driver?.isVFIO == true ? [] : [device.id]
        wanted += blockers.map(\.id).filter { id in id != device.id && !bridges.contains { $0.id == id } }
        let names = wanted.prefix(16).map(\.qualifiedName).joined(separator: " ")
        if doctor.kind != .linux {
            return [.advice("give a VFIO driver to \(names) in the description of the machine")]
        }
        var remedies: [Remedy] = []
        if !wanted.isEmpty {
            remedies.append(
                .run(
                    "sudo vfio bind \(names)",
                    wanted.count == 1 ? "give it to a VFIO driver" : "give them to VFIO drivers together"))
        }
        if !bridges.isEmpty {
            remedies.append(
                .run(
                    "sudo vfio unbind " + bridges.map(\.id.qualifiedName).joined(separator: " "),
                    "take a bridge's driver away, which VFIO needs no bridge for"))
        }
        return remedies
    }
}
