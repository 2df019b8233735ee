import DeviceModel
import LinuxSystem
import VFIOHost

/// A device of the machine, whoever drives it. Guarded by `Core.lock`.
final class MachineDevice {
    let id: DeviceID
    /// Its name, as bytes.
    let name: [UInt8]
    /// What only a PCI function has.
    let pci: PCIPlace?
    /// What a device of another bus is; nil for a PCI function.
    let other: BusDevice?
    /// Its IOMMU group; a made-up one while a VFIO driver has a device without IOMMU.
    var machineGroup: MachineGroup?
    var driver: DriverRecord?
    /// The only driver that may have it (`driver_override`), if that is restricted.
    var driverOverride: String?
    /// The driver's side of the device, while that is a VFIO driver.
    var bus: (any BusDriver)?
    /// The group that it is registered with, while its driver is a VFIO driver.
    var group: Group?
    /// The number of `/dev/vfio/devices/vfio<number>`.
    var node: Int?
    /// Serialises first opening, last closing and resets with the bus; the PCI bus's own for those that are reset with
    /// it. Comes before `Core.lock`.
    let openLock: Lock
    /// How many files with access granted there are.
    var openCount = 0
    /// How many files there are; each keeps the driver from being unbound.
    var fileCount = 0
    /// Whether somebody changes its driver; others who want to wait.
    var isChangingDriver = false
    /// Whether it is being taken from its VFIO driver: nobody can open it any more (kernel.md A.11).
    var isLeaving = false
    /// What a file of the device's own node is bound to.
    var binding: IOMMUFDDevice?
    /// The file of the group that the first opening came through; kept open until the last closing.
    var groupFile: GroupFile?
    /// What goes wrong with it.
    let faults: DeviceFaults
    /// Who uses the services for devices that pin memory themselves.
    let dmaClient: (any EmulatedDMAClient)?
    /// Those services, while the device is open in a container and meant to have them.
    var emulatedDMA: EmulatedDMA?

    /// A PCI function.
    init(
        _ pci: PCIPlace, _ group: MachineGroup?, _ faults: DeviceFaults,
        dmaClient: (any EmulatedDMAClient)? = nil
    ) {
        id = DeviceID(pci.address)
        self.pci = pci
        other = nil
        openLock = pci.sharesResets ? pci.bus.openLock : Lock()
        self.faults = faults
        self.dmaClient = dmaClient
        name = [UInt8](id.name.utf8)
        machineGroup = group
    }

    /// A device of another bus.
    init(_ other: BusDevice, _ group: MachineGroup?, _ faults: DeviceFaults) {
        id = other.id
        pci = nil
        self.other = other
        openLock = Lock()
        self.faults = faults
        dmaClient = other.dmaClient
        name = [UInt8](id.name.utf8)
        machineGroup = group
    }

    /// Whether a VFIO driver can have it: somebody answers its registers.
    var isUsable: Bool { other.map { $0.vfioDriver != nil } ?? (pci?.model != nil) }

    /// What a driver of a name is for it.
    func record(of driver: String) -> DriverRecord {
        other?.record(of: driver) ?? DriverRecord(named: driver)
    }

    /// Opens it for the first time, if it may be without a virtual machine or has one. With its `openLock` held.
    func openFirst(_ bus: any BusDriver, _ core: Core) throws(Errno) {
        if bus.needsVirtualMachine {
            let hasOne = core.lock.withLock { (group?.virtualMachineCount ?? 0) > 0 }
            guard hasOne else { throw .invalid }
        }
        try bus.openDevice()
    }

    /// Where it sits, if it is a PCI function.
    var address: PCIAddress? { pci?.address }
}

/// What only a PCI function of the machine has. Guarded by `Core.lock`.
final class PCIPlace {
    let address: PCIAddress
    /// The bus that it sits on.
    let bus: PCIBus
    /// Who answers its registers; nil for a function that is only there.
    let model: (any DeviceModel)?
    let identity: PCIIdentity
    /// What an administrator decided about its resets.
    let resetPolicy = PCIResetPolicy()
    /// What the machine around it adds to what is told of it.
    var surroundings = PCISurroundings()
    /// Where the function sits that it is a virtual function of.
    let physicalFunction: PCIAddress?
    /// How many virtual functions are enabled (`sriov_numvfs`).
    var virtualFunctionCount = 0
    /// What users of its virtual functions have to show; only while a VFIO driver has a device that can have
    /// some.
    var token: DeviceUUID?

    init(
        _ address: PCIAddress, on bus: PCIBus, _ model: (any DeviceModel)?, _ identity: PCIIdentity,
        physicalFunction: PCIAddress? = nil
    ) {
        self.address = address
        self.bus = bus
        self.model = model
        self.identity = identity
        self.physicalFunction = physicalFunction
    }

    /// Whether it is reset with others on its bus.
    var sharesResets: Bool { bus.isResettable && physicalFunction == nil }
}

