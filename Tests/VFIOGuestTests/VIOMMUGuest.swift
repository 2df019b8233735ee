import IOVASpace
import LinuxSystem
import VFIO

@testable import VFIOGuest

/// A guest with RAM from 0 and a driver for a vIOMMU: it writes tables, and says nothing by itself.
final class VIOMMUGuest {
    static let ramByteCount = 32 << 20
    let memory: GuestMemory
    let block: RAMBlock
    let ram: MemoryRegion
    let root: MemoryRegion
    let space: GuestAddressSpace
    let table = GuestAddress(0x10_0000)
    private var nextTable: UInt64 = 0x10_1000

    /// A guest of its own.
    convenience init() throws {
        let memory = GuestMemory()
        let root = try MemoryRegion("system", .container, byteCount: 1 << 64, in: memory)
        try self.init(memory, root, GuestAddressSpace("system memory", showing: root))
    }

    /// The guest in a machine that has nothing yet.
    init(_ memory: GuestMemory, _ root: MemoryRegion, _ space: GuestAddressSpace) throws {
        self.memory = memory
        self.root = root
        self.space = space
        block = try RAMBlock("ram", byteCount: Self.ramByteCount)
        ram = try MemoryRegion(ram: block, in: memory)
        try root.add(ram, at: 0)
    }

    func load(_ address: GuestAddress) -> UInt64 { block.window.load64(Int(address.rawValue)) }
    func store(_ address: GuestAddress, _ value: UInt64) {
        block.window.store64(Int(address.rawValue), value)
    }

    /// A new empty table, of which there are enough for some thousand.
    func newTable() -> GuestAddress {
        defer { nextTable += 4096 }
        return GuestAddress(nextTable)
    }

    /// Where the word of a level for an address lies; tables on the way are made where there are none.
    func place(of iova: UInt64, level: Int, _ permissions: DMAPermissions = .readWrite) -> GuestAddress {
        var table = self.table
        var current = 4
        while true {
            let index = iova >> UInt64(3 + 9 * current) & 511
            let place = GuestAddress(table.rawValue + index * 8)
            if current == level { return place }
            let word = load(place)
            if word & 3 == 0 || word & 0x80 != 0 {
                table = newTable()
                store(place, VIOMMUPageTableEntry.table(table, permissions).rawValue)
            } else {
                table = GuestAddress(word & 0xf_ffff_ffff_f000)
            }
            current -= 1
        }
    }

    /// Writes a page: of 4 KiB, 2 MiB or 1 GiB for level 1, 2 or 3.
    func map(
        _ iova: UInt64, to address: UInt64, level: Int = 1, _ permissions: DMAPermissions = .readWrite
    ) {
        store(
            place(of: iova, level: level),
            VIOMMUPageTableEntry.leaf(GuestAddress(address), permissions, level: level).rawValue)
    }

    /// Writes a word of nothing.
    func unmap(_ iova: UInt64, level: Int = 1) { store(place(of: iova, level: level), 0) }

    /// What the tables say, read the plainest way.
    func pages() -> [UInt64: ObservedPage] {
        var pages: [UInt64: ObservedPage] = [:]
        func read(_ table: UInt64, _ level: Int, _ base: UInt64, _ allowed: UInt64) {
            for index in 0..<UInt64(512) {
                let word = load(GuestAddress(table + index * 8))
                let iova = base + index << UInt64(3 + 9 * level)
                let rights = word & 3 & allowed
                if rights == 0 { continue }
                if level == 1 || word & 0x80 != 0 {
                    pages[iova] = ObservedPage(
                        address: word & 0xf_ffff_ffff_f000, byteCount: 1 << UInt64(3 + 9 * level),
                        permissions: DMAPermissions(rawValue: UInt32(rights)))
                } else {
                    read(word & 0xf_ffff_ffff_f000, level - 1, iova, rights)
                }
            }
        }
        read(table.rawValue, 4, 0, 3)
        return pages
    }

    func vIOMMU(_ change: (inout VIOMMU.Configuration) -> Void = { _ in }) throws -> VIOMMU {
        var configuration = VIOMMU.Configuration()
        change(&configuration)
        return try VIOMMU(to: space, configuration)
    }
}

/// A page as somebody sees it.
struct ObservedPage: Equatable {
    var address: UInt64
    var byteCount: UInt64
    var permissions: DMAPermissions
}

/// Keeps what a vIOMMU tells, and watches whether it makes sense.
final class VIOMMUObserver: IOMMUObserver {
    enum Event: Equatable {
        case mapped(UInt64, UInt64, to: UInt64)
        case unmapped(UInt64, UInt64)
        case inDevices(UInt64, UInt64)
    }
    var events: [Event] = []
    var pages: [UInt64: ObservedPage] = [:]
    var mistakes: [String] = []
    var onMap: (() -> Void)?

    func mapped(_ entry: IOMMUEntry) {
        let last = entry.iova + entry.lastOffset
        events.append(.mapped(entry.iova, entry.lastOffset + 1, to: entry.translated.rawValue))
        if entry.permissions.isEmpty { mistakes.append("a map without permissions at \(hex(entry.iova))") }
        for (iova, page) in pages where iova <= last && entry.iova <= iova + (page.byteCount - 1) {
            mistakes.append("\(hex(entry.iova)) mapped over \(hex(iova))")
        }
        pages[entry.iova] = ObservedPage(
            address: entry.translated.rawValue, byteCount: entry.lastOffset + 1,
            permissions: entry.permissions)
        onMap?()
    }

    func unmapped(_ entry: IOMMUEntry) {
        let last = entry.iova + entry.lastOffset
        events.append(.unmapped(entry.iova, entry.lastOffset + 1))
        if !entry.permissions.isEmpty { mistakes.append("an unmap with permissions at \(hex(entry.iova))") }
        for (iova, page) in pages where iova <= last && entry.iova <= iova + (page.byteCount - 1) {
            if iova < entry.iova || iova + (page.byteCount - 1) > last {
                mistakes.append("the page at \(hex(iova)) is cut by an unmap")
            }
            pages[iova] = nil
        }
    }

    func unmappedInDevices(_ entry: IOMMUEntry) {
        events.append(.inDevices(entry.iova, entry.lastOffset + 1))
    }

    func take() -> [Event] {
        defer { events = [] }
        return events
    }

    private func hex(_ value: UInt64) -> String { "0x" + String(value, radix: 16) }
}
