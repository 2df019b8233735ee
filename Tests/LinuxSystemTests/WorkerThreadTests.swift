import LinuxSystem
import Testing

@Suite("Threads and words that they share")
struct WorkerThreadTests {
    private final class Counter: Sendable {
        let word = AtomicWord(5)
    }

    @Test("Dropping a thread waits for its end, and all additions to a shared word count")
    func join() throws {
        let counter = Counter()
        do {
            let threads = try (0..<4).map { _ in
                try WorkerThread { for _ in 0..<10_000 { counter.word.add(3) } }
            }
            withExtendedLifetime(threads) {}
        }
        #expect(counter.word.load() == 5 + 4 * 10_000 * 3)
        counter.word.store(.max)
        #expect(counter.word.add(2) == .max)
        #expect(counter.word.load() == 1)
    }

    @Test("What a mapping shows can be replaced at the same addresses, by a file that is too short as well")
    func replaceContents() throws {
        let (first, second) = (
            try MemoryFile.create("first", byteCount: UInt64(pageSize)).release(),
            try MemoryFile.create("second", byteCount: UInt64(2 * pageSize)).release()
        )
        let (owned, other) = (Files(first), Files(second))
        let mapping = try Mapping(sharing: first, at: 0, byteCount: pageSize)
        let more = try Mapping(sharing: second, at: 0, byteCount: 2 * pageSize)
        mapping.window.store32(0, 1)
        more.window.store32(pageSize, 2)
        try mapping.replaceContents(sharing: second, at: UInt64(pageSize), protection: .read)
        #expect(mapping.window.load32(0) == 2)
        let empty = try MemoryFile.create("empty", byteCount: 0)
        try mapping.replaceContents(sharing: empty.number, at: 0, protection: .read)
        #expect(throws: Errno.badAddress) { try UserMemory.load(UInt32(0), from: mapping.window.address) }
        try mapping.replaceContents(sharing: first, at: 0, protection: [.read, .write])
        #expect(mapping.window.load32(0) == 1)
        withExtendedLifetime((owned, other)) {}
    }

    private final class Files {
        let file: Descriptor
        init(_ number: Int32) { file = Descriptor(owning: number) }
    }
}
