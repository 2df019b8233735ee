import IOVASpace
import LinuxSystem
import SoftwareHost
import Testing
import VFIO
import VFIOABI
import VFIOHost

@testable import VFIOGuest

@Suite("Devices of a guest whose memory is plugged block by block")
struct RAMDiscardEndToEndTests {
    private static let block: UInt64 = 1 << 16
    private static let blockCount: UInt64 = 16
    /// Where the guest sees the memory.
    private static let base: UInt64 = 4 << 30

    /// A machine with memory that is plugged in blocks, and some that is always there.
    private struct Bench {
        let machine: GuestMachine
        let region: MemoryRegion
        let blocks: MemoryBlocks
        let ram: RAMBlock

        init(entryLimit: UInt32 = 65535, blockByteCount: UInt64 = block) throws {
            machine = try GuestMachine { $0.parameters.dmaEntryLimit = entryLimit }
            region = try ramRegion(byteCount: blockCount * block, in: machine.memory)
            blocks = try MemoryBlocks(
                in: region, blockByteCount: blockByteCount, requestedByteCount: blockCount * block)
            ram = try #require(region.block)
            try machine.system.add(try machine.ram("boot", pages: 16), at: 0)
            try machine.system.add(region, at: base)
        }

        /// The blocks that a device reaches.
        func reached(_ prober: Int) -> [UInt64] {
            (0..<blockCount).filter { machine.probers[prober].read(at: base + $0 * block) != nil }
        }
    }

    private static func range(_ blocks: Range<UInt64>) -> Range<UInt64> {
        blocks.lowerBound * block..<blocks.upperBound * block
    }

    @Test("1.10 reach what is plugged and nothing else", arguments: [RouteChoice.group, .cdev])
    func reach(choice: RouteChoice) throws {
        let bench = try Bench()
        try bench.blocks.plug(Self.range(2..<4))
        let devices = bench.machine.devices(choice)
        let device = try bench.machine.attach(0, to: devices)
        #expect(bench.reached(0) == [2, 3])
        try bench.blocks.plug(Self.range(8..<10))
        #expect(bench.reached(0) == [2, 3, 8, 9])
        // The device and the guest see the same memory.
        #expect(bench.machine.probers[0].write(0xabcd, at: Self.base + 8 * Self.block))
        #expect(bench.ram.window.load64(Int(8 * Self.block)) == 0xabcd)
        try bench.blocks.unplug(Self.range(8..<9))
        #expect(bench.reached(0) == [2, 3, 9])
        #expect(bench.ram.window.load64(Int(8 * Self.block)) == 0)
        // Plugged again, it is new memory, also for the device.
        try bench.blocks.plug(Self.range(8..<9))
        #expect(bench.machine.probers[0].read(at: Self.base + 8 * Self.block) == 0)
        try bench.blocks.unplugAll()
        #expect(bench.reached(0) == [])
        #expect(device.container?.iommu.mappingCount == 1)
        #expect(bench.machine.probers[0].read(at: 0) != nil)
    }

    @Test("1.10 follow when the memory moves, and let go of it when it is taken out")
    func move() throws {
        let bench = try Bench()
        try bench.blocks.plug(Self.range(0..<3))
        let device = try bench.machine.attach(0, to: bench.machine.devices())
        try bench.region.move(to: 2 * Self.base)
        #expect(bench.reached(0) == [])
        #expect(bench.machine.probers[0].read(at: 2 * Self.base + 2 * Self.block) != nil)
        #expect(bench.region.discardManager?.listenerCount == 1)
        try bench.machine.system.remove(bench.region)
        #expect(bench.machine.probers[0].read(at: 2 * Self.base) == nil)
        #expect(bench.region.discardManager?.listenerCount == 0)
        #expect(device.container?.iommu.mappingCount == 1)
        // Nobody listens, so nobody hears.
        try bench.blocks.plug(Self.range(5..<6))
        #expect(device.container?.iommu.mappingCount == 1)
    }

    @Test("1.10 in two containers both follow, and a refusal of the second undoes the first")
    func twoContainers() throws {
        let bench = try Bench()
        let first = try bench.machine.attach(0, to: bench.machine.devices(.group))
        let second = try bench.machine.attach(2, to: bench.machine.devices(.group))
        #expect(first.container !== second.container)
        try bench.blocks.plug(Self.range(1..<2))
        #expect(bench.reached(0) == [1])
        #expect(bench.reached(2) == [1])
        // Somebody has mapped something of their own there.
        let space = try #require(second.container?.iommu)
        let stranger = try space.allocate(byteCount: pageSize, at: IOVA(Self.base + 5 * Self.block))
        let error = thrown { () throws(RAMDiscardError) in try bench.blocks.plug(Self.range(3..<7)) }
        guard case .refused(let refusal) = error else {
            Issue.record("not refused: \(String(describing: error))")
            return
        }
        #expect(refusal.code == .overlap)
        #expect(refusal.object == "vmem0")
        #expect(bench.reached(0) == [1])
        #expect(bench.reached(2) == [1, 5])
        #expect(bench.blocks.pluggedByteCount == Self.block)
        try stranger.release()
        try bench.blocks.plug(Self.range(3..<7))
        #expect(bench.reached(0) == [1, 3, 4, 5, 6])
        #expect(bench.reached(2) == [1, 3, 4, 5, 6])
    }