/// An IOMMU group of the machine, and who owns its DMA. Guarded by `Core.lock`.
final class MachineGroup {
    let number: Int
    let reserved: [ReservedRange]
    let isUnprotected: Bool
    /// Whether the members do DMA without an IOMMU, through the kernel's services.
    let isEmulated: Bool
    /// Whether the IOMMU notes what the members write, where it is asked to.
    let tracksDirtyPages: Bool
    /// Whether the IOMMU can put guests' page tables in front of others.
    let nestsPageTables: Bool
    /// What is frozen when one of the members fails, on a machine that isolates errors.
    let endpoint: PartitionableEndpoint?
    var members: [MachineDevice] = []
    /// The user who owns the DMA: a container or an iommufd.
    private(set) var owner: AnyObject?
    private var claims = 0
    /// The page tables that the members attached through an iommufd go through.
    var table: PageTable?
    /// How many members are attached to `table`.
    var attachedCount = 0

    init(
        _ number: Int, reserved: [ReservedRange], isUnprotected: Bool = false, isEmulated: Bool = false,
        tracksDirtyPages: Bool = false, nestsPageTables: Bool = false, endpoint: PartitionableEndpoint? = nil
    ) {
        self.number = number
        self.endpoint = endpoint
        self.isEmulated = isEmulated
        self.tracksDirtyPages = tracksDirtyPages
        self.nestsPageTables = nestsPageTables
        self.reserved = reserved
        self.isUnprotected = isUnprotected
    }

    /// Whether a kernel driver has the DMA of a member for itself.
    var isOwnedByKernel: Bool { members.contains { $0.driver?.letsGroupBeUsed == false } }

    /// Whether nobody owns the DMA.
    var isFree: Bool { owner == nil && !isOwnedByKernel }

    /// Claims the DMA for a user; again for the same user, if `shared`.
    /// - Throws: `EPERM` if a driver or somebody else has it.
    func claim(for user: AnyObject, shared: Bool) throws(Errno) {
        if isOwnedByKernel { throw .notPermitted }
        if let owner, !shared || owner !== user { throw .notPermitted }
        owner = user
        claims += 1
    }

    /// Gives one claim back.
    func giveBack() {
        claims -= 1
        if claims == 0 { owner = nil }
    }
}

/// A group of VFIO: exists while a member of the IOMMU group is bound to a VFIO driver (Linux's
/// `struct vfio_group`). Guarded by `Core.lock`.
final class Group {
    let home: MachineGroup
    /// The members bound to a VFIO driver, in the order of their binding.
    var devices: [MachineDevice] = []
    /// The one open file of the node.
    var openedFile: GroupFile?
    var container: Container?
    /// 1 for the container, and 1 for each open device.
    var containerUsers = 0
    /// The iommufd in the container's place (kernel.md F.7).
    var iommufd: IOMMUFD?
    /// How many virtual machines know the open file (`KVM_DEV_VFIO_FILE_ADD`).
    var virtualMachineCount = 0
    /// How many devices are bound to an iommufd through nodes of their own.
    var boundDeviceCount = 0
    /// Whether the last VFIO driver has let go of the last member.
    var isGone = false

    init(_ home: MachineGroup) { self.home = home }

    var number: Int { home.number }
    /// Whether it is in a container, or has an iommufd in one's place.
    var isAttached: Bool { container != nil || iommufd != nil }
    var isUnprotected: Bool { home.isUnprotected }
    /// Whether a user of the group owns the DMA of its members: only where there is an IOMMU.
    private var ownsDMA: Bool { !isUnprotected && !home.isEmulated }

    /// What the DMA of the members goes through; for those of an emulated group see ``EmulatedDMA``.
    var space: DMASpace? {
        home.isEmulated ? nil : container?.driver.space
    }

    /// Points the members' DMA at the container's IOMMU, or at nothing.
    func attachDevices() {
        for device in devices { device.bus?.attach(to: space) }
    }

    /// SET_CONTAINER, after the container was found (kernel.md A.5).
    func enter(_ container: Container, _ process: Process) throws(Errno) {
        if isUnprotected && !process.mayUseUnprotectedGroups { throw .notPermitted }
        if let first = container.groups.first, first.isUnprotected != isUnprotected { throw .notPermitted }
        if ownsDMA { try home.claim(for: container, shared: false) }
        do throws(Errno) {
            try container.driver.attach(home)
        } catch {
            if ownsDMA { home.giveBack() }
            throw error
        }
        self.container = container
        containerUsers = 1
        container.groups.append(self)
        attachDevices()
    }

    /// Leaves the container, if there is one; the last group takes the IOMMU driver with it (kernel.md A.5).
    func leaveContainer() {
        guard let container else { return }
        self.container = nil
        containerUsers = 0
        attachDevices()
        container.driver.detach(home)
        if ownsDMA { home.giveBack() }
        container.groups.removeAll { $0 === self }
        if container.groups.isEmpty { container.releaseDriver() }
    }
}
