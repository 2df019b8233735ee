import LinuxSystem
import VFIO
import VFIOABI
import VFIOHost

/// Devices of a guest that share one of the host's I/O address spaces: a VFIO container, or an I/O address space of
/// an iommufd, kept in step with what the guest's devices are to see.
///
/// Guarded by the memory map's lock.
public final class GuestContainer: @unchecked Sendable {
    /// What its devices see.
    public let space: GuestAddressSpace
    /// The host's side.
    public let iommu: VFIO.AddressSpace
    /// What keeps the two in step.
    public let mapper: DMAMapper
    /// Where the RAM is that its devices may come to reach.
    let systemMemory: GuestAddressSpace
    /// On a POWER machine: what keeps the RAM registered.
    var registrar: RAMRegistrar?
    private var members: [Member] = []
    /// What the groups in it mean for discards of the guest's RAM, by name. They stay as the container's mappings do.
    private var discards: [String: RAMDiscardGroup] = [:]

    /// A device, which takes itself out before it goes.
    private struct Member {
        weak var device: GuestDevice?
        let id: ObjectIdentifier
        let group: Int?
        let name: String
        let discards: RAMDiscardGroup
    }

    init(
        _ space: GuestAddressSpace, _ systemMemory: GuestAddressSpace, _ iommu: VFIO.AddressSpace,
        _ options: DMAMapper.Options
    ) {
        self.space = space
        self.systemMemory = systemMemory
        self.iommu = iommu
        mapper = DMAMapper(iommu, options)
    }

    /// The devices in it.
    public var devices: [GuestDevice] { members.compactMap(\.device) }

    /// The numbers of the groups in it.
    public var groups: Set<Int> { Set(members.compactMap(\.group)) }

    var isEmpty: Bool { members.isEmpty }

    /// Adds a device. From now on, and so before anything is mapped for it, discards are forbidden that the IOMMU can't
    /// follow, unless the device can live with discards.
    /// - Throws: `EBUSY` where somebody needs them; ``VFIO/VFIOError/Code/notSupported`` for a device that can't live with
    ///   discards, whatever is said of it; or KVM's refusal to fill the windows of its group.
    func add(_ device: GuestDevice, allowingDiscards: Bool) throws(VFIOGuestError) {
        try mapper.sectionWindows?.tellTables()
        let name = device.group.map { "group \($0)" } ?? "\(device.id)"
        let group: RAMDiscardGroup
        if let known = discards[name] {
            group = known
        } else {
            group = try RAMDiscardGroup(
                name, on: discardKind, space.memory.discardPolicy, isExempt: allowingDiscards)
        }
        let address = "\(device.id)"
        try group.add(address, isExempt: allowingDiscards, isMediated: device.isMediated)
        discards[name] = group
        members.append(
            Member(
                device: device, id: ObjectIdentifier(device), group: device.group, name: address,
                discards: group))
        mapper.tracker.add(ObjectIdentifier(device), DeviceLog(device.device))
    }

    /// How the IOMMU gets the guest's RAM.
    private var discardKind: RAMDiscardPolicy.IOMMU {
        if iommu.host.kind == .vfioUser { return .server }
        if let tce = iommu.tce { return .container(tce.version == 2 ? .spaprTCEv2 : .spaprTCE) }
        return switch iommu.route?.kind {
        case .cdev: .iommufd
        case .unprotected: .container(.noIOMMU)
        default: .container(.type1v2)
        }
    }

    func remove(_ id: ObjectIdentifier) {
        mapper.removeDevice(id)
        for member in members where member.id == id { member.discards.remove(member.name) }
        members.removeAll { $0.id == id }
    }

    /// Maps all that is seen, and follows the changes from now on.
    /// - Throws: the first thing that couldn't be mapped; nothing is mapped then.
    func start() throws(VFIOGuestError) {
        do throws(VFIOGuestError) {
            try startWindows()
            try space.register(mapper)
            try mapper.start()
        } catch {
            stop()
            throw error
        }
    }

    /// Unmaps everything.
    func stop() {
        space.unregister(mapper)
        mapper.end()
        endWindows()
        discards = [:]
    }
}

/// A device that was given to a guest. When it goes, it is taken away from the guest.
public final class GuestDevice: @unchecked Sendable {
    /// The device: its registers, interrupts and configuration space.
    public let device: Device
    /// Its IOMMU group on the host; nil where there are no groups.
    public let group: Int?
    /// Whether its driver pins memory as it needs it, and not all of the guest's beforehand.
    let isMediated: Bool
    let owner: GuestDevices
    // Guarded by the memory map's lock.
    var home: GuestContainer?
    /// What is to know of resets.
    var participants: [WeakResetParticipant] = []

    init(_ device: Device, _ record: DeviceSummary?, _ owner: GuestDevices) {
        self.device = device
        group = record?.group
        isMediated = record?.isMediated ?? false
        self.owner = owner
    }

    deinit { owner.takeOut(ObjectIdentifier(self), from: home) }

    /// Where it is; nil once it was taken away.
    public var container: GuestContainer? { owner.lock.withLock { home } }

    /// Its name on the host.
    public var id: DeviceID { device.id }

    /// Its address on the host, for a PCI function; nil for a device of another bus.
    public var address: PCIAddress? { device.address }

    /// Takes the device away from the guest: it sees nothing of the guest's memory any more. It is closed when this
    /// object goes.
    public func detach() {
        owner.lock.withLock {
            owner.takeOut(ObjectIdentifier(self), from: home)
            home = nil
        }
    }
}
