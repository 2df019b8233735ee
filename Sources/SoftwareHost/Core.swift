import DeviceModel
import LinuxSystem
import VFIOHost

/// What all objects of one software kernel share: the machine, its rights, the handles, and the lock of the
/// life cycle.
///
/// **Locks**, in the order in which they may be taken (kernel.md K.1). Whoever waits for a device to be released
/// holds none of them (`changes`, in Binding.swift).
/// 1. a device's `openLock`, which it shares with those that are reset with it: first opening, last closing and
///    hot reset (Linux's device set lock);
/// 2. `lock`: everything about who belongs to whom: groups, containers, ownership, counts (Linux's group and
///    container locks, as one: these events are rare);
/// 3. the lock of a type1 or an IOAS: one change of mappings at a time;
/// 4. inside those, for moments: handle table, list of mappings, lock of the map, account of locked memory, counts of faults,
///    rules of faults on demand.
///
/// A model is called with none of them held, except the `openLock` of its own device while that is opened, closed
/// or reset with its bus: whoever opens it a second time must wait for the first.
final class Core: @unchecked Sendable {
    // SAFETY: everything that changes is changed with `lock` held.
    let lock = Lock()
    let files: FileTable
    let mappings = UserMappings()
    let iommu: IOMMU
    let process: Process
    /// What devices do is counted here.
    let counters: CounterTable
    let registeredMemory: RegisteredMemory
    let faults = DMAFaultLog()
    /// Who is told of memory that devices wrote.
    let memoryWriteObserver: (any MemoryWriteObserver)?
    let obstacles: [NodePermission]
    let hasContainers: Bool
    let hasIOMMUFD: Bool
    let hasDeviceNodes: Bool
    let parameters: Shared<ModuleParameters>
    /// What goes wrong on demand.
    let injector: FaultInjector
    /// Wakes those who wait, with `lock`, for a device to be released, or for their turn to change its driver.
    let changes = Condition()
    /// How often the users of a device are asked to release it while somebody waits for that, in milliseconds.
    let requestInterval: Int
    private let makeBusDriver: BusDriverMaker
    /// In the order of the description.
    var devices: [MachineDevice] = []
    /// What makes mediated devices.
    let mediatedParents: [MediatedParentState]
    /// Those with functions on them.
    var buses: [PCIBus] = []
    var iommuGroups: [MachineGroup] = []
    /// VFIO's groups: those with a device that is bound to a VFIO driver.
    private(set) var groups: [Group] = []

    typealias BusDriverMaker = (any DeviceModel, PCIAddress, DeviceFaults) throws(Errno) -> any BusDriver

    /// `enable_unsafe_noiommu_mode`
    var allowsUnprotectedGroups: Bool { parameters.value.enableUnsafeNoIOMMUMode }

    init(
        _ machine: MachineDescription, _ places: (any HandlePlaces)?,
        _ makeBusDriver: @escaping BusDriverMaker
    ) throws(MachineError) {
        try machine.validate()
        files = FileTable(places)
        var iommu = machine.iommu
        // Windows are where they are because of what else there is on the bus: nothing in them is reserved.
        if iommu.spapr != nil { iommu.reserved = [] }
        self.iommu = iommu
        injector = FaultInjector(seed: machine.faults.seed)
        counters = CounterTable(machine.counterFile)
        process = Process(machine.process, injector, counters)
        registeredMemory = RegisteredMemory(process)
        memoryWriteObserver = machine.memoryWriteObserver
        obstacles = machine.nodes
        hasContainers = machine.hasContainers
        hasIOMMUFD = machine.hasIOMMUFD && iommu.spapr == nil
        hasDeviceNodes = machine.hasDeviceNodes && iommu.spapr == nil
        parameters = Shared(machine.parameters)
        requestInterval = max(1, machine.releaseRequestMilliseconds)
        self.makeBusDriver = makeBusDriver
        mediatedParents = machine.mediatedParents.map { MediatedParentState($0) }
        var drivers: [(MachineDevice, String)] = []
        for group in machine.groups {
            let state = MachineGroup(
                group.number, reserved: group.isEmulated ? [] : iommu.reserved + group.reserved,
                isEmulated: group.isEmulated,
                tracksDirtyPages: iommu.tracksDirtyPages || group.tracksDirtyPages,
                nestsPageTables: iommu.nestsPageTables || group.nestsPageTables,
                endpoint: group.isEmulated ? nil : newEndpoint())
            iommuGroups.append(state)
            for device in group.devices { add(device, to: state, &drivers) }
            for device in group.otherDevices { add(device, to: state, &drivers) }
        }
        for device in machine.ungroupedDevices { add(device, to: nil, &drivers) }
        // Drivers that keep the DMA for themselves first, as a kernel that boots: no user owns anything yet.
        for (device, driver) in drivers {
            try bindFirst(device, to: driver)
        }
        for device in machine.mediatedDevices {
            do throws(Errno) {
                try createMediatedDevice(device.uuid, type: device.type, of: device.parent)
            } catch {
                throw .mediated(device.uuid, type: device.type, error)
            }
        }
    }

    /// Binds a device that has just appeared to the driver that its description names.
    func bindFirst(_ device: MachineDevice, to driver: String) throws(MachineError) {
        let record = device.record(of: driver)
        if record.isVFIO && !device.isUsable { throw .noModel(device.id, driver: driver) }
        if record.isVFIO && device.machineGroup == nil && !allowsUnprotectedGroups {
            throw .noGroup(device.id, driver: driver)
        }
        do throws(Errno) {
            try probe(device, record)
        } catch {
            throw .refused(device.id, driver: driver, error)
        }
    }

