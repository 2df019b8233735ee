import IOVASpace
import LinuxSystem
import VFIOHost

/// What an IOMMU can do, as the host tells.
public struct IOMMUInfo: Sendable, Equatable {
    /// The page sizes, one bit each; the lowest is the unit of every mapping.
    public var pageSizes: UInt64
    /// Aperture less reserved ranges, ascending. All of the space where the host doesn't tell.
    public var usableRanges: [IOVARange]
    /// How many more mappings fit (`VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL`); nil where there is no limit.
    public var mappingsLeft: UInt32?
    /// The page sizes in which dirty pages can be reported, one bit each; 0 where they can't.
    public var dirtyPageSizes: UInt64
    /// The longest dirty bitmap that can be asked for, in bytes.
    public var longestDirtyBitmap: UInt64

    /// The DMA windows that the ranges are, each with a page size of its own; empty where the IOMMU has none (and
    /// every range the same page sizes).
    public var windows: [TCEWindow] = []

    /// Describes an IOMMU.
    public init(
        pageSizes: UInt64, usableRanges: [IOVARange], mappingsLeft: UInt32? = nil, dirtyPageSizes: UInt64 = 0,
        longestDirtyBitmap: UInt64 = 0
    ) {
        self.pageSizes = pageSizes
        self.usableRanges = usableRanges
        self.mappingsLeft = mappingsLeft
        self.dirtyPageSizes = dirtyPageSizes
        self.longestDirtyBitmap = longestDirtyBitmap
    }

    /// The unit of every mapping, in bytes: the smallest page size.
    public var smallestPage: UInt64 {
        pageSizes == 0 ? UInt64(pageSize) : pageSizes & (~pageSizes &+ 1)
    }
}

/// One of the ways in, once taken: it opens devices and maps memory for them.
///
/// Used under its address space's lock. When it goes, it gives everything back in the kernel's order.
protocol IOMMUBackend: AnyObject {
    var route: Route { get }

    /// The DMA windows, where the IOMMU has them.
    var tce: TCEBackend? { get }

    /// Opens a device and joins it to the address space. On an error nothing of it stays behind.
    /// - Parameter token: what is shown to its driver, if something is.
    func open(
        _ record: DeviceSummary, _ token: DeviceUUID?, _ inventory: Inventory
    ) throws(VFIOError) -> Handle

    /// A device that was opened here is about to be closed.
    /// - Returns: what to let go when it is: a group that nobody uses any more.
    func close(_ device: OpenHandle) -> AnyObject?

    /// The descriptor of a group, and what keeps it open; nil if the group isn't open here.
    func descriptor(ofGroup number: Int) -> KeptDescriptor?

    /// Lets the virtual machine that knows of the groups put a guest's entries into the windows itself.
    func setKernelTable(_ table: Int32) throws(VFIOError)

    /// What can be mapped, with the devices joined so far.
    func info() throws(Errno) -> IOMMUInfo

    /// Maps memory, at exactly this range.
    func map(_ memory: HostAddress, to range: IOVARange, _ permissions: DMAPermissions) throws(Errno)

    /// Maps memory of a file, at exactly this range.
    /// - Throws: `ENOTTY` where this way in maps memory by its address only.
    func map(
        file: Int32, at offset: UInt64, to range: IOVARange, _ permissions: DMAPermissions
    ) throws(Errno)

    /// Unmaps exactly this range.
    /// - Returns: how many bytes the host says that it unmapped.
    func unmap(_ range: IOVARange) throws(Errno) -> UInt64

    /// Unmaps exactly this range, and takes in the same step its dirty bits, one for each page; bit 0 of the first
    /// word is the range's first page.
    /// - Returns: how many bytes the host says that it unmapped.
    /// - Throws: `ENOTTY` where this way in has no such tracking. Nothing is unmapped when it throws.
    func unmap(_ range: IOVARange, pageSize: UInt64, dirtyBits words: inout [UInt64]) throws(Errno) -> UInt64

    /// Unmaps everything.
    /// - Returns: how many bytes the host says that it unmapped; nil if it doesn't have the request.
    func unmapAll() throws(Errno) -> UInt64?

    /// Starts or ends the tracking of pages that devices write.
    /// - Throws: `ENOTTY` where this way in has no such tracking.
    func setDirtyTracking(_ on: Bool) throws(Errno)

    /// Takes the dirty bits of a range, one for each page; bit 0 of the first word is the range's first page.
    func dirtyBits(of range: IOVARange, pageSize: UInt64, into words: inout [UInt64]) throws(Errno)

    /// Whether dirty bits end, without an error, at the first address that isn't mapped.
    var readsDirtyBitsUpToHoles: Bool { get }
}

/// A descriptor that stays open as long as `keeper` is there.
struct KeptDescriptor {
    let number: Int32
    let keeper: AnyObject
}

extension IOMMUBackend {
    var tce: TCEBackend? { nil }
    func descriptor(ofGroup number: Int) -> KeptDescriptor? { nil }
    var readsDirtyBitsUpToHoles: Bool { false }

    func map(
        file: Int32, at offset: UInt64, to range: IOVARange, _ permissions: DMAPermissions
    ) throws(Errno) {
        throw .noSuchRequest
    }

    /// Nobody else knows of windows.
    func setKernelTable(_ table: Int32) throws(VFIOError) {}
}

extension VirtualMachineFiles {
    /// Adds a handle, with an error for people.
    func add(_ handle: Int32, _ object: String) throws(VFIOError) {
        do throws(Errno) {
            try add(handle)
        } catch {
            throw VFIOError(
                operation: "tell the virtual machine of it", object: object, errno: error,
                cause: "KVM doesn't take it, and drivers that need KVM would fail later",
                remedy: error == .invalid || error == .badDescriptor
                    ? "KVM of Linux 6.6 or later takes devices; older ones take groups" : nil)
        }
    }
}
