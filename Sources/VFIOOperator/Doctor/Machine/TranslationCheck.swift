import VFIOHost

/// How the kernel uses the IOMMU for the devices that it drives itself: what translates for them, and what passes
/// their DMA through.
struct TranslationCheck: Check {
    let id = "translation"
    let title = "translation"

    func judge(_ examination: Examination, _ notes: inout Notes) -> Judgement? {
        let groups = examination.protectedGroups
        if groups.isEmpty || examination.doctor.kind != .linux { return nil }
        var counts: [String: Int] = [:]
        for group in groups { counts[group.domainType ?? "not told", default: 0] += 1 }
        let text = counts.sorted { $0.key < $1.key }.map { "\($0.key) (\($0.value))" }
            .joined(separator: ", ")
        notes.note(examination.sysfs + "/kernel/iommu_groups/*/type", text)
        let line = examination.commandLine(&notes).value
        if counts["not told"] == groups.count {
            return .undetermined("the kernel doesn't tell how it uses the IOMMU (it does since Linux 5.11)")
        }
        if counts["identity", default: 0] > 0 {
            let why = line?.word("iommu", ["pt"]) ?? line?.word("iommu.passthrough", ["1"])
            return .ok(
                "\(counted(counts["identity", default: 0], "group")) passed through for the kernel's own drivers"
                    + (why.map { " (\($0))" } ?? "") + "; VFIO's devices are translated all the same")
        }
        return .ok("on for the kernel's own drivers: \(text)")
    }
}
