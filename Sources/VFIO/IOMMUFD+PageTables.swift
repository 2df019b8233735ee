import IOVASpace
import LinuxSystem
import VFIOABI
import VFIOHost

// Page tables that a user makes, and the pages that devices write through them (kernel.md F.4, F.6).
extension IOMMUFD {
    /// Makes a page table of a space: `IOMMU_HWPT_ALLOC`. It has the space's mappings, and exists, with the memory
    /// locked, until it is destroyed; devices are attached to it in place of the space.
    /// - Parameters:
    ///   - device: the object number of a bound device (see ``bind(_:)``): only devices behind the same kind of IOMMU
    ///     can be attached.
    ///   - flags: what it must be able to do.
    /// - Throws: `EOPNOTSUPP` if the IOMMU can't.
    public func makePageTable(
        of space: IOAS, for device: UInt32, _ flags: HWPTAllocFlags = []
    ) throws(Errno) -> IOPageTable {
        var request = HWPTAlloc(flags: flags, deviceID: device, pageTableID: space.id)
        try handle.borrowed.send(.hwptAlloc, &request)
        return IOPageTable(id: request.hwptID)
    }

    /// Puts a page table of a guest's in front of another: `IOMMU_HWPT_ALLOC`. Devices that are attached to it use
    /// addresses that the guest's table leads to guest-physical ones, which are those of `parent`.
    /// - Parameters:
    ///   - stage: where the guest's table is, at a guest-physical address, and how it is walked.
    ///   - parent: made with `HWPTAllocFlags.nestParent`; can't be destroyed while there is something in front of it.
    ///   - device: the object number of a bound device.
    /// - Throws: `EOPNOTSUPP` if the IOMMU isn't a VT-d that can do that, `EINVAL` for another kind of parent.
    public func makePageTable(
        _ stage: HWPTVTDStage1, inFrontOf parent: IOPageTable, for device: UInt32
    ) throws(Errno) -> IOPageTable {
        var stage = stage
        // SAFETY: the host reads the structure's own memory during the call.
        return try unsafe withUnsafeMutableBytes(of: &stage) { (bytes) throws(Errno) -> IOPageTable in
            var request = HWPTAlloc(
                deviceID: device, pageTableID: parent.id, dataType: .vtdStage1,
                dataLength: UInt32(bytes.count),
                dataAddress: UInt64(UInt(bitPattern: bytes.baseAddress)))
            try handle.borrowed.send(.hwptAlloc, &request)
            return IOPageTable(id: request.hwptID)
        }
    }

    /// Says that entries of a guest's table have changed: `IOMMU_HWPT_INVALIDATE`.
    /// - Returns: how many entries were carried out, from the first on, and why not the next one; nil if all were.
    public func invalidate(
        _ entries: [HWPTVTDStage1Invalidate], in table: IOPageTable
    ) -> (done: Int, failure: Errno?) {
        guard let count = UInt32(exactly: entries.count) else { return (0, .invalid) }
        var entries = entries
        var request = HWPTInvalidate(
            hwptID: table.id, dataType: .vtdStage1,
            entryLength: UInt32(MemoryLayout<HWPTVTDStage1Invalidate>.size), entryCount: count)
        var span = entries.mutableSpan
        do throws(Errno) {
            // SAFETY: the host reads the array's own memory during the call.
            try unsafe span.withUnsafeMutableBytes { (buffer) throws(Errno) in
                request.dataAddress = UInt64(UInt(bitPattern: buffer.baseAddress))
                try handle.borrowed.send(.hwptInvalidate, &request)
            }
        } catch {
            // A host that doesn't know the request leaves the number as it was.
            return (request.entryCount < count ? Int(request.entryCount) : 0, error)
        }
        return (entries.count, nil)
    }

    /// Ends a page table that no device is attached to: `IOMMU_DESTROY`.
    public func destroy(_ table: IOPageTable) throws(Errno) {
        var request = IOMMUFDDestroy(id: table.id)
        try handle.borrowed.send(.iommufdDestroy, &request)
    }

