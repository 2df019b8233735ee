import LinuxSystem
import VFIOABI

// Requests for virtual machines' IOMMUs, as a host answers whose IOMMU has nothing for them: no stage in front of
// another, no virtual IOMMUs with devices, events or queues.

extension IOMMUFD {
    /// IOMMU_HWPT_INVALIDATE: there is nothing that could be invalidated by hand.
    func invalidate(_ user: UserCommand) throws(Errno) {
        var request = try user.load(HWPTInvalidate())
        let errno = reasonNotToInvalidate(request)
        // How many entries were done is told with every error.
        request.entryCount = 0
        try user.store(request)
        throw errno
    }

    private func reasonNotToInvalidate(_ request: HWPTInvalidate) -> Errno {
        guard request.reserved == 0 else { return .notSupported }
        guard request.entryCount == 0 || request.dataAddress != 0 && request.entryLength != 0 else {
            return .invalid
        }
        do throws(Errno) {
            _ = try core.lock.withLock { () throws(Errno) in try object(request.hwptID) }
        } catch {
            return error
        }
        return .invalid
    }

    /// IOMMU_VIOMMU_ALLOC
    func allocateVirtualIOMMU(_ user: UserCommand) throws(Errno) {
        let request = try user.load(VIOMMUAlloc())
        guard request.flags == 0, request.type != .default else { throw .notSupported }
        try core.lock.withLock { () throws(Errno) in _ = try device(request.deviceID) }
        throw .notSupported
    }

    /// IOMMU_VDEVICE_ALLOC: there is no virtual IOMMU whose number it could be.
    func allocateVirtualDevice(_ user: UserCommand) throws(Errno) {
        _ = try user.load(VDeviceAlloc())
        throw .noSuchEntry
    }

    /// IOMMU_VEVENTQ_ALLOC
    func allocateEventQueue(_ user: UserCommand) throws(Errno) {
        let request = try user.load(VEventQueueAlloc())
        guard request.flags == 0, request.reserved == 0, request.type != .default else {
            throw .notSupported
        }
        guard request.depth != 0 else { throw .invalid }
        throw .noSuchEntry
    }

    /// IOMMU_HW_QUEUE_ALLOC
    func allocateHardwareQueue(_ user: UserCommand) throws(Errno) {
        let request = try user.load(HWQueueAlloc())
        guard request.flags == 0, request.type.rawValue != 0 else { throw .notSupported }
        guard request.length != 0 else { throw .invalid }
        guard !request.nestingParentIOVA.addingReportingOverflow(request.length - 1).overflow else {
            throw .overflow
        }
        throw .noSuchEntry
    }
}
