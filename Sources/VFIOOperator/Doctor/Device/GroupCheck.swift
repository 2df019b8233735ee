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
                        : .run("vfio doctor", "see why, under IOMMU")
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
            var remedies = others.prefix(16).map { other in
                Remedy.run("sudo vfio bind \(other.id.qualifiedName)", "give it to a VFIO driver too")
            }
            remedies += others.prefix(1).map { other in
                .run(
                    "echo \(other.id) | sudo tee /sys/bus/\(other.id.bus.name)/devices/\(other.id)/driver/unbind",
                    "or leave it without a driver (each of them)")
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
