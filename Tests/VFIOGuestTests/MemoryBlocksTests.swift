import LinuxSystem
import Testing
import VFIO
import VFIOGuest

/// RAM of which blocks are plugged, with its manager.
struct BlockBench {
    static let size: UInt64 = 16 << 16
    static let block: UInt64 = 1 << 16
    let memory = GuestMemory()
    let region: MemoryRegion
    let blocks: MemoryBlocks
    let manager: RAMDiscardManager

    init(
        isShared: Bool = true, requested: UInt64 = BlockBench.size, usable: UInt64? = nil,
        isPreallocating: Bool = false
    ) throws {
        region = try ramRegion(byteCount: Self.size, isShared: isShared, in: memory)
        blocks = try MemoryBlocks(
            in: region, blockByteCount: Self.block, requestedByteCount: requested, usableByteCount: usable,
            isPreallocating: isPreallocating)
        manager = try #require(region.discardManager)
    }

    /// Blocks by number, as a range of offsets.
    static func range(_ blocks: Range<UInt64>) -> Range<UInt64> {
        blocks.lowerBound * block..<blocks.upperBound * block
    }

    var block: RAMBlock {
        get throws { try #require(region.block) }
    }
    var window: MemoryWindow {
        get throws { try block.window }
    }
}

@Suite("Memory that is plugged block by block")
struct MemoryBlocksTests {
    private typealias Bench = BlockBench

    private func refusal(_ body: () throws(RAMDiscardError) -> Void) -> RAMDiscardError? { thrown(body) }

    @Test("is all unplugged at first, and plugs and unplugs as asked")
    func plugAndUnplug() throws {
        let bench = try Bench()
        let blocks = bench.blocks
        #expect(blocks.pluggedByteCount == 0)
        #expect(try blocks.state(of: 0..<Bench.size) == .unplugged)
        try blocks.plug(Bench.range(2..<5))
        #expect(blocks.pluggedByteCount == 3 * Bench.block)
        #expect(try blocks.state(of: Bench.range(2..<5)) == .plugged)
        #expect(try blocks.state(of: Bench.range(1..<5)) == .mixed)
        #expect(try blocks.state(of: Bench.range(5..<9)) == .unplugged)
        try blocks.unplug(Bench.range(3..<4))
        #expect(try blocks.state(of: Bench.range(2..<5)) == .mixed)
        #expect(blocks.pluggedByteCount == 2 * Bench.block)
        #expect(bench.manager.isPopulated(Bench.range(2..<3)))
        #expect(!bench.manager.isPopulated(Bench.range(3..<4)))
        try blocks.unplugAll()
        #expect(blocks.pluggedByteCount == 0)
        #expect(try blocks.state(of: 0..<Bench.size) == .unplugged)
    }

