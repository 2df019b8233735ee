import IOVASpace
import LinuxSystem
import Testing
import VFIO

@testable import VFIOGuest

@Suite("A vIOMMU's page tables in guest memory")
struct VIOMMUPageTableTests {
    let guest: VIOMMUGuest
    let table: VIOMMUPageTable

    init() throws {
        guest = try VIOMMUGuest()
        table = try #require(
            VIOMMUPageTable(root: guest.table, addressBits: 40, pageSizes: [.kib4, .mib2, .gib1]))
    }

    private func page(
        _ iova: UInt64, _ access: DMAPermissions = [], in table: VIOMMUPageTable? = nil
    ) throws(VIOMMUFault) -> VIOMMUPage {
        var words = GuestAddressSpaceWords(guest.space)
        return try (table ?? self.table).page(at: IOVA(iova), for: access, in: &words)
    }

    private func fault(
        _ iova: UInt64, _ access: DMAPermissions = [], in table: VIOMMUPageTable? = nil
    ) -> VIOMMUFault? {
        do throws(VIOMMUFault) {
            _ = try page(iova, access, in: table)
            return nil
        } catch {
            return error
        }
    }

    /// All pages of a range, and the faults on the way.
    private func walk(
        _ range: IOVARange = .all, wordLimit: Int = 100_000
    ) -> (pages: [VIOMMUPage], faults: [VIOMMUFault]) {
        var words = GuestAddressSpaceWords(guest.space)
        var walk = VIOMMUPageTableWalk(of: range, in: table, wordLimit: wordLimit)
        var result: (pages: [VIOMMUPage], faults: [VIOMMUFault]) = ([], [])
        while true {
            do throws(VIOMMUFault) {
                guard let page = try walk.next(in: &words) else { return result }
                result.pages.append(page)
            } catch {
                result.faults.append(error)
            }
        }
    }

    @Test("an address is translated by pages of 4 KiB, 2 MiB and 1 GiB")
    func sizes() throws {
        guest.map(0x1000, to: 0x7_3000)
        guest.map(0x40_0000, to: 0x20_0000, level: 2)
        guest.map(0x1_4000_0000, to: 0x8000_0000, level: 3)
        guest.map(0xffff_ffff_f000, to: 0xff_ffff_f000)
        let small = try page(0x1abc)
        #expect(small.address(of: IOVA(0x1abc)) == GuestAddress(0x7_3abc))
        #expect(small.range == IOVARange(IOVA(0x1000), byteCount: 4096))
        let middle = try page(0x5f_ffff)
        #expect(middle.address(of: IOVA(0x5f_ffff)) == GuestAddress(0x3f_ffff))
        let large = try page(0x1_4000_0001)
        #expect(large.address(of: IOVA(0x1_4000_0001)) == GuestAddress(0x8000_0001))
        #expect(large.range.byteCount == 1 << 30)
        #expect(
            try page(0xffff_ffff_ffff).address(of: IOVA(0xffff_ffff_ffff)) == GuestAddress(0xff_ffff_ffff))
        #expect(large.address(of: IOVA(0x1_8000_0000)) == nil)
    }

    @Test("only what every level allows is allowed")
    func permissions() throws {
        guest.map(0x1000, to: 0x1000, .read)
        guest.map(0x2000, to: 0x2000, .write)
        #expect(try page(0x1000, .read).permissions == .read)
        #expect(fault(0x1000, .write) == VIOMMUFault(.denied(.write), at: IOVA(0x1000), level: 1))
        #expect(fault(0x2000, .readWrite) == VIOMMUFault(.denied(.read), at: IOVA(0x2000), level: 1))
        // A whole area that may only be read.
        let place = guest.place(of: 0x4000_0000, level: 2, .read)
        guest.store(place, VIOMMUPageTableEntry.leaf(GuestAddress(0), .readWrite, level: 2).rawValue)
        #expect(try page(0x4000_0000).permissions == .read)
        #expect(fault(0x4000_0000, .write)?.reason == .denied(.write))
        // And in it one that may only be written: nobody can do anything there.
        let nothing = guest.place(of: 0x4020_0000, level: 2)
        guest.store(nothing, VIOMMUPageTableEntry.leaf(GuestAddress(0), .write, level: 2).rawValue)
        #expect(fault(0x4020_0000) == VIOMMUFault(.denied([]), at: IOVA(0x4020_0000), level: 2))
        #expect(walk().pages.map(\.range.first.rawValue) == [0x1000, 0x2000, 0x4000_0000])
    }

    @Test("what isn't mapped says on which level it ends", arguments: 1...4)
    func notMapped(level: Int) {
        _ = guest.place(of: 0, level: level)
        #expect(fault(0x123) == VIOMMUFault(.notMapped, at: IOVA(0x123), level: level))
    }

    @Test("an address wider than 48 bits is refused")
    func tooWide() {
        #expect(fault(1 << 48) == VIOMMUFault(.addressTooWide, at: IOVA(1 << 48)))
        #expect(fault(.max)?.reason == .addressTooWide)
    }

    @Test("reserved bits are refused on every level", arguments: 1...4)
    func reserved(level: Int) {
        let place = guest.place(of: 0, level: level)
        var bits = [2, 3, 4, 5, 6, 11, 40, 51]
        if level == 1 || level == 4 { bits.append(7) }
        for bit in bits {
            guest.store(place, 3 | 1 << UInt64(bit))
            let expected = VIOMMUFault(.reservedBits(1 << UInt64(bit)), at: IOVA(0), level: level)
            #expect(fault(0) == expected)
            #expect(walk().faults == [expected])
            // The guest's own bits aren't looked at, and none is where nothing is mapped.
            guest.store(place, 1 << UInt64(bit))
            #expect(fault(0)?.reason == .notMapped)
        }
        guest.store(place, 3 | 0xfff0_0000_0000_0700)
        if level == 1 { #expect(fault(0) == nil) }
    }

    @Test("a large page that begins inside another one is refused", arguments: 2...3)
    func unalignedLeaf(level: Int) {
        let address = VIOMMUPageTable.pageSize(level: level) / 2
        guest.map(0, to: address, level: level)
        #expect(fault(0) == VIOMMUFault(.reservedBits(address), at: IOVA(0), level: level))
    }

    @Test("pages of a size that isn't to be had are refused", arguments: 1...3)
    func pageSizes(level: Int) throws {
        let size = VIOMMUPageTable.pageSize(level: level)
        let sizes = table.pageSizes.subtracting(VIOMMUPageSizes(rawValue: size))
        let table = try #require(VIOMMUPageTable(root: guest.table, addressBits: 40, pageSizes: sizes))
        guest.map(0, to: 0, level: level)
        #expect(fault(0, in: table) == VIOMMUFault(.pageSize(size), at: IOVA(0), level: level))
        #expect(fault(0) == nil)
    }

    @Test("a table outside RAM is refused, and the word that isn't there is named", arguments: 1...3)
    func outsideRAM(level: Int) {
        let beyond = GuestAddress(UInt64(VIOMMUGuest.ramByteCount))
        guest.store(guest.place(of: 0, level: level + 1), VIOMMUPageTableEntry.table(beyond).rawValue)
        let index: UInt64 = 5
        let iova = index << UInt64(3 + 9 * level)
        #expect(
            fault(iova)
                == VIOMMUFault(
                    .tableOutsideRAM(GuestAddress(beyond.rawValue + index * 8)), at: IOVA(iova), level: level)
        )
    }

    @Test("a table may lie in ROM, but not in registers, a device's memory or memory of a confidential guest")
    func kindsOfMemory() throws {
        final class Registers: RegisterAccess {
            func read(at offset: UInt64, width: Int) -> UInt64 { 0x3 }
            func write(_ value: UInt64, at offset: UInt64, width: Int) {}
        }
        let block = try RAMBlock("rom", byteCount: 4096)
        let secret = try RAMBlock("secret", byteCount: 4096, isProtected: true)
        block.window.store64(0, 3)
        secret.window.store64(0, 3)
        let kinds: [(MemoryRegion.Kind, Bool)] = [
            (.rom(block), true), (.io(Registers()), false), (.ramDevice(block), false), (.ram(secret), false),
        ]
        let at: UInt64 = 1 << 30
        guest.store(guest.place(of: 0, level: 2), VIOMMUPageTableEntry.table(GuestAddress(at)).rawValue)
        for (kind, isReadable) in kinds {
            let region = try MemoryRegion("other", kind, byteCount: 4096, in: guest.memory)
            try guest.root.add(region, at: at)
            #expect((fault(0) == nil) == isReadable)
            try guest.root.remove(region)
        }
    }

    @Test("a table can't begin askew or beyond the width of addresses")
    func badRoot() {
        for (root, bits) in [(0x800, 40), (1 << 40, 40), (0, 29), (0, 53), (UInt64.max, 52)]
            as [(UInt64, Int)]
        {
            #expect(VIOMMUPageTable(root: GuestAddress(root), addressBits: bits, pageSizes: .kib4) == nil)
        }
    }

    @Test("a walk gives every page once, whole and ascending, and goes on behind a fault")
    func order() {
        guest.map(0xffff_ffff_f000, to: 0)
        guest.map(0x3000, to: 0x9000)
        guest.map(0x8000_0000, to: 0x4000_0000, level: 3)
        guest.map(0x20_0000, to: 0x40_0000, level: 2)
        guest.store(guest.place(of: 0x5000, level: 1), 0x7)
        let all = walk()
        #expect(
            all.pages.map(\.range.first.rawValue) == [0x3000, 0x20_0000, 0x8000_0000, 0xffff_ffff_f000])
        #expect(all.faults == [VIOMMUFault(.reservedBits(4), at: IOVA(0x5000), level: 1)])
        // Within a range: pages that reach into it.
        let part = walk(IOVARange(0x30_0000, through: 0x8000_0000))
        #expect(part.pages.map(\.range.first.rawValue) == [0x20_0000, 0x8000_0000])
        #expect(part.pages[0].range.byteCount == 2 << 20)
        #expect(walk(IOVARange(1 << 48, through: .max)).pages.isEmpty)
    }

    @Test("a table that holds itself ends at the limit of words")
    func cycle() {
        for index in 0..<UInt64(512) {
            guest.store(GuestAddress(guest.table.rawValue + index * 8), guest.table.rawValue | 3)
        }
        let result = walk(wordLimit: 5000)
        #expect(result.faults.map(\.reason) == [.walkTooLong])
        #expect((4000...5000).contains(result.pages.count))
        // A single address is found in four steps all the same.
        #expect(fault(0x1234_5678_9000) == nil)
    }

    @Test("tables full of random words never trap, and a walk finds what single look-ups find")
    func garbage() {
        let seed = UInt64.random(in: 0...UInt64(Int64.max))
        var random = SplitMix(state: seed)
        // Words that lead to one of eight tables, or beyond RAM, with bits of all kinds.
        for word in 0..<8 * 512 {
            var value = guest.table.rawValue + UInt64(random.below(8)) * 4096
            switch random.below(8) {
            case 0: value = random.next()
            case 1: value |= 0x80
            case 2: value = 0x80 | UInt64(random.below(64)) << 30
            case 3: value = UInt64(VIOMMUGuest.ramByteCount) - 4096 + UInt64(random.below(2)) * 4096
            case 4: value = 0
            default: break
            }
            guest.store(
                GuestAddress(guest.table.rawValue + UInt64(word) * 8), value ^ UInt64(random.below(4)))
        }
        let first = random.next() & 0xffff_ffff_f000
        let range = IOVARange(first, through: 0xffff_ffff_ffff)
        var end: UInt64 = first
        let result = walk(range, wordLimit: 20_000)
        for page in result.pages {
            let looked = try? self.page(max(page.range.first.rawValue, first))
            #expect(looked == page, "seed \(seed)")
            #expect(page.range.last.rawValue >= end, "seed \(seed)")
            end = page.range.last.rawValue
        }
        for error in result.faults where error.reason != .walkTooLong {
            #expect(fault(error.iova.rawValue) == error, "seed \(seed)")
        }
        for _ in 0..<2000 { _ = fault(random.next() >> UInt64(random.below(20)), .readWrite) }
    }
}