    @Test("1.10 that can't have what is plugged aren't attached, and nothing is left of them")
    func failingAttach() throws {
        let bench = try Bench(entryLimit: 4)
        try bench.blocks.plug(Self.range(0..<4))
        let devices = bench.machine.devices(.group)
        let error = thrown { () throws(VFIOGuestError) in
            try devices.attach(GuestMachine.address(0), to: bench.machine.space)
        }
        #expect(error?.code == .entryLimit)
        #expect(error?.object.contains("vmem0") == true)
        #expect(devices.containers.isEmpty)
        #expect(bench.region.discardManager?.listenerCount == 0)
        #expect(bench.machine.memory.discardPolicy.allowsUncoordinatedDiscards)
        try bench.blocks.unplug(Self.range(0..<1))
        let device = try bench.machine.attach(0, to: devices)
        #expect(bench.reached(0) == [1, 2, 3])
        #expect(device.container?.iommu.mappingCount == 4)
    }

    @Test("1.10 are told of by numbers before the IOMMU's table is full")
    func demand() throws {
        let bench = try Bench(entryLimit: 20)
        try bench.blocks.plug(Self.range(0..<3))
        let device = try bench.machine.attach(0, to: bench.machine.devices(.group))
        let container = try #require(device.container)
        let small = try container.mappingDemand(memorySlotCount: 4)
        #expect(small.limit == 20)
        #expect(small.inUse == 4)
        #expect(small.sectionMappingCount == 16)
        #expect(small.mappingCount == 19)
        #expect(small.fits)
        let large = try container.mappingDemand(memorySlotCount: 8)
        #expect(large.shortfall == 3)
        #expect(large.sufficientFactor == 2)
        #expect(large.description.contains("vmem0: 1 MiB in blocks of 64 KiB can need 16 DMA mappings"))
        // The numbers are true: with all plugged, what is left is what they say.
        try bench.blocks.plug(Self.range(3..<16))
        #expect(try container.iommu.mappingsLeft() == 3)
        let other = try bench.machine.attach(2, to: bench.machine.devices(.cdev))
        #expect(try other.container?.mappingDemand().limit == nil)
    }

