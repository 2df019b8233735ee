import LinuxSystem
import VFIO
import VFIOHost

/// The devices of a host that one guest has.
///
/// Devices that see the same ``GuestAddressSpace`` share a container where the host allows it. A container maps all
/// of the guest's memory that its devices can see when its first device comes, and nothing is left of it when the
/// last one goes. May be used from any thread; everything happens under the memory map's lock.
public final class GuestDevices: @unchecked Sendable {
    /// The host that the devices belong to.
    public let host: any Host
    /// Which way in to take.
    public let choice: RouteChoice
    private let options: DMAMapper.Options
    private let machine: (any VirtualMachineFiles)?
    private let systemMemory: GuestAddressSpace?
    let lock: RecursiveLock
    // Guarded by the lock.
    private var all: [GuestContainer] = []

    /// Nothing is opened yet.
    /// - Parameters:
    ///   - memory: the guest's memory map.
    ///   - machine: the virtual machine (``/VFIOHost/KVMDevice``) that is to know of the devices: some drivers need it,
    ///     and DMA that isn't coherent, or interrupts that are posted, work by it only. It hears of each group or
    ///     device before it is used and until it is closed; if it refuses, the device isn't given to the guest.
    ///   - systemMemory: where all of the guest's RAM is seen, for devices that see it through an IOMMU of the guest's.
    ///     On a POWER machine that RAM is registered when the first device comes. Without it, what is registered
    ///     beforehand is what devices see, and all other RAM page by page as it is mapped.
    public init(
        on host: any Host, for memory: GuestMemory, _ choice: RouteChoice = .automatic,
        _ options: DMAMapper.Options = .init(), machine: (any VirtualMachineFiles)? = nil,
        systemMemory: GuestAddressSpace? = nil
    ) {
        self.systemMemory = systemMemory
        self.host = host
        self.machine = machine
        self.choice = choice
        self.options = options
        lock = memory.lock
    }

    /// The containers, in the order in which they came.
    public var containers: [GuestContainer] { lock.withLock { all } }

    /// Gives a device to the guest.
    /// - Parameters:
    ///   - address: where it is on the host.
    ///   - space: what it is to see.
    ///   - allowingDiscards: whether the device can live with RAM that is discarded unannounced, as a balloon does: only
    ///     a mediated one can, whose driver pins no more than the guest gives it for I/O. All devices of a group must
    ///     say the same.
    ///   - onFailure: called when, later on, a part of the guest's memory can't be mapped for the device or
    ///     unmapped. Of one container's devices only the first one's is used.
    /// - Throws: what is in the way, in words, and the first part of the guest's memory that can't be mapped. Nothing
    ///   is left behind then.
    public func attach(
        _ address: PCIAddress, to space: GuestAddressSpace, allowingDiscards: Bool = false,
        onFailure: (@Sendable (DMAMapper.Failure) -> Void)? = nil
    ) throws(VFIOGuestError) -> GuestDevice {
        try attach(
            DeviceID(address), to: space, allowingDiscards: allowingDiscards, onFailure: onFailure)
    }

    /// Gives a device of any bus to the guest; see ``attach(_:to:allowingDiscards:onFailure:)``.
    public func attach(
        _ id: DeviceID, to space: GuestAddressSpace, allowingDiscards: Bool = false,
        onFailure: (@Sendable (DMAMapper.Failure) -> Void)? = nil
    ) throws(VFIOGuestError) -> GuestDevice {
        try lock.withLock { () throws(VFIOGuestError) -> GuestDevice in
            let record = try self.record(of: id)
            let request = Request(id, record, allowingDiscards)
            if let group = record?.group, let container = all.first(where: { $0.groups.contains(group) }) {
                guard container.space === space else {
                    throw VFIOGuestError(
                        operation: "give it to the guest's \(space)", object: "\(id)", code: .busy,
                        cause: "group \(group) is used in another address space, \(container.space), and all "
                            + "devices of a group see the same",
                        remedy:
                            "put the devices of group \(group) behind one bus without an IOMMU of the guest's"
                    )
                }
                return try open(request, in: container)
            }
            for container in all where container.space === space {
                // Devices behind IOMMUs of different kinds can't share; then the next one, or a new one, will do.
                guard let device = try? Device(opening: request.id, in: container.iommu) else {
                    continue
                }
                return try join(device, request, container)
            }
            return try open(
                request,
                new: GuestContainer(
                    space, systemMemory ?? space, try VFIO.AddressSpace(on: host, choice, for: machine),
                    options), onFailure)
        }
    }

    /// Takes a device out of its container. With the last one goes the container and all its mappings.
    func takeOut(_ device: ObjectIdentifier, from container: GuestContainer?) {
        guard let container else { return }
        lock.withLock {
            container.remove(device)
            guard container.isEmpty else { return }
            container.stop()
            all.removeAll { $0 === container }
        }
    }

    /// What is wanted of ``attach(_:to:allowingDiscards:onFailure:)``.
    private struct Request {
        let id: DeviceID
        let record: DeviceSummary?
        let allowsDiscards: Bool

        init(_ id: DeviceID, _ record: DeviceSummary?, _ allowsDiscards: Bool) {
            self.id = id
            self.record = record
            self.allowsDiscards = allowsDiscards
        }
    }

    private func record(of id: DeviceID) throws(VFIOGuestError) -> DeviceSummary? {
        do throws(InventoryError) {
            return try host.inventory().summary(of: id)
        } catch {
            throw VFIOGuestError(
                operation: "give it to the guest", object: "\(id)", errno: error.errno,
                cause: "the list of devices and groups can't be read: \(error.path)")
        }
    }

    private func open(
        _ request: Request, in container: GuestContainer
    ) throws(VFIOGuestError) -> GuestDevice {
        try join(Device(opening: request.id, in: container.iommu), request, container)
    }

    private func join(
        _ device: Device, _ request: Request, _ container: GuestContainer
    ) throws(VFIOGuestError) -> GuestDevice {
        let device = GuestDevice(device, request.record, self)
        device.home = container
        try container.add(device, allowingDiscards: request.allowsDiscards)
        return device
    }

    private func open(
        _ request: Request, new container: GuestContainer,
        _ onFailure: (@Sendable (DMAMapper.Failure) -> Void)?
    ) throws(VFIOGuestError) -> GuestDevice {
        // The IOMMU is known only with a first device in it. If mapping fails, `device` goes, and the host's side
        // with it.
        let device = try open(request, in: container)
        container.mapper.onFailure = onFailure
        do throws(VFIOGuestError) {
            try container.start()
        } catch {
            device.detach()
            throw error
        }
        all.append(container)
        return device
    }
}
