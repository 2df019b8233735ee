import LinuxSystem
import PCIDecoder
import VFIOHost

extension MachineFacts {
    /// How far a device is from being used, for people: "ready", "bound to nvme", "group blocked by 0000:04:00.1
    /// (snd_hda_intel)".
    public func words(for device: DeviceFacts) -> String {
        switch readiness(of: device) {
        case .ready: return "ready"
        case .held(let holders): return "held by " + Self.processes(holders)
        case .blocked(let blockers): return Self.blocked(by: blockers)
        case .noGroup: return "no IOMMU group"
        case .bridge: return "bridge, blocks nothing"
        case .otherDriver(let driver):
            let own = driver.map { "bound to \($0)" } ?? "no driver"
            let others = (device.summary.group.map { inventory.blockers(ofGroup: $0) } ?? []).filter {
                $0.id != device.id
            }
            return others.isEmpty ? own : own + ", " + Self.blocked(by: others)
        }
    }

    /// The same in a word or two, for narrow terminals: "ready", "blocked", "in use", "held by qemu-system-x86 (4711)".
    public func shortWords(for device: DeviceFacts) -> String {
        switch readiness(of: device) {
        case .blocked: "blocked"
        case .bridge: "bridge"
        case .noGroup: "no group"
        case .otherDriver(let driver): driver == nil ? "no driver" : "in use"
        case .ready, .held: words(for: device)
        }
    }

    /// "group blocked by 0000:04:00.1 (snd_hda_intel) and 2 more"
    private static func blocked(by devices: [DeviceSummary]) -> String {
        guard let first = devices.first else { return "" }
        let driver = first.driver.map { " (\($0.name))" } ?? ""
        return "group blocked by \(first.id)\(driver)"
            + (devices.count > 1 ? " and \(devices.count - 1) more" : "")
    }

    /// "qemu-system-x86 (4711) and 1 more process"
    public static func processes(_ holders: [Holder]) -> String {
        var seen: [Int32] = []
        for holder in holders where !seen.contains(holder.process) { seen.append(holder.process) }
        guard let first = holders.first else { return "nobody" }
        let more = seen.count - 1
        return "\(first.name) (\(first.process))"
            + (more == 0 ? "" : more == 1 ? " and 1 more process" : " and \(more) more processes")
    }

    /// How a group stands, for people: "viable", "not viable: 0000:04:00.1 is bound to snd_hda_intel", "held by …".
    public func words(forGroup number: Int) -> String {
        let members = members(ofGroup: number)
        let holders = self.holders.ofGroup(number) + members.flatMap { self.holders.of($0.summary) }
        if !holders.isEmpty { return "held by " + Self.processes(holders) }
        let blockers = inventory.blockers(ofGroup: number)
        if !blockers.isEmpty {
            // A group that VFIO has nothing of isn't in anybody's way.
            let isWanted = members.contains { $0.summary.driver?.isVFIO == true }
            let list = blockers.map { "\($0.id) is bound to \($0.driver?.name ?? "a driver")" }
            return (isWanted ? "not viable: " : "in the kernel's use: ") + list.joined(separator: ", ")
        }
        if members.contains(where: { $0.summary.driver?.isVFIO == true }) { return "viable" }
        return "not bound to VFIO"
    }

    /// What this process can't see of the holders, as a sentence; nil where it sees all, or where there is nothing that
    /// could be held.
    public var holdersNote: String? {
        let isThereAny = !groupNodes.isEmpty || devices.contains { $0.summary.deviceNode != nil }
        if holders.isComplete || !isThereAny { return nil }
        guard holders.unreadable > 0 else {
            return "who holds devices is known for the processes only that can be seen from here"
        }
        let count = holders.unreadable
        return "who holds devices isn't known for \(count) \(count == 1 ? "process" : "processes")"
            + (ProcessLimits.isSuperUser ? "" : " of others: root sees all")
    }
}

extension DeviceRecord {
    /// What it is called: the vendor's and the device's name, as far as they are known; nil where neither is.
    public func title(_ names: PCINames) -> String? {
        guard let vendor = names.vendor(self.vendor) else { return nil }
        guard let device = names.device(self.device, of: self.vendor) else {
            return "\(vendor) device \(hexadecimal(self.device, digits: 4))"
        }
        return "\(vendor) \(device)"
    }
}
