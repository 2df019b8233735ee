import VFIOHost
import VFIOOperator

/// The groups of a machine and their members, as `vfio list --tree` shows them.
struct ListTree {
    let text: ListText

    private var machine: MachineFacts { text.machine }
    private var console: Console { text.console }

    /// Prints the groups that have devices to show, then the devices that are in none.
    func write() {
        let sections = Dictionary(grouping: text.shown) { $0.summary.group ?? -1 }
        if sections.isEmpty { return console.line("no device matches") }
        for (number, members) in sections.sorted(by: {
            ($0.key < 0 ? Int.max : $0.key) < ($1.key < 0 ? .max : $1.key)
        }) {
            console.heading(number < 0 ? "no IOMMU group" : text.heading(ofGroup: number))
            // Each member is shown: who isn't looked for may be who is in the way.
            let all = number < 0 ? members : machine.members(ofGroup: number)
            for (index, device) in all.enumerated() {
                write(device, isLast: index == all.count - 1, of: number)
            }
            if number >= 0 { writeRemedy(number) }
        }
    }

    private func write(_ device: DeviceFacts, isLast: Bool, of group: Int) {
        let branch = isLast ? "└─ " : "├─ "
        let stem = isLast ? "   " : "│  "
        let state = machine.words(for: device)
        let shown = text.style(of: device).map { console.styled(state, $0) } ?? state
        console.line("\(branch)\(device.id)  \(text.what(of: device))")
        var facts = "\(stem)   "
        switch machine.readiness(of: device) {
        // The state names the driver, or that there is none.
        case .otherDriver: break
        default: facts += device.summary.driver.map { "\($0.name), " } ?? ""
        }
        facts += shown
        if let node = text.node(of: device) { facts += ", \(node)" }
        let made = device.networkInterfaces + device.disks
        if !made.isEmpty { facts += ", makes \(made.joined(separator: ", "))" }
        console.line(facts)
        for holder in machine.holders.of(device.summary) {
            console.line("\(stem)   opened by \(holder)")
        }
    }

    /// Who has the group, or what would let it be used.
    private func writeRemedy(_ number: Int) {
        for holder in machine.holders.ofGroup(number) { console.line("   group opened by \(holder)") }
        guard let blocked = machine.blockedGroups.first(where: { $0.number == number }) else { return }
        console.line("   to use it: " + ListText.remedy(blocked.blockers))
    }
}
