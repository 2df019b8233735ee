import Glibc
import IOVASpace
import LinuxSystem
import Testing
import VFIOABI
import VFIOHost

@testable import SoftwareHost

@Suite("what the IOMMU's page table holds")
struct PageTableTests {
    let page = UInt64(pageSize)

    @Test("a mapping uses the largest pages that both sides are aligned for, unless that is switched off")
    func largePages() throws {
        let rig = try Rig()
        let (container, _) = rig.ready()
        let memory = try Mapping(anonymous: 8 << 20)
        // The first address at a multiple of 2 MiB.
        let base = (UInt64(memory.window.address.rawValue) + (2 << 20) - 1) & ~((2 << 20) - 1)
        func map(_ iova: UInt64, _ vaddr: UInt64, _ size: UInt64) -> [DMAMapping.Entries]? {
            let request = DMAMap(flags: [.read, .write], vaddr: vaddr, iova: iova, size: size)
            guard rig.ask(container, .iommuMapDMA, with: request) == 0 else { return nil }
            let all = rig.host.dmaMappings(ofGroup: 26)
            #expect(rig.unmap(container, iova, size: size) == Int64(size))
            return all?.first?.entries
        }
        func entries(_ size: UInt64, _ count: UInt64) -> DMAMapping.Entries {
            DMAMapping.Entries(pageSize: size, count: count)
        }
        #expect(map(0, base, 4 << 20) == [entries(2 << 20, 2)])
        #expect(map(0, base + page, 4 << 20) == [entries(page, 1024)], "the two sides differ")
        #expect(map(page, base + page, 4 << 20) == [entries(2 << 20, 1), entries(page, 512)])
        #expect(map(0, base, (2 << 20) - page) == [entries(page, 511)])
        rig.host.parameters.disableHugepages = true
        #expect(map(0, base, 4 << 20) == [entries(page, 1024)])
        // What is mapped already keeps its shape.
        let request = DMAMap(flags: .read, vaddr: base, iova: 0, size: 2 << 20)
        #expect(rig.ask(container, .iommuMapDMA, with: request) == 0)
        rig.host.parameters.disableHugepages = false
        #expect(rig.host.dmaMappings(ofGroup: 26)?.first?.entries == [entries(page, 512)])
        #expect(rig.host.dmaMappings(ofGroup: 27) == nil)
    }

    @Test("entries add up to the range, for any range and set of sizes")
    func shapes() {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SplitMix(state: seed)
        for _ in 0..<200 {
            let sizes: [UInt64] = [12, 14, 16, 21, 30].filter { $0 == 12 || Bool.random(using: &random) }
                .map { 1 << $0 }
            let first = UInt64.random(in: 0..<(1 << 34), using: &random) & ~0xfff
            let size = (UInt64.random(in: 1..<(1 << 26), using: &random) + 0xfff) & ~0xfff
            let found = PageTableShape.entries(from: first, lastOffset: size - 1, sizes: sizes)
            #expect(found.reduce(0) { $0 + $1.pageSize * $1.count } == size, "seed \(seed)")
            // As a kernel fills the table: the largest page that fits, again and again.
            var counts: [UInt64: UInt64] = [:]
            var at = first
            while at < first + size {
                let fits = sizes.last { at & ($0 - 1) == 0 && $0 <= first + size - at }
                guard let fits else { break }
                counts[fits, default: 0] += 1
                at += fits
            }
            for entry in found { #expect(counts[entry.pageSize] == entry.count, "seed \(seed)") }
            #expect(counts.count == found.count, "seed \(seed)")
        }
    }
}
