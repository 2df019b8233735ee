import IOVASpace
import LinuxSystem
import Testing
import VFIO

@testable import VFIOGuest

@Suite("Mappings of RAM that is plugged block by block")
struct DiscardableMappingTests {
    private typealias Bench = BlockBench

    /// Where devices see the first byte of the RAM.
    private static let base: UInt64 = 1 << 32

    private func mapping(
        _ bench: Bench, _ table: Table, _ range: Range<UInt64> = 0..<Bench.size,
        access: DMAPermissions = [.read, .write]
    ) throws -> DiscardableMapping {
        try DiscardableMapping(
            "vmem0", bench.window, range, at: IOVA(Self.base + range.lowerBound), access,
            granularity: bench.manager.granularity, target: table)
    }

    private func parts(_ mapping: DiscardableMapping, in range: Range<UInt64>? = nil) -> [Range<UInt64>] {
        var parts: [Range<UInt64>] = []
        mapping.forEachMappedPart(in: range) { part in
            #expect(part.iovas.first.rawValue == Self.base + part.range.lowerBound)
            #expect(part.iovas.byteCount == part.range.upperBound - part.range.lowerBound)
            parts.append(part.range)
        }
        return parts
    }

    @Test("1.10 map what is populated in pieces of a block, and unmap what is discarded in one request")
    func pieces() throws {
        let bench = try Bench()
        let table = Table()
        let mapping = try mapping(bench, table)
        try bench.blocks.plug(Bench.range(1..<3))
        try bench.manager.register(mapping, for: mapping.range)
        try bench.blocks.plug(Bench.range(6..<8))
        #expect(mapping.mappingCount == 4)
        let start = try bench.window.address
        for block: UInt64 in [1, 2, 6, 7] {
            let entry = table.mappings[Self.base + block * Bench.block]
            #expect(entry?.byteCount == Bench.block)
            #expect(entry?.memory == start + Int(block * Bench.block))
            #expect(entry?.access == [.read, .write])
        }
        // One of several pieces that were populated together.
        try bench.blocks.unplug(Bench.range(6..<7))
        #expect(table.mappings.count == 3)
        #expect(table.unmapCount == 1)
        // What is registered to the end, with holes, in one request too.
        try bench.manager.unregister(mapping)
        #expect(table.mappings.isEmpty)
        #expect(table.unmapCount == 2)
        #expect(mapping.mappingCount == 0)
    }

    @Test("1.10 can be for reading only")
    func readOnly() throws {
        let bench = try Bench()
        let table = Table()
        let mapping = try mapping(bench, table, access: .read)
        try bench.manager.register(mapping, for: mapping.range)
        try bench.blocks.plug(Bench.range(1..<2))
        #expect(table.mappings.values.map(\.access) == [.read])
    }

    @Test("1.10 of a section that begins and ends inside blocks have short pieces there")
    func edges() throws {
        let bench = try Bench()
        let table = Table()
        let half = Bench.block / 2
        let mapping = try mapping(bench, table, Bench.block + half..<4 * Bench.block + half)
        try bench.manager.register(mapping, for: mapping.range)
        try bench.blocks.plug(0..<Bench.size)
        #expect(mapping.mappingCount == 4)
        #expect(mapping.demand.mappingCount == 4)
        #expect(table.mappings[Self.base + Bench.block + half]?.byteCount == half)
        #expect(table.mappings[Self.base + 2 * Bench.block]?.byteCount == Bench.block)
        #expect(table.mappings[Self.base + 4 * Bench.block]?.byteCount == half)
        #expect(table.mappings.count == 4)
        try bench.blocks.unplug(Bench.range(1..<2))
        try bench.blocks.unplug(Bench.range(4..<5))
        #expect(table.mappings.keys.sorted() == [2, 3].map { Self.base + $0 * Bench.block })
    }

    @Test("1.10 are undone exactly where one of several pieces fails, and the plug with them")
    func rollback() throws {
        let bench = try Bench()
        let table = Table()
        let mapping = try mapping(bench, table)
        try bench.manager.register(mapping, for: mapping.range)
        try bench.blocks.plug(Bench.range(0..<1))
        table.limit = 3
        let error = thrown { () throws(RAMDiscardError) in try bench.blocks.plug(Bench.range(4..<8)) }
        guard case .refused(let refusal) = error else {
            Issue.record("not refused: \(String(describing: error))")
            return
        }
        #expect(refusal.code == .entryLimit)
        #expect(refusal.object == "vmem0")
        #expect(refusal.remedy == "populate the RAM in longer blocks")
        #expect(table.mappings.keys.sorted() == [Self.base])
        #expect(parts(mapping) == [Bench.range(0..<1)])
        #expect(bench.blocks.pluggedByteCount == Bench.block)
        try bench.blocks.plug(Bench.range(4..<6))
        #expect(table.mappings.count == 3)
    }