    func add(
        _ device: PCIDevice, to group: MachineGroup?, _ drivers: inout [(MachineDevice, String)]
    ) {
        // Checked by `validate`.
        guard let address = device.address else { return }
        let place = PCIPlace(address, on: enterBus(of: address), device.model, device.identity)
        let state = MachineDevice(
            place, group, faults(of: DeviceID(address), group),
            dmaClient: device.dmaClient)
        place.surroundings = device.surroundings
        markMultifunction(place)
        devices.append(state)
        group?.members.append(state)
        if let driver = device.driver { drivers.append((state, driver)) }
    }

    func add(_ device: BusDevice, to group: MachineGroup?, _ drivers: inout [(MachineDevice, String)]) {
        let state = MachineDevice(device, group, faults(of: device.id, group))
        devices.append(state)
        group?.members.append(state)
        if let driver = device.driver { drivers.append((state, driver)) }
    }

    /// What goes wrong with a device that is new, and what is counted of it.
    func faults(of id: DeviceID, _ group: MachineGroup?) -> DeviceFaults {
        DeviceFaults(injector, id, group?.endpoint, counters.counters([UInt8](id.name.utf8)))
    }

    /// Functions that share a place on a bus say so in their headers.
    private func markMultifunction(_ new: PCIPlace) {
        for device in devices {
            guard let other = device.pci, other.bus === new.bus, other.address.device == new.address.device
            else { continue }
            other.model?.function.configuration.markMultifunction()
            new.model?.function.configuration.markMultifunction()
        }
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
        if let pci = device.pci { try checkProbing(pci) }
        guard device.isUsable else { throw .noDevice }
        let hasFunctions = device.pci?.model?.function.virtualFunctions != nil
        let token = hasFunctions ? try DeviceUUID.random() : nil
        let home: MachineGroup
        if let group = device.machineGroup {
            home = group
        } else {
            guard allowsUnprotectedGroups else { throw .invalid }
            home = MachineGroup(unusedGroupNumber(), reserved: [], isUnprotected: true)
            home.members.append(device)
        }
        let bus = try makeBusDriver(for: device, driver)
        if device.machineGroup == nil {
            device.machineGroup = home
            iommuGroups.append(home)
        }
        device.driver = driver
        device.bus = bus
        device.pci?.token = token
        let group = groups.first { $0.home === home } ?? newGroup(home)
        group.devices.append(device)
        device.group = group
        if hasDeviceNodes && !home.isUnprotected && (!home.isEmulated || device.isMediated) {
            device.node = unusedNode()
        }
        bus.attach(to: group.space)
        home.endpoint?.join(bus)
    }

    /// What stands against a VFIO driver for a PCI function.
    private func checkProbing(_ function: PCIPlace) throws(Errno) {
        // A user could turn a bridge against the machine, and some devices as well.
        if function.identity.isBridge { throw .invalid }
        if function.identity.isDenied && !parameters.value.disableDenylist { throw .invalid }
        // Somebody else has made them, and nobody knows what they are used for.
        if function.model != nil && function.virtualFunctionCount > 0 { throw .busy }
    }

    private func makeBusDriver(for device: MachineDevice, _ driver: DriverRecord) throws(Errno)
        -> any BusDriver
    {
        if let other = device.other {
            let bus = try other.makeDriver(device.faults)
            try bus.admit(parameters.value)
            return bus
        }
        guard let place = device.pci, let model = place.model else { throw .noDevice }
        let bus = try makeBusDriver(model, place.address, device.faults)
        bus.pci?.resetPolicy = place.resetPolicy
        bus.pci?.pciBus = place.bus
        bus.pci?.surroundings = place.surroundings
        bus.pci?.parameters = parameters
        bus.pci?.ignoresInterruptDisable = parameters.value.noINTxMask
        if driver.isVariant { bus.pci?.becomeVariant(isHistoric: driver.isHistoric) }
        return bus
    }

    /// Takes a device from its driver. With `lock` held; the device isn't open.
    func remove(_ device: MachineDevice) {
        device.driver = nil
        device.pci?.token = nil
        device.node = nil
        device.isLeaving = false
        if let bus = device.bus { device.machineGroup?.endpoint?.leave(bus) }
        device.bus?.attach(to: nil)
        device.bus?.withdraw()
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

    /// What isolates the errors of a group; nil on a machine that doesn't.
    func newEndpoint() -> PartitionableEndpoint? {
        iommu.spapr?.hasErrorHandling == true ? PartitionableEndpoint(injector) : nil
    }

    private func newGroup(_ home: MachineGroup) -> Group {
        let group = Group(home)
        groups.append(group)
        return group
    }

    func unusedGroupNumber() -> Int { Self.lowestUnused(iommuGroups.map { $0.number }) }

    private func unusedNode() -> Int { Self.lowestUnused(devices.compactMap { $0.node }) }

    /// The lowest number from 0 on that isn't among the given ones, found in one pass.
    private static func lowestUnused(_ numbers: [Int]) -> Int {
        // One of the first n + 1 numbers isn't among n.
        var isUsed = [Bool](repeating: false, count: numbers.count + 1)
        for number in numbers where number >= 0 && number < isUsed.count { isUsed[number] = true }
        return isUsed.firstIndex(of: false) ?? numbers.count
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
