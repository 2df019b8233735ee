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

    @Test("pages that are marked one by one and those that come in bitmaps are the same pages")
    func bothWays() throws {
        let log = try RAMBlock("ram", byteCount: 20_000 * pageSize).dirtyLog
        // 63...66 at page 0.
        let few: [UInt64] = [1 << 63, 7]
        let one: [UInt64] = [1]
        func mark() {
            log.mark(60..<64, for: .migration)
            log.merge(few.span, count: 128, at: 0, for: .migration)
            log.merge(one.span, count: 64, at: 15_000, for: .all)
        }
        mark()
        #expect(
            [59, 60, 63, 66, 67].map { log.contains($0, for: .migration) } == [
                false, true, true, true, false,
            ])
        #expect(log.count(for: .migration) == 8)
        #expect(log.count(for: .code) == 1)
        #expect(taken(log) == [60..<67, 15_000..<15_001])
        #expect(log.count(for: .migration) == 0)
        mark()
        log.clear(for: .migration)
        #expect(log.count(for: .migration) == 0)
        #expect(log.contains(15_000, for: .display))
    }

    @Test("whoever fails while taking marks finds those again that it wasn't done with")
    func failing() throws {
        struct Enough: Error {}
        let log = try RAMBlock("ram", byteCount: 20_000 * pageSize).dirtyLog
        let runs = [1..<3, 70..<71, 80..<90, 5000..<9000, 19_999..<20_000]
        for failing in runs.indices {
            for run in runs.prefix(2) { log.mark(run, for: .migration) }
            var words = [UInt64](repeating: 0, count: 313)
            for page in runs.dropFirst(2).joined() { words[page / 64] |= 1 << UInt64(page % 64) }
            log.merge(words.span, count: 20_000, at: 0, for: .migration)
            var seen: [Range<Int>] = []
            #expect(throws: Enough.self) {
                try log.take(for: .migration) { run in
                    if seen.count == failing { throw Enough() }
                    seen.append(run)
                }
            }
            #expect(seen == Array(runs[..<failing]))
            #expect(taken(log) == Array(runs[failing...]))
        }
    }

    @Test("what is marked while the log is taken is in one of the two")
    func concurrent() async throws {
        let block = try RAMBlock("ram", byteCount: 8192 * pageSize)
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
                let one: [UInt64] = [1]
                for page in 4096..<8192 { log.merge(one.span, count: 1, at: page, for: .migration) }
            }
            group.addTask {
                var seen = 0
                while seen < 8192 { log.take(for: .migration) { seen += $0.count } }
                #expect(seen == 8192)
            }
        }
    }
}
