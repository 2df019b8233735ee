import DeviceModel
import IOVASpace
import LinuxSystem
import VFIOHost

/// What all objects of one software kernel share: the machine, its rights, the handles, and the lock of the
/// life cycle.
///
/// **Locks**, in the order in which they may be taken (kernel.md K.1):
/// 1. a device's `openLock`: its first opening and last closing (Linux's device set lock);
/// 2. `lock`: everything about who belongs to whom: groups, containers, ownership, counts (Linux's group and
///    container locks, as one: these events are rare);
/// 3. the lock of a type1 or an IOAS: one change of mappings at a time;
/// 4. inside those, for moments: handle table, lock of the map, account of locked memory, counts of faults.
///
/// A model is called with none of them held, except the `openLock` of its own device while that is opened or
/// closed: whoever opens it a second time must wait for the first.
final class Core: @unchecked Sendable {
    // SAFETY: everything that changes is changed with `lock` held.
    let lock = Lock()
    let files = FileTable()
    let iommu: IOMMU
    let process: Process
    let faults = DMAFaultLog()
    let obstacles: [NodePermission]
    let hasContainers: Bool
    let hasIOMMUFD: Bool
    let hasDeviceNodes: Bool
    let parameters: Shared<ModuleParameters>
    private let makeBusDriver: BusDriverMaker
    /// In the order of the description.
    private(set) var devices: [MachineDevice] = []
    private(set) var iommuGroups: [MachineGroup] = []
    /// VFIO's groups: those with a device that is bound to a VFIO driver.
    private(set) var groups: [Group] = []

    typealias BusDriverMaker = (any DeviceModel, PCIAddress) throws(Errno) -> any BusDriver

    /// `enable_unsafe_noiommu_mode`
    var allowsUnprotectedGroups: Bool { parameters.value.enableUnsafeNoIOMMUMode }

    init(_ machine: MachineDescription, _ makeBusDriver: @escaping BusDriverMaker) throws(MachineError) {
        try machine.validate()
        iommu = machine.iommu
        process = Process(machine.process)
        obstacles = machine.nodes
        hasContainers = machine.hasContainers
        hasIOMMUFD = machine.hasIOMMUFD
        hasDeviceNodes = machine.hasDeviceNodes
        parameters = Shared(machine.parameters)
        self.makeBusDriver = makeBusDriver
        var drivers: [(MachineDevice, String)] = []
        for group in machine.groups {
            let state = MachineGroup(group.number, reserved: iommu.reserved + group.reserved)
            iommuGroups.append(state)
            for device in group.devices { add(device, to: state, &drivers) }
        }
        for device in machine.ungroupedDevices { add(device, to: nil, &drivers) }
        // Drivers that keep the DMA for themselves first, as a kernel that boots: no user owns anything yet.
        for (device, driver) in drivers {
            let record = DriverRecord(named: driver)
            if record.isVFIO && device.model == nil { throw .noModel(device.address, driver: driver) }
            if record.isVFIO && device.machineGroup == nil && !allowsUnprotectedGroups {
                throw .noGroup(device.address, driver: driver)
            }
            do throws(Errno) {
                try probe(device, record)
            } catch {
                throw .refused(device.address, driver: driver, error)
            }
        }
    }

    private func add(
        _ device: PCIDevice, to group: MachineGroup?, _ drivers: inout [(MachineDevice, String)]
    ) {
        // Checked by `validate`.
        guard let address = device.address else { return }
        let state = MachineDevice(address, device.model, device.identity, group)
        devices.append(state)
        group?.members.append(state)
        if let driver = device.driver { drivers.append((state, driver)) }
    }

    // MARK: drivers

    /// Binds a device without a driver to one. With `lock` held, or before anybody else knows this object.
    func probe(_ device: MachineDevice, _ driver: DriverRecord) throws(Errno) {
        guard driver.isVFIO else {
            // A driver that wants the DMA can't have it while a user has (kernel.md A.12).
            if let group = device.machineGroup, !driver.letsGroupBeUsed && group.owner != nil {
                throw .busy
            }
            device.driver = driver
            return
        }
        guard let model = device.model else { throw .noDevice }
        let home: MachineGroup
        if let group = device.machineGroup {
            home = group
        } else {
            guard allowsUnprotectedGroups else { throw .invalid }
            home = MachineGroup(unusedGroupNumber(), reserved: [], isUnprotected: true)
            home.members.append(device)
        }
        let bus = try makeBusDriver(model, device.address)
        bus.pci?.resetPolicy = device.resetPolicy
        if device.machineGroup == nil {
            device.machineGroup = home
            iommuGroups.append(home)
        }
        device.driver = driver
        device.bus = bus
        let group = groups.first { $0.home === home } ?? newGroup(home)
        group.devices.append(device)
        device.group = group
        if hasDeviceNodes && !home.isUnprotected { device.node = unusedNode() }
        bus.attach(to: group.space)
    }

