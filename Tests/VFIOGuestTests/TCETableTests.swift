import LinuxSystem
import Testing
import VFIO

@testable import VFIOGuest

@Suite("The table of TCEs of a guest on POWER")
struct TCETableTests {
    private let guest: VIOMMUGuest
    private let table: TCETable

    init() throws {
        guest = try VIOMMUGuest()
        table = try TCETable(to: guest.space, pageSize: 4096, byteCount: 1 << 24)
    }

    private func follow() throws -> VIOMMUObserver {
        let observer = VIOMMUObserver()
        let notifier = IOMMUNotifier([.map, .unmap], in: 0...(1 << 24) - 1, for: observer)
        try table.register(notifier, byteCount: 1 << 24)
        table.replay(to: notifier)
        return observer
    }

    @Test("an entry maps one page, with the rights that it gives; what changes is told")
    func entries() throws {
        #expect(table.put(0x4000 | 1, at: 0x1000) == .success)
        let observer = try follow()
        #expect(observer.take() == [.mapped(0x1000, 4096, to: 0x4000)])
        #expect(observer.pages[0x1000]?.permissions == .read)
        let entry = table.translate(0x1fff, for: .read)
        #expect(entry.iova == 0x1000 && entry.translated == GuestAddress(0x4000) && entry.lastOffset == 4095)
        #expect(table.translate(0x2000, for: .read).permissions.isEmpty)
        #expect(table.translate(1 << 24, for: .read).permissions.isEmpty)
        // The same once more is no change.
        #expect(table.put(0x4000 | 1, at: 0x1000) == .success && observer.take().isEmpty)
        #expect(table.put(0x4000 | 2, at: 0x1000) == .success)
        #expect(observer.take() == [.unmapped(0x1000, 4096), .mapped(0x1000, 4096, to: 0x4000)])
        #expect(observer.pages[0x1000]?.permissions == .write)
        // An address without rights maps nothing.
        #expect(table.put(0x4000, at: 0x1000) == .success)
        #expect(observer.take() == [.unmapped(0x1000, 4096)] && observer.mistakes.isEmpty)
        #expect(table.put(3, at: 0xff_f000) == .success && observer.pages.count == 1)
        table.reset()
        #expect(observer.pages.isEmpty && observer.mistakes.isEmpty)
    }

    @Test("a list in guest memory sets many entries, a value all of a range")
    func many() throws {
        let observer = try follow()
        let list: UInt64 = 0x20_0000
        for index in 0..<UInt64(512) { guest.store(GuestAddress(list + index * 8), (index + 1) << 12 | 3) }
        #expect(table.put(listAt: GuestAddress(list), at: 0x8000, entryCount: 512) == .success)
        #expect(observer.pages.count == 512 && observer.pages[0x9000]?.address == 0x2000)
        // It is done up to the first entry that can't be.
        guest.store(GuestAddress(list + 16), 0x804)
        #expect(table.put(listAt: GuestAddress(list), at: 0xf0_0000, entryCount: 5) == .parameter)
        #expect(observer.pages.count == 514 && observer.pages[0xf0_2000] == nil)
        #expect(table.stuff(0, at: 0x8000, entryCount: 512) == .success && observer.pages.count == 2)
        #expect(table.stuff(0x7000 | 3, at: 0, entryCount: 4096) == .success)
        #expect(observer.pages.count == 4096 && observer.mistakes.isEmpty)
        #expect(observer.pages.values.allSatisfy { $0.address == 0x7000 })
    }

    @Test("numbers that can't be are refused, and nothing is told")
    func refusals() throws {
        let observer = try follow()
        #expect(table.put(3, at: 0x800) == .parameter)
        #expect(table.put(3, at: 1 << 24) == .parameter)
        #expect(table.put(3, at: .max & ~4095) == .parameter)
        #expect(table.put(0x804 | 3, at: 0) == .parameter)
        #expect(table.stuff(3, at: 0x1000, entryCount: 4096) == .parameter)
        #expect(table.stuff(3, at: 0, entryCount: .max) == .parameter)
        #expect(table.stuff(3, at: .max & ~4095, entryCount: 1) == .parameter)
        #expect(table.stuff(3, at: 1 << 24, entryCount: 0) == .success)
        let list = GuestAddress(0x20_0000)
        #expect(table.put(listAt: GuestAddress(0x20_0008), at: 0, entryCount: 1) == .parameter)
        #expect(table.put(listAt: list, at: 0, entryCount: 513) == .parameter)
        // Beyond RAM, and beyond the last address.
        #expect(table.put(listAt: GuestAddress(1 << 40), at: 0, entryCount: 1) == .parameter)
        #expect(table.put(listAt: GuestAddress(.max & ~4095), at: 0, entryCount: 512) == .parameter)
        #expect(observer.events.isEmpty)
        for (page, byteCount) in [
            (0, 0), (4095, 4095), (2048, 1 << 20), (1 << 35, 1 << 36), (4096, 0), (4096, 4097), (65536, 4096),
            (4096, 1 << 50), (4096, .max),
        ] as [(UInt64, UInt64)] {
            let error = #expect(throws: VFIOGuestError.self) {
                _ = try TCETable(to: guest.space, pageSize: page, byteCount: byteCount)
            }
            #expect(error?.code == .notSupported)
        }
    }

    @Test("pages of 64 KiB lead to memory that begins on such a page")
    func largePages() throws {
        let large = try TCETable(to: guest.space, pageSize: 65536, byteCount: 1 << 30, kernelTable: 7)
        #expect(large.put(0x1000 | 3, at: 0) == .parameter)
        #expect(large.put(0x3_0000 | 3, at: 0x1_0000) == .success)
        let entry = large.translate(0x1_ffff, for: .write)
        #expect(entry.lastOffset == 0xffff && entry.translated == GuestAddress(0x3_0000))
        #expect(large.smallestPage == 65536)
        #expect(large.value(of: .kernelTable) == .descriptor(7) && table.value(of: .kernelTable) == nil)
    }
}
