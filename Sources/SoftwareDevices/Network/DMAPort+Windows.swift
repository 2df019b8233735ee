import DeviceModel
import IOVASpace
import LinuxSystem

extension DMAPort {
    /// Fills a window from the driver's memory.
    func fetch(_ window: MemoryWindow, from address: UInt64) throws(DMAFault) {
        // SAFETY: the window's memory is the card's own and lives through the call.
        var span = unsafe MutableRawSpan(_unsafeBytes: window.unsafeBytes)
        try read(IOVA(address), into: &span)
    }

    /// Writes a window to the driver's memory.
    func put(_ window: MemoryWindow, to address: UInt64) throws(DMAFault) {
        // SAFETY: as above.
        try write(unsafe RawSpan(_unsafeBytes: UnsafeRawBufferPointer(window.unsafeBytes)), to: IOVA(address))
    }
}
