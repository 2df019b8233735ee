import IOVASpace
import LinuxSystem
import Testing
import VFIO

@testable import VFIOGuest

@Suite("A vIOMMU that a guest's driver programs")
struct VIOMMUTests {
    let guest: VIOMMUGuest
    let iommu: VIOMMU
    let observer = VIOMMUObserver()

    init() throws {
        guest = try VIOMMUGuest()
        iommu = try guest.vIOMMU()
    }

    private let whole: ClosedRange<UInt64> = 0...0xffff_ffff_ffff

    @discardableResult
    private func follow(
        _ iommu: VIOMMU? = nil, _ observer: VIOMMUObserver? = nil, _ events: IOMMUEvents = [.map, .unmap],
        in range: ClosedRange<UInt64>? = nil
    ) throws -> IOMMUNotifier {
        let notifier = IOMMUNotifier(events, in: range ?? whole, for: observer ?? self.observer)
        try (iommu ?? self.iommu).register(notifier, byteCount: 1 << 64)
        return notifier
    }

    private func invalidate(_ iova: UInt64, _ byteCount: UInt64, _ iommu: VIOMMU? = nil) {
        (iommu ?? self.iommu).invalidate(IOVARange(iova, through: iova + (byteCount - 1)))
    }

    @Test("who follows hears of a page when the driver invalidates it, not when it is written")
    func mapAndUnmap() throws {
        try iommu.setTable(guest.table)
        try follow()
        guest.map(0x5000, to: 0x9000, .read)
        #expect(observer.take().isEmpty)
        invalidate(0x5000, 4096)
        #expect(observer.take() == [.mapped(0x5000, 4096, to: 0x9000)])
        #expect(observer.pages[0x5000]?.permissions == .read)
        invalidate(0x5000, 4096)
        #expect(observer.take().isEmpty, "nothing has changed")
        guest.unmap(0x5000)
        invalidate(0x5000, 4096)
        #expect(observer.take() == [.unmapped(0x5000, 4096)])
    }

