import IOVASpace
import LinuxSystem
import VFIO
import VFIOGuest

extension GuestDemo {
    /// A device behind an IOMMU of the guest's.
    mutating func translate() throws {
        let iommu = try VIOMMU(to: guest.space)
        let region = try MemoryRegion("IOMMU", .iommu(iommu), byteCount: 1 << 48, in: guest.memory)
        let root = try MemoryRegion("behind the IOMMU", .container, byteCount: 1 << 64, in: guest.memory)
        try root.add(region, at: 0)
        let behind = GuestAddressSpace("memory behind the IOMMU", showing: root)
        let device = try machine.attach(1, to: behind)
        let engine = try guest.addEngine(device, slot: 1)
        story.say(
            "An IOMMU of the guest's",
            "\(device.id), from group \(DemoMachine.groups[1]), sees only what the guest's page tables let through: "
                + "\(Self.count(mappingCount(device), "mapping")) so far")

        let driver = DemoPageTables(iommu, guest.space)
        try iommu.setTable(DemoPageTables.root)
        let (iova, page): (UInt64, UInt64) = (0x4000_0000, 0x30_0000)
        let mapped = try measured { try driver.map(iova, to: page) }
        let words: UInt64 = 0x5566_7788
        try guest.space.store(words, at: GuestAddress(page))
        try allowed("a copy within a page that the guest mapped") {
            try engine.copy(8, from: iova, to: iova + 0x800)
        }
        let read = try guest.space.load(UInt64.self, at: GuestAddress(page + 0x800))
        try require(read == words, "the device's copy within a page that the guest mapped doesn't arrive")
        story.detail(
            "the guest maps a page: IOVA \(Self.hex(iova)) leads to \(Self.hex(page)); in \(mapped) the host has "
                + "\(Self.count(mappingCount(device), "mapping")), and the device copies within the page")
        let elsewhere = try refused("a write to the page's own address") { try engine.put(8, at: page) }
        let behindIt = try refused("a write behind the page") { try engine.put(8, at: iova + 0x1000) }
        story.detail("refused: \(elsewhere) (the page's own address); \(behindIt)")

        // More than there is: the guest may write what it likes into its tables.
        try driver.map(iova + 0x1000, to: UInt64(DemoGuest.ramByteCount))
        let follower = device.container?.mapper.outcomes.compactMap { outcome -> VIOMMUFollower? in
            if case .followed(let follower) = outcome.outcome { follower as? VIOMMUFollower } else { nil }
        }.first
        guard let rejection = follower?.takeRejections().entries.first else {
            throw CommandFailure.refused("a page was mapped that isn't the guest's memory")
        }
        story.detail("a page that isn't the guest's is not mapped: \(rejection)")

        let unmapped = try measured { try driver.unmap(iova) }
        let gone = try refused("a write to a page that was unmapped") { try engine.put(8, at: iova) }
        try require(mappingCount(device) == 0, "\(mappingCount(device)) mappings are left")
        story.detail(
            "the guest unmaps its page: in \(unmapped) the host has \(Self.count(0, "mapping")); refused: \(gone)"
        )
        device.detach()
        try guest.system.remove(engine.region.memory)
    }
}

/// A guest's driver of its IOMMU: writes page tables into the guest's RAM, and says what it has changed.
private final class DemoPageTables {
    static let root = GuestAddress(0x10_0000)
    private let iommu: VIOMMU
    private let space: GuestAddressSpace
    /// Where the next table may be; all RAM from there on reads as zeros.
    private var free = DemoPageTables.root.rawValue + 4096

    init(_ iommu: VIOMMU, _ space: GuestAddressSpace) {
        self.iommu = iommu
        self.space = space
    }

    /// Maps one page of 4 KiB.
    func map(_ iova: UInt64, to address: UInt64) throws {
        try set(iova, .leaf(GuestAddress(address), [.read, .write], level: 1))
    }

    func unmap(_ iova: UInt64) throws { try set(iova, .none) }

    private func set(_ iova: UInt64, _ entry: VIOMMUPageTableEntry) throws {
        var table = Self.root.rawValue
        for level in [4, 3, 2] {
            let place = place(of: iova, in: table, level)
            let word = VIOMMUPageTableEntry(rawValue: try space.load(UInt64.self, at: place))
            if word.permissions.isEmpty {
                table = free
                free += 4096
                try space.store(VIOMMUPageTableEntry.table(GuestAddress(table)).rawValue, at: place)
            } else {
                table = word.address.rawValue
            }
        }
        try space.store(entry.rawValue, at: place(of: iova, in: table, 1))
        if let page = IOVARange(first: IOVA(iova), last: IOVA(iova + 4095)) { iommu.invalidate(page) }
    }

    private func place(of iova: UInt64, in table: UInt64, _ level: Int) -> GuestAddress {
        let index = iova / VIOMMUPageTable.pageSize(level: level) & 511
        return GuestAddress(table + index * 8)
    }
}
