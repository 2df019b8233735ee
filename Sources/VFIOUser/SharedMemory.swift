import LinuxSystem

/// Memory of this process that other processes can map: which file lies where.
final class SharedMemory: @unchecked Sendable {
    // SAFETY: `pieces` is only touched with `lock` held.
    private let lock = Lock()
    /// Ascending by address.
    private var pieces: [Piece] = []

    private final class Piece {
        let file: Descriptor
        let mapping: Mapping
        var start: UInt64 { UInt64(mapping.window.address.rawValue) }
        var end: UInt64 { start + UInt64(mapping.window.byteCount) }

        init(byteCount: Int) throws(Errno) {
            file = try MemoryFile.create("vfio-user memory", byteCount: UInt64(byteCount))
            // Whoever has it mapped must not be made to trap.
            try MemoryFile.sealSize(file)
            mapping = try Mapping(sharing: file.number, at: 0, byteCount: byteCount)
        }
    }

    /// Makes zeroed memory in a file of its own.
    /// - Parameter byteCount: rounded up to whole pages.
    /// - Throws: `EINVAL` for a length that isn't positive; `ENOMEM`, `EMFILE`.
    func allocate(byteCount: Int) throws(Errno) -> MemoryWindow {
        guard byteCount > 0, let rounded = byteCount.roundedUp(toMultipleOf: pageSize) else { throw .invalid }
        let piece = try Piece(byteCount: rounded)
        lock.withLock { pieces.insert(piece, at: index(above: piece.start)) }
        return piece.mapping.window
    }

    /// Frees memory that was made here; false for any other.
    func free(_ window: MemoryWindow) -> Bool {
        let start = UInt64(window.address.rawValue)
        let found = lock.withLock { () -> Piece? in
            let index = index(above: start) - 1
            guard index >= 0, pieces[index].start == start else { return nil }
            return pieces.remove(at: index)
        }
        return found != nil
    }

    /// The file behind a range of addresses that lies wholly in one piece, and where in it the range begins. The
    /// descriptor is valid as long as the memory isn't freed.
    func place(of address: UInt64, byteCount: UInt64) -> (descriptor: Int32, offset: UInt64)? {
        lock.withLock {
            let index = index(above: address) - 1
            guard index >= 0 else { return nil }
            let piece = pieces[index]
            guard address < piece.end, byteCount <= piece.end - address else { return nil }
            return (piece.file.number, address - piece.start)
        }
    }

    /// The index of the first piece that begins above an address.
    private func index(above address: UInt64) -> Int {
        var low = 0
        var high = pieces.count
        while low < high {
            let middle = (low + high) / 2
            if pieces[middle].start <= address { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
