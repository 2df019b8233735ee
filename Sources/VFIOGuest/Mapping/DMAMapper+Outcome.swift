extension DMAMapper {
    /// Choices.
    public struct Options: Sendable {
        /// Whether neighbouring sections that are also neighbours in this process's memory become one mapping. It
        /// saves entries of the IOMMU's table, but when one of them goes, the others are unmapped and mapped again,
        /// and a device that reads or writes them just then meets a fault.
        public var joinsNeighbours = false
        /// Whether sections that the guest can only read are mapped (devices then can only read them).
        public var mapsReadOnly = true
        /// Called when RAM that is populated in blocks comes into view and, with all of it populated, the host's IOMMU
        /// could not take all mappings of the guest: the demand says what would be enough. Nothing has failed yet.
        /// Called under the memory map's lock.
        public var onShortage: (@Sendable (DMAMappingDemand) -> Void)?
        /// How many memory slots the machine has at most: KVM's number (`KVM_CAP_NR_MEMSLOTS`).
        public var memorySlotCount: UInt64 = 512

        /// The usual choices.
        public init() {}
    }

    /// What became of a section.
    public enum Outcome: Sendable {
        /// Mapped: devices reach it.
        case mapped
        /// Not mapped, for a reason that is no failure.
        case skipped(SkipReason)
        /// The device memory of another device can't be mapped; peer-to-peer DMA to it won't work.
        case unreachable(VFIOGuestError)
        /// It couldn't be mapped, and devices that use it will fail.
        case failed(VFIOGuestError)
        /// Its mappings come and go: an IOMMU of the guest's, or memory that is plugged in pieces.
        case followed(any SectionFollower)
    }

    /// Why a section isn't mapped.
    public enum SkipReason: Sendable, Hashable {
        /// It is neither memory nor translated.
        case notMemory
        /// Nobody but the guest may reach it.
        case protected
        /// The region or a container of it is kept from devices.
        case hidden
        /// The upper half of the 64-bit space: where firmware puts a 64-bit BAR for a moment to learn its size.
        case sizing
        /// Its place in the page differs from its place in the memory's page, so it can't be mapped.
        case misaligned
        /// It has no whole page.
        case shorterThanPage
        /// Device memory that doesn't fill whole pages of the IOMMU.
        case partialPages
        /// It can only be read, and such sections aren't wanted.
        case readOnly
    }

    /// A failure at run time, and what it was about.
    public struct Failure: Sendable {
        /// What couldn't be mapped or unmapped.
        public let section: MemorySection
        /// Why.
        public let error: VFIOGuestError
    }
}
