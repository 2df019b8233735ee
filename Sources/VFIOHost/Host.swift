import LinuxSystem

/// Who answers the VFIO uAPI: a kernel, this process, or a server behind a socket.
///
/// The seam is the uAPI itself: nodes are opened, numbered requests are sent with byte-exact structures,
/// regions are read, written and mapped at offsets. What a host answers, errno by errno, is what Linux
/// answers (kernel.md); everything above the seam runs on every host unchanged.
///
/// Handles are real descriptor numbers of this process on every host, because uAPI structures carry them. A
/// host may be used from any thread.
public protocol Host: AnyObject, Sendable {
    /// Which kind of host this is, for messages.
    var kind: HostKind { get }

    /// Opens a node for reading and writing.
    /// - Returns: a descriptor number that the caller closes with ``close(_:)``.
    /// - Throws: the errno that open(2) on the node has: `ENOENT`, `EACCES`, `EBUSY`, `ENODEV`, …
    func open(_ node: Node) throws(Errno) -> Int32

    /// Closes a handle. What depended on it is torn down in the kernel's order (kernel.md A.7).
    func close(_ handle: Int32)

    /// Sends a request (an ioctl).
    /// - Parameters:
    ///   - request: its number, e.g. `VFIO_GET_API_VERSION`.
    ///   - argument: what the request takes: an integer, or the address of a structure. A wrong address is
    ///     answered with `EFAULT`.
    /// - Returns: the non-negative result; positive results have a meaning of their own for some requests.
    func control(_ handle: Int32, _ request: UInt32, _ argument: UInt) throws(Errno) -> Int32

    /// Reads from a handle at an offset, as pread(2).
    /// - Returns: how many bytes were read.
    func read(_ handle: Int32, at offset: UInt64, into bytes: inout MutableRawSpan) throws(Errno) -> Int

    /// Writes to a handle at an offset, as pwrite(2).
    /// - Returns: how many bytes were written.
    func write(_ handle: Int32, at offset: UInt64, _ bytes: RawSpan) throws(Errno) -> Int

    /// Reads what comes next from a handle that is a stream, as read(2): a migration's data.
    /// - Returns: how many bytes were read; 0 at the end.
    /// - Throws: the errno of read(2), e.g. `ENOMSG` where nothing is left for now, `ENODEV` after the migration.
    func read(_ handle: Int32, into bytes: inout MutableRawSpan) throws(Errno) -> Int

    /// Writes what comes next to a handle that is a stream, as write(2): a migration's data.
    /// - Returns: how many bytes were written.
    func write(_ handle: Int32, _ bytes: RawSpan) throws(Errno) -> Int

    /// Maps a part of a handle's memory, shared, as mmap(2).
    ///
    /// The mapping keeps the device open until ``unmap(_:)``, also after its handle is closed.
    /// - Parameters:
    ///   - offset: a multiple of the page size.
    ///   - byteCount: rounded up to whole pages.
    /// - Throws: the errno of mmap(2), e.g. `EINVAL` for a region that can't be mapped.
    func map(
        _ handle: Int32, at offset: UInt64, byteCount: Int, protection: Mapping.Protection
    ) throws(Errno) -> MemoryWindow

    /// Ends a mapping. No access through its window may follow.
    func unmap(_ window: MemoryWindow)

    /// Zeroed memory of this process for DMA, in the form that suits the host: one whose devices live in another
    /// process needs memory that can be shared. Memory from elsewhere can be mapped for DMA too.
    /// - Parameters:
    ///   - byteCount: rounded up to whole pages.
    ///   - pages: what kind of pages back it.
    /// - Returns: the memory, whole pages; to be given back with ``freeMemory(_:)``.
    /// - Throws: `EINVAL` for a length that isn't positive; `ENOMEM`.
    func allocateMemory(byteCount: Int, pages: Mapping.PageKind) throws(Errno) -> MemoryWindow

    /// Frees memory of ``allocateMemory(byteCount:pages:)``. No access through its window may follow, and no device
    /// may reach it any more.
    func freeMemory(_ window: MemoryWindow)

    /// What there is: devices, groups, drivers, names. On Linux, what sysfs tells.
    func inventory() throws(InventoryError) -> Inventory
}

extension Host {
    /// For hosts that have no streams.
    /// - Throws: `EINVAL`
    public func read(_ handle: Int32, into bytes: inout MutableRawSpan) throws(Errno) -> Int {
        throw .invalid
    }

    /// For hosts that have no streams.
    /// - Throws: `EINVAL`
    public func write(_ handle: Int32, _ bytes: RawSpan) throws(Errno) -> Int { throw .invalid }

    /// Memory of this process alone, which is all that a host in this process or in its kernel needs.
    public func allocateMemory(byteCount: Int, pages: Mapping.PageKind) throws(Errno) -> MemoryWindow {
        try Mapping(anonymous: byteCount, pages: pages).release()
    }

    /// Frees memory of this process alone.
    public func freeMemory(_ window: MemoryWindow) {
        // SAFETY: a whole mapping, given away by the function above.
        _ = unsafe Mapping(owning: window)
    }
}

/// The kinds of hosts.
public enum HostKind: Sendable, Equatable {
    /// The kernel that this process runs on.
    case linux
    /// A VFIO kernel inside this process.
    case software
    /// A server that speaks vfio-user.
    case vfioUser
}

