import LinuxSystem

/// Everything that fails above the host seam: what was tried, on what, what the host answered, and where they
/// are known the cause and the remedy.
public struct VFIOError: Error, Equatable, Sendable, CustomStringConvertible {
    /// What was tried, as it follows "can't": "map 65536 bytes for DMA at IOVA 0x100000".
    public var operation: String
    /// What it was tried on: "0000:01:00.0", "group 26", "region 0 of 0000:01:00.0".
    public var object: String
    /// The host's answer; nil if the request wasn't sent because it couldn't succeed.
    public var errno: Errno?
    /// The kind of failure, for programs.
    public var code: Code
    /// Why, as a clause: "0000:04:00.1 is bound to snd_hda_intel".
    public var cause: String?
    /// What to do about it, as a clause: "bind it to vfio-pci: …".
    public var remedy: String?

    /// Describes a failure.
    public init(
        operation: String, object: String, errno: Errno? = nil, code: Code = .refused, cause: String? = nil,
        remedy: String? = nil
    ) {
        self.operation = operation
        self.object = object
        self.errno = errno
        self.code = code
        self.cause = cause
        self.remedy = remedy
    }

    /// All of it in one line: "group 26: can't be used: … (EPERM (1): operation not permitted). Remedy: …"
    public var description: String {
        var text = "\(object): can't \(operation)"
        if let cause { text += ": \(cause)" }
        if let errno { text += cause == nil ? ": \(errno)" : " [\(errno)]" }
        if let remedy { text += "; remedy: \(remedy)" }
        return text
    }

    /// The kind of a failure. New ones may come; compare, don't enumerate.
    public struct Code: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
        /// Its name.
        public let rawValue: String

        /// A kind with a name of the caller's own.
        public init(rawValue: String) { self.rawValue = rawValue }

        /// Its name.
        public var description: String { rawValue }

        /// The host said no and nothing more is known.
        public static let refused = Code(rawValue: "refused")
        /// There is no such device.
        public static let noSuchDevice = Code(rawValue: "noSuchDevice")
        /// The device has no driver.
        public static let noDriver = Code(rawValue: "noDriver")
        /// The device is bound to a driver that isn't VFIO's.
        public static let boundToOtherDriver = Code(rawValue: "boundToOtherDriver")
        /// There are no VFIO nodes: modules aren't loaded, or the kernel lacks them.
        public static let noVFIO = Code(rawValue: "noVFIO")
        /// The device has no IOMMU group, or one without an IOMMU.
        public static let noIOMMU = Code(rawValue: "noIOMMU")
        /// The user may not open a node, or lacks a capability.
        public static let permissionDenied = Code(rawValue: "permissionDenied")
        /// A member of the group keeps it from being used.
        public static let notViable = Code(rawValue: "notViable")
        /// Somebody else has it, or it is in a state that excludes the request.
        public static let busy = Code(rawValue: "busy")
        /// Something that isn't the caller's would be touched.
        public static let notOwned = Code(rawValue: "notOwned")
        /// The limit of locked memory is too low.
        public static let memlockLimit = Code(rawValue: "memlockLimit")
        /// The machine is out of memory or of huge pages.
        public static let noMemory = Code(rawValue: "noMemory")
        /// The memory to be mapped isn't there, or is read-only.
        public static let badMemory = Code(rawValue: "badMemory")
        /// An IOVA range isn't wholly inside what the IOMMU translates.
        public static let outsideAperture = Code(rawValue: "outsideAperture")
        /// An IOVA range touches a reserved one.
        public static let reservedRange = Code(rawValue: "reservedRange")
        /// An IOVA range touches one that is mapped already.
        public static let overlap = Code(rawValue: "overlap")
        /// No free IOVA range is long enough.
        public static let noSpace = Code(rawValue: "noSpace")
        /// The IOMMU's table of mappings is full.
        public static let entryLimit = Code(rawValue: "entryLimit")
        /// An address, length or offset isn't a multiple of what it must be one of.
        public static let misaligned = Code(rawValue: "misaligned")
        /// An offset, index or count is beyond the end.
        public static let outOfBounds = Code(rawValue: "outOfBounds")
        /// The host unmapped another number of bytes than were mapped: its state isn't what it should be.
        public static let unmappedSizeDiffers = Code(rawValue: "unmappedSizeDiffers")
        /// Fewer interrupt vectors are to be had than were asked for.
        public static let tooFewVectors = Code(rawValue: "tooFewVectors")
        /// The device, the IOMMU or the host doesn't have it.
        public static let notSupported = Code(rawValue: "notSupported")
        /// The address space has no device yet, so what it can translate isn't known.
        public static let noDeviceYet = Code(rawValue: "noDeviceYet")
        /// The host's answer contradicts the uAPI.
        public static let malformed = Code(rawValue: "malformed")
        /// The time ran out.
        public static let timedOut = Code(rawValue: "timedOut")
    }
}

/// A number as "0x…".
func hex(_ value: some BinaryInteger) -> String { "0x" + String(value, radix: 16) }

/// A count with its unit: "1 byte", "65536 bytes".
func counted(_ count: some BinaryInteger, _ unit: String) -> String {
    count == 1 ? "1 \(unit)" : "\(count) \(unit)s"
}
