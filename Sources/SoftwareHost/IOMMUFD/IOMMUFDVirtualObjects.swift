import LinuxSystem
import VFIOABI

// Requests for virtual machines' IOMMUs, as a host answers whose IOMMU has tables in front of others at most: no
// virtual IOMMUs with devices, events or queues.

extension IOMMUFD {
    /// IOMMU_HWPT_INVALIDATE: entries of a guest's table have changed. Every access walks the tables anew, so that
    /// nothing but what the user says is looked at.
    func invalidate(_ user: UserCommand) throws(Errno) {
        var request = try user.load(HWPTInvalidate())
        var failure: Errno?
        var done: UInt32 = 0
        do throws(Errno) { try invalidate(request, &done) } catch { failure = error }
        // How many entries were done is told with every error.
        request.entryCount = done
        try user.store(request)
        if let failure { throw failure }
    }

    private func invalidate(_ request: HWPTInvalidate, _ done: inout UInt32) throws(Errno) {
        guard request.reserved == 0 else { throw .notSupported }
        guard request.entryCount == 0 || request.dataAddress != 0 && request.entryLength != 0 else {
            throw .invalid
        }
        try core.lock.withLock { () throws(Errno) in
            guard case .table(let table) = try object(request.hwptID), table.nested != nil else {
                throw .invalid
            }
        }
        guard request.dataType == .vtdStage1 else { throw .invalid }
        let known = MemoryLayout<HWPTVTDStage1Invalidate>.size
        while done < request.entryCount {
            guard request.entryLength >= known else { throw .invalid }
            let (offset, overflow) = UInt64(done).multipliedReportingOverflow(by: UInt64(request.entryLength))
            let (place, wraps) = request.dataAddress.addingReportingOverflow(offset)
            if overflow || wraps { throw .badAddress }
            try UserStructure.checkTail(of: HostAddress(place), size: request.entryLength, known: known)
            let entry = try UserMemory.load(HWPTVTDStage1Invalidate(), from: HostAddress(place))
            guard entry.flags.isSubset(of: .leaf), entry.reserved == 0 else { throw .notSupported }
            guard entry.address % 4096 == 0, entry.pageCount != .max || entry.address == 0 else {
                throw .invalid
            }
            done += 1
        }
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