    @Test("refuses what is misaligned, out of range, or in the wrong state, and changes nothing")
    func refusals() throws {
        let bench = try Bench(usable: 8 * Bench.block)
        let blocks = bench.blocks
        try blocks.plug(Bench.range(0..<2))
        let half = Bench.block / 2
        let unit = Bench.block
        let end = 8 * Bench.block
        #expect(
            refusal { () throws(RAMDiscardError) in try blocks.plug(half..<half + unit) }
                == .misaligned(half..<half + unit, unit: unit))
        #expect(
            refusal { () throws(RAMDiscardError) in try blocks.plug(4 * unit..<4 * unit) }
                == .outOfRange(4 * unit..<4 * unit, end: end))
        #expect(
            refusal { () throws(RAMDiscardError) in try blocks.plug(Bench.range(7..<9)) }
                == .outOfRange(Bench.range(7..<9), end: end))
        #expect(
            refusal { () throws(RAMDiscardError) in try blocks.plug(0..<UInt64.max) }
                == .outOfRange(0..<UInt64.max, end: end))
        #expect(
            refusal { () throws(RAMDiscardError) in try blocks.plug(Bench.range(1..<3)) }
                == .notUnplugged(Bench.range(1..<3)))
        #expect(
            refusal { () throws(RAMDiscardError) in try blocks.unplug(Bench.range(1..<3)) }
                == .notPlugged(Bench.range(1..<3)))
        #expect(
            refusal { () throws(RAMDiscardError) in try blocks.unplug(0..<unit + 1) }
                == .misaligned(0..<unit + 1, unit: unit))
        #expect(
            refusal { () throws(RAMDiscardError) in _ = try blocks.state(of: Bench.range(8..<9)) }
                == .outOfRange(Bench.range(8..<9), end: end))
        #expect(blocks.pluggedByteCount == 2 * Bench.block)
        #expect(try blocks.state(of: Bench.range(0..<2)) == .plugged)
    }

    @Test("lets the guest plug no more than was asked for")
    func requested() throws {
        let bench = try Bench(requested: 3 * Bench.block)
        let blocks = bench.blocks
        try blocks.plug(Bench.range(0..<2))
        #expect(
            refusal { () throws(RAMDiscardError) in try blocks.plug(Bench.range(4..<6)) }
                == .beyondRequest(plugged: 4 * Bench.block, requested: 3 * Bench.block))
        try blocks.plug(Bench.range(4..<5))
        try blocks.request(Bench.block)
        #expect(blocks.pluggedByteCount == 3 * Bench.block)
        #expect(
            refusal { () throws(RAMDiscardError) in try blocks.plug(Bench.range(8..<9)) }?.errno == .noSpace)
        #expect(
            refusal { () throws(RAMDiscardError) in try blocks.request(Bench.size + Bench.block) }
                == .outOfRange(0..<Bench.size + Bench.block, end: Bench.size))
        #expect(
            refusal { () throws(RAMDiscardError) in try blocks.request(1) }
                == .misaligned(0..<1, unit: Bench.block))
    }

    @Test("has a usable part that grows with requests and shrinks only when all is unplugged")
    func usable() throws {
        let bench = try Bench(usable: 4 * Bench.block)
        let blocks = bench.blocks
        try blocks.request(8 * Bench.block, usable: 6 * Bench.block + 5)
        #expect(blocks.usableByteCount == 6 * Bench.block)
        try blocks.request(Bench.block, usable: Bench.block)
        #expect(blocks.usableByteCount == 6 * Bench.block)
        try blocks.plug(Bench.range(5..<6))
        try blocks.unplugAll(usable: 2 * Bench.block)
        #expect(blocks.usableByteCount == 2 * Bench.block)
        #expect(refusal { () throws(RAMDiscardError) in try blocks.plug(Bench.range(5..<6)) } != nil)
    }

    @Test(
        "really gives unplugged memory back, which reads as zeros when it is plugged again",
        arguments: [true, false])
    func memoryGoesBack(isShared: Bool) throws {
        let bench = try Bench(isShared: isShared)
        let window = try bench.window
        try bench.blocks.plug(Bench.range(0..<4))
        for block in 0..<4 { window.store64(block * Int(Bench.block), 0x5555) }
        #expect(try window.residentPageCount() == 4)
        try bench.blocks.unplug(Bench.range(1..<3))
        #expect(try window.residentPageCount() == 2)
        if let file = try bench.block.file {
            #expect(try storedByteCount(file.descriptor) == 2 * UInt64(pageSize))
        }
        try bench.blocks.plug(Bench.range(1..<3))
        #expect((0..<4).map { window.load64($0 * Int(Bench.block)) } == [0x5555, 0, 0, 0x5555])
        try bench.blocks.unplugAll()
        #expect(try window.residentPageCount() == 0)
        #expect(bench.blocks.unreleased == nil)
    }

    @Test("discards what the memory held before")
    func discardsAtFirst() throws {
        let region = try ramRegion(byteCount: Bench.size)
        let window = try #require(region.block).window
        window.store64(0, 1)
        let blocks = try MemoryBlocks(in: region, blockByteCount: Bench.block)
        #expect(window.load64(0) == 0)
        #expect(blocks.requestedByteCount == 0)
    }

    @Test("takes the memory at once where it is to be there for sure")
    func preallocation() throws {
        let bench = try Bench(isPreallocating: true)
        try bench.blocks.plug(Bench.range(3..<4))
        #expect(try bench.window.residentPageCount() == Int(Bench.block) / pageSize)
        let listener = DiscardRecorder("a", Ears())
        listener.refused = Bench.range(5..<6)
        try bench.manager.register(listener, for: 0..<Bench.size)
        #expect(refusal { () throws(RAMDiscardError) in try bench.blocks.plug(Bench.range(4..<6)) } != nil)
        // What was taken for the refused blocks has gone back.
        #expect(try bench.window.residentPageCount() == Int(Bench.block) / pageSize)
    }

    @Test("stays as it was when a listener refuses a plug, and hears of it in the right order")
    func rollback() throws {
        let bench = try Bench()
        let ears = Ears()
        let first = DiscardRecorder("a", ears)
        let second = DiscardRecorder("b", ears)
        try bench.manager.register(first, for: 0..<Bench.size)
        try bench.manager.register(second, for: 0..<Bench.size)
        second.refused = Bench.range(3..<4)
        let error = refusal { () throws(RAMDiscardError) in try bench.blocks.plug(Bench.range(2..<5)) }
        #expect(error?.errno == .noSpace)
        let range = Bench.range(2..<5)
        #expect(ears.heard == ["a+\(range)", "b refuses \(range)", "a-\(range)"])
        #expect(bench.blocks.pluggedByteCount == 0)
        #expect(try bench.blocks.state(of: range) == .unplugged)
        second.refused = 0..<0
        try bench.blocks.plug(range)
        #expect(bench.blocks.pluggedByteCount == 3 * Bench.block)
    }

    @Test("tells listeners of an unplug before the memory goes")
    func orderOfUnplug() throws {
        let bench = try Bench()
        try bench.blocks.plug(Bench.range(0..<1))
        let window = try bench.window
        window.store64(0, 7)
        let listener = DiscardRecorder("a", Ears())
        try bench.manager.register(listener, for: 0..<Bench.size)
        var seen: UInt64 = 0
        listener.whileTold = { seen = window.load64(0) }
        try bench.blocks.unplug(Bench.range(0..<1))
        #expect(seen == 7)
        #expect(window.load64(0) == 0)
    }

    @Test("is plugged and unplugged by nobody while listeners are told")
    func busy() throws {
        let bench = try Bench()
        let blocks = bench.blocks
        try blocks.plug(Bench.range(0..<1))
        let listener = DiscardRecorder("a", Ears())
        try bench.manager.register(listener, for: 0..<Bench.size)
        var errors: [RAMDiscardError?] = []
        listener.whileTold = {
            errors = [
                thrown { () throws(RAMDiscardError) in try blocks.plug(Bench.range(1..<2)) },
                thrown { () throws(RAMDiscardError) in try blocks.unplug(Bench.range(0..<1)) },
                thrown { () throws(RAMDiscardError) in try blocks.unplugAll() },
            ]
        }
        try blocks.plug(Bench.range(4..<5))
        listener.whileTold = {}
        #expect(errors == [.busy, .busy, .busy])
        #expect(blocks.pluggedByteCount == 2 * Bench.block)
    }

    @Test("says how much couldn't be given back, and tries again")
    func stuck() throws {
        let bench = try Bench()
        try bench.blocks.plug(Bench.range(0..<3))
        try bench.window.store64(Int(Bench.block), 7)
        // Locked pages can't be taken out of a file.
        try bench.window.window(at: 0, byteCount: Int(Bench.block)).setLocked(true)
        try bench.blocks.unplug(Bench.range(0..<2))
        #expect(bench.blocks.unreleased?.byteCount == 2 * Bench.block)
        #expect(bench.blocks.unreleased?.reason == .invalid)
        #expect(bench.blocks.pluggedByteCount == Bench.block)
        // Used again, it holds nothing of what it held, and isn't missed any more.
        try bench.blocks.plug(Bench.range(1..<2))
        #expect(try bench.window.load64(Int(Bench.block)) == 0)
        #expect(bench.blocks.unreleased?.byteCount == Bench.block)
        try bench.window.window(at: 0, byteCount: Int(Bench.block)).setLocked(false)
        try bench.blocks.unplug(Bench.range(2..<3))
        #expect(bench.blocks.unreleased == nil)
    }

    @Test("can't have blocks shorter than pages, of odd lengths, or that don't fit the memory")
    func granularities() throws {
        func refusal(_ blockSize: UInt64, page: Int = pageSize) throws -> RAMDiscardError? {
            let region = try ramRegion(byteCount: 3 << 20)
            return thrown { () throws(RAMDiscardError) in
                try MemoryBlocks(
                    in: region, blockByteCount: blockSize, pageByteCount: page)
            }
        }
        for size: UInt64 in [0, 512, 3 << 20, 3 << 12, 2 << 20, 4 << 20] {
            #expect(try refusal(size) == .unsuitableGranularity(size))
        }
        #expect(try refusal(1 << 20, page: 2 << 20) == .unsuitableGranularity(1 << 20))
        #expect(try refusal(1 << 20) == nil)
    }

    @Test("has its memory in a region that nobody sees yet")
    func regions() throws {
        let memory = GuestMemory()
        let root = try MemoryRegion("root", .container, byteCount: 1 << 32, in: memory)
        let region = try ramRegion(byteCount: Bench.size, in: memory)
        let policy = memory.discardPolicy
        func refusal(_ region: MemoryRegion) -> RAMDiscardError? {
            thrown { () throws(RAMDiscardError) in
                try MemoryBlocks(in: region, blockByteCount: Bench.block)
            }
        }
        #expect(refusal(root) == .unsuitableRegion(.wrongKind("root")))
        try root.add(region, at: 0)
        #expect(refusal(region) == .unsuitableRegion(.hasParent("vmem0")))
        // A refusal leaves no need behind.
        #expect(policy.count(of: .needsCoordinatedDiscards) == 0)
    }

    @Test("counts memory that is plugged anew as written, for a migration that sent what was there before")
    func dirtyLog() throws {
        let bench = try Bench()
        try bench.blocks.plug(Bench.range(2..<4))
        let log = try bench.block.dirtyLog
        let pages = Int(Bench.block) / pageSize
        #expect(log.count(for: .migration) == 2 * pages)
        log.clear(for: .all)
        try bench.blocks.unplug(Bench.range(2..<3))
        #expect(log.count(for: .migration) == 0)
        try bench.blocks.plug(Bench.range(2..<3))
        #expect(log.count(for: .migration) == pages)
        #expect(log.contains(2 * pages, for: .migration))
    }

    @Test("isn't to be had where discards are forbidden, and forbids that they become so")
    func policy() throws {
        let memory = GuestMemory()
        let policy = memory.discardPolicy
        let ban = try policy.hold(.forbidsDiscards, for: "group 26")
        var region: MemoryRegion? = try ramRegion(byteCount: Bench.size, in: memory)
        func make() throws(RAMDiscardError) {
            guard let region else { return }
            _ = try MemoryBlocks(in: region, blockByteCount: Bench.block)
        }
        let error = refusal { () throws(RAMDiscardError) in try make() }
        #expect(error?.errno == .busy)
        #expect("\(try #require(error))".contains("group 26"))
        ban.release()
        try make()
        let refused = thrown { () throws(VFIOError) in try policy.hold(.forbidsDiscards, for: "group 26") }
        #expect(refused?.errno == .busy)
        #expect(refused?.cause?.contains("vmem0") == true)
        // The region keeps its blocks.
        region = nil
        _ = try policy.hold(.forbidsDiscards, for: "group 26")
    }
}
