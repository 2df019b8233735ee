import LinuxSystem
import VFIOABI

// Requests about page tables of a user's own (kernel.md F.4, F.6). The IOMMU here has none, and no dirty bits:
// whoever asks for something that could be is told so with `EOPNOTSUPP`, all others what they did wrong.

extension IOMMUFD {
    /// IOMMU_HWPT_ALLOC
    func allocateTable(_ user: UserCommand) throws(Errno) {
        let request = try user.load(HWPTAlloc())
        guard request.reserved == 0 && request.reserved2 == 0 else { throw .notSupported }
        let hasData = request.dataLength != 0
        if request.dataType == .none {
            guard !hasData && request.dataAddress == 0 else { throw .invalid }
        } else {
            guard hasData else { throw .invalid }
        }
        try core.lock.withLock { () throws(Errno) in
            try checkDevice(request.deviceID)
            do throws(Errno) {
                if case .device = try object(request.pageTableID) { throw .invalid }
            } catch {
                throw .invalid
            }
        }
        throw .notSupported
    }

    /// IOMMU_HWPT_SET_DIRTY_TRACKING
    func setDirtyTracking(_ user: UserCommand) throws(Errno) {
        let request = try user.load(HWPTSetDirtyTracking())
        guard request.flags.isSubset(of: .enable) else { throw .notSupported }
        try checkTable(request.hwptID)
        throw .notSupported
    }

    /// IOMMU_HWPT_GET_DIRTY_BITMAP
    func getDirtyBitmap(_ user: UserCommand) throws(Errno) {
        let request = try user.load(HWPTGetDirtyBitmap())
        guard request.flags.isSubset(of: .noClear), request.reserved == 0 else { throw .notSupported }
        try checkTable(request.hwptID)
        throw .notSupported
    }

    /// IOMMU_GET_HW_INFO
    func getHardwareInfo(_ user: UserCommand) throws(Errno) {
        let request = try user.load(HWInfo())
        guard request.flags.rawValue & ~1 == 0 else { throw .notSupported }
        for index in 0..<3 where request.reserved[index] != 0 { throw .notSupported }
        try core.lock.withLock { () throws(Errno) in try checkDevice(request.deviceID) }
        throw .notSupported
    }

    private func checkDevice(_ id: UInt32) throws(Errno) {
        guard case .device = try object(id) else { throw .noSuchEntry }
    }

    private func checkTable(_ id: UInt32) throws(Errno) {
        try core.lock.withLock { () throws(Errno) in
            guard case .table = try object(id) else { throw .noSuchEntry }
        }
    }
}