    /// What the IOMMU of a bound device can do, and what it tells of itself: `IOMMU_GET_HW_INFO`.
    /// - Parameter device: the object number of a bound device.
    public func hardwareInfo(of device: UInt32) throws(Errno) -> IOMMUHardwareInfo {
        var room = 256
        while true {
            var data = [UInt8](repeating: 0, count: room)
            var query = HWInfo(deviceID: device, dataLength: UInt32(room))
            var span = data.mutableSpan
            // SAFETY: the host writes at most `room` bytes into the array's own memory during the call.
            try unsafe span.withUnsafeMutableBytes { (buffer) throws(Errno) in
                query.dataAddress = UInt64(UInt(bitPattern: buffer.baseAddress))
                try handle.borrowed.send(.iommufdGetHWInfo, &query)
            }
            let length = Int(query.dataLength)
            if length <= room || room > 1 << 16 {
                return IOMMUHardwareInfo(
                    capabilities: query.capabilities, pasidBits: query.maxPASIDLog2, kind: query.outputType,
                    data: Array(data.prefix(length)))
            }
            // Longer than anything known: once more, with as much room as it takes, up to a bound.
            room = min(length, 1 << 16 + 1)
        }
    }

    /// Starts or ends the noting of pages that devices write through a page table:
    /// `IOMMU_HWPT_SET_DIRTY_TRACKING`. Starting forgets what was noted before.
    /// - Throws: `EOPNOTSUPP` for a page table that wasn't made with `HWPTAllocFlags.dirtyTracking`.
    public func setDirtyTracking(_ on: Bool, of table: IOPageTable) throws(Errno) {
        var request = HWPTSetDirtyTracking(flags: on ? .enable : [], hwptID: table.id)
        try handle.borrowed.send(.hwptSetDirtyTracking, &request)
    }

    /// Adds the dirty bits of a range to those that are set: `IOMMU_HWPT_GET_DIRTY_BITMAP`.
    ///
    /// The host doesn't say when it can't tell: where tracking is off, there are no bits; at the first address that
    /// isn't mapped they end.
    /// - Parameters:
    ///   - range: whole pages of both kinds, mapped throughout.
    ///   - pageSize: what one bit stands for.
    ///   - isClearing: whether the pages count as clean from then on.
    ///   - words: gets one bit for each page, the range's first page in bit 0 of the first word; long enough for
    ///     all of them.
    /// - Throws: `EINVAL` also if `words` is too short.
    public func addDirtyBits(
        of range: IOVARange, pageSize: UInt64, in table: IOPageTable, isClearing: Bool = true,
        to words: inout [UInt64]
    ) throws(Errno) {
        // The request doesn't say how much room there is.
        guard pageSize.nonzeroBitCount == 1, range.lastOffset / pageSize / 64 < UInt64(words.count) else {
            throw .invalid
        }
        var span = words.mutableSpan
        // SAFETY: the host writes one bit for each page into the array's own memory during the call; it has room.
        try unsafe span.withUnsafeMutableBytes { (buffer) throws(Errno) in
            var request = HWPTGetDirtyBitmap(
                hwptID: table.id, flags: isClearing ? [] : .noClear, iova: range.first.rawValue,
                length: range.byteCount, pageSize: pageSize,
                data: UInt64(UInt(bitPattern: buffer.baseAddress)))
            try handle.borrowed.send(.hwptGetDirtyBitmap, &request)
        }
    }
}

/// A page table of an ``IOMMUFD``: its number there. It lives until it is destroyed or the iommufd goes.
public struct IOPageTable: Hashable, Sendable {
    /// The object's number.
    public let id: UInt32

    /// A page table with a number that an iommufd gave.
    public init(id: UInt32) { self.id = id }
}

/// What the IOMMU of a device can do, and what it tells of itself (`iommu_hw_info`).
public struct IOMMUHardwareInfo: Sendable, Equatable {
    /// What every IOMMU can be asked about.
    public let capabilities: HWCapabilities
    /// Bits of a process address space number (PASID) that the device can use; 0 for none.
    public let pasidBits: UInt8
    /// Which structure `data` is.
    public let kind: HWInfoType
    /// The structure, e.g. `HWInfoVTD`, as the host gave it.
    public let data: [UInt8]

    /// What a VT-d IOMMU tells; nil for another.
    public var vtd: HWInfoVTD? { kind == .intelVTD ? data.get(HWInfoVTD.self) : nil }
}
