import IOVASpace
import LinuxSystem
import VFIOABI

// Requests about page tables of a user's own (kernel.md F.4).

extension IOMMUFD {
    /// IOMMU_HWPT_ALLOC; the tests are in the kernel's order (kernel-errata.md, item 8).
    func allocateTable(_ user: UserCommand) throws(Errno) {
        var request = try user.load(HWPTAlloc())
        guard request.reserved == 0 && request.reserved2 == 0 else { throw .notSupported }
        let hasData = request.dataLength != 0
        if request.dataType == .none {
            guard !hasData && request.dataAddress == 0 else { throw .invalid }
        } else {
            guard hasData else { throw .invalid }
        }
        let table = try core.lock.withLock { () throws(Errno) -> PageTable in
            let device = try device(request.deviceID)
            let origin: Object
            do throws(Errno) { origin = try object(request.pageTableID) } catch { throw .invalid }
            switch origin {
            case .ioas(let ioas): return try makeTable(of: ioas, for: device, request)
            case .table(let parent): return try makeTable(inFrontOf: parent, for: device, request)
            case .device, .faultQueue: throw .invalid
            }
        }
        request.hwptID = table.id
        do throws(Errno) {
            try user.store(request)
        } catch {
            // Somebody may have guessed its number.
            core.lock.withLock { if table.userCount == 0 && table.childCount == 0 { discard(table) } }
            throw error
        }
    }

    /// A page table that nobody uses goes. With `Core.lock` held.
    func discard(_ table: PageTable) {
        remove(table.id)
        table.faultQueue?.tableCount -= 1
        if let parent = table.parent {
            parent.childCount -= 1
        } else {
            table.ioas.remove(table)
        }
    }

    /// With `Core.lock` held.
    private func makeTable(
        of ioas: IOAS, for device: IOMMUFDDevice, _ request: HWPTAlloc
    ) throws(Errno) -> PageTable {
        let known: HWPTAllocFlags = [.nestParent, .dirtyTracking, .faultIDValid, .pasid]
        guard request.flags.isSubset(of: known), !request.flags.isSuperset(of: [.nestParent, .faultIDValid])
        else {
            throw .notSupported
        }
        let isNestParent = request.flags.contains(.nestParent)
        guard device.group.nestsPageTables || !isNestParent else { throw .notSupported }
        // Nothing is known of a page table that is made of an address space; it takes no description.
        guard request.dataType == .none else { throw .notSupported }
        let isTracking = request.flags.contains(.dirtyTracking)
        guard device.group.tracksDirtyPages || !isTracking else { throw .notSupported }
        let table = PageTable(of: ioas, isTracking: isTracking, isNestParent: isNestParent)
        try ioas.attach(nil, adding: table)
        do throws(Errno) {
            table.faultQueue = try faultQueue(for: request)
        } catch {
            ioas.remove(table)
            throw error
        }
        table.faultQueue?.tableCount += 1
        table.id = add(.table(table))
        return table
    }

    /// Puts a guest's table in front of another. With `Core.lock` held.
    private func makeTable(
        inFrontOf parent: PageTable, for device: IOMMUFDDevice, _ request: HWPTAlloc
    ) throws(Errno) -> PageTable {
        // Only what translates to memory can have something in front.
        guard parent.nested == nil else { throw .invalid }
        guard request.flags.isSubset(of: [.faultIDValid, .pasid]), request.dataLength != 0 else {
            throw .notSupported
        }
        guard parent.isNestParent else { throw .invalid }
        guard device.group.nestsPageTables, request.dataType == .vtdStage1 else { throw .notSupported }
        let known = MemoryLayout<HWPTVTDStage1>.size
        let address = HostAddress(request.dataAddress)
        // Up to its last field that isn't reserved.
        // Unlike with requests' own structures, one of a later kernel isn't taken.
        guard request.dataLength >= 20, request.dataLength <= known else { throw .invalid }
        let description = try UserMemory.load(
            HWPTVTDStage1(), from: address, count: min(known, Int(request.dataLength)))
        let table = PageTable(description, inFrontOf: parent)
        table.faultQueue = try faultQueue(for: request)
        table.faultQueue?.tableCount += 1
        parent.childCount += 1
        table.id = add(.table(table))
        return table
    }

    /// IOMMU_HWPT_SET_DIRTY_TRACKING
    func setDirtyTracking(_ user: UserCommand) throws(Errno) {
        let request = try user.load(HWPTSetDirtyTracking())
        guard request.flags.isSubset(of: .enable) else { throw .notSupported }
        let table = try findTable(request.hwptID)
        guard let tracking = table.tracking else { throw .notSupported }
        try table.ioas.setTracking(tracking, request.flags.contains(.enable))
    }

    /// IOMMU_HWPT_GET_DIRTY_BITMAP
    ///
    /// As on Linux, what can't be told is no error: tracking that is off, a hole (where the bits end), a bitmap that
    /// can't be written.
    func getDirtyBitmap(_ user: UserCommand) throws(Errno) {
        let request = try user.load(HWPTGetDirtyBitmap())
        guard request.flags.isSubset(of: .noClear), request.reserved == 0 else { throw .notSupported }
        let table = try findTable(request.hwptID)
        let (last, overflow) = request.iova.addingReportingOverflow(request.length &- 1)
        if overflow { throw .overflow }
        let end = last &+ 1
        let unit = try table.ioas.ranges().alignment
        guard (request.iova | end) & (unit - 1) == 0, request.pageSize != 0,
            (request.iova | end) & (request.pageSize - 1) == 0
        else {
            throw .invalid
        }
        guard let tracking = table.tracking else { throw .notSupported }
        // A length of 0 at address 0 has no end before its beginning: it is everything.
        guard let range = IOVARange(first: IOVA(request.iova), last: IOVA(last)) else { return }
        let bits = UserBits(HostAddress(request.data), of: range, pageSize: request.pageSize)
        try table.ioas.report(
            range, by: tracking, isClearing: !request.flags.contains(.noClear), into: bits)
    }

    /// The device with an id. With `Core.lock` held.
    /// - Throws: `ENOENT`, also for an object of another kind.
    func device(_ id: UInt32) throws(Errno) -> IOMMUFDDevice {
        // A mediated device is of another kind: no IOMMU is behind it.
        guard case .device(let device) = try object(id), !device.device.isMediated else { throw .noSuchEntry }
        return device
    }

    private func findTable(_ id: UInt32) throws(Errno) -> PageTable {
        try core.lock.withLock { () throws(Errno) in
            // A guest's is of another kind.
            guard case .table(let table) = try object(id), table.nested == nil else { throw .noSuchEntry }
            return table
        }
    }
}
