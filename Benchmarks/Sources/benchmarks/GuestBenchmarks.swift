import LinuxSystem
import SoftwareDevices
import SoftwareHost
import VFIO
import VFIOABI
import VFIOGuest
import VFIOHost

let guestSuite = Suite(
    name: "guest",
    summary: "a guest's memory and devices: connecting, changing, translating, finding what was written"
) { options in
    let references = References(options)
    references.print()
    do {
        try measureConnecting(options)
        try measureChanging(options, references)
        try measureMerging(options)
        try measureDevices(options)
        try countGuestObjects(options)
    } catch {
        print("guest: \(error)")
    }
}

/// A host that answers at once when memory is mapped or unmapped, or dirty pages are asked for, and looks at none of
/// it: what is left is the time of those who ask.
final class PromptHost: Host, @unchecked Sendable {
    private let host: SoftwareHost
    private let keepsLogs: Bool
    private let lock = Lock()
    // Guarded by the lock.
    private var containers: [Int32] = []

    /// - Parameter keepsLogs: whether its devices seem to log what they write.
    init(_ host: SoftwareHost, keepsLogs: Bool) {
        self.host = host
        self.keepsLogs = keepsLogs
    }

    var kind: HostKind { host.kind }
    func open(_ node: Node) throws(Errno) -> Int32 {
        let handle = try host.open(node)
        if node == .container { lock.withLock { containers.append(handle) } }
        return handle
    }
    func close(_ handle: Int32) {
        lock.withLock { containers.removeAll { $0 == handle } }
        host.close(handle)
    }
    func control(_ handle: Int32, _ request: UInt32, _ argument: UInt) throws(Errno) -> Int32 {
        switch Request(rawValue: UInt(request)) {
        // An answer says in the question's place how much was unmapped; who asks for a bitmap has cleared it.
        case .iommuMapDMA, .iommuUnmapDMA, .iommuDirtyPages:
            // The last has the same number as a device's VFIO_DEVICE_FEATURE.
            if keepsLogs || lock.withLock({ containers.contains(handle) }) { return 0 }
        default: break
        }
        return try host.control(handle, request, argument)
    }
    func read(_ handle: Int32, at offset: UInt64, into bytes: inout MutableRawSpan) throws(Errno) -> Int {
        try host.read(handle, at: offset, into: &bytes)
    }
    func write(_ handle: Int32, at offset: UInt64, _ bytes: RawSpan) throws(Errno) -> Int {
        try host.write(handle, at: offset, bytes)
    }
    func map(
        _ handle: Int32, at offset: UInt64, byteCount: Int, protection: Mapping.Protection
    ) throws(Errno) -> MemoryWindow {
        try host.map(handle, at: offset, byteCount: byteCount, protection: protection)
    }
    func unmap(_ window: MemoryWindow) { host.unmap(window) }
    func inventory() throws(InventoryError) -> Inventory { try host.inventory() }
}

/// A machine with two groups of a device each: one for a guest, one for what it is compared with.
struct GuestHost {
    /// The guest's device.
    static let address = PCIAddress(bus: 1, device: 0, function: 0)
    let machine: SoftwareHost
    /// What the guest's side uses.
    let host: any Host

    /// - Parameters:
    ///   - isPrompt: whether what is mapped isn't looked at.
    ///   - isEmulated: whether the devices have no IOMMU behind them, and so nothing is pinned for them.
    ///   - keepsLogs: whether the devices seem to log what they write, where what is mapped isn't looked at.
    init(isPrompt: Bool = false, isEmulated: Bool = false, keepsLogs: Bool = false) throws {
        machine = try SoftwareHost {
            IOMMUGroup(1, isEmulated: isEmulated) { PCIDevice(Educational(), at: GuestHost.address) }
            IOMMUGroup(2, isEmulated: isEmulated) { PCIDevice(Educational(), at: "0000:02:00.0") }
        }
        host = isPrompt ? PromptHost(machine, keepsLogs: keepsLogs) : machine
    }

    /// Gives the first group's device to a guest.
    func attach(to space: GuestAddressSpace) throws -> GuestDevice {
        try GuestDevices(on: host, for: space.memory, .group).attach(Self.address, to: space)
    }
}

/// The second group's container, used request by request.
struct BareContainer: ~Copyable {
    let container: Container
    private let group: Group

    init(on machine: GuestHost) throws {
        let container = try Container(on: machine.host)
        let group = try Group(2, on: machine.host)
        try group.setContainer(container)
        try container.setIOMMU(.type1v2)
        self.container = container
        self.group = group
    }
}

/// A guest whose RAM lies in regions of its own, with a page between each two so that none join.
struct Guest {
    let memory = GuestMemory()
    let root: MemoryRegion
    let space: GuestAddressSpace
    /// The memory behind all regions.
    let block: RAMBlock
    private(set) var regions: [MemoryRegion] = []
    private let backing: Backing

    private final class Backing: Sendable {
        let mapping: Mapping
        init(_ byteCount: Int) throws(Errno) { mapping = try Mapping(anonymous: byteCount) }
    }

    /// - Parameter byteCount: of each region. All show the same bytes.
    init(regionCount: Int, byteCount: Int) throws {
        root = try MemoryRegion("system", .container, byteCount: 1 << 64, in: memory)
        space = GuestAddressSpace("memory", showing: root)
        backing = try Backing(byteCount)
        block = try RAMBlock("ram", backing.mapping.window, keeping: backing)
        try memory.transaction {
            for index in 0..<regionCount {
                let region = try MemoryRegion(
                    "ram\(index)", .ram(block), byteCount: UInt128(byteCount), in: memory)
                try root.add(region, at: Self.address(index, byteCount: byteCount))
                regions.append(region)
            }
        }
    }

    /// Where a region lies.
    static func address(_ index: Int, byteCount: Int) -> UInt64 {
        1 << 33 + UInt64(index) * UInt64(byteCount + pageSize)
    }
}
