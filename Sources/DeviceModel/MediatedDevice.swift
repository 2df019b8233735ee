import LinuxSystem
import VFIOABI

/// A mediated device: one that a driver of the kernel makes up, and that programs use through VFIO as if it were a
/// PCI device (kernel.md G.6).
///
/// It isn't plugged into a bus: its driver answers for it, with regions where it wants to have them and a
/// configuration space that is memory like any other. Hosts make one call at a time.
///
/// **Hostile input.** Accesses lie inside a region and are naturally aligned: the host sees to that. Values and
/// sequences come from an untrusted program and must never trap or allocate without bound.
public protocol MediatedDevice: AnyObject {
    /// Its interrupts; the device makes it in its initialiser and keeps it.
    var port: MediatedPort { get }

    /// What `VFIO_DEVICE_GET_INFO` gives as the number of regions.
    var regionCount: UInt32 { get }

    /// Its regions. Indexes below ``regionCount`` without one are told as empty.
    var regions: [MediatedRegion] { get }

    /// Answers a read of a region that isn't memory.
    /// - Parameters:
    ///   - region: the region's index.
    ///   - offset: bytes from its beginning.
    ///   - width: 1, 2 or 4 bytes.
    /// - Returns: the value in the low `width` bytes.
    func read(region: UInt32, at offset: UInt64, width: Int) -> UInt32

    /// Carries out a write to a region that isn't memory.
    func write(region: UInt32, at offset: UInt64, width: Int, value: UInt32)

    /// `VFIO_DEVICE_RESET`
    func reset()

    /// The last user has gone. Nothing happens unless the device says otherwise.
    func close()

    /// Whether its driver answers questions about interrupts only after `VFIO_DEVICE_GET_INFO` was asked once, as
    /// some of Linux's samples do; false unless the device says otherwise.
    var remembersInterruptCount: Bool { get }

    /// Its state as it goes to another host; nil for a device that stays where it is.
    var movable: (any MovableMediatedDevice)? { get }

    /// Answers `VFIO_DEVICE_QUERY_GFX_PLANE`.
    /// - Parameter plane: the question, and the answer.
    /// - Throws: `ENOTTY` for a device without a display; `EINVAL` for a way to the plane that it doesn't offer.
    func describePlane(_ plane: inout GFXPlaneInfo) throws(Errno)

    /// The memory of a plane that ``describePlane(_:)`` gave a number: `VFIO_DEVICE_GET_GFX_DMABUF`.
    /// - Throws: `ENOTTY` for a device that doesn't hand out memory; `ENOENT` for an unknown number.
    func planeMemory(_ id: UInt32) throws(Errno) -> PlaneMemory
}

extension MediatedDevice {
    /// Nothing to do.
    public func close() {}
    /// Answers at once.
    public var remembersInterruptCount: Bool { false }
    /// Stays where it is.
    public var movable: (any MovableMediatedDevice)? { nil }
    /// No display.
    public func describePlane(_ plane: inout GFXPlaneInfo) throws(Errno) { throw .noSuchRequest }
    /// No memory to hand out.
    public func planeMemory(_ id: UInt32) throws(Errno) -> PlaneMemory { throw .noSuchRequest }
}

/// A region of a mediated device.
public struct MediatedRegion: Sendable {
    /// Its index.
    public var index: UInt32
    /// Where it begins in the offsets of the device's handle. Regions may show the same bytes, but not overlap
    /// otherwise.
    public var offset: UInt64
    /// Its length in bytes; 0 for one that is only there to be asked about.
    public var byteCount: UInt64
    /// What kind it is (`VFIO_REGION_INFO_CAP_TYPE`), for one that has no fixed meaning.
    public var kind: Kind?
    /// The memory that it is, where it is just that: it can be mapped.
    public var memory: SharedMemoryFile?

    /// Type and subtype of a region.
    public struct Kind: Sendable {
        /// What the subtype's meaning depends on.
        public var type: RegionType
        /// What it is.
        public var subtype: RegionSubtype

        /// A kind.
        public init(_ type: RegionType, _ subtype: RegionSubtype) {
            self.type = type
            self.subtype = subtype
        }
    }

    /// A region that can be read and written.
    public init(
        _ index: UInt32, at offset: UInt64, byteCount: UInt64, kind: Kind? = nil,
        memory: SharedMemoryFile? = nil
    ) {
        self.index = index
        self.offset = offset
        self.byteCount = byteCount
        self.kind = kind
        self.memory = memory
    }
}

/// Memory that others can map: a file without a name, and its mapping here.
public final class SharedMemoryFile: Sendable {
    private let file: Descriptor
    private let mapping: Mapping

    /// Memory of zeros, which takes up space where it was touched only.
    /// - Parameter byteCount: above 0.
    /// - Throws: what the operating system says.
    public init(byteCount: Int) throws(Errno) {
        file = try MemoryFile.create("device-memory", byteCount: UInt64(byteCount))
        mapping = try Mapping(sharing: file.number, at: 0, byteCount: byteCount)
    }

    /// The memory; valid as long as this object.
    public var window: MemoryWindow { mapping.window }
    /// The file's descriptor; valid as long as this object.
    public var descriptor: Int32 { file.number }
}

/// A part of a device's memory that holds a picture.
public struct PlaneMemory: Sendable {
    /// The memory.
    public var file: SharedMemoryFile
    /// Where the picture begins in it: a multiple of the page size.
    public var offset: UInt64
    /// The picture's length in bytes.
    public var byteCount: UInt64

    /// A part of a device's memory.
    public init(_ file: SharedMemoryFile, at offset: UInt64, byteCount: UInt64) {
        self.file = file
        self.offset = offset
        self.byteCount = byteCount
    }
}

/// The way of a mediated device to its user: an interrupt, which the user takes as a line or as a message.
public final class MediatedPort: Sendable {
    /// Whether the device has an interrupt at all.
    public let hasInterrupt: Bool
    /// What becomes of the interrupt.
    package let interrupts = MediatedInterrupts()

    /// A way for a device.
    /// - Parameter hasInterrupt: whether it ever raises an interrupt.
    public init(hasInterrupt: Bool) { self.hasInterrupt = hasInterrupt }

    /// Raises the interrupt. As a line it is masked then, until the user unmasks it; what is raised meanwhile is
    /// lost. May be called from any thread.
    public func raise() { interrupts.raise() }
}

/// The state of a mediated device on its way to another host. What its driver sends is the driver's own affair: this
/// is what Linux's sample drivers have.
public protocol MovableMediatedDevice: AnyObject {
    /// How it can be moved; always with `stopCopy`.
    var migrationCapabilities: MigrationCapabilities { get }

    /// How many bytes a state has.
    var stateByteCount: Int { get }

    /// What a state begins with: it is known while the device works.
    var stateHeader: [UInt8] { get }

    /// What follows the header.
    func saveState() -> [UInt8]

    /// Whether a state that begins like this can be taken.
    /// - Parameter header: as many bytes as ``stateHeader`` has.
    func accepts(header: [UInt8]) -> Bool

    /// Takes over what follows the header.
    /// - Parameter bytes: so many that the whole has ``stateByteCount``. They may be anybody's: nothing may trap, and
    ///   nothing may change before all of them were checked.
    /// - Throws: what is wrong with them.
    func loadState(_ bytes: [UInt8]) throws(MigrationError)
}
