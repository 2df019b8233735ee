import LinuxSystem
import VFIOHost

/// All that a machine tells of its devices, its IOMMU groups and who holds them: what `vfio list` shows.
public struct MachineFacts: Sendable {
    /// What the machine has.
    public var inventory: Inventory
    /// Who has VFIO's nodes and devices open.
    public var holders: Holders
    /// The devices: PCI functions by address, then those of other buses.
    public var devices: [DeviceFacts]
    /// The nodes of groups that are there.
    public var groupNodes: [Int: Node]

    /// Reads what there is to know of the devices of an inventory.
    /// - Parameters:
    ///   - inventory: the devices and groups.
    ///   - holders: who holds them; looked up if not given.
    ///   - roots: the folders of the machine.
    public init(of inventory: Inventory, holders: Holders? = nil, in roots: SystemRoots) {
        self.inventory = inventory
        self.holders = holders ?? Holders(in: roots)
        devices =
            inventory.devices.map { DeviceFacts(of: $0.summary, record: $0, in: roots) }
            + inventory.otherDevices.map { DeviceFacts(of: $0, in: roots) }
        groupNodes = [:]
        for group in inventory.groups {
            let node = group.isUnprotected ? Node.unprotectedGroup(group.number) : .group(group.number)
            if FileSystem.exists(roots.devices + "/" + node.path) { groupNodes[group.number] = node }
        }
    }

    /// How far a device is from being used through VFIO.
    public enum Readiness: Sendable, Equatable {
        /// It can be opened now.
        case ready
        /// Somebody has it or its group open already.
        case held([Holder])
        /// It is bound to a driver that isn't VFIO's, or to none.
        case otherDriver(String?)
        /// It is bound to a VFIO driver, and these members of its group have drivers that don't let the group be used.
        case blocked(by: [DeviceSummary])
        /// It is in no IOMMU group: there is no IOMMU, or it is off.
        case noGroup
        /// It is a bridge: it stays with its driver, and doesn't keep its group from being used.
        case bridge
    }

    /// How far a device is from being used through VFIO.
    public func readiness(of device: DeviceFacts) -> Readiness {
        let holders = holders(of: device)
        if !holders.isEmpty { return .held(holders) }
        let driver = device.summary.driver
        if driver?.isVFIO != true && device.isBridge && driver?.letsGroupBeUsed != false { return .bridge }
        guard let group = device.summary.group else { return .noGroup }
        guard let driver, driver.isVFIO else { return .otherDriver(driver?.name) }
        let blockers = inventory.blockers(ofGroup: group)
        return blockers.isEmpty ? .ready : .blocked(by: blockers)
    }

    /// Who has a device open, or its group: a group that is open can't be opened by anybody else.
    public func holders(of device: DeviceFacts) -> [Holder] {
        var found = holders.of(device.summary)
        if let group = device.summary.group {
            for holder in holders.ofGroup(group) where !found.contains(holder) { found.append(holder) }
        }
        return found
    }

    /// The groups of which a VFIO driver has a member, and which other members' drivers keep from being used.
    public var blockedGroups: [(number: Int, blockers: [DeviceSummary])] {
        inventory.groups.compactMap { group in
            let blockers = inventory.blockers(ofGroup: group.number)
            let isWanted = members(ofGroup: group.number).contains { $0.summary.driver?.isVFIO == true }
            return isWanted && !blockers.isEmpty ? (group.number, blockers) : nil
        }
    }

    /// The devices of a group.
    public func members(ofGroup number: Int) -> [DeviceFacts] {
        devices.filter { $0.summary.group == number }
    }
}
