import DeviceModel
import LinuxSystem
import Synchronization
import VFIOABI
import VFIOHost

/// A VFIO kernel inside this process: it answers the uAPI as Linux 7.2 does, with devices written in Swift.
///
/// ```swift
/// let host = try SoftwareHost {
///     IOMMU(.type1, pageSizes: [.kib4, .mib2])
///     IOMMUGroup(26) { PCIDevice(disk, at: "0000:01:00.0") }
/// }
/// ```
///
/// Needs no hardware, no rights and no kernel support. Handles are real descriptor numbers of this process
/// (which the system shows as memory files), so that they can be put into the uAPI's structures; they are
/// closed with ``close(_:)`` only. Devices run on the thread that touches their registers.
///
/// Memory that is mapped for DMA must stay mapped in this process until it is unmapped from the IOMMU: a
/// kernel would pin it. All addresses in requests may be wrong; a wrong one is answered with `EFAULT`.
public final class SoftwareHost: Host, @unchecked Sendable {
    // SAFETY: `core` guards itself.
    let core: Core

    /// Makes a host whose devices get the bus drivers that a function makes. For tests of the core.
    init(
        _ machine: MachineDescription, places: (any HandlePlaces)? = nil,
        busDriver: @escaping Core.BusDriverMaker
    ) throws(MachineError) {
        core = try Core(machine, places, busDriver)
        for rule in machine.faults.rules { inject(rule) }
    }

    /// Closes what is still open, as a kernel does for a process that ends.
    deinit {
        for mapping in core.mappings.removeAll() {
            mapping.file.unmap(mapping.window)
            mapping.file.letGo()
        }
        core.files.closeAll()
        core.injector.delays.end()
        core.dismantle()
    }

    /// `.software`
    public var kind: HostKind { .software }

    /// Opens a node; see ``/VFIOHost/Host/open(_:)``.
    /// - Throws: `ENOENT` for a node that the machine doesn't have; `EACCES` for one with an obstacle
    ///   (``NodePermission``); `EPERM` for an unprotected group without the right to use it; `EBUSY` for a group
    ///   that is open, or whose devices are in use by themselves; `EMFILE`.
    public func open(_ node: Node) throws(Errno) -> Int32 {
        if core.injector.isWatching(.open) { try failOpening(node) }
        return try core.files.install(node) { () throws(Errno) -> OpenFile in
            try core.checkPermission(node)
            return try core.lock.withLock { () throws(Errno) -> OpenFile in try core.file(for: node) }
        }
    }

    /// Closes a handle; numbers that aren't handles are left alone.
    public func close(_ handle: Int32) { core.files.close(handle) }

    /// Sends a request; see ``/VFIOHost/Host/control(_:_:_:)``.
    /// - Throws: `EBADF` for a number that isn't a handle; otherwise what the request has (kernel.md A to F).
    public func control(_ handle: Int32, _ request: UInt32, _ argument: UInt) throws(Errno) -> Int32 {
        let file = try core.files.hold(handle)
        defer { file.object.letGo() }
        guard case .device(let device) = file else { return try send(request, argument, to: file) }
        let counters = device.device.faults.counters
        counters.add(.requests)
        do throws(Errno) {
            return try send(request, argument, to: file)
        } catch {
            counters.add(.errors)
            throw error
        }
    }

    private func send(_ request: UInt32, _ argument: UInt, to file: OpenFile) throws(Errno) -> Int32 {
        let request = Request(rawValue: UInt(request))
        if core.injector.isWatching([.request, .device, .absence]), let answer = try answer(request, to: file)
        {
            return answer
        }
        switch file {
        case .container(let container): return try container.control(request, argument)
        case .group(let group): return try group.control(request, argument)
        case .device(let device): return try device.control(request, argument)
        case .iommufd(let iommufd): return try iommufd.control(request, argument)
        case .migration(let session): return try session.control(request, argument)
        // A dma-buf's own requests aren't those of VFIO, and a fault queue has none.
        case .plane, .dmaBuf, .faultQueue: throw .noSuchRequest
        }
    }

