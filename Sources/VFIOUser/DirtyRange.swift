import IOVASpace
import LinuxSystem

/// Addresses whose dirty pages a client asks for, checked.
struct DirtyRange {
    /// The addresses.
    let addresses: IOVARange
    /// The binary logarithm of the bytes of a page.
    let pageShift: UInt64
    /// The bytes of a bitmap with a bit for each page, in whole 64-bit words.
    let byteCount: Int

    /// - Throws: `EINVAL` for pages that aren't a power of two or smaller than 4 KiB, for no addresses, and for
    ///   those that don't begin at 4 KiB; `EOVERFLOW` beyond 2^64; `E2BIG` for more than any message holds.
    init(_ iova: UInt64, _ length: UInt64, pageSize: UInt64) throws(Errno) {
        guard pageSize.nonzeroBitCount == 1, pageSize >= DirtyLog.granule, length > 0,
            iova & (DirtyLog.granule - 1) == 0
        else { throw .invalid }
        guard let range = IOVARange(IOVA(iova), byteCount: length) else { throw .overflow }
        addresses = range
        pageShift = UInt64(pageSize.trailingZeroBitCount)
        let pages = range.lastOffset >> pageShift + 1
        guard pages <= 1 << 31 else { throw .tooBig }
        byteCount = Int(pages + 63) / 64 * 8
    }
}
