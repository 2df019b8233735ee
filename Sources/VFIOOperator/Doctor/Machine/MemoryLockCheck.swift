import LinuxSystem
import VFIOHost

/// Whether the memory that devices are to reach may be locked: `RLIMIT_MEMLOCK` against the bytes needed.
///
/// The two ways in count differently. Type 1 counts what each container maps, whoever else has it mapped
/// (`locked_vm` of the process). An iommufd counts what it pins once per user, and the devices' own memory (BARs)
/// besides, where that is mapped. A virtual machine with an IOMMU of its own has an address space for each device, and
/// needs its memory for each.
struct MemoryLockCheck: Check {
    let id = "memory-lock"
    let title = "locked memory"
    let isEssential = true

    /// What drivers of queues and rings want at least.
    private static let little: UInt64 = 64 << 20
    /// What a virtual machine maps besides its memory: firmware, video memory; and what libvirt adds for them.
    private static let least: UInt64 = 64 << 20
    private static let spare: UInt64 = 1 << 30

    func judge(_ examination: Examination, _ notes: inout Notes) -> Judgement? {
        guard let limit = limit(examination, &notes) else {
            return .undetermined(
                "the limit can't be read",
                [.run("ulimit -l", "ask the shell that starts the program, in KiB")])
        }
        let doctor = examination.doctor
        let plan = doctor.plan
        if doctor.kind == .linux, isExempt(examination, &notes) {
            let others = limit.soft == .max ? "" : "; one without it may lock \(byteText(limit.soft))"
            return tooMuch(examination, &notes)
                ?? .ok("not limited: this process has the capability CAP_IPC_LOCK\(others)")
        }
        if limit.soft == .max { return tooMuch(examination, &notes) ?? .ok("not limited") }
        guard let memory = plan.memory else {
            let text = "at most \(byteText(limit.soft))"
            if limit.soft < Self.little {
                return .warning(
                    "\(text): little for queues and buffers, and too little for a virtual machine",
                    remedies(Self.spare, limit, examination)
                        + [
                            .run(
                                "vfio doctor --memory 16G --devices 2",
                                "say what is planned, to know what is needed")
                        ])
            }
            return .ok("\(text), for queues, buffers or a virtual machine's memory (say which with --memory)")
        }
        return tooMuch(examination, &notes) ?? judge(examination, memory: memory, limit, &notes)
    }

    /// What is planned, where the machine hasn't so much memory; nil where it has, or nobody knows.
    private func tooMuch(_ examination: Examination, _ notes: inout Notes) -> Judgement? {
        guard let memory = examination.doctor.plan.memory, examination.doctor.kind == .linux else {
            return nil
        }
        let lines = notes.lines(examination.roots.processes + "/meminfo") { $0.hasPrefix("MemTotal:") }
        guard let words = lines.value?.first?.split(separator: " "), words.count >= 2,
            let total = UInt64(words[1]), total < 1 << 50, memory > total << 10
        else { return nil }
        return .failed(
            "\(byteText(memory)) are to be locked, and the machine has \(byteText(total << 10))",
            [.advice("plan for less: locked memory can't be swapped out")])
    }

