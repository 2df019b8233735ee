import LinuxSystem

/// Somebody who keeps something that follows from memory, and so must know when a device wrote there: an emulator
/// with translated code of a guest, for example, whose processor doesn't see what others write.
///
/// Told of DMA that goes to memory which the user mapped, after the bytes are there and before the device does
/// anything else, such as raising an interrupt. What the user itself writes into a mapped region isn't told, nor are
/// answers to requests.
public protocol MemoryWriteObserver: AnyObject, Sendable {
    /// A device wrote memory, or may have: all of the window was lent to it for writing.
    ///
    /// Called on the thread the device runs on, with the map of its IOMMU held still: nothing may be mapped,
    /// unmapped or read by DMA from in here.
    func deviceWrote(_ window: MemoryWindow)
}
