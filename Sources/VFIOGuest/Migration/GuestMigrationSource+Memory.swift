import LinuxSystem
import VFIO

/// Sends the guest's memory.
extension GuestMigrationSource {
    func sendDirtyPages(_ channel: MigrationChannel) throws(VFIOGuestError) {
        for (index, block) in guest.blocks.enumerated() {
            try block.dirtyLog.take(for: .migration) { (run) throws(VFIOGuestError) in
                var first = run.lowerBound
                do throws(VFIOGuestError) {
                    while first < run.upperBound {
                        try checkCancelled()
                        first = try send(first..<run.upperBound, of: index, block, channel)
                    }
                } catch {
                    // Not that it matters once it fails; but what wasn't sent is still to be sent.
                    block.dirtyLog.mark(first..<run.upperBound, for: .migration)
                    throw error
                }
            }
        }
    }

    /// Sends the first of some pages, as many as are read at once.
    /// - Returns: the page after them.
    private func send(
        _ run: Range<Int>, of index: Int, _ block: RAMBlock, _ channel: MigrationChannel
    ) throws(VFIOGuestError) -> Int {
        let count = min(run.count, MigrationFrame.longestData / pageSize)
        fillBuffer(4 + MigrationFrame.longestData)
        let from = block.window.address + run.lowerBound * pageSize
        var chunk: [UInt8] = []
        swap(&chunk, &buffer)
        defer { swap(&chunk, &buffer) }
        do throws(Errno) {
            var span = chunk.mutableSpan
            // SAFETY: any byte is a value of UInt8.
            var all = unsafe span.mutableBytes
            var bytes = all._mutatingExtracting(0..<count * pageSize)
            // The guest writes meanwhile: what is looked at and sent is one copy.
            try UserMemory.read(from: from, into: &bytes)
        } catch {
            throw VFIOGuestError(
                operation: "read pages \(run.lowerBound)..<\(run.lowerBound + count) of it",
                object: block.name,
                errno: error, code: .badMemory)
        }
        var start = 0
        while start < count {
            let isZero = Self.isZero(chunk, start)
            var end = start + 1
            while end < count, Self.isZero(chunk, end) == isZero { end += 1 }
            var payload = MigrationWriter()
            payload.append(UInt32(index))
            payload.append(UInt32(0))
            payload.append(UInt64(run.lowerBound + start) * UInt64(pageSize))
            if isZero {
                payload.append(UInt64(end - start) * UInt64(pageSize))
                try channel.send(.zeroPages, payload.bytes)
                now.zeroPages += UInt64(end - start)
            } else {
                payload.append(bytes: chunk[start * pageSize..<end * pageSize])
                try channel.send(.pages, payload.bytes)
                now.pages += UInt64(end - start)
            }
            start = end
        }
        return run.lowerBound + count
    }

    /// Whether one of some pages is all zeros.
    private static func isZero(_ pages: [UInt8], _ page: Int) -> Bool {
        // SAFETY: a UInt8 has no padding.
        let bytes = unsafe pages.span.bytes.extracting(page * pageSize..<(page + 1) * pageSize)
        for offset in stride(from: 0, to: pageSize, by: 8) {
            // SAFETY: inside the page; any bytes are a UInt64.
            let word = unsafe bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self)
            if word != 0 { return false }
        }
        return true
    }
}
