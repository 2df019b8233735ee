import IOVASpace
import LinuxSystem
import VFIO
import VFIOGuest
import VFIOHost

extension Scenario {
    static let guestIOMMU: [Scenario] = [
        Scenario("a device behind a guest's IOMMU reaches what the guest maps, as long as it is mapped") {
            lab in
            try TranslatedGuest(lab).checkReach()
        },
        Scenario("a guest can't map what isn't its memory, nor more than the tables allow") { lab in
            try TranslatedGuest(lab).checkRejections()
        },
        Scenario("pages that a device wrote through a guest's IOMMU are noted where they lie") { lab in
            try TranslatedGuest(lab).checkLog()
        },
    ]
}

/// A guest with a device behind an IOMMU of its own, and a driver for it that writes tables.
private final class TranslatedGuest {
    static let large: UInt64 = 2 << 20
    let guest: LabGuest
    let ram: MemoryWindow
    let block: RAMBlock
    let iommu: VIOMMU
    let edu: GuestEdu
    private let root = GuestAddress(0x10_0000)
    private var nextTable: UInt64 = 0x10_1000

    /// Where the device sees the page for the exchange, and where that lies.
    private static let exchange: (iova: UInt64, address: UInt64) = (0xff0_0000, 0x8_0000)

    init(_ lab: Lab) throws {
        guest = try LabGuest(lab)
        let region = try guest.ram("ram", pages: Int(4 * Self.large) / pageSize)
        guard let block = region.block else { throw Unexpected("no block") }
        self.block = block
        ram = block.window
        try guest.system.add(region, at: 0)
        var configuration = VIOMMU.Configuration()
        configuration.pageSizes = [.kib4, .mib2]
        iommu = try VIOMMU(to: guest.space, configuration)
        let translated = try MemoryRegion("iommu", .iommu(iommu), byteCount: 1 << 39, in: guest.memory)
        let view = try MemoryRegion("device", .container, byteCount: 1 << 64, in: guest.memory)
        try view.add(translated, at: 0)
        edu = try guest.attachEdu(
            exchange: (
                ram.window(at: Int(Self.exchange.address), byteCount: pageSize), IOVA(Self.exchange.iova)
            ), to: GuestAddressSpace("device memory", showing: view))
        try expectEqual(try guest.mappingCount(edu.device), 0, "mappings before the guest maps anything")
        try iommu.setTable(root)
        try map(Self.exchange.iova, to: Self.exchange.address)
        try expectEqual(try guest.mappingCount(edu.device), 1, "mappings of the first page")
    }

    /// Writes the word for an address, as a driver does, and says that it has.
    private func set(_ iova: UInt64, _ entry: VIOMMUPageTableEntry, level: Int) throws {
        var table = root.rawValue
        for current in stride(from: 4, to: level, by: -1) {
            let place = GuestAddress(table + (iova >> UInt64(3 + 9 * current) & 511) * 8)
            let word = VIOMMUPageTableEntry(rawValue: try guest.space.load(UInt64.self, at: place))
            if word.permissions.isEmpty {
                table = nextTable
                nextTable += 4096
                try guest.space.store(VIOMMUPageTableEntry.table(GuestAddress(table)).rawValue, at: place)
            } else {
                table = word.address.rawValue
            }
        }
        let place = GuestAddress(table + (iova >> UInt64(3 + 9 * level) & 511) * 8)
        try guest.space.store(entry.rawValue, at: place)
        let last = iova + VIOMMUPageTable.pageSize(level: level) - 1
        guard let range = IOVARange(first: IOVA(iova), last: IOVA(last)) else {
            throw Unexpected("no range at \(iova)")
        }
        iommu.invalidate(range)
    }

    private func map(
        _ iova: UInt64, to address: UInt64, level: Int = 1, _ permissions: DMAPermissions = [.read, .write]
    ) throws {
        try set(iova, .leaf(GuestAddress(address), permissions, level: level), level: level)
    }

    private func unmap(_ iova: UInt64, level: Int = 1) throws { try set(iova, .none, level: level) }

    private func page(_ address: UInt64) -> MemoryWindow {
        ram.window(at: Int(address), byteCount: pageSize)
    }

