import IOVASpace
import LinuxSystem
import VFIOABI

/// Where dirty bits are to be written.
struct DirtyTarget {
    /// The user's bitmap.
    let data: HostAddress
    /// What one bit stands for, in bytes.
    let pageSize: UInt64
    /// The address of the first bit.
    let base: UInt64

    /// Checks a bitmap that a user offers for a range (kernel.md B.8).
    init(_ bitmap: Bitmap, rangeSize: UInt64, base: UInt64) throws(Errno) {
        guard isUserRange(bitmap.data, byteCount: bitmap.size), bitmap.holds(rangeSize: rangeSize) else {
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

    /// A page was pinned by a device, which may write to it from now on.
    func insert(_ page: UInt64) { insert(page, through: page) }

    /// Pages were written. Those beyond the mapping are left out.
    func insert(_ first: UInt64, through last: UInt64) {
        guard first <= last, last < UInt64(bits.bitCount) else { return }
        bits.insert(Int(first)..<Int(last) + 1)
    }

    /// How much memory it takes, in bytes.
    var byteCount: UInt64 { UInt64(bits.wordCount) * 8 }

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
