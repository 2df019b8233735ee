import LinuxSystem
import VFIOHost

/// Changes of drivers that were looked at and can be made.
public struct BindPlan: Sendable, Equatable {
    /// What the change is for.
    public enum Purpose: String, Sendable {
        /// Devices are given to a driver.
        case bind
        /// Devices are taken from their drivers.
        case unbind
        /// Devices are given back to the drivers that they had.
        case restore
    }

    /// What the change is for.
    public let purpose: Purpose
    /// The devices with the writes for each, in order.
    public internal(set) var moves: [BindMove] = []
    /// The members of groups among them that weren't named.
    public internal(set) var taken: [DeviceID] = []
    /// What is worth knowing, and what couldn't be told, a sentence each.
    public internal(set) var notes: [String] = []
    /// What is remembered of devices that aren't there any more, and is to be forgotten.
    var forgotten: [DeviceID] = []

    init(_ purpose: Purpose) { self.purpose = purpose }

    /// The writes, in order.
    public var steps: [BindStep] { moves.flatMap(\.steps) }
}

/// Changes the drivers of devices: looks first whether that can be done without harm, then makes each change with all
/// that belongs to it, or none of it.
///
/// Every change is one for ``DriverState``; the writes that lead there are known before the first is made
/// (``BindMove``), and what a device was before is remembered in a file (``BindingStore``) until it is given back.
public struct Binder {
    /// The machine's folders.
    public let roots: SystemRoots
    /// Where the previous drivers are remembered.
    public let store: BindingStore
    let writer: any BindWriter
    /// Who has VFIO's nodes open, where that is known; nil to look through the machine's processes.
    public var holders: Holders?
    /// How long a write may take, in milliseconds: it is left alone after that.
    public var writeMilliseconds = 15_000
    /// How long the nodes of devices are waited for, in milliseconds.
    public var nodeMilliseconds = 5_000

    /// Makes a binder for a machine.
    public init(
        _ roots: SystemRoots, remembering store: BindingStore, writer: any BindWriter = DetachedWriter()
    ) {
        self.roots = roots
        self.store = store
        self.writer = writer
    }

    /// Looks whether devices can be given to a driver.
    /// - Parameters:
    ///   - devices: the devices.
    ///   - driver: the driver; nil for the VFIO driver of each device's bus.
    ///   - wholeGroup: whether the other members of their groups, as far as these would keep the group from being used,
    ///     and those without a driver, are taken too.
    /// - Throws: all the reasons why not.
    public func planBinding(
        _ devices: [DeviceID], to driver: String? = nil, wholeGroup: Bool = false
    ) throws(BindRefusal) -> BindPlan {
        var checks = try BindChecks(self, .bind, devices)
        var named = Self.withoutRepetition(devices)
        if wholeGroup {
            checks.plan.taken = checks.members(withThose: named)
            named += checks.plan.taken
        }
        for device in named {
            let driver =
                driver.flatMap { named.count == 1 || device.bus == named[0].bus ? $0 : nil }
                ?? device.bus.driver
            checks.add(device, to: { _ in DriverState(driver: driver, override: driver) })
        }
        checks.checkGroups(of: named)
        return try checks.finished()
    }

    /// Looks whether devices can be taken from their drivers.
    /// - Throws: all the reasons why not.
    public func planUnbinding(_ devices: [DeviceID]) throws(BindRefusal) -> BindPlan {
        var checks = try BindChecks(self, .unbind, devices)
        for device in Self.withoutRepetition(devices) {
            checks.add(device, to: { DriverState(driver: nil, override: $0.override) })
        }
        return try checks.finished()
    }

    /// Looks whether devices can be given back to the drivers that they had before the first change.
    /// - Parameter devices: the devices; nil for all that are remembered.
    /// - Throws: all the reasons why not.
    public func planRestoring(_ devices: [DeviceID]?) throws(BindRefusal) -> BindPlan {
        var checks = try BindChecks(self, .restore, devices)
        for device in devices.map({ Self.withoutRepetition($0) }) ?? checks.records.map(\.device) {
            checks.addRestoring(device)
        }
        return try checks.finished()
    }

    private static func withoutRepetition(_ devices: [DeviceID]) -> [DeviceID] {
        var seen: Set<DeviceID> = []
        return devices.filter { seen.insert($0).inserted }
    }
}