    @Test(
        "1.18 keep unannounced discards from the guest's RAM, from before it is mapped until it isn't any more"
    )
    func policy() throws {
        let bench = try Bench()
        let policy = bench.machine.memory.discardPolicy
        let balloon = try policy.hold(.needsDiscards, for: "the balloon")
        for choice in [RouteChoice.group, .cdev] {
            let devices = bench.machine.devices(choice)
            let refused = thrown { () throws(VFIOGuestError) in
                try devices.attach(GuestMachine.address(0), to: bench.machine.space)
            }
            #expect(refused?.errno == .busy)
            #expect(refused?.cause?.contains("the balloon") == true)
            #expect(devices.containers.isEmpty)
        }
        balloon.release()
        let devices = bench.machine.devices(.group)
        let first = try bench.machine.attach(0, to: devices)
        let second = try bench.machine.attach(1, to: devices)
        let third = try bench.machine.attach(2, to: devices)
        #expect(policy.count(of: .forbidsUncoordinatedDiscards) == 2)
        #expect(policy.allowsCoordinatedDiscards)
        #expect(
            thrown { () throws(VFIOError) in try policy.hold(.needsDiscards, for: "the balloon") }?.cause
                == "group 1 can't follow unannounced discards of guest RAM")
        first.detach()
        second.detach()
        #expect(!policy.allowsUncoordinatedDiscards)
        third.detach()
        #expect(policy.allowsUncoordinatedDiscards)
    }

    @Test("1.11 have what they wrote to plugged memory noted, and nothing of what isn't plugged")
    func dirtyPages() throws {
        let bench = try Bench()
        try bench.blocks.plug(Self.range(1..<3))
        try bench.blocks.plug(Self.range(6..<7))
        let device = try bench.machine.attach(0, to: bench.machine.devices(.group))
        let memory = bench.machine.memory
        let log = bench.ram.dirtyLog
        let pages = Int(Self.block) / pageSize
        try memory.startMigrationLog()
        try memory.synchronizeDirtyLog()
        log.clear(for: .all)
        // The software host has an IOMMU that doesn't know, so all that is mapped counts.
        try memory.synchronizeDirtyLog()
        var runs: [Range<Int>] = []
        log.take(for: .migration) { runs.append($0) }
        #expect(runs == [pages..<3 * pages, 6 * pages..<7 * pages])
        // What goes while the log is on is noted too.
        try bench.machine.system.remove(bench.region)
        runs = []
        log.take(for: .migration) { runs.append($0) }
        #expect(runs == [pages..<3 * pages, 6 * pages..<7 * pages])
        memory.stopMigrationLog()
        #expect(device.container?.iommu.mappingCount == 1)
    }

    @Test("1.10 can be taken away when unmapping fails, from within the very message of it")
    func detachWithinFailure() throws {
        let bench = try Bench()
        let devices = bench.machine.devices(.group)
        let taken = Box<GuestDevice?>(nil)
        let failures = Box<[String]>([])
        taken.value = try bench.machine.attach(0, to: devices) { failure in
            failures.change { $0.append("\(failure.section.region.name): \(failure.error.code)") }
            taken.value?.detach()
        }
        try bench.blocks.plug(Self.range(0..<8))
        bench.machine.host.inject(FaultRule(.request(.iommuUnmapDMA, .inputOutput), .nth(1)))
        try bench.blocks.unplug(Self.range(1..<3))
        #expect(failures.value == ["vmem0: refused"])
        #expect(devices.containers.isEmpty)
        #expect(bench.region.discardManager?.listenerCount == 0)
        taken.value = nil
        try bench.blocks.plug(Self.range(1..<3))
        _ = try bench.machine.attach(0, to: devices)
    }

    @Test("1.10 reach exactly what is plugged, whatever is plugged, mapped and refused", arguments: 0..<6)
    func random(round: Int) throws {
        var random = randomSeed("a guest that plugs at random, round \(round)")
        let bench = try Bench(entryLimit: 5)
        let count = Int(Self.blockCount)
        var plugged = Set<UInt64>()
        var attached: [Int: GuestDevice] = [:]
        var isSeen = true
        var refusals = 0
        // Some mappings fail for no reason that anybody could foresee.
        if round % 2 == 1 {
            for request in [Request.iommuMapDMA, .ioasMap] {
                bench.machine.host.inject(FaultRule(.request(request, .noMemory), .probability(0.02)))
            }
        }
        for _ in 0..<250 {
            let first = random.below(count)
            let blocks = UInt64(first)..<UInt64(first + 1 + random.below(min(count - first, 5)))
            let range = Self.range(blocks)
            switch random.below(12) {
            case 0..<5:
                let error = thrown { () throws(RAMDiscardError) in try bench.blocks.plug(range) }
                if error == nil { plugged.formUnion(blocks) }
                if case .refused = error { refusals += 1 }
            case 5..<9:
                let error = thrown { () throws(RAMDiscardError) in try bench.blocks.unplug(range) }
                if error == nil { plugged.subtract(blocks) }
            case 9:
                try isSeen
                    ? bench.machine.system.remove(bench.region)
                    : bench.machine.system.add(bench.region, at: Self.base)
                isSeen.toggle()
                // What can't be mapped when it comes back isn't followed; the VMM would have to act.
                let isFollowed = attached.values.allSatisfy { $0.container?.mapper.hasFailures == false }
                if !isFollowed {
                    refusals += 1
                    for device in attached.values { device.detach() }
                    attached = [:]
                }
            default:
                let index = [0, 2][random.below(2)]
                if let device = attached.removeValue(forKey: index) {
                    device.detach()
                } else {
                    let choice = index == 0 ? RouteChoice.group : .cdev
                    attached[index] = try? bench.machine.attach(index, to: bench.machine.devices(choice))
                    if attached[index] == nil { refusals += 1 }
                }
            }
            for index in [0, 2] {
                let expected = attached[index] != nil && isSeen ? plugged.sorted() : []
                #expect(bench.reached(index) == expected)
                if let device = attached[index] {
                    #expect(device.container?.iommu.mappingCount == 1 + expected.count)
                }
            }
        }
        #expect(refusals > 0)
        attached = [:]
        #expect(bench.region.discardManager?.listenerCount == 0)
        #expect(bench.machine.memory.discardPolicy.allowsUncoordinatedDiscards)
        try bench.blocks.unplugAll()
        #expect(try bench.ram.window.residentPageCount() == 0)
    }
}

extension DMAMapper {
    /// Whether there is a section that couldn't be mapped.
    fileprivate var hasFailures: Bool {
        outcomes.contains { if case .failed = $0.outcome { true } else { false } }
    }
}
