import LinuxSystem

/// Text that a user hands over by address.
enum UserString {
    /// Copies a text that ends with a zero byte.
    /// - Parameter limit: how many bytes it may have, the zero included.
    /// - Returns: the text without the zero.
    /// - Throws: `EFAULT` if it can't be read up to its end, `EINVAL` if it is too long.
    static func load(from address: HostAddress, limit: Int) throws(Errno) -> [UInt8] {
        var text: [UInt8] = []
        var at = address
        while text.count < limit {
            // Never across a boundary of 64, and so never into a page that the text doesn't reach.
            let count = min(64 - Int(at.rawValue & 63), limit - text.count)
            var chunk = InlineArray<64, UInt8>(repeating: 0)
            try load(&chunk, count, from: at)
            for index in 0..<count {
                if chunk[index] == 0 { return text }
                text.append(chunk[index])
            }
            at = at + count
        }
        throw .invalid
    }

    private static func load(
        _ chunk: inout InlineArray<64, UInt8>, _ count: Int, from address: HostAddress
    ) throws(Errno) {
        var span = chunk.mutableSpan
        // SAFETY: plain bytes: any value is one of theirs.
        var bytes = unsafe span.mutableBytes
        var part = bytes._mutatingExtracting(first: count)
        try UserMemory.read(from: address, into: &part)
    }
}

/// Structures whose size the user declares and that may be longer than those known here.
enum UserStructure {
    /// Makes sure that what a user's structure has beyond the known part is zero (Linux's
    /// `copy_struct_from_user`).
    /// - Parameters:
    ///   - size: the size that the user declares.
    ///   - known: the size of the structure here.
    /// - Throws: `E2BIG` if there is something else, `EFAULT` if it can't be read.
    static func checkTail(of address: HostAddress, size: UInt32, known: Int) throws(Errno) {
        var offset = known
        let end = Int(size)
        while offset < end {
            let at = address + offset
            let count = min(8 - Int(at.rawValue & 7), end - offset)
            let word = try UserMemory.load(UInt64(0), from: at, count: count)
            if word != 0 { throw .tooBig }
            offset += count
        }
    }
}

/// Whether a range lies wholly in the part of the address space that belongs to programs.
func isUserRange(_ address: UInt64, byteCount: UInt64) -> Bool {
    #if arch(x86_64)
        let end: UInt64 = 0x7fff_ffff_f000
    #else
        let end: UInt64 = 1 << 48
    #endif
    let (last, overflow) = address.addingReportingOverflow(byteCount)
    return !overflow && last <= end
}