    /// Takes a device from its driver. With `lock` held; the device isn't open.
    func remove(_ device: MachineDevice) {
        device.driver = nil
        device.node = nil
        device.bus?.attach(to: nil)
        device.bus = nil
        guard let group = device.group else { return }
        device.group = nil
        group.devices.removeAll { $0 === device }
        guard group.devices.isEmpty else { return }
        // The last registration: the group loses its container and its node (kernel.md A.11).
        group.leaveContainer()
        group.isGone = true
        groups.removeAll { $0 === group }
        if group.home.isUnprotected {
            iommuGroups.removeAll { $0 === group.home }
            device.machineGroup = nil
        }
    }

    private func newGroup(_ home: MachineGroup) -> Group {
        let group = Group(home)
        groups.append(group)
        return group
    }

    private func unusedGroupNumber() -> Int {
        var number = 0
        while iommuGroups.contains(where: { $0.number == number }) { number += 1 }
        return number
    }

    private func unusedNode() -> Int {
        var number = 0
        while devices.contains(where: { $0.node == number }) { number += 1 }
        return number
    }

    // MARK: rights

    /// What is in the way of opening a node, if anything.
    func checkPermission(_ node: Node) throws(Errno) {
        for obstacle in obstacles where obstacle.node == node {
            switch obstacle.obstacle {
            case .missing: throw .noSuchEntry
            case .denied: throw .accessDenied
            }
        }
    }
}

/// The program on this machine: what it may do, and how much memory it has locked.
final class Process: @unchecked Sendable {
    // SAFETY: `account` is only touched with `lock` held; the rest never changes.
    private let lock = Lock()
    private var account: PinAccount
    private var held: ProcessRights

    init(_ rights: ProcessRights) {
        account = PinAccount(limit: rights.lockedMemoryLimit.map { $0 / UInt64(pageSize) })
        held = rights
    }

    /// What it may do. A limit that is lowered counts for what is locked from then on.
    var rights: ProcessRights {
        get { lock.withLock { held } }
        set {
            lock.withLock {
                held = newValue
                account.limit = newValue.lockedMemoryLimit.map { $0 / UInt64(pageSize) }
            }
        }
    }

    /// The limit that applies, in bytes; `UInt64.max` for none.
    var lockedMemoryLimit: UInt64 {
        let rights = rights
        return rights.mayExceedLockedMemory ? .max : rights.lockedMemoryLimit ?? .max
    }

    /// `CAP_SYS_RAWIO`
    var mayUseUnprotectedGroups: Bool { rights.mayUseUnprotectedGroups }

    /// How many pages are locked.
    var lockedPages: UInt64 { lock.withLock { account.used } }

    /// Makes sure that user memory is there and allows the access, and counts its pages as locked.
    ///
    /// As a kernel that pins page by page: whatever goes wrong first on the way is the answer.
    /// - Returns: the number of pages counted.
    /// - Throws: `EFAULT` for memory that isn't there or read-only, `ENOMEM` over the limit. Nothing stays
    ///   locked then.
    func pin(_ memory: HostAddress, byteCount: UInt64, writable: Bool) throws(Errno) -> UInt64 {
        let unit = UInt64(pageSize)
        let start = UInt64(memory.rawValue) & ~(unit - 1)
        let (end, overflow) = UInt64(memory.rawValue).addingReportingOverflow(byteCount)
        guard !overflow, byteCount > 0 else { throw .badAddress }
        let pages = (end - start - 1) / unit + 1
        var granted = false
        var reachable = pages
        lock.withLock {
            do throws(PinAccount.LimitExceeded) {
                try account.charge(pages, ignoringLimit: held.mayExceedLockedMemory)
                granted = true
            } catch {
                // The page that goes over the limit is looked up before it is counted.
                reachable = account.available < pages ? account.available + 1 : pages
            }
        }
        do throws(Errno) {
            let (span, overflow) = reachable.multipliedReportingOverflow(by: unit)
            guard !overflow, let count = Int(exactly: span) else { throw .badAddress }
            try UserMemory.populate(HostAddress(start), byteCount: count, writable: writable)
        } catch {
            if granted { unpin(pages) }
            throw error
        }
        if !granted { throw .noMemory }
        return pages
    }

    /// Counts pages as no longer locked.
    func unpin(_ pages: UInt64) { lock.withLock { _ = account.credit(pages) } }
}
