import LinuxSystem
import Testing

@testable import VFIOGuest

/// A tree of regions changed at random, compared page by page with the plainest reading of the rules.
@Suite("A memory map that changes at random")
struct RandomTreeTests {
    private static let pages = 48

    /// What is seen at an offset, found by looking at every region. Offsets behind aliases need not be whole pages.
    private static func look(_ region: MemoryRegion, _ offset: Int, readOnly: Bool = false) -> String? {
        guard region.isEnabled, offset >= 0, offset < Int(region.byteCount) else { return nil }
        let readOnly = readOnly || region.isReadOnly
        if case .alias(let target, _) = region.kind {
            return look(target, offset + Int(region.aliasOffset), readOnly: readOnly)
        }
        let children = region.subregions.sorted {
            ($0.placement.priority, $0.placement.serial) > ($1.placement.priority, $1.placement.serial)
        }
        for child in children {
            if let seen = look(child, offset - Int(child.offset), readOnly: readOnly) { return seen }
        }
        return region.isTerminating ? "\(region.name)+\(offset)\(readOnly ? "r" : "w")" : nil
    }

    @Test("every page shows what the rules say, and a listener knows exactly the same", arguments: 0..<24)
    func random(round: Int) throws {
        // The first ones are those that once found something.
        let old: [UInt64] = [1_515_267_610_655_378_101, 6_026_633_578_894_608_507]
        let seed = round < old.count ? old[round] : UInt64.random(in: 0...UInt64(Int64.max))
        var random = SplitMix(state: seed)
        let memory = GuestMemory()
        let page: UInt128 = 4096
        let root = try MemoryRegion("root", .container, byteCount: page * UInt128(Self.pages), in: memory)
        let space = GuestAddressSpace("memory", showing: root)
        let early = Recorder()
        try space.register(early)
        var regions = [root]
        var late: Recorder?
        func pick() -> MemoryRegion { regions[random.below(regions.count)] }
        func step() {
            let region = pick()
            let offset = UInt64(random.below(Self.pages)) * 4096
            let length = page * UInt128(1 + random.below(16))
            switch random.below(12) {
            case 0 where regions.count < 30:
                if let block = try? RAMBlock("ram\(regions.count)", byteCount: 16 * 4096),
                    let new = try? MemoryRegion(block.name, .ram(block), byteCount: length, in: memory)
                {
                    regions.append(new)
                }
            case 1 where regions.count < 30:
                if let new = try? MemoryRegion(
                    "box\(regions.count)", .container, byteCount: length, in: memory)
                {
                    regions.append(new)
                }
            case 2 where regions.count < 30:
                if let new = try? MemoryRegion(
                    "alias\(regions.count)", .alias(region, offset: offset / 2), byteCount: length, in: memory
                ) {
                    regions.append(new)
                }
            case 3, 4, 5: try? pick().add(region, at: offset, priority: random.below(3))
            case 6: if let parent = region.parent { try? parent.remove(region) }
            case 7: try? region.move(to: offset)
            case 8: if region !== root { region.setEnabled(random.below(3) > 0) }
            case 9: region.setReadOnly(random.below(2) == 0)
            case 10: try? region.setAliasOffset(offset)
            default: if region !== root { try? region.setByteCount(length) }
            }
        }
        for turn in 0..<300 {
            if random.below(4) == 0 {
                memory.transaction { for _ in 0..<random.below(8) { step() } }
            } else {
                step()
            }
            if turn == 150 {
                late = Recorder(priority: 1)
                try space.register(late!)
            }
            let sections = space.sections
            // Ascending, disjoint, and joined wherever they can be.
            for (a, b) in zip(sections, sections.dropFirst()) {
                #expect(a.range.last < b.range.first, "seed \(seed), turn \(turn)")
                let joins =
                    a.region === b.region && a.range.last.rawValue + 1 == b.range.first.rawValue
                    && a.offset + a.range.lastOffset + 1 == b.offset && a.isReadOnly == b.isReadOnly
                #expect(!joins, "seed \(seed), turn \(turn): \(a) and \(b)")
            }
            for index in 0..<Self.pages {
                let section = space.section(at: GuestAddress(UInt64(index) * 4096 + 17))
                let seen = section.map {
                    let offset = $0.offset + (UInt64(index) * 4096 + 17 - $0.range.first.rawValue)
                    return "\($0.region.name)+\(offset)\($0.isReadOnly ? "r" : "w")"
                }
                try #require(
                    seen == Self.look(root, index * 4096 + 17), "seed \(seed), turn \(turn), page \(index)")
            }
            for recorder in [early, late].compactMap({ $0 }) {
                let known = recorder.known.values.sorted { $0.range.first < $1.range.first }
                #expect(known.map(\.description) == sections.map(\.description), "seed \(seed), turn \(turn)")
                try #require(recorder.mistakes.isEmpty, "seed \(seed), turn \(turn)")
            }
        }
        space.unregister(early)
        #expect(early.known.isEmpty, "seed \(seed)")
        var known: [String: Int] = [:]
        for event in early.events {
            switch event {
            case .added(let name, let first, let last, _): known["\(name) \(first) \(last)", default: 0] += 1
            case .removed(let name, let first, let last, _):
                known["\(name) \(first) \(last)", default: 0] -= 1
            default: break
            }
        }
        #expect(known.values.allSatisfy { $0 == 0 }, "seed \(seed): each addition has its removal")
    }

    @Test("ten thousand regions in one container are found, split, covered and taken out again")
    func many() throws {
        let memory = GuestMemory()
        let root = try MemoryRegion("root", .container, byteCount: 1 << 64, in: memory)
        let block = try RAMBlock("ram", byteCount: 1 << 16)
        let space = GuestAddressSpace("memory", showing: root)
        let recorder = Recorder()
        var regions: [MemoryRegion] = []
        try memory.transaction {
            for index in 0..<10_000 {
                let region = try MemoryRegion("r\(index)", .ram(block), byteCount: 4096, in: memory)
                try root.add(region, at: UInt64(index * 7919 % 10_000) * 8192)
                regions.append(region)
            }
        }
        #expect(space.sectionCount == 10_000)
        try space.register(recorder)
        recorder.events = []
        for index in stride(from: 0, to: 10_000, by: 97) { regions[index].setEnabled(false) }
        #expect(recorder.events.count == 104 * 3)
        #expect(space.sectionCount == 10_000 - 104)
        for index in stride(from: 0, to: 10_000, by: 97) { try root.remove(regions[index]) }
        #expect(space.sectionCount == 10_000 - 104)
        for region in regions where region.parent != nil { try root.remove(region) }
        #expect(space.sectionCount == 0)
        #expect(recorder.known.isEmpty)
    }
}
