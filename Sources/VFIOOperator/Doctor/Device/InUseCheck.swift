import VFIOHost

/// What the machine itself uses the device for: mounted file systems, swap, network interfaces that are up.
struct InUseCheck: Check {
    let id = "in-use"
    let title = "in use"

    func judge(_ examination: Examination, _ notes: inout Notes) -> Judgement? {
        guard let subject = examination.subject, examination.doctor.kind == .linux else { return nil }
        let use = InUse(of: subject.summary.id, in: examination.roots)
        notes.note(
            subject.folder,
            use.uses.isEmpty ? "nothing below it is used" : counted(use.uses.count, "use") + " below it")
        for use in use.uses.prefix(16) { notes.note(use.kind.rawValue, use.sentence) }
        for text in use.undetermined.prefix(4) { notes.note(subject.folder, text) }
        // Virtual functions have a check of their own.
        let active = use.active.filter { $0.kind != .virtualFunctions }
        if !active.isEmpty {
            let more = active.count > 3 ? " and \(active.count - 3) more" : ""
            return .failed(
                "by this machine: \(active.prefix(3).map(\.sentence).joined(separator: ", "))\(more)",
                active.compactMap(\.remedy).prefix(8).map {
                    .run("sudo " + $0, "end that before its driver is changed")
                })
        }
        if !use.undetermined.isEmpty {
            return .undetermined("not as far as can be seen: \(use.undetermined.joined(separator: "; "))")
        }
        if use.uses.isEmpty { return .ok("not by this machine") }
        return .ok(
            "nothing is lost without it: \(use.uses.prefix(3).map(\.sentence).joined(separator: ", "))")
    }
}
