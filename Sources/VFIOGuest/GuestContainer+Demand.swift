import LinuxSystem
import VFIO

extension GuestContainer {
    /// How many DMA mappings the container can come to need, with all RAM populated that comes and goes in blocks, set
    /// against what the host's IOMMU takes. What to warn of before the guest plugs more than fits.
    /// - Parameter memorySlotCount: how many memory slots the machine has at most: KVM's number
    ///   (`KVM_CAP_NR_MEMSLOTS`), or 512 where there is none to ask.
    /// - Throws: what the host answers.
    public func mappingDemand(memorySlotCount: UInt64 = 512) throws(VFIOGuestError) -> DMAMappingDemand {
        try space.memory.lock.withLock { () throws(VFIOGuestError) -> DMAMappingDemand in
            var sections: [DMAMappingDemand.Section] = []
            for (_, outcome) in mapper.outcomes {
                if case .followed(let follower) = outcome, let follower = follower as? RAMDiscardFollower {
                    sections.append(follower.mapping.demand)
                }
            }
            return DMAMappingDemand(
                sections, memorySlotCount: memorySlotCount, left: try iommu.mappingsLeft(),
                inUse: UInt64(iommu.mappingCount))
        }
    }
}
