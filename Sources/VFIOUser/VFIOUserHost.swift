import IOVASpace
import LinuxSystem
import VFIOABI
import VFIOHost

/// A host whose one device lives in another process, behind a socket that speaks vfio-user.
///
/// ```swift
/// let host = try VFIOUserHost(connecting: "/run/edu.sock")
/// let device = try Device(opening: VFIOUserHost.deviceAddress, on: host)
/// ```
///
/// The container and the group are answered here as Linux 7.2 answers them. The device is the server's, seen as
/// Linux's vfio-pci shows one: what that driver keeps from its users (bus mastering after opening, memory that is off,
/// registers that are its own) is kept here, whatever the server does. There is one group, number 0, with the device
/// in it, and a type 1 IOMMU without reserved ranges. There are no device nodes and no iommufd, and no limit of locked
/// memory.
///
/// **Dirty pages.** Where the server logs what its device writes, that is the log of both the device's feature
/// (`VFIO_DEVICE_FEATURE_DMA_LOGGING_START`) and the container (`VFIO_IOMMU_DIRTY_PAGES`), one of them at a time;
/// where it doesn't, neither is there.
///
/// **Memory.** What ``allocateMemory(byteCount:pages:)`` gives is in a file that the server maps. Other memory can be
/// mapped for DMA too: the server then reaches it by messages, if it can do that, which takes a copy and some
/// microseconds each time.
///
/// **A server that goes** fails what is under way with `ECONNRESET`; the next request connects again (with the errno of
/// connect(2) as long as nobody is there), and memory, interrupts and mapped regions are set up as they were. The
/// device itself begins anew: its driver has to reset and start it. A driver that has set up the eventfd for errors
/// (`VFIO_PCI_ERR_IRQ_INDEX`) is told by that as soon as the server has gone.
public final class VFIOUserHost: Host, @unchecked Sendable {
    // SAFETY: `files` and the objects in it are used with `lock` held; `device` guards itself.
    let lock = Lock()
    var files: [Int32: UserFile] = [:]
    /// Which file a mapped region keeps open, by the address of the mapping.
    var mappedFiles: [UInt: UserDeviceFile] = [:]
    /// The open group, as long as its handle or a device of it is open.
    var group: UserGroup?
    let device: RemoteDevice
    /// What a kernel's driver does.
    let pci: RemotePCI
    /// One request at a time maps and unmaps.
    let mappingLock = Lock()

    /// Where the device sits in the host's inventory: 0000:00:00.0.
    public static let deviceAddress = PCIAddress(bus: 0, device: 0, function: 0)
    /// The number of its group.
    public static let groupNumber = 0

    /// Connects to a server.
    /// - Parameters:
    ///   - path: its socket. A server that comes back is looked for there.
    ///   - limits: what this side takes at most.
    ///   - milliseconds: how long to wait for an answer.
    /// - Throws: ``ClientFailure``: `ENOENT` or `ECONNREFUSED` where no server is.
    public init(
        connecting path: String, limits: Limits = Limits(), milliseconds: Int = Client.usualPatience
    ) throws(ClientFailure) {
        let socket: UnixSocket
        do throws(Errno) { socket = try UnixSocket(connecting: path) } catch { throw .unreachable(error) }
        device = try RemoteDevice(socket, path: path, limits, milliseconds: milliseconds)
        pci = try RemotePCI(device)
    }

    /// Takes over a connected socket. When its server goes there is no way to it any more.
    /// - Throws: ``ClientFailure``.
    public init(
        _ socket: consuming UnixSocket, limits: Limits = Limits(), milliseconds: Int = Client.usualPatience
    ) throws(ClientFailure) {
        device = try RemoteDevice(socket, path: nil, limits, milliseconds: milliseconds)
        pci = try RemotePCI(device)
    }

    deinit { for number in files.keys { _ = Descriptor(owning: number) } }

    /// `.vfioUser`
    public var kind: HostKind { .vfioUser }

    // MARK: handles

    /// Opens a node; see ``/VFIOHost/Host/open(_:)``.
    /// - Throws: `ENOENT` for all but the container and group 0; `EBUSY` for the group while it is open; `EMFILE`.
    public func open(_ node: Node) throws(Errno) -> Int32 {
        try install { () throws(Errno) -> UserFile in
            switch node {
            case .container: return .container(UserContainer())
            case .group(Self.groupNumber):
                guard group == nil else { throw .busy }
                let new = UserGroup()
                group = new
                return .group(new)
            default: throw .noSuchEntry
            }
        }
    }

    /// Gives a new file a number, which a file in memory holds for it.
    func install(_ make: () throws(Errno) -> UserFile) throws(Errno) -> Int32 {
        let place = try MemoryFile.create("vfio-user handle", byteCount: 0)
        let file = try lock.withLock { () throws(Errno) -> UserFile in try make() }
        let number = place.release()
        lock.withLock { files[number] = file }
        return number
    }

