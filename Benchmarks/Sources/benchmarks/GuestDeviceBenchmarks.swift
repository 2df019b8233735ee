import IOVASpace
import LinuxSystem
import VFIO
import VFIOGuest
import VFIOHost

/// What a guest's devices ask of the host all the time, compared with the same asked of the host directly.
func measureDevices(_ options: Options) throws {
    var table = ComparisonTable("a guest on the software kernel", reference: "host alone")
    let turns = max(options.turns / 5, 5)

    let translating = try TranslatedGuest(try GuestHost())
    let bare = try BareContainer(on: translating.machine)
    let page = IOVARange(IOVA(1 << 40), byteCount: 4096) ?? .all
    table.add(
        "map and unmap 4 KiB in the guest's IOMMU",
        try Comparison(turns: turns, operations: 500, of: { try translating.mapAndUnmap($0) }) { count in
            for _ in 0..<count {
                try bare.container.map(translating.block.window.address, to: page, .readWrite)
                keep(try bare.container.unmap(page))
            }
        })

    let logging = try LoggingGuest(
        try GuestHost(isEmulated: true), regionCount: 16, isComparable: true)
    table.add(
        "find what was written in 16 GiB, 16 sections",
        try Comparison(turns: turns, operations: 4, of: { try logging.synchronize($0) }) { count in
            for _ in 0..<count { try logging.askHost() }
        })

    let plugging = try PluggingGuest(try GuestHost(isEmulated: true))
    let other = try BareContainer(on: plugging.machine)
    let range = IOVARange(IOVA(1 << 40), byteCount: PluggingGuest.blockByteCount) ?? .all
    table.add(
        "plug and unplug a block of 2 MiB",
        try Comparison(turns: turns, operations: 100, of: { try plugging.plugAndUnplug($0) }) { count in
            for _ in 0..<count {
                try other.container.map(plugging.memory.window.address, to: range, .readWrite)
                keep(try other.container.unmap(range))
                try plugging.memory.window.discard(
                    at: 0, byteCount: Int(PluggingGuest.blockByteCount), .privateMemory)
            }
        })

    let reaching = try ReachingGuest()
    table.add(
        "read a device's register that isn't mapped",
        try Comparison(turns: turns, operations: 2000, of: { try reaching.readRegister($0) }) { count in
            var sum: UInt64 = 0
            for _ in 0..<count { sum &+= UInt64(reaching.register.load()) }
            keep(sum)
        })
    table.print()
}

/// How many objects what is done all the time makes on this side.
func countGuestObjects(_ options: Options) throws {
    var table = Table(["steady state, without the host's part", "objects made", "retains and releases"])
    let count = options.isQuick ? 200 : 2000
    func add(_ name: String, in parts: Int = 1, _ body: (Int) throws -> Void) throws {
        // What is made once is made now.
        try body(count)
        guard let cost = try MemoryManagement.during({ try body(count) }) else {
            table.add([name, "not known", "not known"])
            return
        }
        func each(_ number: UInt64) -> String { fixed(Double(number) / Double(count * parts), 3) }
        table.add([name, each(cost.objects), each(cost.references)])
    }
    let changing = try ChangingGuest(sectionCount: 10_000)
    try add("one change among 10,000 sections") { changing.change($0) }
    for (name, keepsLogs) in [("the IOMMU's bitmap", false), ("the device's log", true)] {
        let logging = try LoggingGuest(try GuestHost(isPrompt: true, keepsLogs: keepsLogs), regionCount: 1000)
        try add("finding what was written, a section: \(name)", in: 10) { try logging.synchronize($0 / 100) }
    }
    let translating = try TranslatedGuest(try GuestHost(isPrompt: true))
    try add("mapping and unmapping in the guest's IOMMU") { try translating.mapAndUnmap($0) }
    let plugging = try PluggingGuest(try GuestHost(isPrompt: true))
    try add("plugging and unplugging a block") { try plugging.plugAndUnplug($0) }
    let reaching = try ReachingGuest()
    try add("reading a device's register") { try reaching.readRegister($0) }
    try add("reading RAM as a device of the guest does") { try reaching.readMemory($0) }
    table.print()
}

/// A guest with a device behind an IOMMU of the guest's, in which 1,000 pages are mapped.
private struct TranslatedGuest {
    let machine: GuestHost
    private let guest: Guest
    private let iommu: VIOMMU
    private let seen: GuestAddressSpace
    private let device: GuestDevice
    private static let ram = Guest.address(0, byteCount: 8 << 20)
    /// The first table of the lowest level; there are two of them.
    private static let leaves = 0x3000
    private static let data: UInt64 = 0x10000

    var block: RAMBlock { guest.block }

    init(_ machine: GuestHost) throws {
        self.machine = machine
        guest = try Guest(regionCount: 1, byteCount: 8 << 20)
        iommu = try VIOMMU(to: guest.space)
        let root = try MemoryRegion("device", .container, byteCount: 1 << 64, in: guest.memory)
        try root.add(
            MemoryRegion("iommu", .iommu(iommu), byteCount: 1 << 48, in: guest.memory), at: 0)
        seen = GuestAddressSpace("device memory", showing: root)
        device = try machine.attach(to: seen)
        // Each table is the first one of the next level; the lowest level has two.
        for (place, next) in [(0, 0x1000), (0x1000, 0x2000), (0x2000, 0x3000), (0x2008, 0x4000)] {
            let table = VIOMMUPageTableEntry.table(GuestAddress(Self.ram + UInt64(next)))
            guest.block.window.store64(place, table.rawValue)
        }
        for index in 1..<1001 { store(index, true) }
        try iommu.setTable(GuestAddress(Self.ram))
        precondition(device.container?.iommu.mappingCount == 1000, "not all is mapped")
    }

