import IOVASpace
import LinuxSystem
import Testing
import VFIO

@testable import VFIOGuest

@Suite("A guest's driver that maps, unmaps and remaps at random")
struct VIOMMURandomTests {
    @Test(
        "those who follow know after every invalidation exactly what the tables say", arguments: 0..<12)
    func random(round: Int) throws {
        let seed = UInt64.random(in: 0...UInt64(Int64.max))
        var random = SplitMix(state: seed)
        let guest = try VIOMMUGuest()
        let iommu = try guest.vIOMMU()
        try iommu.setTable(guest.table)
        let observer = VIOMMUObserver()
        let notifier = IOMMUNotifier([.map, .unmap], in: 0...0xffff_ffff_ffff, for: observer)
        try iommu.register(notifier, byteCount: 1 << 48)
        // Follows a window whose ends lie within large pages.
        let window: ClosedRange<UInt64> = 0x3_8010_0000...0x4_4030_2fff
        let partial = VIOMMUObserver()
        try iommu.register(IOMMUNotifier([.map, .unmap], in: window, for: partial), byteCount: 1 << 48)

        // Few places, next to each other, so that pages of all sizes meet.
        func place() -> (iova: UInt64, level: Int) {
            let level = 1 + random.below(3)
            let gib = UInt64(0xe + random.below(4)) << 30
            let mib = UInt64([0, 1, 2, 511][random.below(4)]) << 21
            let kib = UInt64([0, 1, 2, 3, 510, 511][random.below(6)]) << 12
            return (gib + (level < 3 ? mib : 0) + (level < 2 ? kib : 0), level)
        }
        for _ in 0..<60 {
            var touched: IOVARange?
            for _ in 0..<1 + random.below(4) {
                let (iova, level) = place()
                let size = VIOMMUPageTable.pageSize(level: level)
                let permissions = DMAPermissions(rawValue: UInt32(1 + random.below(3)))
                switch random.below(5) {
                case 0, 1:
                    guest.map(iova, to: UInt64(random.below(64)) * size, level: level, permissions)
                case 2:
                    // What an area allows at most changes for all that lies in it.
                    let word = guest.place(of: iova, level: level)
                    let old = guest.load(word)
                    guest.store(word, old & ~3 | (old & 3 == 0 ? 0 : UInt64(permissions.rawValue)))
                default: guest.unmap(iova, level: level)
                }
                // Making room for a small page takes away the large one that was there.
                let parent = iova & ~((1 << 30) - 1)
                let changed = IOVARange(parent, through: parent + (1 << 30) - 1)
                let exact = IOVARange(iova, through: iova + (size - 1))
                let said = random.below(3) == 0 ? exact : changed
                touched = IOVARange(
                    first: min(touched?.first ?? said.first, said.first),
                    last: max(touched?.last ?? said.last, said.last))
            }
            if let touched { iommu.invalidate(touched) }
            let fresh = guest.pages()
            #expect(observer.pages == fresh, "seed \(seed)")
            var cut: [UInt64: ObservedPage] = [:]
            for (iova, page) in fresh {
                let first = max(iova, window.lowerBound)
                let last = min(iova + (page.byteCount - 1), window.upperBound)
                guard first <= last else { continue }
                cut[first] = ObservedPage(
                    address: page.address + (first - iova), byteCount: last - first + 1,
                    permissions: page.permissions)
            }
            #expect(partial.pages == cut, "seed \(seed)")
            guard observer.pages == fresh, partial.pages == cut else { break }
        }
        #expect(observer.mistakes.isEmpty && partial.mistakes.isEmpty, "seed \(seed)")
        #expect(iommu.takeFaults().entries.isEmpty, "seed \(seed)")
        // One who comes late is told the same.
        let late = VIOMMUObserver()
        let lateNotifier = IOMMUNotifier([.map, .unmap], in: window, for: late)
        try iommu.register(lateNotifier, byteCount: 1 << 48)
        iommu.replay(to: lateNotifier)
        #expect(late.pages == partial.pages && late.mistakes.isEmpty, "seed \(seed)")
        // And when the table goes all of it goes.
        try iommu.setTable(nil)
        #expect(observer.pages.isEmpty && late.pages.isEmpty, "seed \(seed)")
    }
}