    func checkReach() throws {
        let (one, other): (UInt64, UInt64) = (0x20_0000, 0x30_0000)
        try edu.expectNoWrites(page(one), at: 0x40_0000, 70, "a page that isn't mapped yet")
        try map(0x40_0000, to: one)
        try edu.expectWrites(page(one), at: 0x40_0000, 71, "a page that was mapped")
        try edu.expectNoWrites(page(one), at: one, 72, "the page at its address in the guest")
        // The same page twice, and another one in its place.
        try map(0x50_0000, to: one)
        try edu.expectWrites(page(one), at: 0x50_0000, 73, "a page that was mapped twice")
        try map(0x40_0000, to: other)
        try edu.expectWrites(page(other), at: 0x40_0000, 74, "a page in another one's place")
        try Pattern.expect(
            page(one).window(at: 0, byteCount: GuestEdu.usualByteCount), 73, "the other one was written")
        try unmap(0x50_0000)
        try edu.expectNoWrites(page(one), at: 0x50_0000, 75, "a page that was unmapped")

        try map(0x40_0000, to: other, .read)
        try edu.expectNoWrites(page(other), at: 0x40_0000, 76, "a page that may only be read")
        try edu.expectReads(
            page(other).window(at: 0, byteCount: 512), at: 0x40_0000, "a page that may only be read")

        // A large page: its last bytes too.
        try map(0x60_0000, to: 2 * Self.large, level: 2)
        let end = Self.large - UInt64(pageSize)
        try edu.expectWrites(page(2 * Self.large + end), at: 0x60_0000 + end, 77, "the end of a large page")
        try expectEqual(try guest.mappingCount(edu.device), 3, "mappings")
        try iommu.setTable(nil)
        try expectEqual(try guest.mappingCount(edu.device), 0, "mappings without tables")
        try edu.expectNoWrites(
            page(2 * Self.large + end), at: 0x60_0000 + end, 78, "a large page without tables")
        try iommu.setTable(root)
        try edu.expectWrites(
            page(2 * Self.large + end), at: 0x60_0000 + end, 79, "a large page with its tables again")
        edu.device.detach()
        try edu.expectNoWrites(
            page(2 * Self.large + end), at: 0x60_0000 + end, 80, "a page of a guest that has lost the device")
    }

    func checkRejections() throws {
        guard
            case .followed(let found)? = edu.device.container?.mapper.outcomes.first?.outcome,
            let follower = found as? VIOMMUFollower
        else { throw Unexpected("nobody follows the guest's IOMMU") }
        // Beyond RAM, and half beyond.
        let end = 4 * Self.large
        try map(0x40_0000, to: end)
        try map(0x60_0000, to: end, level: 2)
        let rejections = follower.takeRejections().entries.map { "\($0)" }
        try expectEqual(rejections.count, 2, "rejections: \(rejections)")
        try expect(rejections.allSatisfy { $0.contains("there is nothing at") }, "\(rejections)")
        try expectEqual(try guest.mappingCount(edu.device), 1, "mappings")
        // A table that isn't memory stops the walk, and nothing else.
        try map(0x50_0000, to: 0x20_0000)
        try guest.space.store(
            VIOMMUPageTableEntry.table(GuestAddress(end)).rawValue, at: GuestAddress(root.rawValue + 8))
        iommu.invalidate(VIOMMUPageTable.inputRange)
        try expect(!iommu.takeFaults().entries.isEmpty, "no fault for a table outside RAM")
        try edu.expectWrites(page(0x20_0000), at: 0x50_0000, 81, "a good page beside bad ones")
        try expect(
            follower.firstFailure == nil, "the host refused: \(String(describing: follower.firstFailure))")
    }

    func checkLog() throws {
        try guest.memory.startMigrationLog()
        func check(_ address: UInt64, at iova: UInt64, _ what: String, _ change: () throws -> Void) throws {
            try map(iova, to: address)
            try guest.memory.synchronizeDirtyLog()
            block.dirtyLog.clear(for: .migration)
            try edu.write(82, at: iova)
            try change()
            let page = Int(address) / pageSize
            try expect(block.dirtyLog.contains(page, for: .migration), "\(what): page \(page) isn't noted")
            // Mapped nowhere for devices.
            try expect(
                !block.dirtyLog.contains(Int(Self.large * 3) / pageSize, for: .migration),
                "\(what): a page counts as written that no device can reach")
        }
        try check(0x20_0000, at: 0x40_0000, "asked for") { try guest.memory.synchronizeDirtyLog() }
        try check(0x30_0000, at: 0x50_0000, "unmapped") { try unmap(0x50_0000) }
        try check(0x34_0000, at: 0x58_0000, "tables taken away") { try iommu.setTable(nil) }
        guest.memory.stopMigrationLog()
    }
}
