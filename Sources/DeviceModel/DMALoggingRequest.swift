import IOVASpace
import LinuxSystem
import VFIOABI

/// What a program asks for with `VFIO_DEVICE_FEATURE_DMA_LOGGING_START`, as Linux checks it; the tests are in the
/// kernel's order.
package struct DMALoggingRequest {
    /// What the answer goes into.
    package var control: DMALoggingControl
    /// The ranges to log: not empty, not overlapping, of whole pages.
    package let ranges: [IOVARange]

    /// The most ranges that can be logged: what fits into a page.
    private static var mostRanges: UInt32 { 256 }

    /// Reads it.
    /// - Throws: `EFAULT`, `EINVAL`, `E2BIG`, `EOVERFLOW`
    package init(from address: HostAddress) throws(Errno) {
        let control = try UserMemory.load(DMALoggingControl(), from: address)
        guard control.rangeCount > 0 else { throw .invalid }
        guard control.rangeCount <= Self.mostRanges else { throw .tooBig }
        guard control.pageSize.nonzeroBitCount == 1 else { throw .invalid }
        var ranges: [IOVARange] = []
        for index in 0..<UInt64(control.rangeCount) {
            let at = HostAddress(control.ranges &+ index * UInt64(DMALoggingRange.byteCount))
            let asked = try UserMemory.load(DMALoggingRange(), from: at)
            guard (asked.iova | asked.length) & (control.pageSize - 1) == 0, asked.length > 0 else {
                throw .invalid
            }
            guard !asked.iova.addingReportingOverflow(asked.length).overflow,
                let range = IOVARange(IOVA(asked.iova), byteCount: asked.length)
            else { throw .overflow }
            guard !ranges.contains(where: { $0.overlaps(range) }) else { throw .invalid }
            ranges.append(range)
        }
        self.control = control
        self.ranges = ranges
    }
}

/// What a program asks for with `VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT`, as Linux checks it; the tests are in the
/// kernel's order.
package struct DMALoggingQuestion {
    /// Which addresses it is about.
    package let range: IOVARange
    /// What a bit stands for: a power of two, 4096 or more.
    package let pageSize: UInt64
    /// Where the user has the bits.
    package let bitmap: HostAddress

    /// Reads it.
    /// - Throws: `EFAULT`, `EINVAL`, `EOVERFLOW`
    package init(from address: HostAddress) throws(Errno) {
        let report = try UserMemory.load(DMALoggingReport(), from: address)
        guard report.pageSize >= 4096, report.pageSize.nonzeroBitCount == 1 else { throw .invalid }
        guard !report.iova.addingReportingOverflow(report.length).overflow else { throw .overflow }
        guard let range = IOVARange(IOVA(report.iova), byteCount: report.length) else { throw .invalid }
        self.range = range
        pageSize = report.pageSize
        bitmap = HostAddress(report.bitmap)
    }
}
