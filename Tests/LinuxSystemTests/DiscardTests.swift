import LinuxSystem
import Testing

@Suite("Giving pages back")
struct DiscardTests {
    @Test("empties whole pages of private memory and leaves its neighbours alone")
    func privateMemory() throws {
        let mapping = try Mapping(anonymous: 3 * pageSize)
        for page in 0..<3 { mapping.window.store64(page * pageSize, 7) }
        try mapping.window.discard(at: pageSize, byteCount: pageSize, .privateMemory)
        #expect((0..<3).map { mapping.window.load64($0 * pageSize) } == [7, 0, 7])
        try mapping.window.discard(at: 3 * pageSize, byteCount: 0, .privateMemory)
    }

    @Test("makes a hole in a shared file, which everybody who maps it sees")
    func sharedFile() throws {
        let file = try MemoryFile.create("discard", byteCount: UInt64(2 * pageSize))
        let mapping = try Mapping(sharing: file.number, at: 0, byteCount: 2 * pageSize)
        let other = try Mapping(sharing: file.number, at: 0, byteCount: 2 * pageSize)
        for page in 0..<2 { mapping.window.store64(page * pageSize, 7) }
        try mapping.window.discard(at: 0, byteCount: pageSize, .sharedFile)
        #expect((0..<2).map { other.window.load64($0 * pageSize) } == [0, 7])
        // Private advice only drops this mapping's pages: the file keeps its bytes.
        try mapping.window.discard(at: pageSize, byteCount: pageSize, .privateMemory)
        #expect(mapping.window.load64(pageSize) == 7)
    }

    @Test("refuses what is outside or isn't whole pages, and to make a hole where there is no file")
    func refusals() throws {
        let file = try MemoryFile.create("discard", byteCount: UInt64(2 * pageSize))
        let mapping = try Mapping(sharing: file.number, at: 0, byteCount: 2 * pageSize)
        let wrong = [
            (0, 1), (1, pageSize), (-pageSize, pageSize), (0, 3 * pageSize), (pageSize, .max),
            (.max, pageSize),
            (0, -pageSize),
        ]
        for (offset, byteCount) in wrong {
            #expect(throws: Errno.invalid) {
                try mapping.window.discard(at: offset, byteCount: byteCount, .sharedFile)
            }
        }
        // Private memory has no file to make a hole in.
        let anonymous = try Mapping(anonymous: pageSize)
        #expect(throws: Errno.invalid) {
            try anonymous.window.discard(at: 0, byteCount: pageSize, .sharedFile)
        }
    }
}
