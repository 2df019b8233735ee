import LinuxSystem

/// A request's structure in the user's memory: as much of it as both sides know.
struct UserCommand {
    let address: HostAddress
    let byteCount: Int
    let head: Head?

    /// All of a structure, read together with the size that it begins with: a copy from a user is a system call.
    struct Head {
        private let bytes: InlineArray<64, UInt8>

        /// - Returns: nil where not so much can be read. The user's structure may be shorter.
        init?(from address: HostAddress, known byteCount: Int) {
            guard (4...64).contains(byteCount) else { return nil }
            var bytes = InlineArray<64, UInt8>(repeating: 0)
            var span = bytes.mutableSpan
            // SAFETY: plain bytes: any value is one of theirs.
            var whole = unsafe span.mutableBytes
            var part = whole._mutatingExtracting(first: byteCount)
            do throws(Errno) { try UserMemory.read(from: address, into: &part) } catch { return nil }
            self.bytes = bytes
        }

        /// The size that the user declares.
        var size: UInt32 { load(0, byteCount: 4) }

        /// The structure, as far as it goes.
        func load<T: BitwiseCopyable>(_ initial: T, byteCount: Int) -> T {
            var value = initial
            // SAFETY: no more is copied than both have; any bytes are a value of a structure of the uAPI.
            unsafe withUnsafeMutableBytes(of: &value) { buffer in
                for index in 0..<min(byteCount, buffer.count, bytes.count) {
                    unsafe buffer[index] = bytes[index]
                }
            }
            return value
        }
    }

    /// The structure; what the user's is too short for stays zero.
    func load<T: BitwiseCopyable>(_ initial: T) throws(Errno) -> T {
        if let head { return head.load(initial, byteCount: byteCount) }
        return try UserMemory.load(initial, from: address, count: min(byteCount, MemoryLayout<T>.size))
    }

    /// Writes the structure back.
    func store<T: BitwiseCopyable>(_ value: T) throws(Errno) {
        try UserMemory.store(value, to: address, count: min(byteCount, MemoryLayout<T>.size))
    }
}
