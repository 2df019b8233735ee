import LinuxSystem
import NVMeController

/// A store that reads from another and keeps what is written in memory: the other never changes.
final class OverlayStore: BlockStore {
    private let base: any BlockStore
    private var written: [UInt64: Page] = [:]
    private static let pageByteCount: UInt64 = 4096

    /// Lays a store over another, whose length must be a multiple of 512.
    init(over base: any BlockStore) { self.base = base }

    var byteCount: UInt64 { base.byteCount }
    var isReadOnly: Bool { false }

    func read(at offset: UInt64, into window: MemoryWindow) throws(Errno) {
        try eachPage(offset, UInt64(window.byteCount)) { page, inside, at, count throws(Errno) in
            let part = window.window(at: at, byteCount: count)
            if let memory = memory(page) {
                part.copy(from: memory, at: inside, to: 0, byteCount: count)
            } else {
                try base.read(at: page * Self.pageByteCount + UInt64(inside), into: part)
            }
        }
    }

    func write(at offset: UInt64, from window: MemoryWindow) throws(Errno) {
        try eachPage(offset, UInt64(window.byteCount)) { page, inside, at, count throws(Errno) in
            try own(page).copy(from: window, at: at, to: inside, byteCount: count)
        }
    }

    func synchronize() throws(Errno) {}

    func zero(at offset: UInt64, byteCount: UInt64, deallocating: Bool) throws(Errno) {
        try eachPage(offset, byteCount) { page, inside, _, count throws(Errno) in
            try own(page).zero(at: inside, byteCount: count)
        }
    }

    func deallocate(at offset: UInt64, byteCount: UInt64) throws(Errno) {
        try zero(at: offset, byteCount: byteCount, deallocating: true)
    }

    /// A page that was written to.
    private final class Page {
        let mapping: Mapping
        init() throws(Errno) { mapping = try Mapping(anonymous: Int(OverlayStore.pageByteCount)) }
    }

    private func memory(_ page: UInt64) -> MemoryWindow? { written[page]?.mapping.window }

    /// The page's own memory, filled from below when it is first written to.
    private func own(_ page: UInt64) throws(Errno) -> MemoryWindow {
        if let memory = memory(page) { return memory }
        let fresh = try Page()
        let start = page * Self.pageByteCount
        let count = Int(min(Self.pageByteCount, byteCount - start))
        try base.read(at: start, into: fresh.mapping.window.window(at: 0, byteCount: count))
        written[page] = fresh
        return fresh.mapping.window
    }

    /// Walks the pages of a range: the page, where in it, where in the range, and how many bytes.
    private func eachPage(
        _ offset: UInt64, _ byteCount: UInt64, _ body: (UInt64, Int, Int, Int) throws(Errno) -> Void
    ) throws(Errno) {
        var done: UInt64 = 0
        while done < byteCount {
            let place = offset + done
            let inside = place % Self.pageByteCount
            let count = min(byteCount - done, Self.pageByteCount - inside)
            try body(place / Self.pageByteCount, Int(inside), Int(done), Int(count))
            done += count
        }
    }
}
