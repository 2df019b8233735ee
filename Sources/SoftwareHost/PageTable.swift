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

    /// One that is made for a device.
    init(automaticFor ioas: IOAS) {
        self.ioas = ioas
        isAutomatic = true
        tracking = nil
    }

    /// One that a user makes.
    /// - Parameter isTracking: whether it can note which pages devices write.
    init(of ioas: IOAS, isTracking: Bool) {
        self.ioas = ioas
        isAutomatic = false
        tracking = isTracking ? TrackingTable(ioas.space) : nil
    }

    /// Where the DMA of its devices goes.
    var space: any DMAAddressSpace {
        if let tracking { return tracking }
        return ioas.space
    }
}
