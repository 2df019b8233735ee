import Testing
import VFIOGuest

@Suite("How many DMA mappings a machine can come to need")
struct DMAMappingDemandTests {
    private typealias Section = DMAMappingDemand.Section

    @Test("1.10 Counts the blocks that a section touches")
    func blocks() {
        #expect(Section("a", 0..<64 * mib, granularity: 2 * mib).mappingCount == 32)
        #expect(Section("a", mib..<65 * mib, granularity: 2 * mib).mappingCount == 33)
        #expect(Section("a", mib..<mib + 1, granularity: 2 * mib).mappingCount == 1)
        #expect(Section("a", 0..<0, granularity: 2 * mib).mappingCount == 0)
    }

    @Test("1.10 Adds a slot for everything else, of which the sections have theirs already")
    func slots() {
        let sections = [
            Section("a", 0..<64 * mib, granularity: 2 * mib), Section("b", 0..<mib, granularity: mib),
        ]
        let demand = DMAMappingDemand(sections, memorySlotCount: 509, limit: 540)
        #expect(demand.sectionMappingCount == 33)
        #expect(demand.otherMappingCount == 507)
        #expect(demand.mappingCount == 540)
        #expect(demand.fits)
        #expect(demand.shortfall == 0)
        #expect(demand.sufficientFactor == 1)
        #expect(DMAMappingDemand(sections, memorySlotCount: 1, limit: 540).otherMappingCount == 0)
    }

    @Test("1.10 Tells who asks for too much what would be enough")
    func remedy() {
        let demand = DMAMappingDemand(
            [Section("vmem0", 0..<1 << 40, granularity: 2 * mib)], limit: 65535, inUse: 12)
        #expect(!demand.fits)
        #expect(demand.mappingCount == 524_288 + 511)
        #expect(demand.shortfall == 524_288 + 511 - 65535)
        #expect(demand.sufficientFactor == 16)
        #expect(
            demand.description
                == "vmem0: 1 TiB in blocks of 2 MiB can need 524288 DMA mappings; the rest of the machine up to 511: 524799 in all, but the IOMMU takes only 65535 (12 in use); remedy: vmem0 in blocks of 32 MiB, or load vfio_iommu_type1 with dma_entry_limit=524799"
        )
        var grown = demand
        grown.sections[0].granularity = 32 * mib
        #expect(grown.fits)
        grown.sections[0].granularity = 16 * mib
        #expect(!grown.fits)
    }

    @Test("1.10 Takes the limit from what the host says is left, and knows hosts without one")
    func limits() {
        let section = Section("vmem0", 0..<64 * mib, granularity: 2 * mib)
        let left = DMAMappingDemand([section], memorySlotCount: 32, left: 60, inUse: 3)
        #expect(left.limit == 63)
        #expect(left.mappingCount == 63)
        #expect(left.fits)
        let none = DMAMappingDemand([section], left: nil, inUse: 3)
        #expect(none.fits)
        #expect(none.shortfall == 0)
        #expect(none.description.contains("no limit"))
    }

    @Test("Fault 21: Doesn't wrap, whatever the numbers")
    func extremes() {
        let sections = [Section](
            repeating: Section("a", 0..<UInt64.max, granularity: 1), count: 3)
        let demand = DMAMappingDemand(sections, memorySlotCount: .max, limit: 65535, inUse: .max)
        #expect(demand.mappingCount == .max)
        #expect(!demand.fits)
        #expect(demand.sufficientFactor == nil)
        #expect(demand.description.contains("dma_entry_limit"))
        #expect(DMAMappingDemand(sections, left: .max, inUse: .max).limit == .max)
        #expect(DMAMappingDemand([Section("a", 0..<8, granularity: 0)], limit: 1).sectionMappingCount == 0)
    }
}
