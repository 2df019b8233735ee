import IOVASpace
import LinuxSystem
import VFIOABI

extension Type1 {
    /// VFIO_IOMMU_UNMAP_DMA (kernel.md B.5); the tests are in the kernel's order.
    func unmapDMA(_ address: HostAddress) throws(Errno) {
        var request = try UserMemory.load(DMAUnmap(), from: address)
        guard request.argsz >= 24, request.flags.isSubset(of: [.getDirtyBitmap, .all, .vaddr]) else {
            throw .invalid
        }
        let reportsDirty = request.flags.contains(.getDirtyBitmap)
        let isAll = request.flags.contains(.all)
        let invalidates = request.flags.contains(.vaddr)
        if reportsDirty && (isAll || invalidates) { throw .invalid }
        var target: DirtyTarget?
        if reportsDirty {
            guard request.argsz >= 48 else { throw .invalid }
            let bitmap = try UserMemory.load(Bitmap(), from: address + 24)
            target = try DirtyTarget(bitmap, rangeSize: request.size, base: request.iova)
        }
        var progress = UnmapProgress()
        // Devices that hold pages pinned are asked without any lock held; then it starts anew.
        while let notice = try exclusively({ () throws(Errno) in
            try unmap(request, target, &progress)
        }) {
            for client in notice.clients { client.prepareUnmap(notice.range) }
        }
        request.size = progress.byteCount
        try UserMemory.store(request, to: address)
    }

    /// How far an unmapping has come.
    private struct UnmapProgress {
        /// How much has been unmapped, or marked, in bytes.
        var byteCount: UInt64 = 0
        /// Which mapping's pages devices were asked to unpin last, and how often.
        var asked: (range: IOVARange, count: Int)?
    }

    /// Devices that must let go of pages before an unmapping can go on.
    private struct UnmapNotice {
        let range: IOVARange
        let clients: [any EmulatedDMAClient]
    }

    /// How often devices are asked to let go of pages. Linux gives up on itself then.
    private static let mostNotices = 10

    /// Goes on with an unmapping, to its end or to pages that are pinned; the tests are in the kernel's order.
    private func unmap(
        _ request: DMAUnmap, _ target: DirtyTarget?, _ progress: inout UnmapProgress
    ) throws(Errno) -> UnmapNotice? {
        let isAll = request.flags.contains(.all)
        let invalidates = request.flags.contains(.vaddr)
        if invalidates && hasEmulatedGroups { throw .busy }
        guard request.iova & (unit - 1) == 0 else { throw .invalid }
        let range: IOVARange
        if isAll {
            guard request.iova == 0 && request.size == 0 else { throw .invalid }
            range = .all
        } else {
            guard request.size != 0, request.size & (unit - 1) == 0 else { throw .invalid }
            guard let some = IOVARange(IOVA(request.iova), byteCount: request.size) else { throw .overflow }
            range = some
        }
        if let target, !tracksDirtyPages || target.pageSize != unit { throw .invalid }
        if isVersion2 && !isAll && space.map.mapping(bisectedBy: range) != nil { throw .invalid }
        if invalidates {
            progress.byteCount = try invalidate(range)
            return nil
        }
        return try unmap(range, target, &progress)
    }

    /// Removes what begins in a range, mapping by mapping. A version 1 driver stops at a mapping that begins
    /// earlier; with version 2 there is none.
    private func unmap(
        _ range: IOVARange, _ target: DirtyTarget?, _ progress: inout UnmapProgress
    ) throws(Errno) -> UnmapNotice? {
        while let mapping = space.map.firstMapping(overlapping: range) {
            guard mapping.range.first >= range.first else { break }
            if let notice = try notice(of: mapping, &progress) { return notice }
            if let target { try report(mapping, to: target) }
            progress.byteCount &+= mapping.range.lastOffset &+ 1
            remove(mapping)
        }
        return nil
    }

    /// Who has to let go of pages of a mapping; nil if nobody holds any. Pages that were left pinned by devices
    /// which are closed by now count as let go of.
    /// - Throws: `EBUSY` if it was of no use to ask.
    private func notice(
        of mapping: IOVAMapping, _ progress: inout UnmapProgress
    ) throws(Errno) -> UnmapNotice? {
        guard records[Int(mapping.tag)].pins != nil, !clients.isEmpty else { return nil }
        if let asked = progress.asked, asked.range == mapping.range {
            guard asked.count < Type1.mostNotices else { throw .busy }
            progress.asked = (mapping.range, asked.count + 1)
        } else {
            progress.asked = (mapping.range, 1)
        }
        return UnmapNotice(range: mapping.range, clients: clients.compactMap { $0.client })
    }

    /// Marks the mappings that begin in a range as waiting for a new address: all of them or none.
    private func invalidate(_ range: IOVARange) throws(Errno) -> UInt64 {
        var marked: UInt64 = 0
        var next = space.map.firstMapping(overlapping: range)
        var last: IOVAMapping?
        while let mapping = next, mapping.range.first >= range.first {
            if records[Int(mapping.tag)].isAddressInvalid {
                if let last, let undone = IOVARange(first: range.first, last: last.range.last) {
                    revalidate(undone)
                }
                throw .invalid
            }
            records[Int(mapping.tag)].isAddressInvalid = true
            invalidAddressCount += 1
            marked &+= mapping.range.lastOffset &+ 1
            last = mapping
            next = space.map.mapping(after: mapping, overlapping: range)
        }
        return marked
    }

    private func revalidate(_ range: IOVARange) {
        space.map.forEachMapping(overlapping: range) { mapping in
            records[Int(mapping.tag)].isAddressInvalid = false
            invalidAddressCount -= 1
        }
    }
}
