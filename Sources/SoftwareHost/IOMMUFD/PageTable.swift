import VFIOABI

/// A page table of an IOAS (Linux's HWPT): what devices are attached to. Guarded by `Core.lock`.
final class PageTable {
    let ioas: IOAS
    /// Its number in the iommufd; 0 for none yet.
    var id: UInt32 = 0
    /// How many devices are attached.
    var userCount = 0
    /// Whether it was made for a device that was attached to the IOAS, and goes with the last of them; else a user
    /// made it, and destroys it.
    let isAutomatic: Bool
    /// What notes the pages that devices write; nil for one that can't.
    let tracking: TrackingTable?
    /// Whether tables of guests can be put in front of it.
    let isNestParent: Bool
    /// What it is in front of, if it is a guest's.
    let parent: PageTable?
    /// A guest's table; nil for one of an address space.
    let nested: NestedTable?
    /// How many tables are in front of it.
    var childCount = 0
    /// Where faults of its devices would go; nil if they aren't to be told of.
    var faultQueue: FaultQueue?

    /// One that is made for a device.
    init(automaticFor ioas: IOAS) {
        self.ioas = ioas
        isAutomatic = true
        tracking = nil
        isNestParent = false
        parent = nil
        nested = nil
    }

    /// One that a user makes.
    /// - Parameters:
    ///   - isTracking: whether it can note which pages devices write.
    ///   - isNestParent: whether tables of guests can be put in front of it.
    init(of ioas: IOAS, isTracking: Bool, isNestParent: Bool) {
        self.ioas = ioas
        isAutomatic = false
        tracking = isTracking ? TrackingTable(ioas.space) : nil
        self.isNestParent = isNestParent
        parent = nil
        nested = nil
    }

    /// A guest's.
    /// - Parameter parent: what the guest takes for its memory.
    init(_ description: HWPTVTDStage1, inFrontOf parent: PageTable) {
        ioas = parent.ioas
        isAutomatic = false
        tracking = nil
        isNestParent = false
        self.parent = parent
        nested = NestedTable(description, in: parent.space, ioas.space)
    }

    /// Where the DMA of its devices goes.
    var space: any DMAAddressSpace {
        if let nested { return nested }
        if let tracking { return tracking }
        return ioas.space
    }
}