    private func store(_ index: Int, _ isMapped: Bool) {
        let page = VIOMMUPageTableEntry.leaf(
            GuestAddress(Self.ram + Self.data + UInt64(index) * 4096), .readWrite, level: 1)
        guest.block.window.store64(Self.leaves + 8 * index, isMapped ? page.rawValue : 0)
    }

    func mapAndUnmap(_ count: Int) throws {
        for step in 0..<count {
            // One of the pages goes and comes again.
            let index = 1 + step % 1000
            guard let range = IOVARange(IOVA(UInt64(index) * 4096), byteCount: 4096) else { return }
            store(index, false)
            iommu.invalidate(range)
            store(index, true)
            iommu.invalidate(range)
        }
        precondition(device.container?.iommu.mappingCount == 1000, "a page was lost")
    }
}

/// A guest of which it is noted what its device writes.
private struct LoggingGuest {
    private let guest: Guest
    private let device: GuestDevice
    /// Asks the host for the same, without a guest.
    private(set) var askHost: () throws -> Void = {}

    private final class Bare {
        let container: BareContainer
        var words = [UInt64](repeating: 0, count: (1 << 30) / pageSize / 64)
        init(_ container: consuming BareContainer) { self.container = container }
    }

    /// - Parameters:
    ///   - regionCount: how many regions of 1 GiB it has.
    ///   - isComparable: whether the host can be asked without a guest.
    init(_ machine: GuestHost, regionCount: Int, isComparable: Bool = false) throws {
        guest = try Guest(regionCount: regionCount, byteCount: 1 << 30)
        device = try machine.attach(to: guest.space)
        try guest.memory.startMigrationLog()
        guard isComparable else { return }
        let ranges = guest.regions.indices.map {
            IOVARange(IOVA(Guest.address($0, byteCount: 1 << 30)), byteCount: 1 << 30) ?? .all
        }
        let bare = Bare(try BareContainer(on: machine))
        for range in ranges {
            try bare.container.container.map(guest.block.window.address, to: range, .readWrite)
        }
        try bare.container.container.setDirtyTracking(true)
        askHost = {
            for range in ranges {
                try bare.container.container.dirtyBits(
                    of: range, pageSize: UInt64(pageSize), into: &bare.words)
            }
        }
    }

    func synchronize(_ count: Int) throws {
        for _ in 0..<count { try guest.memory.synchronizeDirtyLog() }
        withExtendedLifetime(device) {}
    }
}

/// A guest with RAM that is plugged in blocks.
private struct PluggingGuest {
    static let blockByteCount: UInt64 = 2 << 20
    let machine: GuestHost
    let memory: RAMBlock
    private let guest: Guest
    private let blocks: MemoryBlocks
    private let device: GuestDevice

    init(_ machine: GuestHost) throws {
        self.machine = machine
        guest = try Guest(regionCount: 1, byteCount: pageSize)
        memory = try RAMBlock("plugged", byteCount: 64 << 20)
        let region = try MemoryRegion(ram: memory, in: guest.memory)
        blocks = try MemoryBlocks(
            in: region, blockByteCount: Self.blockByteCount, requestedByteCount: 64 << 20)
        try guest.root.add(region, at: 1 << 36)
        device = try machine.attach(to: guest.space)
    }

    func plugAndUnplug(_ count: Int) throws {
        for step in 0..<count {
            let first = UInt64(step % 32) * Self.blockByteCount
            try blocks.plug(first..<first + Self.blockByteCount)
            try blocks.unplug(first..<first + Self.blockByteCount)
        }
        withExtendedLifetime(device) {}
    }
}

/// A guest that reads a device's registers, none of them mapped, and its own RAM.
private struct ReachingGuest {
    let register: Register32
    private let guest: Guest
    private let device: GuestDevice
    private let region: GuestRegion
    private static let place = GuestAddress(0xfe00_0000)

    init() throws {
        guest = try Guest(regionCount: 100, byteCount: pageSize)
        device = try GuestHost().attach(to: guest.space)
        try device.device.setMemoryEnabled(true)
        region = try GuestRegion(.bar0, of: device.device, in: guest.memory, mapped: false)
        try guest.root.add(region.memory, at: Self.place.rawValue)
        register = try device.device.region(.bar0).register32(at: 0)
    }

    func readRegister(_ count: Int) throws {
        var sum: UInt64 = 0
        for _ in 0..<count { sum &+= UInt64(try guest.space.load(UInt32.self, at: Self.place)) }
        keep(sum)
    }

    func readMemory(_ count: Int) throws {
        let address = GuestAddress(Guest.address(50, byteCount: pageSize))
        var sum: UInt64 = 0
        for _ in 0..<count { sum &+= try guest.space.load(UInt64.self, at: address) }
        keep(sum)
    }
}
