import LinuxSystem

/// The kernel that this process runs on: the VFIO uAPI through real system calls.
///
/// Holds no state but where the nodes and the attributes are, so any number of them may be made.
public final class LinuxHost: Host {
    /// Where the device nodes are: "/dev".
    let devices: String
    /// Where sysfs is mounted: "/sys".
    let sysfs: String

    /// A host on this machine.
    /// - Parameters:
    ///   - devices: the folder of device nodes.
    ///   - sysfs: the folder where sysfs is mounted.
    public init(devices: String = "/dev", sysfs: String = "/sys") {
        self.devices = devices
        self.sysfs = sysfs
    }

    /// ``HostKind/linux``.
    public var kind: HostKind { .linux }

    /// Opens a node below the folder of device nodes, for reading and writing.
    public func open(_ node: Node) throws(Errno) -> Int32 {
        try Descriptor(opening: devices + "/" + node.path, .readWrite).release()
    }

    /// Closes a handle: close(2).
    public func close(_ handle: Int32) { _ = Descriptor(owning: handle) }

    /// Sends a request: ioctl(2), repeated when a signal interrupts it.
    public func control(_ handle: Int32, _ request: UInt32, _ argument: UInt) throws(Errno) -> Int32 {
        try Descriptor.control(handle, UInt(request), argument)
    }

    /// pread(2).
    public func read(_ handle: Int32, at offset: UInt64, into bytes: inout MutableRawSpan) throws(Errno)
        -> Int
    {
        try Descriptor.read(handle, at: offset, into: &bytes)
    }

    /// pwrite(2).
    public func write(_ handle: Int32, at offset: UInt64, _ bytes: RawSpan) throws(Errno) -> Int {
        try Descriptor.write(handle, at: offset, bytes)
    }

    /// read(2).
    public func read(_ handle: Int32, into bytes: inout MutableRawSpan) throws(Errno) -> Int {
        try Descriptor.read(handle, into: &bytes)
    }

    /// write(2).
    public func write(_ handle: Int32, _ bytes: RawSpan) throws(Errno) -> Int {
        try Descriptor.write(handle, bytes)
    }

    /// mmap(2), shared.
    public func map(
        _ handle: Int32, at offset: UInt64, byteCount: Int, protection: Mapping.Protection
    ) throws(Errno) -> MemoryWindow {
        try Mapping(sharing: handle, at: offset, byteCount: byteCount, protection: protection).release()
    }

    /// munmap(2).
    public func unmap(_ window: MemoryWindow) {
        // SAFETY: the window came from `map`, which gave its mapping away, and is handed back once.
        _ = unsafe Mapping(owning: window)
    }
}