/// A node of the VFIO interface in /dev.
public enum Node: Sendable, Equatable {
    /// `/dev/vfio/vfio`: a new container.
    case container
    /// `/dev/vfio/<number>`: a group behind an IOMMU.
    case group(Int)
    /// `/dev/vfio/noiommu-<number>`: a group without an IOMMU.
    case unprotectedGroup(Int)
    /// `/dev/vfio/devices/vfio<number>`: a device.
    case device(Int)
    /// `/dev/iommu`: a new iommufd.
    case iommu

    /// The node's path below `/dev`.
    public var path: String {
        switch self {
        case .container: "vfio/vfio"
        case .group(let number): "vfio/\(number)"
        case .unprotectedGroup(let number): "vfio/noiommu-\(number)"
        case .device(let number): "vfio/devices/vfio\(number)"
        case .iommu: "iommu"
        }
    }

    /// The node with a path such as "/dev/vfio/26"; nil if the path isn't one of a node's.
    public init?(path: String) {
        var rest = Substring(path).utf8
        func take(_ text: StaticString, from rest: inout Substring.UTF8View) -> Bool {
            let count = text.utf8CodeUnitCount
            // SAFETY: a StaticString's text is a constant of that length.
            let wanted = unsafe UnsafeBufferPointer(start: text.utf8Start, count: count)
            guard unsafe rest.prefix(count).elementsEqual(wanted) else { return false }
            rest = rest.dropFirst(count)
            return true
        }
        func number(_ digits: Substring.UTF8View) -> Int? {
            guard !digits.isEmpty, digits.count <= 9 else { return nil }
            var value = 0
            for digit in digits {
                guard digit >= UInt8(ascii: "0") && digit <= UInt8(ascii: "9") else { return nil }
                value = value * 10 + Int(digit - UInt8(ascii: "0"))
            }
            return value
        }
        guard take("/dev/", from: &rest) else { return nil }
        if rest.elementsEqual(Node.iommu.path.utf8) {
            self = .iommu
        } else if rest.elementsEqual(Node.container.path.utf8) {
            self = .container
        } else if take("vfio/devices/vfio", from: &rest), let value = number(rest) {
            self = .device(value)
        } else if take("vfio/noiommu-", from: &rest), let value = number(rest) {
            self = .unprotectedGroup(value)
        } else if take("vfio/", from: &rest), let value = number(rest) {
            self = .group(value)
        } else {
            return nil
        }
    }
}

/// An open handle with exactly one owner; closed when the owner goes.
public struct Handle: ~Copyable, Sendable {
    /// The host that answers.
    public let host: any Host
    /// The descriptor's number, e.g. for a uAPI structure. Valid as long as this owner lives.
    public let number: Int32

    /// Opens a node.
    public init(opening node: Node, on host: any Host) throws(Errno) {
        self.host = host
        number = try host.open(node)
    }

    /// Takes over a handle that a request returned.
    public init(owning number: Int32, on host: any Host) {
        self.host = host
        self.number = number
    }

    /// False once the number was given away.
    private var isOwner = true

    deinit { if isOwner { host.close(number) } }

    /// Gives the number away; the caller closes it with ``Host/close(_:)``.
    public consuming func release() -> Int32 {
        isOwner = false
        return number
    }

    /// Sends a request with an integer, or without an argument.
    /// - Returns: the non-negative result.
    @discardableResult
    public func control(_ request: UInt32, _ argument: UInt = 0) throws(Errno) -> Int32 {
        try host.control(number, request, argument)
    }

    /// Sends a request with a structure, which the host may change.
    /// - Returns: the non-negative result.
    @discardableResult
    public func control<T: BitwiseCopyable>(_ request: UInt32, _ structure: inout T) throws(Errno) -> Int32 {
        // SAFETY: the address is used during the call only; the structure declares its own size (argsz).
        try unsafe withUnsafeMutableBytes(of: &structure) { (bytes) throws(Errno) -> Int32 in
            try host.control(number, request, UInt(bitPattern: bytes.baseAddress))
        }
    }

    /// Sends a request with a structure that is followed by further data, in one buffer.
    ///
    /// The buffer's first word (`argsz`) must not say more than the buffer holds.
    /// - Returns: the non-negative result.
    @discardableResult
    public func control(_ request: UInt32, bytes: inout [UInt8]) throws(Errno) -> Int32 {
        var span = bytes.mutableSpan
        // SAFETY: the address is used during the call only.
        return try unsafe span.withUnsafeMutableBytes { (bytes) throws(Errno) -> Int32 in
            try host.control(number, request, UInt(bitPattern: bytes.baseAddress))
        }
    }

    /// Reads at an offset.
    /// - Returns: how many bytes were read.
    public func read(at offset: UInt64, into bytes: inout MutableRawSpan) throws(Errno) -> Int {
        try host.read(number, at: offset, into: &bytes)
    }

    /// Reads what comes next from a stream.
    /// - Returns: how many bytes were read; 0 at the end.
    public func read(into bytes: inout MutableRawSpan) throws(Errno) -> Int {
        try host.read(number, into: &bytes)
    }

    /// Writes what comes next to a stream.
    /// - Returns: how many bytes were written.
    public func write(_ bytes: RawSpan) throws(Errno) -> Int { try host.write(number, bytes) }

    /// Writes at an offset.
    /// - Returns: how many bytes were written.
    public func write(at offset: UInt64, _ bytes: RawSpan) throws(Errno) -> Int {
        try host.write(number, at: offset, bytes)
    }
}
