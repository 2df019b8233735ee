import IOVASpace
import LinuxSystem
import VFIOABI

/// Where dirty bits are to be written.
struct DirtyTarget {
    /// The longest bitmap that a user may offer: 2^31 pages.
    static let mostByteCount: UInt64 = 256 << 20
    /// The user's bitmap.
    let data: HostAddress
    /// What one bit stands for, in bytes.
    let pageSize: UInt64
    /// The address of the first bit.
    let base: UInt64

    /// Checks a bitmap that a user offers for a range (kernel.md B.8).
    init(_ bitmap: Bitmap, rangeSize: UInt64, base: UInt64) throws(Errno) {
        guard isUserRange(bitmap.data, byteCount: bitmap.size) else { throw .invalid }
        guard bitmap.pageSize != 0 else { throw .invalid }
        let pages = rangeSize >> UInt64(bitmap.pageSize.trailingZeroBitCount)
        // 2^31 bits at most; compared first, so that the rounding can't overflow.
        guard pages != 0, bitmap.size != 0, bitmap.size <= DirtyTarget.mostByteCount, pages <= 1 << 31,
            bitmap.size >= (pages + 63) / 64 * 8
        else {
            throw .invalid
        }
        data = HostAddress(bitmap.data)
        pageSize = bitmap.pageSize
        self.base = base
    }

    var shift: UInt64 { UInt64(pageSize.trailingZeroBitCount) }
}

/// The dirty bits of one mapping, in the buffer from which they are reported.
///
/// The buffer has one word more than the pages need, and its bits above the pages are part of what users see:
/// see ``write(to:at:allDirty:)``.
final class DirtyReport {
    private var bits: IOVASpace.DirtyBitmap

    /// For so many pages, none of them dirty.
    /// - Throws: `EINVAL` for more pages than an `int` counts.
    init(pageCount: UInt64) throws(Errno) {
        guard pageCount <= UInt64(Int32.max), let count = Int(exactly: pageCount),
            let bits = IOVASpace.DirtyBitmap(bitCount: count, spareWords: 1)
        else {
            throw .invalid
        }
        self.bits = bits
    }

    /// Every page may have been written.
    func insertAll() { bits.insertAll() }

    /// The pages have been reported.
    func clear() { bits.remove(0..<bits.bitCount) }

    /// Writes the bits into a user's bitmap, by the rule of Linux (kernel-errata.md, box of item 1).
    ///
    /// Whole words are written. Where the first bit isn't the first of a word, the buffer itself is shifted,
    /// and the user's whole word joins it: what this leaves above the pages comes out with later reports.
    /// - Parameters:
    ///   - data: the bitmap.
    ///   - bit: the place in it of the first page.
    ///   - allDirty: whether every page may have been written.
    /// - Throws: `EFAULT`
    func write(to data: HostAddress, at bit: UInt64, allDirty: Bool) throws(Errno) {
        let shift = bit & 63
        let place = data + Int(truncatingIfNeeded: (bit >> 6) << 3)
        let words = (bits.bitCount + Int(shift) + 63) / 64
        if allDirty { bits.insertAll() }
        if shift != 0 {
            bits.withMutableWords { buffer in
                for index in (0..<words).reversed() {
                    let lower = index > 0 ? buffer[index - 1] >> (64 - shift) : 0
                    buffer[index] = buffer[index] << shift | lower
                }
            }
            let users = try UserMemory.load(UInt64(0), from: place)
            bits.withMutableWords { buffer in buffer[0] |= users }
        }
        // SAFETY: words are plain integers, all of them initialised.
        try bits.withWords { (buffer) throws(Errno) in
            try unsafe UserMemory.write(buffer.extracting(0..<words).bytes, to: place)
        }
    }
}

extension Type1 {
    /// A buffer for the dirty bits of a mapping.
    func newReport(for range: IOVARange) throws(Errno) -> DirtyReport {
        try DirtyReport(pageCount: range.lastOffset / unit + 1)
    }

    /// Writes the dirty bits of a mapping, which lies in the range that the target is for.
    func report(_ mapping: IOVAMapping, to target: DirtyTarget) throws(Errno) {
        guard let report = records[Int(mapping.tag)].report else { return }
        let bit = (mapping.range.first.rawValue &- target.base) >> target.shift
        try report.write(to: target.data, at: bit, allDirty: untrackedGroupCount > 0)
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
        do throws(Errno) {
            try space.map.forEachMapping { (mapping) throws(Errno) in
                records[Int(mapping.tag)].report = try newReport(for: mapping.range)
            }
        } catch {
            dropReports()
            throw error
        }
        tracksDirtyPages = true
    }

    private func stopTracking() {
        tracksDirtyPages = false
        dropReports()
    }

    private func dropReports() {
        for index in records.indices { records[index].report = nil }
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
            }
        }
    }
}
