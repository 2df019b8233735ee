import VFIOHost

/// Who has the device, or its group, open now: nobody else can use it meanwhile, and nobody can unbind it.
struct HoldersCheck: Check {
    let id = "holders"
    let title = "holders"
    let needsKernel = true

    func judge(_ examination: Examination, _ notes: inout Notes) -> Judgement? {
        guard let subject = examination.subject else { return nil }
        guard subject.summary.driver?.isVFIO == true else { return nil }
        let holders = examination.holders
        let own = holders.of(subject.summary)
        let ofGroup = subject.summary.group.map { holders.ofGroup($0) } ?? []
        let processes = examination.roots.processes
        for holder in (own + ofGroup).prefix(16) {
            notes.note(
                "\(processes)/\(holder.process)/fd/\(holder.descriptor)",
                "\(holder.name)" + (holder.user.map { ", user \($0)" } ?? ""))
        }
        if !holders.isComplete {
            notes.note(
                processes,
                holders.unreadable > 0
                    ? "\(holders.unreadable) of them can't be looked into"
                    : "not all of them can be seen from here")
        }
        var seen: Set<Int32> = []
        let named = (own + ofGroup).filter { seen.insert($0.process).inserted }
        if let first = named.first {
            let what = own.isEmpty ? "its group is open" : "open"
            let others = named.count > 1 ? " and \(named.count - 1) more" : ""
            return .warning(
                "\(what) in \(first.name) (process \(first.process))\(others): nobody else can use it now",
                [
                    .run("ps -o pid,user,args -p \(first.process)", "see what it is"),
                    .advice(
                        "end it, or let it release the device, before the driver is changed: unbinding waits for it"
                    ),
                ])
        }
        if !holders.isComplete {
            return .undetermined(
                "nobody that can be seen; others' processes can be looked into by root only",
                [.run("sudo vfio doctor \(subject.summary.id.qualifiedName)")])
        }
        return .ok("nobody has it open")
    }
}
