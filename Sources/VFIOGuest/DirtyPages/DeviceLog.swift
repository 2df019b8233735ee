import IOVASpace
import LinuxSystem
import VFIO
import VFIOABI

/// The log that a VFIO device keeps by itself: `VFIO_DEVICE_FEATURE_DMA_LOGGING_…`.
final class DeviceLog: DeviceDirtyLog, @unchecked Sendable {
    private let device: Device
    /// Scratch space.
    private var words: [UInt64] = []

    /// nil if the device keeps none.
    init?(_ device: Device) {
        guard (try? device.has(.dmaLoggingStart, .set)) == true else { return nil }
        self.device = device
    }

    /// What the kernel takes (kernel.md E.5). Drivers of devices with fewer join ranges themselves.
    var rangeLimit: Int { 256 }

    func start(_ ranges: [IOVARange]) throws(VFIOError) { try device.startDMALogging(of: ranges) }

    // A device that goes on logging is slower, no more.
    func stop() { try? device.stopDMALogging() }

    func quiesce() { try? device.setBusMaster(false) }

    func report(_ range: IOVARange, into words: inout [UInt64]) throws(VFIOError) {
        try device.takeLoggedPages(in: range, pageSize: UInt64(pageSize), into: &self.words)
        let own = self.words
        var all = words.mutableSpan
        BitWords.merge(0..<own.count * 64, of: own.span, into: &all, at: 0)
    }
}