    /// Reads from a device; see ``/VFIOHost/Host/read(_:at:into:)``.
    /// - Throws: `EBADF`; `ESPIPE` for a device's state on its way; `EINVAL` for any other handle.
    public func read(_ handle: Int32, at offset: UInt64, into bytes: inout MutableRawSpan) throws(Errno)
        -> Int
    {
        let file = try core.files.hold(handle)
        defer { file.object.letGo() }
        guard case .device(let device) = file else { throw Self.withoutOffsets(file) }
        return try read(device, at: offset, into: &bytes)
    }

    private func read(
        _ device: DeviceFile, at offset: UInt64, into bytes: inout MutableRawSpan
    ) throws(Errno) -> Int {
        let counters = device.device.faults.counters
        counters.add(.reads)
        do throws(Errno) {
            if core.injector.isWatching([.read, .device, .absence]),
                let count = try readFaultily(device, at: offset, into: &bytes)
            {
                return count
            }
            return try device.read(at: offset, into: &bytes)
        } catch {
            counters.add(.errors)
            throw error
        }
    }

    /// Writes to a device; see ``/VFIOHost/Host/write(_:at:_:)``.
    /// - Throws: `EBADF`; `ESPIPE` for a device's state on its way; `EINVAL` for any other handle.
    public func write(_ handle: Int32, at offset: UInt64, _ bytes: RawSpan) throws(Errno) -> Int {
        let file = try core.files.hold(handle)
        defer { file.object.letGo() }
        guard case .device(let device) = file else { throw Self.withoutOffsets(file) }
        return try write(device, at: offset, bytes)
    }

    private func write(_ device: DeviceFile, at offset: UInt64, _ bytes: RawSpan) throws(Errno) -> Int {
        let counters = device.device.faults.counters
        counters.add(.writes)
        do throws(Errno) {
            if core.injector.isWatching([.write, .device, .absence]),
                let count = try writeFaultily(device, at: offset, bytes)
            {
                return count
            }
            return try device.write(at: offset, bytes)
        } catch {
            counters.add(.errors)
            throw error
        }
    }

    /// What a file says that has nothing at offsets.
    private static func withoutOffsets(_ file: OpenFile) -> Errno {
        switch file {
        case .migration, .faultQueue: return .illegalSeek
        default: return .invalid
        }
    }

    /// Reads the state of a device that is moved away, or at a device's own position, which starts at the first region
    /// and only goes forward; see ``/VFIOHost/Host/read(_:into:)``.
    /// - Throws: `EBADF`, also for a state that comes in; `EINVAL` for any other handle; `ENOMSG` where nothing is left
    ///   while the device works; `ENODEV` when it has left the states in which its state goes out.
    public func read(_ handle: Int32, into bytes: inout MutableRawSpan) throws(Errno) -> Int {
        let file = try core.files.hold(handle)
        defer { file.object.letGo() }
        if case .faultQueue(let queue) = file { return try queue.read(into: &bytes) }
        if case .device(let device) = file {
            let position = device.position.load(ordering: .relaxed)
            let count = try read(device, at: position, into: &bytes)
            device.position.store(position + UInt64(count), ordering: .relaxed)
            return count
        }
        guard case .migration(let session) = file else { throw .invalid }
        if core.injector.isWatching([.read, .device]) { try meet(.read, session.device) }
        return try session.read(into: &bytes)
    }

    /// Writes the state of a device that comes here, or at a device's own position; see ``/VFIOHost/Host/write(_:_:)``.
    /// - Throws: `EBADF`, also for a state that goes out; `EINVAL` for any other handle, and for bytes that are no state
    ///   of such a device; `ENOMEM` for more than one; `ENODEV` when the device takes no state any more.
    public func write(_ handle: Int32, _ bytes: RawSpan) throws(Errno) -> Int {
        let file = try core.files.hold(handle)
        defer { file.object.letGo() }
        if case .faultQueue(let queue) = file { return try queue.write(bytes) }
        if case .device(let device) = file {
            let position = device.position.load(ordering: .relaxed)
            let count = try write(device, at: position, bytes)
            device.position.store(position + UInt64(count), ordering: .relaxed)
            return count
        }
        guard case .migration(let session) = file else { throw .invalid }
        if core.injector.isWatching([.write, .device]) { try meet(.write, session.device) }
        return try session.write(bytes)
    }

