import IOVASpace
import LinuxSystem
import VFIOABI

extension Type1 {
    /// The most memory that the dirty bits of one container may take, in bytes. Where mapping costs nothing,
    /// as without an IOMMU, only this bounds it.
    private static let mostReportBytes: UInt64 = 1 << 30

    /// A buffer for the dirty bits of a mapping; counted as taken.
    /// - Throws: `EINVAL` for more pages than an `int` counts, `ENOMEM` if all of them take too much.
    func newReport(for range: IOVARange) throws(Errno) -> DirtyReport {
        let pages = range.lastOffset / unit + 1
        guard pages <= UInt64(Int32.max) else { throw .invalid }
        guard reportByteCount + pages / 8 <= Type1.mostReportBytes else { throw .noMemory }
        let report = try DirtyReport(pageCount: pages)
        reportByteCount += report.byteCount
        return report
    }

    /// Marks the pages of a mapping that devices have pinned, and may write to as long as they have.
    private func insertPins(of mapping: IOVAMapping) {
        let record = records[Int(mapping.tag)]
        record.pins?.forEach { iova in
            record.report?.insert((iova.rawValue &- mapping.range.first.rawValue) / unit)
        }
    }

    /// Gives every mapping a buffer: all of them, or none.
    func makeReports() throws(Errno) {
        dropReports()
        do throws(Errno) {
            try space.map.forEachMapping { (mapping) throws(Errno) in
                records[Int(mapping.tag)].report = try newReport(for: mapping.range)
                insertPins(of: mapping)
            }
        } catch {
            dropReports()
            throw error
        }
    }

    /// Writes the dirty bits of a mapping, which lies in the range that the target is for.
    func report(_ mapping: IOVAMapping, to target: DirtyTarget) throws(Errno) {
        guard let report = records[Int(mapping.tag)].report else { return }
        let bit = (mapping.range.first.rawValue &- target.base) >> target.shift
        try report.write(to: target.data, at: bit, allDirty: hasDomain && hasUntrackedGroups)
    }

    /// VFIO_IOMMU_DIRTY_PAGES (kernel.md B.7); the tests are in the kernel's order.
    func dirtyPages(_ address: HostAddress) throws(Errno) {
        guard isVersion2 else { throw .accessDenied }
        let request = try UserMemory.load(VFIOABI.DirtyBitmap(), from: address)
        guard request.argsz >= 8 else { throw .invalid }
        switch request.flags {
        case .start: try exclusively { () throws(Errno) in try startTracking() }
        case .stop: try exclusively { () throws(Errno) in stopTracking() }
        case .getBitmap: try getDirty(address, argsz: request.argsz)
        default: throw .invalid
        }
    }

    private func startTracking() throws(Errno) {
        guard !tracksDirtyPages else { return }
        try makeReports()
        tracksDirtyPages = true
    }

    /// From now on nobody knows what is written.
    func stopTracking() {
        tracksDirtyPages = false
        dropReports()
    }

    private func dropReports() {
        for index in records.indices { records[index].report = nil }
        reportByteCount = 0
    }

    private func getDirty(_ address: HostAddress, argsz: UInt32) throws(Errno) {
        guard argsz >= 48 else { throw .invalid }
        let get = try UserMemory.load(DirtyBitmapGet(), from: address + 8)
        guard get.size != 0 else { throw .invalid }
        guard let range = IOVARange(IOVA(get.iova), byteCount: get.size) else { throw .overflow }
        let target = try DirtyTarget(get.bitmap, rangeSize: get.size, base: get.iova)
        try exclusively { () throws(Errno) in
            guard target.pageSize == unit, (get.iova | get.size) & (unit - 1) == 0 else { throw .invalid }
            guard tracksDirtyPages else { throw .invalid }
            if space.map.mapping(bisectedBy: range) != nil { throw .invalid }
            try space.map.forEachMapping(overlapping: range) { (mapping) throws(Errno) in
                try report(mapping, to: target)
                records[Int(mapping.tag)].report?.clear()
                insertPins(of: mapping)
            }
        }
    }
}
