import Glibc
import LinuxSystem
import SoftwareDevices
import SoftwareHost
import VFIO
import VFIOGuest
import VFIOHost

let guestSuite = Suite(
    name: "guest",
    summary: "a guest's memory: connecting 1 TiB, one change among many sections, dirty bitmaps"
) { options in
    let references = References(options)
    references.print()
    do {
        try connecting(options)
        try changing(options, references)
        try merging(options)
    } catch {
        print("guest: \(error)")
    }
}

/// A host that answers at once when memory is mapped or unmapped, and looks at none of it: what is left is the time
/// of those who ask.
private final class PromptHost: Host {
    private let host: SoftwareHost
    init(_ host: SoftwareHost) { self.host = host }

    var kind: HostKind { host.kind }
    func open(_ node: Node) throws(Errno) -> Int32 { try host.open(node) }
    func close(_ handle: Int32) { host.close(handle) }
    func control(_ handle: Int32, _ request: UInt32, _ argument: UInt) throws(Errno) -> Int32 {
        // VFIO_IOMMU_MAP_DMA; and …_UNMAP_DMA, whose answer says in the question's place how much was unmapped.
        if request == 0x3b71 || request == 0x3b72 { return 0 }
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

private let address = PCIAddress(bus: 1, device: 0, function: 0)

/// A guest whose RAM lies in regions of its own, with a page between each two so that none join.
private struct Guest {
    let memory = GuestMemory()
    let root: MemoryRegion
    let space: GuestAddressSpace
    var regions: [MemoryRegion] = []
    private let backing: Backing

    private final class Backing: Sendable {
        let mapping: Mapping
        init(_ byteCount: Int) throws(Errno) { mapping = try Mapping(anonymous: byteCount) }
    }

    /// - Parameter byteCount: of each region. All show the same bytes, which nobody touches.
    init(regionCount: Int, byteCount: Int) throws {
        root = try MemoryRegion("system", .container, byteCount: 1 << 64, in: memory)
        space = GuestAddressSpace("memory", showing: root)
        backing = try Backing(byteCount)
        let block = try RAMBlock("ram", backing.mapping.window, keeping: backing)
        try memory.transaction {
            for index in 0..<regionCount {
                let region = try MemoryRegion(
                    "ram\(index)", .ram(block), byteCount: UInt128(byteCount), in: memory)
                try root.add(region, at: 1 << 33 + UInt64(index) * UInt64(byteCount + 4096))
                regions.append(region)
            }
        }
    }
}

/// Connecting a device to a guest with 1 TiB of RAM.
private func connecting(_ options: Options) throws {
    let guest = try Guest(regionCount: 1024, byteCount: 1 << 30)
    let machine = try SoftwareHost { IOMMUGroup(1) { PCIDevice(Educational(), at: address) } }
    let devices = GuestDevices(on: PromptHost(machine), for: guest.memory, .group)
    let attach = measure(operations: 1, repeats: options.repeats) {
        if let device = try? devices.attach(address, to: guest.space) {
            precondition(device.container?.iommu.mappingCount == 1024, "not all is mapped")
        }
    }
    var table = Table(["1 TiB of RAM in 1024 regions", "ms (minimum)", "ms (median)", "µs a region"])
    table.add([
        "connect and disconnect, without the host's own time to map", fixed(attach.minimum / 1e6, 2),
        fixed(attach.median / 1e6, 2), fixed(attach.minimum / 1e3 / 1024, 2),
    ])
    table.print()
}

/// One region that goes and comes again, among few and among many.
private func changing(_ options: Options, _ references: References) throws {
    var table = Table(["sections", "ns (minimum)", "ns (median)", "to 100 sections", "to getppid"])
    var first = 0.0
    for count in [100, 1_000, 10_000] {
        let guest = try Guest(regionCount: count, byteCount: 4096)
        let machine = try SoftwareHost { IOMMUGroup(1) { PCIDevice(Educational(), at: address) } }
        let devices = GuestDevices(on: PromptHost(machine), for: guest.memory, .group)
        let device = try devices.attach(address, to: guest.space)
        var random = FixedGenerator()
        let order = (0..<2000).map { _ in Int(random.next() % UInt64(count)) }
        let timing = measure(operations: 2 * order.count, repeats: options.repeats) {
            for index in order {
                guest.regions[index].setEnabled(false)
                guest.regions[index].setEnabled(true)
            }
        }
        if first == 0 { first = timing.minimum }
        table.add([
            grouped(count), fixed(timing.minimum), fixed(timing.median), fixed(timing.minimum / first, 2),
            fixed(timing.minimum / references.systemCall.minimum),
        ])
        withExtendedLifetime(device) {}
    }
    print(
        "One section that appears or goes: flattened, told, mapped or unmapped; without the host's own time.\n"
    )
    table.print()
}

/// Merging a bitmap of 1 TiB in pages of 4 KiB into a block's dirty log.
private func merging(_ options: Options) throws {
    let wordCount = (32 << 20) / 8
    // A block of that length needs no memory: nobody touches it.
    // SAFETY: only the log beside the block is used.
    let window = unsafe MemoryWindow(
        unsafeAddress: HostAddress(rawValue: UInt(pageSize)), byteCount: wordCount * 64 * pageSize)
    let block = try RAMBlock("ram", window, keeping: nil)
    var random = FixedGenerator()
    var words = [UInt64](repeating: 0, count: wordCount)
    var target = words
    let copy = measure(operations: 1, repeats: options.repeats) {
        // SAFETY: both arrays have as many words.
        words.withUnsafeBytes { source in
            target.withUnsafeMutableBytes { target in unsafe target.copyMemory(from: source) }
        }
        keep(target[Int(random.next() % UInt64(wordCount))])
    }
    var table = Table(["32 MiB of dirty bits", "ms (minimum)", "ms (median)", "memcpy's speed"])
    table.add(["memcpy", fixed(copy.minimum / 1e6, 2), fixed(copy.median / 1e6, 2), "1"])
    func row(_ name: String) {
        let merge = measure(operations: 1, repeats: options.repeats) {
            block.dirtyLog.clear(for: .migration)
            let start = now()
            block.dirtyLog.merge(words.span, count: wordCount * 64, at: 0, for: .migration)
            mergeTimes.append(Double(now() - start))
        }
        _ = merge
        let timing = Timing(Array(mergeTimes.dropFirst()))
        mergeTimes = []
        table.add([
            name, fixed(timing.minimum / 1e6, 2), fixed(timing.median / 1e6, 2),
            fixed(copy.minimum / timing.minimum, 2),
        ])
    }
    var mergeTimes: [Double] = []
    row("merge, all clean")
    for page in 0..<wordCount * 64 where random.next() % 100 == 0 {
        words[page / 64] |= 1 << UInt64(page % 64)
    }
    row("merge, one page in a hundred dirty")
    for index in words.indices { words[index] = .max }
    row("merge, all dirty")
    table.print()
}
