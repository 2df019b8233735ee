import IOVASpace
import LinuxSystem
import VFIOABI
import VFIOHost

/// The log that a device itself keeps of the pages it writes: what migration needs where the IOMMU can't tell.
/// ``AddressSpace/startDirtyTracking()`` is the IOMMU's.
extension Device {
    /// Has the device log which pages of some ranges it writes: `VFIO_DEVICE_FEATURE_DMA_LOGGING_START`.
    ///
    /// A reset ends it on some devices.
    /// - Parameters:
    ///   - ranges: 1...256 of them, of whole pages, not overlapping. Drivers may log more than those.
    ///   - pageSize: what a page should be, in bytes; a power of two.
    /// - Returns: the page size that the device logs in, which may be another.
    /// - Throws: ``VFIOError/Code/notSupported`` where the device keeps no log; ``VFIOError/Code/busy`` where it keeps
    ///   one already; ``VFIOError/Code/misaligned``.
    @discardableResult
    public func startDMALogging(
        of ranges: [IOVARange], pageSize: UInt64 = UInt64(LinuxSystem.pageSize)
    ) throws(VFIOError) -> UInt64 {
        let operation = "log the pages that it writes"
        guard pageSize.nonzeroBitCount == 1, ranges.allSatisfy({ $0.isAligned(to: pageSize) }) else {
            throw VFIOError(
                operation: operation, object: name, code: .misaligned,
                cause: "the ranges aren't whole pages of \(pageSize) bytes")
        }
        let list = ranges.map { DMALoggingRange(iova: $0.first.rawValue, length: $0.byteCount) }
        do throws(Errno) {
            // SAFETY: the host reads the array's own memory, during the call only.
            return try unsafe list.withUnsafeBufferPointer { (buffer) throws(Errno) -> UInt64 in
                var control = DMALoggingControl(
                    pageSize: pageSize, rangeCount: UInt32(clamping: buffer.count),
                    ranges: UInt64(UInt(bitPattern: buffer.baseAddress)))
                try carryOut(.dmaLoggingStart, .set, &control)
                return control.pageSize
            }
        } catch {
            throw loggingError(operation, error)
        }
    }

    /// Ends the log. Without one nothing happens: `VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP`.
    /// - Throws: ``VFIOError/Code/notSupported``.
    public func stopDMALogging() throws(VFIOError) {
        var request = DeviceFeature(flags: FeatureFlags(.dmaLoggingStop, .set))
        do throws(Errno) {
            try handle.send(.deviceFeature, &request)
        } catch {
            throw loggingError("end the log of pages that it writes", error)
        }
    }

    /// Takes which pages of a range the device wrote since they were last asked for:
    /// `VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT`.
    /// - Parameters:
    ///   - range: what isn't logged counts as not written.
    ///   - pageSize: what a bit of the answer stands for, in bytes: a power of two, 4096 or more, and no need to be
    ///     what the device logs in.
    /// - Throws: ``VFIOError/Code/outOfBounds`` for a range of more than 2^31 pages; ``VFIOError/Code/notSupported``.
    public func takeLoggedPages(
        in range: IOVARange, pageSize: UInt64 = UInt64(LinuxSystem.pageSize)
    ) throws(VFIOError) -> DirtyPages {
        var words: [UInt64] = []
        try takeLoggedPages(in: range, pageSize: pageSize, into: &words)
        return DirtyPages(range: range, pageSize: pageSize, words: words)
    }

    /// The same, for those who ask again and again.
    /// - Parameter words: scratch space; gets one bit for each page.
    package func takeLoggedPages(
        in range: IOVARange, pageSize: UInt64, into words: inout [UInt64]
    ) throws(VFIOError) {
        func operation() -> String { "take the pages of \(range) that it wrote" }
        guard pageSize.nonzeroBitCount == 1, pageSize >= 4096 else {
            throw VFIOError(
                operation: operation(), object: name, code: .misaligned,
                cause: "\(pageSize) bytes aren't the size of a page: a power of two, 4096 or more")
        }
        let pages = range.lastOffset / pageSize + 1
        guard range.lastOffset < .max, pages <= 1 << 31 else {
            throw VFIOError(
                operation: operation(), object: name, code: .outOfBounds,
                cause: "\(pages) pages are more than can be asked for at once", remedy: "ask in pieces")
        }
        words.clear(Int(pages + 63) / 64)
        do throws(Errno) {
            var span = words.mutableSpan
            // SAFETY: the host writes the array's own memory, of a bit for each page, during the call only.
            try unsafe span.withUnsafeMutableBytes { (buffer) throws(Errno) in
                var report = DMALoggingReport(
                    iova: range.first.rawValue, length: range.byteCount, pageSize: pageSize,
                    bitmap: UInt64(UInt(bitPattern: buffer.baseAddress)))
                try carryOut(.dmaLoggingReport, .get, &report)
            }
        } catch {
            throw loggingError(operation(), error)
        }
        if pages % 64 != 0, let last = words.indices.last { words[last] &= (1 << (pages % 64)) - 1 }
    }

    private func loggingError(_ operation: String, _ errno: Errno) -> VFIOError {
        var error = VFIOError(operation: operation, object: name, errno: errno)
        switch errno {
        case .noSuchRequest:
            error.code = .notSupported
            error.cause = "the device's driver keeps no log of what the device writes"
            error.remedy = "track dirty pages in the IOMMU"
        case .busy:
            error.code = .busy
            error.cause = "its log is in use for the container"
        case .noMemory: error.code = .noMemory
        case .tooBig:
            error.code = .outOfBounds
            error.cause = "there are more than 256 ranges"
        default: break
        }
        return error
    }
}