    @Test("1.10 that can't be made when the section appears leave nothing behind")
    func failingRegistration() throws {
        let bench = try Bench()
        let table = Table()
        try bench.blocks.plug(Bench.range(0..<1))
        try bench.blocks.plug(Bench.range(3..<6))
        let mapping = try mapping(bench, table)
        table.limit = 2
        #expect(
            thrown { () throws(RAMDiscardError) in
                try bench.manager.register(mapping, for: mapping.range)
            }?.errno == .noSpace)
        #expect(table.mappings.isEmpty)
        #expect(bench.manager.listenerCount == 0)
    }

    @Test("1.10 are told in parts as long as they are, for who asks what was written there")
    func dirtyParts() throws {
        let bench = try Bench()
        let table = Table()
        let mapping = try mapping(bench, table)
        try bench.manager.register(mapping, for: mapping.range)
        #expect(parts(mapping) == [])
        try bench.blocks.plug(Bench.range(1..<3))
        try bench.blocks.plug(Bench.range(3..<4))
        try bench.blocks.plug(Bench.range(9..<10))
        #expect(parts(mapping) == [Bench.range(1..<4), Bench.range(9..<10)])
        // A part doesn't end inside a mapping.
        #expect(parts(mapping, in: Bench.block + 5..<Bench.block + 6) == [Bench.range(1..<2)])
        #expect(parts(mapping, in: Bench.range(4..<9)) == [])
        var count = 0
        let error = thrown { () throws(Errno) in
            try mapping.forEachMappedPart { (_) throws(Errno) in
                count += 1
                throw .inputOutput
            }
        }
        #expect(error == .inputOutput)
        #expect(count == 1)
    }

    @Test("1.10 that can't be undone are told of, and aren't trusted when the block comes back")
    func failingUnmap() throws {
        let bench = try Bench()
        let table = Table()
        let mapping = try mapping(bench, table)
        try bench.manager.register(mapping, for: mapping.range)
        try bench.blocks.plug(Bench.range(2..<4))
        table.refusesToUnmap = true
        try bench.blocks.unplug(Bench.range(2..<3))
        #expect(table.warnings == [IOVARange(IOVA(Self.base + 2 * Bench.block), byteCount: Bench.block)])
        #expect(mapping.mappingCount == 2)
        // The IOMMU still translates to pages that the guest has lost.
        #expect(
            thrown { () throws(RAMDiscardError) in try bench.blocks.plug(Bench.range(2..<3)) }?.errno
                == .inputOutput)
        table.refusesToUnmap = false
        try bench.blocks.plug(Bench.range(2..<3))
        #expect(mapping.mappingCount == 2)
        #expect(table.mappings.count == 2)
    }

    @Test("1.10 need whole pages of the IOMMU, inside the RAM and the address space")
    func preconditions() throws {
        let bench = try Bench()
        let window = try bench.window
        func refusal(
            _ range: Range<UInt64>, at iova: UInt64, granularity: UInt64 = Bench.block, page: UInt64 = 4096
        ) -> VFIOError.Code? {
            thrown { () throws(VFIOError) in
                try DiscardableMapping(
                    "vmem0", window, range, at: IOVA(iova), [.read, .write], granularity: granularity,
                    target: Table(smallestPage: page))
            }?.code
        }
        #expect(refusal(0..<Bench.size, at: 0) == nil)
        #expect(refusal(4096..<8192, at: .max - 4095) == nil)
        #expect(refusal(0..<Bench.size, at: 0, page: 2 << 20) == .misaligned)
        #expect(refusal(0..<Bench.size, at: 0, granularity: 3 << 12) == .misaligned)
        #expect(refusal(0..<Bench.size, at: 0, granularity: 0) == .misaligned)
        #expect(refusal(0..<Bench.size, at: 0x800) == .misaligned)
        #expect(refusal(0x800..<Bench.size, at: 0) == .misaligned)
        #expect(refusal(0..<Bench.size + 4096, at: 0) == .outOfBounds)
        #expect(refusal(0..<0, at: 0) == .outOfBounds)
        #expect(refusal(0..<Bench.size, at: .max - 4095) == .outOfBounds)
    }

    @Test("1.10 don't take up what isn't whole blocks")
    func partOfBlock() throws {
        let bench = try Bench()
        let mapping = try mapping(bench, Table())
        #expect(
            thrown { () throws(VFIOError) in try mapping.populate(0..<4096) }?.code == .misaligned)
        try mapping.populate(Bench.size..<Bench.size + 4096)
        mapping.discard(Bench.size..<Bench.size + 4096)
        #expect(mapping.mappingCount == 0)
    }

    @Test(
        "1.10 are those of what is plugged, whatever is plugged and whichever requests fail", arguments: 0..<8
    )
    func random(round: Int) throws {
        var random = randomSeed("plugging at random, round \(round)")
        let bench = try Bench()
        let blockCount = Int(Bench.size / Bench.block)
        var dice = SplitMix(state: random.next())
        var chance = 0
        // Two sections of the same RAM, as two devices in different containers have them; one cuts blocks.
        let half = Bench.block / 2
        let ranges = [0..<Bench.size, Bench.block + half..<Bench.size - half]
        let tables = [Table(), Table()]
        for table in tables { table.refuses = { chance > 0 && dice.below(chance) == 0 } }
        var listeners: [DiscardableMapping?] = [nil, nil]
        var plugged = [Bool](repeating: false, count: blockCount)
        var refusals = 0

        func expected(_ range: Range<UInt64>) -> [UInt64: UInt64] {
            var entries: [UInt64: UInt64] = [:]
            for block in plugged.indices where plugged[block] {
                let piece = Bench.range(UInt64(block)..<UInt64(block + 1)).clamped(to: range)
                if !piece.isEmpty {
                    entries[Self.base + piece.lowerBound] = piece.upperBound - piece.lowerBound
                }
            }
            return entries
        }

        for _ in 0..<600 {
            chance = [0, 0, 3, 10, 40][random.below(5)]
            let first = random.below(blockCount)
            let count = 1 + random.below(min(blockCount - first, 6))
            let range = Bench.range(UInt64(first)..<UInt64(first + count))
            let states = Set(plugged[first..<first + count])
            switch random.below(10) {
            case 0..<4:
                let error = thrown { () throws(RAMDiscardError) in try bench.blocks.plug(range) }
                switch error {
                case nil:
                    #expect(states == [false])
                    for block in first..<first + count { plugged[block] = true }
                case .refused: refusals += 1
                default: #expect(error == .notUnplugged(range) && states.contains(true))
                }
            case 4..<8:
                let error = thrown { () throws(RAMDiscardError) in try bench.blocks.unplug(range) }
                if error == nil {
                    #expect(states == [true])
                    for block in first..<first + count { plugged[block] = false }
                } else {
                    #expect(error == .notPlugged(range) && states.contains(false))
                }
            case 8 where random.below(8) == 0:
                try bench.blocks.unplugAll()
                plugged = [Bool](repeating: false, count: blockCount)
            default:
                let index = random.below(2)
                if let listener = listeners[index] {
                    try bench.manager.unregister(listener)
                    listeners[index] = nil
                } else {
                    let listener = try mapping(bench, tables[index], ranges[index])
                    let error = thrown { () throws(RAMDiscardError) in
                        try bench.manager.register(listener, for: listener.range)
                    }
                    if error == nil { listeners[index] = listener } else { refusals += 1 }
                }
            }
            for index in 0..<2 {
                let entries = tables[index].mappings.mapValues(\.byteCount)
                #expect(entries == (listeners[index] == nil ? [:] : expected(ranges[index])))
                if let listener = listeners[index] { #expect(listener.mappingCount == entries.count) }
            }
            #expect(bench.blocks.pluggedByteCount == UInt64(plugged.count { $0 }) * Bench.block)
        }
        #expect(refusals > 0)
        for listener in listeners.compactMap({ $0 }) { try bench.manager.unregister(listener) }
        #expect(tables.allSatisfy { $0.mappings.isEmpty && $0.warnings.isEmpty })
        try bench.blocks.unplugAll()
        #expect(try bench.window.residentPageCount() == 0)
    }
}
