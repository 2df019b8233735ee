import VFIOHost

/// Whether the device can be moved to another machine while it works.
struct MigrationCheck: Check {
    let id = "migration"
    let title = "migration"
    let needsKernel = true

    func judge(_ examination: Examination, _ notes: inout Notes) -> Judgement? {
        guard let subject = examination.subject, subject.summary.driver?.isVFIO == true else { return nil }
        _ = notes.link(subject.folder + "/driver")
        if subject.summary.driver?.name == "vfio-pci" {
            return .ok("no: vfio-pci itself moves nothing, only variants of it that know a device")
        }
        let root = examination.sysfs + "/kernel/debug/vfio/\(subject.summary.id)"
        let features = notes.text(root + "/migration/features")
        if let words = features.value {
            return .ok("yes: " + words.split { $0 == "\n" || $0 == " " }.joined(separator: ", "))
        }
        if features.isAbsent, notes.exists(root) { return .ok("no: its driver can't move it") }
        return .undetermined(
            "only the opened device tells, or debugfs to root",
            [
                .run(
                    "vfio inspect \(subject.summary.id.qualifiedName)",
                    "asks it; opening a device resets it, so do it when nothing uses it")
            ])
    }
}
