import LinuxSystem
import Testing

@testable import VFIOGuest

@Suite("The dirty log of a block")
struct DirtyLogTests {
    private func taken(_ log: DirtyLog, _ client: DirtyClients = .migration) -> [Range<Int>] {
        var runs: [Range<Int>] = []
        log.take(for: client) { runs.append($0) }
        return runs
    }

    @Test("marks are per page and client, and are taken once")
    func marks() throws {
        let log = try RAMBlock("ram", byteCount: 200 * pageSize).dirtyLog
        log.mark(at: UInt64(pageSize) - 1, byteCount: 2, for: [.migration, .display])
        log.mark(60..<70, for: .migration)
        log.mark(190..<500, for: .migration)
        log.mark(at: UInt64.max - 4, byteCount: 100, for: .migration)
        log.mark(at: UInt64(199 * pageSize), byteCount: .max, for: .migration)
        log.mark(at: 0, byteCount: 0, for: .all)
        #expect(log.count(for: .migration) == 22)
        #expect(taken(log) == [0..<2, 60..<70, 190..<200])
        #expect(taken(log) == [])
        #expect(taken(log, .display) == [0..<2])
        #expect(log.count(for: .code) == 0)
    }

    @Test("a bitmap is merged at any page, in any length, as bit by bit", arguments: 0..<20)
    func merge(round: Int) throws {
        let seed = UInt64.random(in: 0...UInt64(Int64.max))
        var random = SplitMix(state: seed)
        let pages = 1 + random.below(1500)
        let log = try RAMBlock("ram", byteCount: pages * pageSize).dirtyLog
        var expected = Set<Int>()
        for _ in 0..<20 {
            let words = (0..<1 + random.below(24)).map { _ in
                random.below(3) == 0 ? random.next() & random.next() & random.next() : 0
            }
            let at = random.below(pages + 10)
            let count = random.below(words.count * 64 + 40)
            log.merge(words.span, count: count, at: at, for: .migration)
            for bit in 0..<min(count, words.count * 64) where words[bit / 64] >> UInt64(bit % 64) & 1 != 0 {
                if at + bit < pages { expected.insert(at + bit) }
            }
            #expect(log.count(for: .migration) == expected.count, "seed \(seed)")
        }
        // A part of it, then the rest.
        let low = random.below(pages)
        let part = low..<low + random.below(pages - low + 1)
        var found: [Int] = []
        log.take(part, for: .migration) { found += $0 }
        #expect(found == expected.filter(part.contains).sorted(), "seed \(seed)")
        found = []
        log.take(for: .migration) { found += $0 }
        #expect(found == expected.filter { !part.contains($0) }.sorted(), "seed \(seed)")
        #expect(log.count(for: .migration) == 0, "seed \(seed)")
    }

    @Test("what is marked while the log is taken is in one of the two")
    func concurrent() async throws {
        let block = try RAMBlock("ram", byteCount: 4096 * pageSize)
        let log = block.dirtyLog
        await withTaskGroup(of: Void.self) { group in
            for thread in 0..<2 {
                group.addTask {
                    for page in stride(from: thread, to: 4096, by: 2) {
                        log.mark(page..<page + 1, for: .migration)
                    }
                }
            }
            group.addTask {
                var seen = 0
                while seen < 4096 { log.take(for: .migration) { seen += $0.count } }
                #expect(seen == 4096)
            }
        }
    }
}
