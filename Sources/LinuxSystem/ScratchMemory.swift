/// Memory that a device in software keeps for what passes through it, which nobody else reaches.
@safe public final class ScratchMemory: @unchecked Sendable {
    /// The memory.
    public let window: MemoryWindow

    /// Memory of zeros.
    public init(byteCount: Int) {
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: byteCount, alignment: 4096)
        // SAFETY: the memory lives as long as this object, which hands out the window only through itself. It is
        // cleared, so that nothing of this process can reach a driver.
        window = unsafe MemoryWindow(
            unsafeAddress: HostAddress(rawValue: UInt(bitPattern: memory.baseAddress)), byteCount: byteCount)
        window.zero(at: 0, byteCount: byteCount)
    }

    deinit {
        // SAFETY: allocated in `init`, given back once.
        unsafe window.unsafeBytes.deallocate()
    }
}