    /// The file that a number stands for.
    /// - Throws: `EBADF`
    @inline(__always)
    func file(_ number: Int32) throws(Errno) -> UserFile {
        guard let file = lock.withLock({ files[number] }) else { throw .badDescriptor }
        return file
    }

    /// Closes a handle; numbers that aren't handles are left alone.
    public func close(_ handle: Int32) {
        guard let file = lock.withLock({ files.removeValue(forKey: handle) }) else { return }
        _ = Descriptor(owning: handle)
        switch file {
        case .container: break
        case .group(let group):
            lock.withLock { group.isHandleOpen = false }
            leaveIfUnused(group)
        case .device(let file): letGo(of: file)
        case .migration: break
        }
    }

    /// One holder of a device's file has gone: its handle, or a mapping of a region.
    func letGo(of file: UserDeviceFile) {
        let isClosed = lock.withLock { () -> Bool in
            file.holderCount -= 1
            return file.holderCount == 0
        }
        if isClosed { endUse(of: file.group) }
    }

    /// A file of the device has gone. In the kernel's order: the device is closed while its group still is in its
    /// container.
    func endUse(of group: UserGroup) {
        pci.close()
        lock.withLock { group.deviceFileCount -= 1 }
        leaveIfUnused(group)
    }

    /// The group's last holder has gone: it leaves its container, whose mappings go with it.
    func leaveIfUnused(_ old: UserGroup) {
        let isUnused = lock.withLock { !old.isHandleOpen && old.deviceFileCount == 0 && group === old }
        guard isUnused else { return }
        leaveContainer(old)
        lock.withLock { if group === old { group = nil } }
    }

    /// Takes a group out of its container.
    func leaveContainer(_ group: UserGroup) {
        mappingLock.withLock { device.unmapAll() }
        // There is nobody to hear of a failure.
        try? device.stopLogging(by: .container)
        lock.withLock {
            group.container?.type = nil
            group.container?.group = nil
            group.container = nil
        }
    }

    /// Sends a request; see ``/VFIOHost/Host/control(_:_:_:)``.
    /// - Throws: `EBADF` for a number that isn't a handle; otherwise what the request has, or the server answers.
    public func control(_ handle: Int32, _ request: UInt32, _ argument: UInt) throws(Errno) -> Int32 {
        let request = Request(rawValue: UInt(request))
        switch try file(handle) {
        case .container(let container): return try control(container, request, argument)
        case .group(let group): return try control(group, request, argument)
        case .device(let file): return try control(file, request, HostAddress(rawValue: argument))
        // The protocol has no word for how much is left (`VFIO_MIG_GET_PRECOPY_INFO`).
        case .migration: throw .noSuchRequest
        }
    }

    // MARK: memory

    /// Memory in a file that a server can map, or, for pages from the reserved pools, memory that it reaches by
    /// messages; see ``/VFIOHost/Host/allocateMemory(byteCount:pages:)``.
    public func allocateMemory(byteCount: Int, pages: Mapping.PageKind) throws(Errno) -> MemoryWindow {
        switch pages {
        case .ordinary, .transparentHuge: try device.shared.allocate(byteCount: byteCount)
        case .huge2MiB, .huge1GiB: try Mapping(anonymous: byteCount, pages: pages).release()
        }
    }

    /// Frees memory; see ``/VFIOHost/Host/freeMemory(_:)``.
    public func freeMemory(_ window: MemoryWindow) {
        if device.shared.free(window) { return }
        // SAFETY: whole, from the function above, and the caller's to give back.
        _ = unsafe Mapping(owning: window)
    }

    // MARK: what there is

    /// The device, in a group of its own.
    public func inventory() throws(InventoryError) -> Inventory {
        let description = device.description
        let record = DeviceRecord(
            address: Self.deviceAddress, vendor: description.vendor, device: description.device,
            subsystemVendor: description.subsystemVendor, subsystem: description.subsystem,
            classCode: description.classAndRevision >> 8,
            revision: UInt8(truncatingIfNeeded: description.classAndRevision),
            driver: DriverRecord(named: "vfio-pci"), group: Self.groupNumber, isUnprotected: false,
            deviceNode: nil)
        return Inventory(
            devices: [record],
            groups: [GroupRecord(number: Self.groupNumber, devices: [Self.deviceAddress])],
            hasContainers: true, hasIOMMUFD: false)
    }
}

/// The kinds of open files.
enum UserFile {
    case container(UserContainer)
    case group(UserGroup)
    case device(UserDeviceFile)
    case migration(RemoteMigrationData)
}

/// A container; the group may be in it. Guarded by the host's lock.
final class UserContainer {
    /// What `VFIO_SET_IOMMU` chose.
    var type: Extension?
    var group: UserGroup?
}

/// The open group. Guarded by the host's lock.
final class UserGroup {
    var isHandleOpen = true
    var deviceFileCount = 0
    var container: UserContainer?
}

/// An open device. Guarded by the host's lock.
final class UserDeviceFile {
    let group: UserGroup
    /// The handle, and mappings of regions.
    var holderCount = 1

    init(_ group: UserGroup) { self.group = group }
}