    /// Maps a part of a device; see ``/VFIOHost/Host/map(_:at:byteCount:protection:)``.
    /// - Throws: `EBADF`; `EINVAL` for a length or an offset that isn't possible; `ENODEV` for a container or a
    ///   group, `ENXIO` for an iommufd, `EINVAL` for a DMA-BUF; what the device's driver answers (kernel.md D.5).
    public func map(
        _ handle: Int32, at offset: UInt64, byteCount: Int, protection: Mapping.Protection
    ) throws(Errno) -> MemoryWindow {
        let file = try core.files.hold(handle)
        let device: DeviceFile
        do throws(Errno) {
            guard byteCount > 0, offset % UInt64(pageSize) == 0 else { throw .invalid }
            switch file {
            case .device(let found): device = found
            case .plane(let plane):
                guard let rounded = byteCount.roundedUp(toMultipleOf: pageSize) else { throw .noMemory }
                let window = try plane.map(at: offset, byteCount: rounded, protection: protection)
                core.mappings.add(window, of: plane)
                return window
            case .container, .group, .migration, .faultQueue: throw .noDevice
            case .iommufd: throw .noSuchAddress
            case .dmaBuf: throw .invalid
            }
            if core.injector.isWatching([.map, .device]) { try failMapping(device) }
            guard let rounded = byteCount.roundedUp(toMultipleOf: pageSize) else { throw .noMemory }
            let window = try device.map(at: offset, byteCount: rounded, protection: protection)
            // The hold on the file goes over to the mapping.
            core.mappings.add(window, of: device)
            return window
        } catch {
            file.object.letGo()
            throw error
        }
    }

    /// Ends a mapping; a window that isn't one is left alone. The device may be closed by this.
    public func unmap(_ window: MemoryWindow) {
        guard let file = core.mappings.remove(window) else { return }
        file.unmap(window)
        file.letGo()
    }

    // MARK: beyond the uAPI

    /// The accesses of devices to memory that were refused, of the whole machine since it was made. Nothing
    /// was transferred in any of them.
    public var dmaFaults: DMAFaultCount { core.faults.count }

    /// The accesses that were refused by what a group is attached to now: its container, or an IOAS. Nil for a
    /// group that isn't attached, or doesn't exist.
    public func dmaFaults(ofGroup number: Int) -> DMAFaultCount? {
        core.lock.withLock { () -> DMASpace? in
            guard let group = core.groups.first(where: { $0.number == number }) else { return nil }
            return group.home.table?.ioas.space ?? group.space
        }?.faultCount
    }

    /// The parameters of the kernel's modules; may be changed at any time.
    public var parameters: ModuleParameters {
        get { core.parameters.value }
        set { core.parameters.value = newValue }
    }

    /// What the program may do; may be changed at any time, as by `setrlimit` or by giving up a capability.
    public var rights: ProcessRights {
        get { core.process.rights }
        set { core.process.rights = newValue }
    }

    /// How many bytes of memory are counted as locked for DMA, all containers together.
    public var lockedByteCount: UInt64 { core.process.lockedPages * UInt64(pageSize) }

    /// What there is on the machine.
    public func inventory() throws(InventoryError) -> Inventory {
        var (inventory, drivers) = core.lock.withLock { () -> (Inventory, [(any BusDriver)?]) in
            (core.inventory, core.devices.filter { $0.pci != nil }.map { $0.bus })
        }
        // A driver may be asked with no core lock held only.
        for index in inventory.devices.indices where index < drivers.count {
            guard let driver = drivers[index]?.pci else { continue }
            inventory.devices[index].resetMethods = driver.resetMethods.map { $0.name }
        }
        return inventory
    }
}
