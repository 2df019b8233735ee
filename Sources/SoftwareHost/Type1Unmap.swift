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
        let removed = try exclusively { () throws(Errno) -> UInt64 in
            guard request.iova & (unit - 1) == 0 else { throw .invalid }
            let range: IOVARange
            if isAll {
                guard request.iova == 0 && request.size == 0 else { throw .invalid }
                range = .all
            } else {
                guard request.size != 0, request.size & (unit - 1) == 0 else { throw .invalid }
                guard let some = IOVARange(IOVA(request.iova), byteCount: request.size) else {
                    throw .overflow
                }
                range = some
            }
            if let target, !tracksDirtyPages || target.pageSize != unit { throw .invalid }
            if isVersion2 && !isAll && space.map.mapping(bisectedBy: range) != nil { throw .invalid }
            if invalidates { return try invalidate(range) }
            return try unmap(range, target)
        }
        request.size = removed
        try UserMemory.store(request, to: address)
    }

    /// Removes what begins in a range, mapping by mapping. A version 1 driver stops at a mapping that begins
    /// earlier; with version 2 there is none.
    private func unmap(_ range: IOVARange, _ target: DirtyTarget?) throws(Errno) -> UInt64 {
        var removed: UInt64 = 0
        while let mapping = space.map.firstMapping(overlapping: range) {
            guard mapping.range.first >= range.first else { break }
            if let target { try report(mapping, to: target) }
            removed &+= mapping.range.lastOffset &+ 1
            remove(mapping)
        }
        return removed
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
