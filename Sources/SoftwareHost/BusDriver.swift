import DeviceModel
import IOVASpace
import LinuxSystem
import VFIOHost

/// What a bus driver (vfio-pci, later platform and mdev) does for one device, below the core that knows
/// containers, groups and handles: Linux's `vfio_device_ops`.
///
/// The core calls ``openDevice()`` when the first handle of the device is opened and ``closeDevice()`` when
/// the last is gone (mappings count as handles), never both at once. All else may come from any thread.
protocol BusDriver: AnyObject {
    /// First open (kernel.md D.1). On an error nothing is left open.
    func openDevice() throws(Errno)

    /// Last close (kernel.md D.1): bus mastering off, interrupts torn down, device reset and quiesced.
    func closeDevice()

    /// A request has come, before anything is read of it: a sleeping device wakes up.
    func beginUse()

    /// The request has been answered.
    func endUse()

    /// The driver, if it is the one for PCI devices; for what only those have.
    var pci: PCIBusDriver? { get }

    /// Whether the device can't be opened before its group belongs to a virtual machine (kernel.md G.5).
    var needsVirtualMachine: Bool { get }

    /// Looks whether the parameters of the kernel's modules allow the device. Called once, before it is registered.
    func admit(_ parameters: ModuleParameters) throws(Errno)

    /// Who moves the device to another host, if that can be done.
    var mover: (any DeviceMover)? { get }

    /// Whether the device hands out the memory of its pictures.
    var hasPlaneMemory: Bool { get }

    /// The memory that a number of `VFIO_DEVICE_QUERY_GFX_PLANE` stands for.
    /// - Throws: `ENOTTY` for a device that has none; `ENOENT`, `EINVAL`.
    func planeMemory(_ id: UInt32) throws(Errno) -> PlaneMemory

    /// A request that the core doesn't answer itself. The core answers `VFIO_DEVICE_GET_REGION_INFO`'s copying
    /// (through ``regionInfo(index:)``), `VFIO_DEVICE_FEATURE`'s framework, BIND, ATTACH, DETACH and hot resets.
    /// - Throws: `ENOTTY` for unknown requests.
    func control(_ request: UInt32, _ argument: UInt) throws(Errno) -> Int32

    /// What `VFIO_DEVICE_GET_REGION_INFO` tells of a region.
    /// - Throws: `EINVAL` for an index that doesn't exist.
    func regionInfo(index: UInt32) throws(Errno) -> RegionDescription

    /// Carries out a device feature after the core checked `argsz` and `flags` (kernel.md A.7 FEATURE).
    /// - Parameters:
    ///   - id: the feature's number.
    ///   - operation: GET, SET or both (with PROBE).
    ///   - isProbe: only tell whether `operation` is supported.
    ///   - payload: the address of the data, `room` bytes long.
    /// - Throws: `ENOTTY` for an unknown feature.
    func feature(
        _ id: UInt32, _ operation: FeatureOperation, isProbe: Bool, payload: HostAddress, room: UInt32
    ) throws(Errno) -> Int32

    /// Reads at an offset of the device's handle (kernel.md D.4).
    func read(at offset: UInt64, into bytes: inout MutableRawSpan) throws(Errno) -> Int

    /// Writes at an offset of the device's handle (kernel.md D.4).
    func write(at offset: UInt64, _ bytes: RawSpan) throws(Errno) -> Int

    /// Maps a part of a region (kernel.md D.5).
    func map(at offset: UInt64, byteCount: Int, protection: Mapping.Protection) throws(Errno) -> MemoryWindow

    /// Ends a mapping that ``map(at:byteCount:protection:)`` made.
    func unmap(_ window: MemoryWindow)

    /// The address space that the device's DMA goes through from now on; nil blocks all DMA. Set by the core
    /// when the device's group or the device itself is attached and detached.
    func attach(to addressSpace: (any DMAAddressSpace)?)

    /// Asks whoever has the device open to give it back (kernel.md A.11). Called with no lock held, at once and
    /// then at intervals, while somebody wants to take the device from its driver.
    /// - Parameter count: how many times it was asked before.
    func requestRelease(count: Int)

    /// The device is taken from this driver; it isn't open. Another driver may get it right after this.
    func withdraw()

    // MARK: faults on demand

    /// Reads at an offset of the device's handle while the device doesn't answer.
    func readAbsent(at offset: UInt64, into bytes: inout MutableRawSpan) throws(Errno) -> Int

    /// Writes at an offset of the device's handle while the device doesn't answer.
    func writeAbsent(at offset: UInt64, _ bytes: RawSpan) throws(Errno) -> Int

    /// `VFIO_DEVICE_RESET` while the device doesn't answer.
    func resetAbsent() throws(Errno) -> Int32

    /// The device has stopped to answer, or answers again: mappings show that from now on. Called with no lock
    /// held.
    /// - Parameter reportsError: whether the user is told of an uncorrectable error.
    func presenceChanged(isAbsent: Bool, reportsError: Bool)
}

extension BusDriver {
    func beginUse() {}
    func endUse() {}
    var pci: PCIBusDriver? { nil }
    func admit(_ parameters: ModuleParameters) throws(Errno) {}
    var needsVirtualMachine: Bool { false }
    var mover: (any DeviceMover)? { nil }
    var hasPlaneMemory: Bool { false }
    func planeMemory(_ id: UInt32) throws(Errno) -> PlaneMemory { throw .noSuchRequest }
}

/// One region as its driver describes it; the core turns it into `struct vfio_region_info` and the capability
/// chain.
struct RegionDescription {
    /// `VFIO_REGION_INFO_FLAG_READ` and so on, without `CAPS`.
    var flags: UInt32
    /// Bytes.
    var size: UInt64
    /// Where in the handle's offsets it begins.
    var offset: UInt64
    /// Areas that may be mapped, where not all of the region may: `VFIO_REGION_INFO_CAP_SPARSE_MMAP`.
    var sparseAreas: [(offset: UInt64, size: UInt64)] = []
    /// Whether `VFIO_REGION_INFO_CAP_MSIX_MAPPABLE` is given.
    var isMSIXMappable = false
    /// `VFIO_REGION_INFO_CAP_TYPE`, for device-specific regions.
    var type: (type: UInt32, subtype: UInt32)?
}

/// What a device's DMA goes through: a container's IOMMU or an IOAS. Implemented by the core's mappings, used
/// by the slots of the bus drivers; may be called from any thread.
///
/// An unmapping waits until accesses under way have ended.
protocol DMAAddressSpace: AnyObject, Sendable {
    /// See `PCISlot.readMemory`.
    func readMemory(at iova: IOVA, into bytes: inout MutableRawSpan) throws(DMAFault)
    /// See `PCISlot.writeMemory`.
    func writeMemory(_ bytes: RawSpan, at iova: IOVA) throws(DMAFault)
    /// See `PCISlot.withMemory`.
    func withMemory(
        at iova: IOVA, byteCount: Int, for access: DMAAccess, _ body: (MemoryWindow) -> Bool
    ) throws(DMAFault)
}
