import LinuxSystem
import SoftwareHost
import VFIOABI
import VFIOHost

/// A disk that was opened the long way: container, group, IOMMU, device, memory, an interrupt.
///
/// Every handle is a number, as in a program in C; ``close()`` gives them back in order.
final class OpenDisk {
    let host: SoftwareHost
    let container: Int32
    let group: Int32
    let device: Int32
    let memory: Mapping
    let interrupt: EventDescriptor
    /// Where devices see the memory.
    let iova: UInt64 = 0x10_0000
    /// Where the device's handle has its first BAR and its configuration space.
    private let registers: UInt64
    private let configuration: UInt64

    init(on host: SoftwareHost) throws(CheckFailure) {
        self.host = host
        container = try attempt("open the container") { () throws(Errno) in try host.open(.container) }
        let container = container
        group = try attempt("open the group") { () throws(Errno) in try host.open(.group(26)) }
        let group = group
        let version = try attempt("ask for the version") { () throws(Errno) in
            try Self.send(host, container, .getAPIVersion)
        }
        try require(version == UAPI.version, "the version differs")
        var status = GroupStatus()
        try Self.send(host, group, .groupGetStatus, &status, "ask for the group's status")
        try require(status.flags.contains(.viable), "the group isn't viable")
        var number = container
        try Self.send(host, group, .groupSetContainer, &number, "join the container")
        _ = try attempt("set the IOMMU") { () throws(Errno) in
            try Self.send(host, container, .setIOMMU, IOMMUType.type1v2.rawValue)
        }
        device = try Self.openDevice(host, group)
        let device = device
        registers = try Self.regionOffset(host, device, 0)
        configuration = try Self.regionOffset(host, device, 7)
        let byteCount = Page.mappedCount * pageSize
        memory = try attempt("allocate memory") { () throws(Errno) in try Mapping(anonymous: byteCount) }
        interrupt = try attempt("make an eventfd") { () throws(Errno) in try EventDescriptor() }
        var map = DMAMap(
            flags: [.read, .write], vaddr: UInt64(memory.window.address.rawValue), iova: iova,
            size: UInt64(byteCount))
        try Self.send(host, container, .iommuMapDMA, &map, "map memory")
        try enableInterrupt()
        // Memory and bus mastering on.
        try store(UInt16(6), at: configuration + 4)
    }

    /// Closes everything in order. The group refuses a second user until then.
    func close() throws(CheckFailure) {
        var second: Errno?
        do throws(Errno) {
            host.close(try host.open(.group(26)))
        } catch {
            second = error
        }
        try require(second == .busy, "the group can be opened twice")
        var unmap = DMAUnmap(iova: iova, size: UInt64(memory.window.byteCount))
        try Self.send(host, container, .iommuUnmapDMA, &unmap, "unmap the memory")
        try require(unmap.size == UInt64(memory.window.byteCount), "the unmapped size differs")
        host.close(device)
        host.close(group)
        host.close(container)
    }

    func load32(_ offset: UInt64) throws(CheckFailure) -> UInt32 {
        var one = InlineArray<1, UInt32>(repeating: 0)
        var span = one.mutableSpan
        // SAFETY: any four bytes are a UInt32.
        var bytes = unsafe span.mutableBytes
        do throws(Errno) {
            _ = try host.read(device, at: registers + offset, into: &bytes)
        } catch {
            throw CheckFailure("read a register", error)
        }
        return one[0]
    }

    func store32(_ offset: UInt64, _ value: UInt32) throws(CheckFailure) {
        try store(value, at: registers + offset)
    }

    private func store<T: FixedWidthInteger & BitwiseCopyable>(
        _ value: T, at offset: UInt64
    ) throws(CheckFailure) {
        let one = InlineArray<1, T>(repeating: value)
        do throws(Errno) {
            // SAFETY: an integer has no padding: all its bytes are initialised.
            _ = try host.write(device, at: offset, unsafe one.span.bytes)
        } catch {
            throw CheckFailure("write a register", error)
        }
    }

    /// The first MSI-X vector, signalled to the eventfd.
    private func enableInterrupt() throws(CheckFailure) {
        var request = EnableOne(
            header: IRQSet(
                argsz: UInt32(EnableOne.byteCount), flags: [.dataEventFD, .actionTrigger], index: 2, count: 1),
            descriptor: interrupt.number)
        try Self.send(host, device, .deviceSetIRQs, &request, "enable an interrupt")
    }

    private static func openDevice(_ host: SoftwareHost, _ group: Int32) throws(CheckFailure) -> Int32 {
        // Twelve characters and their end.
        var name = InlineArray<16, UInt8>(repeating: 0)
        for (index, byte) in "0000:01:00.0".utf8.enumerated() { name[index] = byte }
        return try attempt("open the device") { () throws(Errno) in
            // SAFETY: the address is used during the call only, and the text ends with a 0.
            try unsafe name.span.withUnsafeBytes { (bytes) throws(Errno) in
                try send(host, group, .groupGetDeviceFD, UInt(bitPattern: bytes.baseAddress))
            }
        }
    }

    private static func regionOffset(
        _ host: SoftwareHost, _ device: Int32, _ index: UInt32
    ) throws(CheckFailure) -> UInt64 {
        var info = RegionInfo(index: index)
        try send(host, device, .deviceGetRegionInfo, &info, "ask about a region")
        try require(info.size > 0, "a region is empty")
        return info.offset
    }

    private static func send(
        _ host: SoftwareHost, _ handle: Int32, _ request: Request, _ argument: UInt = 0
    ) throws(Errno) -> Int32 {
        try host.control(handle, UInt32(truncatingIfNeeded: request.rawValue), argument)
    }

    private static func send<T: ABIValue>(
        _ host: SoftwareHost, _ handle: Int32, _ request: Request, _ structure: inout T, _ what: StaticString
    ) throws(CheckFailure) {
        do throws(Errno) {
            // SAFETY: the address is used during the call only; the structure declares its own size.
            _ = try unsafe withUnsafeMutableBytes(of: &structure) { (bytes) throws(Errno) -> Int32 in
                try send(host, handle, request, UInt(bitPattern: bytes.baseAddress))
            }
        } catch {
            throw CheckFailure(what, error)
        }
    }
}

/// `vfio_irq_set` with one eventfd behind it.
struct EnableOne: ABIValue {
    var header: IRQSet
    var descriptor: Int32
}

/// What each page of the memory is for.
enum Page: Int {
    case adminSubmission
    case adminCompletion
    case submission
    case completion
    case data
    case otherData
    /// The first that isn't mapped.
    case unmapped

    static let mappedCount = 6
}