    private func judge(
        _ examination: Examination, memory: UInt64, _ limit: Limit, _ notes: inout Notes
    ) -> Judgement {
        let devices = examination.doctor.plan.devices
        let bars = examination.planned.flatMap { $0.resources.prefix(6) }.reduce(UInt64(0)) { sum, resource in
            resource.flags & 0x200 == 0 ? sum : sum.adding(1, of: resource.byteCount)
        }
        let each = UInt64(0).adding(UInt64(devices), of: memory)
        notes.note(
            "one container (type 1)", "\(memory) bytes for any number of devices; BARs aren't counted")
        notes.note(
            "one iommufd",
            "\(memory.adding(1, of: bars)) bytes per user" + (bars > 0 ? ", \(bars) of them BARs" : ""))
        if devices > 1 {
            notes.note(
                "an address space for each of \(devices) devices", "\(each) bytes, with a virtual IOMMU too")
        }
        let needed = memory.adding(1, of: Self.least)
        if limit.soft < memory {
            return .failed(
                "\(memory) bytes (\(byteText(memory))) are needed, and \(limit.soft) (\(byteText(limit.soft))) "
                    + "allowed: mapping will fail with ENOMEM",
                remedies(memory.adding(1, of: Self.spare), limit, examination))
        }
        if limit.soft < needed {
            return .warning(
                "\(byteText(limit.soft)) allowed: enough for the memory itself, not for what a virtual machine maps "
                    + "besides (firmware, video memory)",
                remedies(memory.adding(1, of: Self.spare), limit, examination))
        }
        if devices > 1, limit.soft < each {
            return .warning(
                "\(byteText(limit.soft)) allowed: enough for one address space, not for one each of \(devices) devices "
                    + "(\(byteText(each)), as with a virtual IOMMU)",
                remedies(each.adding(1, of: Self.spare), limit, examination))
        }
        if limit.soft < memory.adding(1, of: bars) {
            return .warning(
                "\(byteText(limit.soft)) allowed: enough with containers; an iommufd counts the devices' own memory "
                    + "too, \(byteText(bars))", remedies(needed.adding(1, of: bars), limit, examination))
        }
        return .ok("\(byteText(limit.soft)) allowed, \(byteText(memory)) needed")
    }

    /// The limit in bytes; the greatest number for none.
    private struct Limit {
        let soft: UInt64
        let hard: UInt64
    }

    private func limit(_ examination: Examination, _ notes: inout Notes) -> Limit? {
        if let known = examination.doctor.lockedMemoryLimit {
            notes.note("the host", known == .max ? "no limit" : "\(known) bytes")
            return Limit(soft: known, hard: known)
        }
        let lines = notes.lines(examination.roots.processes + "/self/limits") {
            $0.hasPrefix("Max locked memory ")
        }
        guard let words = lines.value?.first?.split(separator: " "), words.count >= 5 else { return nil }
        func number(_ word: Substring) -> UInt64? { word == "unlimited" ? .max : UInt64(word) }
        guard let soft = number(words[3]), let hard = number(words[4]) else { return nil }
        return Limit(soft: soft, hard: hard)
    }

    /// Whether the process has `CAP_IPC_LOCK`, which both ways in exempt from the limit.
    private func isExempt(_ examination: Examination, _ notes: inout Notes) -> Bool {
        let lines = notes.lines(examination.roots.processes + "/self/status") { $0.hasPrefix("CapEff:") }
        guard
            let word = lines.value?.first?.dropFirst(7).split(whereSeparator: { $0 == " " || $0 == "\t" })
                .first,
            let bits = UInt64(word, radix: 16)
        else { return false }
        return bits & 1 << UInt64(ProcessLimits.Capability.lockMemory.rawValue) != 0
    }

    /// How the limit is raised.
    private func remedies(_ needed: UInt64, _ limit: Limit, _ examination: Examination) -> [Remedy] {
        if examination.doctor.kind != .linux {
            return [.advice("raise the limit in the machine's description to \(needed)")]
        }
        let kibibytes = needed / 1024 + (needed % 1024 == 0 ? 0 : 1)
        var remedies: [Remedy] = []
        if limit.hard >= needed {
            remedies.append(.run("ulimit -l \(kibibytes)", "in the shell that starts the program"))
        }
        remedies += [
            .run(
                "echo \"$USER - memlock \(kibibytes)\" | sudo tee /etc/security/limits.d/90-memlock.conf",
                "for this user, from the next login"),
            .advice("for a service of systemd: LimitMEMLOCK=\(needed)"),
            .run("docker run --ulimit memlock=\(needed):\(needed) …", "for a container"),
        ]
        return remedies
    }
}

extension Examination {
    /// The devices that the plan is about, as far as they are known: the one that was asked about, or those that a VFIO
    /// driver has.
    var planned: [DeviceRecord] {
        if let record = subject?.record { return [record] }
        return (inventory?.devices ?? []).filter { $0.driver?.isVFIO == true }
    }
}
