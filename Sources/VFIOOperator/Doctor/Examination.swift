import LinuxSystem
import PCIDecoder
import VFIOHost

/// Looks at one thing.
protocol Check: Sendable {
    /// The finding's name for programs.
    var id: String { get }
    /// What is looked at, in a word or two.
    var title: String { get }
    /// Whether devices may be unusable for all that is known, where the facts can't be read.
    var isEssential: Bool { get }
    /// Whether only a kernel of Linux has it, and no software machine.
    var needsKernel: Bool { get }
    /// Looks; nil where there is nothing to look at.
    func judge(_ examination: Examination, _ notes: inout Notes) -> Judgement?
}

extension Check {
    var isEssential: Bool { false }
    var needsKernel: Bool { false }

    /// What the check says.
    func finding(_ examination: Examination) -> Finding? {
        if needsKernel && examination.doctor.kind != .linux { return nil }
        var notes = Notes()
        guard let judgement = judge(examination, &notes) else { return nil }
        return Finding(
            id: id, device: examination.subject.map { $0.summary.id.qualifiedName }, title: title,
            result: judgement.result, summary: judgement.summary, evidence: notes.evidence,
            remedies: judgement.remedies, isEssential: isEssential)
    }
}

/// What the checks look at: the machine, and the device if it is about one.
struct Examination {
    /// A device that is looked at.
    struct Subject {
        let summary: DeviceSummary
        /// What is known of it besides, for a PCI function.
        let record: DeviceRecord?
        /// Its folder in sysfs.
        let folder: String
    }

    let doctor: Doctor
    /// The machine's devices and groups; nil where they can't be listed.
    let inventory: Inventory?
    /// Why they can't.
    let problem: InventoryError?
    /// Who has which node open.
    let holders: Holders
    /// The device that it is about; nil for the machine.
    let subject: Subject?

    var roots: SystemRoots { doctor.roots }
    var sysfs: String { doctor.roots.sysfs }

    init(_ doctor: Doctor) {
        self.doctor = doctor
        // No process of this machine has anything of a software machine open but by itself.
        holders = doctor.kind == .linux ? Holders(in: doctor.roots) : Holders()
        subject = nil
        do throws(InventoryError) {
            inventory = try doctor.roots.host.inventory()
            problem = nil
        } catch {
            inventory = nil
            problem = error
        }
    }

    private init(_ examination: Examination, _ subject: Subject) {
        doctor = examination.doctor
        inventory = examination.inventory
        problem = examination.problem
        holders = examination.holders
        self.subject = subject
    }

    /// The same machine, and a device of it.
    func of(_ device: DeviceSummary) -> Examination {
        Examination(
            self,
            Subject(
                summary: device,
                record: device.id.address.flatMap { inventory?.device(at: $0) },
                folder: sysfs + "/bus/\(device.id.bus.name)/devices/\(device.id)"))
    }

    /// The devices that a VFIO driver has.
    var boundDevices: [DeviceSummary] {
        guard let inventory else { return [] }
        return (inventory.devices.map(\.summary) + inventory.otherDevices).filter {
            $0.driver?.isVFIO == true
        }
    }

    /// The groups with an IOMMU behind them.
    var protectedGroups: [GroupRecord] {
        (inventory?.groups ?? []).filter { group in
            // Mediated devices have groups wherever they are: the kernel's processor does their DMA.
            !group.isUnprotected
                && (!group.devices.isEmpty || group.otherDevices.contains { $0.bus != .mdev })
        }
    }

    /// A device that isn't there.
    func missing(_ device: DeviceID) -> Finding {
        let path = sysfs + "/bus/\(device.bus.name)/devices/\(device)"
        if let problem {
            return Finding(
                id: "device", device: device.qualifiedName, title: "device", result: .undetermined,
                summary: "the devices can't be listed",
                evidence: [Evidence(problem.path, "can't be read: \(problem.errno)")])
        }
        return Finding(
            id: "device", device: device.qualifiedName, title: "device", result: .failed,
            summary: "there is no such device", evidence: [Evidence(path, "not there")],
            remedies: [
                .run("vfio list", "see which devices there are"),
                .run(
                    "echo 1 | sudo tee /sys/bus/pci/rescan",
                    "if it was there before: it left the bus, which the kernel can search again"),
            ])
    }

    /// One finding for all that decides whether the device can be used: the worst of the checks.
    func overview(_ checks: [any Check]) -> Finding {
        let findings = checks.compactMap { $0.finding(self) }.filter { finding in
            finding.result != .undetermined || finding.isEssential
        }
        let worst = findings.max { $0.result.weight < $1.result.weight }
        let name = subject.map { $0.summary.id.qualifiedName } ?? ""
        guard let worst, worst.result != .ok else {
            let kind = subject?.record.map { PCIClass.name($0.classCode) + ", " } ?? ""
            let place = subject?.summary.group.map { ", group \($0)" } ?? ""
            return Finding(
                id: "device", device: name, title: name, result: .ok,
                summary: "ready: \(kind)bound to \(subject?.summary.driver?.name ?? "nothing")\(place)",
                evidence: findings.flatMap { $0.evidence })
        }
        let bad = findings.filter { $0.result != .ok }
        return Finding(
            id: "device", device: name, title: name, result: worst.result,
            summary: bad.map(\.summary).joined(separator: "; "), evidence: bad.flatMap { $0.evidence },
            remedies: bad.flatMap { $0.remedies }, isEssential: bad.contains { $0.isEssential })
    }
}