    @Test("a page that leads elsewhere, or allows something else, is unmapped before it is mapped again")
    func remap() throws {
        try iommu.setTable(guest.table)
        try follow()
        guest.map(0x5000, to: 0x9000)
        invalidate(0x5000, 4096)
        guest.map(0x5000, to: 0xa000)
        invalidate(0x5000, 4096)
        guest.map(0x5000, to: 0xa000, .read)
        invalidate(0x5000, 4096)
        #expect(
            observer.take() == [
                .mapped(0x5000, 4096, to: 0x9000), .unmapped(0x5000, 4096), .mapped(0x5000, 4096, to: 0xa000),
                .unmapped(0x5000, 4096), .mapped(0x5000, 4096, to: 0xa000),
            ])
        #expect(observer.mistakes.isEmpty)
    }

    @Test("a large page that is split is taken away whole, though only a part of it was invalidated")
    func split() throws {
        try iommu.setTable(guest.table)
        try follow()
        guest.map(0x20_0000, to: 0x40_0000, level: 2)
        invalidate(0x20_0000, 2 << 20)
        guest.store(guest.place(of: 0x20_0000, level: 2), 0)
        guest.map(0x20_0000, to: 0x40_0000)
        guest.map(0x3f_f000, to: 0x5f_f000)
        invalidate(0x30_0000, 4096)
        #expect(
            observer.take() == [
                .mapped(0x20_0000, 2 << 20, to: 0x40_0000), .unmapped(0x20_0000, 2 << 20),
                .mapped(0x20_0000, 4096, to: 0x40_0000), .mapped(0x3f_f000, 4096, to: 0x5f_f000),
            ])
        // And back: the small ones go, one by one as far as they lie apart.
        guest.map(0x20_0000, to: 0x40_0000, level: 2)
        invalidate(0x3f_f000, 4096)
        #expect(
            observer.take() == [
                .unmapped(0x20_0000, 4096), .unmapped(0x3f_f000, 4096),
                .mapped(0x20_0000, 2 << 20, to: 0x40_0000),
            ])
        #expect(observer.mistakes.isEmpty)
    }

    @Test("pages that lie next to each other go in one event")
    func runs() throws {
        try iommu.setTable(guest.table)
        try follow()
        for page in 0..<UInt64(8) { guest.map(page * 4096, to: page * 8192) }
        invalidate(0, 8 * 4096)
        _ = observer.take()
        for page in [0, 1, 2, 5, 6] as [UInt64] { guest.unmap(page * 4096) }
        invalidate(0, 8 * 4096)
        #expect(observer.take() == [.unmapped(0, 0x3000), .unmapped(0x5000, 0x2000)])
    }

    @Test("taking the table away unmaps everything, and giving another one maps what that says")
    func tables() throws {
        try follow()
        guest.map(0x5000, to: 0x9000)
        #expect(iommu.translate(0x5000, for: .read).permissions.isEmpty)
        try iommu.setTable(guest.table)
        #expect(observer.take() == [.mapped(0x5000, 4096, to: 0x9000)])
        #expect(iommu.translate(0x5000, for: .read).translated == GuestAddress(0x9000))
        try iommu.setTable(nil)
        #expect(observer.take() == [.unmapped(0x5000, 4096)])
        #expect(throws: VFIOError.self) { try iommu.setTable(GuestAddress(0x123)) }
        let faults = iommu.takeFaults()
        #expect(faults.entries == [VIOMMUFault(.blocked, at: IOVA(0x5000))])
    }

    @Test("who doesn't follow hears of the whole range that was invalidated, and of nothing that is mapped")
    func others() throws {
        try iommu.setTable(guest.table)
        let other = VIOMMUObserver()
        try follow(nil, other, .unmap)
        guest.map(0x5000, to: 0x9000)
        invalidate(0x4000, 0x3000)
        #expect(other.take() == [.unmapped(0x4000, 0x3000)])
        try follow()
        guest.unmap(0x5000)
        invalidate(0x4000, 0x3000)
        #expect(other.take() == [.unmapped(0x4000, 0x3000)])
        #expect(observer.take() == [.unmapped(0x5000, 0x1000)])
    }

    @Test("devices that keep translations hear when the driver tells them to let go, and only then")
    func deviceTranslations() throws {
        try iommu.setTable(guest.table)
        try follow(nil, nil, .deviceUnmap, in: 0x5000...0x8fff)
        guest.map(0x5000, to: 0x9000)
        invalidate(0x5000, 4096)
        #expect(observer.take().isEmpty)
        iommu.invalidateInDevices(IOVARange(0x4000, through: 0xffff_ffff))
        #expect(observer.take() == [.inDevices(0x5000, 0x4000)])
        iommu.invalidateInDevices(.all)
        #expect(observer.take() == [.inDevices(0x5000, 0x4000)])
    }

    @Test("events are cut to what a notifier asked for, and lead to the same memory")
    func cut() throws {
        try iommu.setTable(guest.table)
        try follow(in: 0x21_0000...0x2f_ffff)
        guest.map(0x20_0000, to: 0x40_0000, level: 2)
        guest.map(0x40_0000, to: 0x60_0000, level: 2)
        invalidate(0, 1 << 30)
        #expect(observer.take() == [.mapped(0x21_0000, 0xf_0000, to: 0x41_0000)])
        guest.unmap(0x20_0000, level: 2)
        guest.unmap(0x40_0000, level: 2)
        invalidate(0, 1 << 30)
        #expect(observer.take() == [.unmapped(0x21_0000, 0xf_0000)])
    }

    @Test("a notifier that comes late is told of everything in its range, and nobody else is")
    func replay() throws {
        guest.map(0x5000, to: 0x9000)
        guest.map(0x20_0000, to: 0x40_0000, level: 2)
        guest.map(1 << 40, to: 0, level: 3)
        try iommu.setTable(guest.table)
        let early = try follow()
        #expect(observer.take().isEmpty, "what is there is told when it is asked for")
        iommu.replay(to: early)
        #expect(observer.take().count == 3)
        let late = VIOMMUObserver()
        let notifier = try follow(nil, late, [.map, .unmap], in: 0x30_0000...(1 << 40) + 0xfff)
        iommu.replay(to: notifier)
        #expect(late.take() == [.mapped(0x30_0000, 1 << 20, to: 0x50_0000), .mapped(1 << 40, 4096, to: 0)])
        #expect(observer.take().isEmpty)
        iommu.unregister(notifier)
        iommu.replay(to: notifier)
        #expect(late.take().isEmpty)
    }

    @Test("what is replayed is what was invalidated, so that everybody who follows knows the same")
    func replayOfOldTables() throws {
        try iommu.setTable(guest.table)
        let early = try follow()
        guest.map(0x5000, to: 0x9000)
        invalidate(0x5000, 4096)
        guest.map(0x5000, to: 0xa000)
        let late = VIOMMUObserver()
        iommu.replay(to: try follow(nil, late))
        #expect(late.pages == observer.pages)
        invalidate(0x5000, 4096)
        #expect(late.pages == observer.pages)
        #expect(late.mistakes.isEmpty && late.pages[0x5000]?.address == 0xa000)
        // The first one who follows after the last one went finds the tables as they are then.
        iommu.unregister(early)
        for notifier in [late] { notifier.pages = [:] }
        let third = VIOMMUObserver()
        iommu.replay(to: try follow(nil, third))
        #expect(third.pages[0x5000]?.address == 0xa000)
    }

    @Test("following starts anew when nobody had followed")
    func followAgain() throws {
        try iommu.setTable(guest.table)
        guest.map(0x5000, to: 0x9000)
        iommu.unregister(try follow())
        guest.unmap(0x5000)
        guest.map(0x6000, to: 0x9000)
        iommu.replay(to: try follow())
        #expect(observer.take() == [.mapped(0x6000, 4096, to: 0x9000)])
    }

    @Test("a registration is refused outside the region, twice, for nothing, for a kind there isn't")
    func refusals() throws {
        func register(_ notifier: IOMMUNotifier, byteCount: UInt128 = 0x1_0000) -> VFIOError.Code? {
            do throws(VFIOError) {
                try iommu.register(notifier, byteCount: byteCount)
                return nil
            } catch {
                return error.code
            }
        }
        #expect(register(IOMMUNotifier(.map, in: 0...0x1_0000, for: observer)) == .outOfBounds)
        #expect(register(IOMMUNotifier(.map, in: 0...0xffff, index: 1, for: observer)) == .outOfBounds)
        #expect(register(IOMMUNotifier(.map, in: 0...0xffff, index: -1, for: observer)) == .outOfBounds)
        #expect(register(IOMMUNotifier([], in: 0...0xffff, for: observer)) == .busy)
        let all = IOMMUNotifier(.map, in: 0...UInt64.max, for: observer)
        #expect(register(all, byteCount: 1 << 64) == nil)
        #expect(register(all, byteCount: 1 << 64) == .busy)
        iommu.unregister(all)
        iommu.unregister(all)
        #expect(iommu.notifiers.count == 0)
        #expect(register(all, byteCount: 1 << 64) == nil)
    }

    @Test("a vIOMMU without caching mode can't be followed, but tells of what isn't mapped any more")
    func noCachingMode() throws {
        let iommu = try guest.vIOMMU { $0.hasCachingMode = false }
        #expect(throws: VFIOError.self) { try follow(iommu) }
        #expect(iommu.notifiers.count == 0)
        try follow(iommu, nil, .unmap)
        invalidate(0x5000, 4096, iommu)
        #expect(observer.take() == [.unmapped(0x5000, 4096)])
    }

    @Test(
        "sizes of pages that the machine's IOMMU lacks are withdrawn before the guest starts, and not after")
    func pageSizes() throws {
        // A machine with pages of 64 KiB, and with ones of 4 KiB that doesn't change anything.
        try iommu.limitPageSizes(to: [.kib4, .mib2])
        #expect(iommu.smallestPage == 4096)
        try iommu.limitPageSizes(to: VIOMMUPageSizes(rawValue: 0x1_0000))
        #expect(iommu.smallestPage == 2 << 20)
        func code(_ sizes: VIOMMUPageSizes, _ iommu: VIOMMU) -> VFIOError.Code? {
            do throws(VFIOError) {
                try iommu.limitPageSizes(to: sizes)
                return nil
            } catch {
                return error.code
            }
        }
        #expect(code([], iommu) == .notSupported)
        #expect(code(VIOMMUPageSizes(rawValue: 1 << 31), iommu) == .notSupported)
        try iommu.setTable(guest.table)
        #expect(code(.gib1, iommu) == .busy)
        #expect(code(VIOMMUPageSizes(rawValue: 1 << 20), iommu) == nil)
        try follow()
        guest.map(0x5000, to: 0x9000)
        guest.map(0x20_0000, to: 0, level: 2)
        invalidate(0, 1 << 30)
        #expect(observer.take() == [.mapped(0x20_0000, 2 << 20, to: 0)])
        #expect(iommu.takeFaults().entries == [VIOMMUFault(.pageSize(4096), at: IOVA(0x5000), level: 1)])
        let small = try guest.vIOMMU { $0.pageSizes = .kib4 }
        #expect(code(VIOMMUPageSizes(rawValue: 0x1_0000), small) == .notSupported)
    }

    @Test("a guest that maps more than the vIOMMU keeps has the rest unmapped, and is told")
    func mappingLimit() throws {
        let iommu = try guest.vIOMMU { $0.mappingLimit = 3 }
        try iommu.setTable(guest.table)
        try follow(iommu)
        for page in 0..<UInt64(5) { guest.map(page * 4096, to: page * 4096) }
        invalidate(0, 5 * 4096, iommu)
        #expect(observer.pages.keys.sorted() == [0, 4096, 8192])
        #expect(
            iommu.takeFaults().entries == [
                VIOMMUFault(.tooManyMappings, at: IOVA(0x3000)),
                VIOMMUFault(.tooManyMappings, at: IOVA(0x4000)),
            ])
        guest.unmap(0)
        invalidate(0, 5 * 4096, iommu)
        #expect(observer.pages.keys.sorted() == [4096, 8192, 12288])
    }

    @Test("where the tables are too long to be read, everything from there on is unmapped")
    func wordLimit() throws {
        let iommu = try guest.vIOMMU { $0.wordLimit = 1000 }
        try iommu.setTable(guest.table)
        try follow(iommu)
        guest.map(0, to: 0)
        guest.map(0x6_4000, to: 0)
        invalidate(0x6_4000, 4096, iommu)
        invalidate(0, 4096, iommu)
        #expect(observer.pages.keys.sorted() == [0, 0x6_4000])
        _ = iommu.takeFaults()
        // 1000 tables in front of the second page: the table of level 3 is the same for all of them.
        let table = guest.newTable()
        guest.store(guest.place(of: 0, level: 2), VIOMMUPageTableEntry.table(table).rawValue)
        iommu.invalidate(.all)
        #expect(observer.pages.isEmpty)
        #expect(iommu.takeFaults().entries.map(\.reason) == [.walkTooLong])
        #expect(observer.mistakes.isEmpty)
    }

    @Test("the log keeps the oldest faults and says that there were more")
    func faultLog() throws {
        let iommu = try guest.vIOMMU { $0.faultLimit = 2 }
        try iommu.setTable(guest.table)
        for page in 0..<UInt64(4) { _ = iommu.translate(page * 4096, for: .read) }
        _ = iommu.translate(0, for: [])
        let log = iommu.takeFaults()
        #expect(log.entries.map(\.iova.rawValue) == [0, 4096])
        #expect(log.hasOverflowed)
        #expect(iommu.takeFaults().entries.isEmpty)
        #expect(!iommu.takeFaults().hasOverflowed)
    }

    @Test("a translation leads to system memory, page by page")
    func translate() throws {
        try iommu.setTable(guest.table)
        guest.map(0x20_0000, to: 0x40_0000, level: 2, .read)
        let entry = iommu.translate(0x2a_bcde, for: .read)
        #expect(entry.target === guest.space)
        #expect(entry.iova == 0x20_0000 && entry.lastOffset == (2 << 20) - 1)
        #expect(entry.translated == GuestAddress(0x40_0000) && entry.permissions == .read)
        let refused = iommu.translate(0x2a_bcde, for: .write)
        #expect(refused.permissions.isEmpty && refused.iova == 0x2a_b000 && refused.lastOffset == 4095)
        #expect(iommu.translate(.max, for: .read).permissions.isEmpty)
    }

    @Test("who is told may invalidate more, and hears of it afterwards")
    func reentrancy() throws {
        try iommu.setTable(guest.table)
        try follow()
        observer.onMap = { [guest, iommu, observer] in
            observer.onMap = nil
            guest.map(0x5000, to: 0xb000)
            iommu.invalidate(.all)
        }
        guest.map(0x5000, to: 0x9000)
        guest.map(0x6000, to: 0xa000)
        invalidate(0x5000, 0x2000)
        #expect(
            observer.take() == [
                .mapped(0x5000, 4096, to: 0x9000), .mapped(0x6000, 4096, to: 0xa000), .unmapped(0x5000, 4096),
                .mapped(0x5000, 4096, to: 0xb000),
            ])
    }

    @Test("a vIOMMU can't be made with sizes or widths that the tables don't have")
    func configuration() {
        #expect(throws: VFIOError.self) { try guest.vIOMMU { $0.addressBits = 64 } }
        #expect(throws: VFIOError.self) { try guest.vIOMMU { $0.pageSizes = [] } }
        #expect(throws: VFIOError.self) {
            try guest.vIOMMU { $0.pageSizes = [.kib4, VIOMMUPageSizes(rawValue: 8192)] }
        }
    }

    @Test("masks of page sizes give their smallest, and what is whole pages of a size")
    func masks() {
        let all: VIOMMUPageSizes = [.kib4, .mib2, .gib1]
        #expect(all.smallest == 4096)
        #expect(VIOMMUPageSizes([]).smallest == nil)
        #expect(all.atLeast(0) == all && all.atLeast(4096) == all)
        #expect(all.atLeast(4097) == [.mib2, .gib1] && all.atLeast(2 << 20) == [.mib2, .gib1])
        #expect(all.atLeast(1 << 63) == [] && all.atLeast(.max) == [])
        #expect(VIOMMUPageSizes(rawValue: 1 << 63).atLeast(1 << 63).smallest == 1 << 63)
    }
}
