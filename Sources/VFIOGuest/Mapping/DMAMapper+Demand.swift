import LinuxSystem
import VFIO

extension GuestContainer {
    /// How many DMA mappings the container can come to need, with all RAM populated that comes and goes in blocks, set
    /// against what the host's IOMMU takes. What to warn of before the guest plugs more than fits; see also
    /// ``DMAMapper/Options/onShortage``.
    /// - Parameter memorySlotCount: how many memory slots the machine has at most: KVM's number
    ///   (`KVM_CAP_NR_MEMSLOTS`), or 512 where there is none to ask.
    /// - Throws: what the host answers.
    public func mappingDemand(memorySlotCount: UInt64 = 512) throws(VFIOGuestError) -> DMAMappingDemand {
        try space.memory.lock.withLock { () throws(VFIOGuestError) -> DMAMappingDemand in
            try mapper.mappingDemand(memorySlotCount)
        }
    }
}

extension DMAMapper {
    func mappingDemand(_ memorySlotCount: UInt64) throws(VFIOGuestError) -> DMAMappingDemand {
        var sections: [DMAMappingDemand.Section] = []
        for (_, outcome) in outcomes {
            if case .followed(let follower) = outcome, let follower = follower as? RAMDiscardFollower {
                sections.append(follower.mapping.demand)
            }
        }
        return DMAMappingDemand(
            sections, memorySlotCount: memorySlotCount, left: try space.mappingsLeft(),
            inUse: UInt64(space.mappingCount))
    }

    /// Tells of mappings that could come to fail, now that one more section comes and goes in blocks.
    func tellShortage() {
        guard let onShortage = options.onShortage else { return }
        // A host that doesn't say what it takes: then nothing is known to be too much.
        guard let demand = try? mappingDemand(options.memorySlotCount), !demand.fits else { return }
        onShortage(demand)
    }
}
