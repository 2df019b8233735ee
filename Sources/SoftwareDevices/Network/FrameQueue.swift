import LinuxSystem

/// The memory of a network card in which frames wait for buffers of the driver: bounded in bytes.
///
/// Any thread adds frames. One at a time, who sees to that itself (``Turnstile``), takes them out.
@safe final class FrameQueue: @unchecked Sendable {
    // SAFETY: positions are guarded by `lock`; bytes between them are written before `count` tells of them.
    private let lock = Lock()
    private let memory: ScratchMemory
    private var limit: Int
    private var head = 0
    private var tail = 0
    private var count = 0
    private var used = 0

    /// In front of each frame stands its length, at a multiple of 4, and room for a header.
    private static let prefix = 4 + headerByteCount
    /// How many bytes in front of a frame are for who takes it out.
    static let headerByteCount = 12
    /// In place of a length: what follows is at the beginning.
    private static let wrapped: UInt32 = .max

    /// Room for so many bytes of frames.
    init(byteCount: Int) {
        memory = ScratchMemory(byteCount: byteCount)
        limit = byteCount
    }

    private static func space(_ byteCount: Int) -> Int { prefix + (byteCount + 3) & ~3 }

    /// Changes the room, at most to what there was at first.
    func setLimit(_ byteCount: Int) {
        lock.withLock { limit = min(max(byteCount, 0), memory.window.byteCount) }
    }

    /// Whether nothing waits.
    var isEmpty: Bool { lock.withLock { count == 0 } }

    /// Adds a frame, with zeros behind it if it is shorter than `least`.
    /// - Returns: false if there is no room.
    func append(_ frame: RawSpan, padded least: Int = 0) -> Bool {
        let byteCount = max(frame.byteCount, least)
        let needed = Self.space(byteCount)
        return lock.withLock {
            guard used + needed <= limit else { return false }
            if count == 0 {
                head = 0
                tail = 0
            }
            let end = memory.window.byteCount
            var place = tail
            if tail >= head {
                if end - tail < needed {
                    guard needed < head else { return false }
                    if end - tail >= 4 { memory.window.store32(tail, Self.wrapped) }
                    place = 0
                }
            } else {
                guard needed < head - tail else { return false }
            }
            memory.window.store32(place, UInt32(byteCount))
            memory.window.write(frame, at: place + Self.prefix)
            if byteCount > frame.byteCount {
                memory.window.zero(
                    at: place + Self.prefix + frame.byteCount, byteCount: byteCount - frame.byteCount)
            }
            tail = place + needed
            used += needed
            count += 1
            return true
        }
    }

    /// The frame that has waited longest; valid until ``removeFirst()``.
    var first: MemoryWindow? {
        guard let whole = firstWithHeader else { return nil }
        return whole.window(at: Self.headerByteCount, byteCount: whole.byteCount - Self.headerByteCount)
    }

    /// The same with the room in front of it.
    var firstWithHeader: MemoryWindow? {
        lock.withLock {
            guard count > 0 else { return nil }
            let end = memory.window.byteCount
            if end - head < 4 || memory.window.load32(head) == Self.wrapped { head = 0 }
            return memory.window.window(
                at: head + 4, byteCount: Self.headerByteCount + Int(memory.window.load32(head)))
        }
    }

    /// Forgets the first frame.
    func removeFirst() {
        guard let frame = first else { return }
        lock.withLock {
            let space = Self.space(frame.byteCount)
            head += space
            used -= space
            count -= 1
        }
    }

    /// Forgets all frames.
    func removeAll() {
        lock.withLock {
            head = 0
            tail = 0
            count = 0
            used = 0
        }
    }
}
