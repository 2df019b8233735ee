import LinuxSystem

/// Blocks in this process's memory, zero at first; gone with the store.
public final class MemoryStore: BlockStore {
    private let memory: Mapping
    /// How many bytes there are.
    public let byteCount: UInt64
    /// Whether writing is out of the question.
    public let isReadOnly = false

    /// Makes a store. Memory is taken from the system as it is written.
    /// - Parameter byteCount: a positive multiple of 512.
    /// - Throws: ``BlockStoreError/notAMultiple(path:byteCount:blockSize:)``, `empty` or `noMemory`.
    public init(byteCount: UInt64) throws(BlockStoreError) {
        try checkLength(byteCount, blockSize: 512, path: "memory")
        guard let length = Int(exactly: byteCount) else { throw .noMemory(byteCount: byteCount) }
        do throws(Errno) {
            memory = try Mapping(anonymous: length)
        } catch {
            throw .noMemory(byteCount: byteCount)
        }
        self.byteCount = byteCount
    }

    private func place(_ offset: UInt64, _ count: UInt64) throws(Errno) -> Int {
        guard offset <= byteCount, count <= byteCount - offset else { throw .inputOutput }
        return Int(offset)
    }

    /// Fills a window with the bytes at an offset.
    public func read(at offset: UInt64, into window: MemoryWindow) throws(Errno) {
        let at = try place(offset, UInt64(window.byteCount))
        window.copy(from: memory.window, at: at, to: 0, byteCount: window.byteCount)
    }

    /// Writes all of a window at an offset.
    public func write(at offset: UInt64, from window: MemoryWindow) throws(Errno) {
        let at = try place(offset, UInt64(window.byteCount))
        memory.window.copy(from: window, at: 0, to: at, byteCount: window.byteCount)
    }

    /// Memory is as safe as it gets: nothing to do.
    public func synchronize() throws(Errno) {}

    /// Fills a range with zeros.
    public func zero(at offset: UInt64, byteCount: UInt64, deallocating: Bool) throws(Errno) {
        let at = try place(offset, byteCount)
        memory.window.zero(at: at, byteCount: Int(byteCount))
    }

    /// Fills a range with zeros: memory isn't given back.
    public func deallocate(at offset: UInt64, byteCount: UInt64) throws(Errno) {
        try zero(at: offset, byteCount: byteCount, deallocating: true)
    }
}
