import IOVASpace
import Testing

/// Compares the map with ``NaiveMap`` over random operations: more than a million, all phases together.
@Suite("IOVAMap against a naive array")
struct ModelTests {
    /// A phase: how many operations, on how many pages, mostly growing or mostly shrinking.
    struct Phase: Sendable, CustomTestStringConvertible {
        var name: String
        var operations: Int
        /// The space that is worked on, in pages.
        var pageCount: UInt64
        /// The first page.
        var base: UInt64 = 0
        var merging: Bool
        /// How long a mapping is at most, in pages.
        var longest: UInt64 = 4
        /// How often the whole map is checked and compared: every so many operations.
        var checkEvery: Int
        /// After how many mappings the phase turns from growing to shrinking (and back at a quarter).
        var high: Int

        var testDescription: String { name }
    }

    static let phases = [
        Phase(
            name: "few mappings", operations: 200_000, pageCount: 64, merging: false, checkEvery: 1,
            high: 24),
        Phase(
            name: "few mappings, merging", operations: 200_000, pageCount: 64, merging: true, checkEvery: 1,
            high: 24),
        Phase(
            name: "the last pages of the space", operations: 200_000, pageCount: 64,
            base: (1 << 52) - 64, merging: true, checkEvery: 1, high: 24),
        Phase(
            name: "a few leaves", operations: 160_000, pageCount: 500, merging: false, longest: 3,
            checkEvery: 20, high: 120),
        Phase(
            name: "many leaves, merging", operations: 200_000, pageCount: 2_000, merging: true,
            checkEvery: 200, high: 300),
        Phase(
            name: "three levels", operations: 50_000, pageCount: 8_000, merging: false, longest: 2,
            checkEvery: 1_000, high: 2_500),
    ]

    @Test("A million random operations give what a sorted array gives", arguments: phases)
    func randomOperations(_ phase: Phase) throws {
        let seed = testSeed("model, \(phase.name)")
        var driver = ModelDriver(phase: phase, seed: seed)
        for operation in 0..<phase.operations {
            try driver.step(operation)
        }
        try driver.compare()
    }

    @Test("A large map agrees with an array of slots, growing, shrinking and growing again")
    func large() throws {
        var random = SeededGenerator(seed: testSeed("large"))
        let slots = 60_000
        var taken = [Bool](repeating: false, count: slots)
        var map = IOVAMap(mergingAdjacent: false)
        // The share of slots to be taken: nearly all, very few, half, none.
        for target: UInt64 in [90, 4, 50, 0] {
            for operation in 0..<slots * 2 {
                let slot = Int(random.below(UInt64(slots)))
                let mapping = IOVAMapping(pages(UInt64(slot)), backing: UInt64(slot) << 12)
                if random.below(100) < target {
                    let fails = thrown { () throws(IOVAMapError) in try map.map(mapping) } != nil
                    #expect(fails == taken[slot])
                    taken[slot] = true
                } else {
                    let removed = map.removeMapping(startingAt: mapping.range.first)
                    #expect(removed == (taken[slot] ? mapping : nil))
                    taken[slot] = false
                }
                if operation % 20_000 == 0 { try map._invariantCheck() }
            }
            try map._invariantCheck()
            let expected = taken.indices.filter { taken[$0] }
            #expect(contents(map).map { Int($0.range.first.rawValue >> 12) } == expected)
        }
        for slot in taken.indices where taken[slot] { try map.unmap(exactly: pages(UInt64(slot))) }
        #expect(map.isEmpty == true)
        try map._invariantCheck()
    }

    @Test("The phases are a million operations or more")
    func amount() {
        #expect(ModelTests.phases.reduce(0) { $0 + $1.operations } >= 1_000_000)
    }
}

/// What goes wrong in a comparison; carries what is needed to see it again.
struct ModelMismatch: Error, CustomStringConvertible {
    var operation: Int
    var description: String
}

/// A map, its model, and the random operations that both go through.
struct ModelDriver: ~Copyable {
    let phase: ModelTests.Phase
    var random: SeededGenerator
    var map: IOVAMap
    var model: NaiveMap
    var cache = IOVATranslationCache()
    var growing = true
    var operation = 0

    init(phase: ModelTests.Phase, seed: UInt64) {
        self.phase = phase
        random = SeededGenerator(seed: seed)
        map = IOVAMap(mergingAdjacent: phase.merging)
        model = NaiveMap(mergesAdjacent: phase.merging)
    }

    mutating func step(_ operation: Int) throws {
        self.operation = operation
        if model.mappings.count > phase.high { growing = false }
        if model.mappings.count < phase.high / 4 { growing = true }
        let draw = random.below(100)
        // Maps fail more often the fuller the space is, so growing needs the larger share.
        switch draw {
        case 0..<(growing ? 60 : 15): try mapSomething()
        case 0..<(growing ? 68 : 50): try unmapOne()
        case 0..<(growing ? 69 : 52): try unmapRange()
        case 0..<(growing ? 72 : 55): try splitSomewhere()
        case 0..<(growing ? 74 : 57): try remapSomething()
        case 0..<(growing ? 76 : 60): try takeFirst()
        case 0..<80: try findGap()
        case 0..<90: try query()
        default: try translate()
        }
        if map.count != model.mappings.count { throw mismatch("count \(map.count)") }
        if operation % phase.checkEvery == 0 { try compare() }
    }

    /// Checks the inside of the map and compares all of its contents.
    func compare() throws {
        try map._invariantCheck()
        if contents(map) != model.mappings { throw mismatch("contents") }
        let full = model.byteSum == 0 && !model.mappings.isEmpty
        if map.byteCount != (full ? .max : model.byteSum) { throw mismatch("bytes \(map.byteCount)") }
        if map.first != model.mappings.first || map.last != model.mappings.last {
            throw mismatch("first or last")
        }
    }

    private func mismatch(_ what: String) -> ModelMismatch {
        ModelMismatch(operation: operation, description: "operation \(operation): \(what)")
    }

    // MARK: Random arguments

    private mutating func randomRange() -> IOVARange {
        let first = random.below(phase.pageCount)
        let length = Swift.min(1 + random.below(phase.longest), phase.pageCount - first)
        return pages(phase.base + first, length)
    }

    /// An address that often is the edge of something.
    private mutating func randomAddress() -> UInt64 {
        let page = (phase.base + random.below(phase.pageCount)) << 12
        switch random.below(4) {
        case 0: return page
        case 1: return page + 4095
        default: return page + random.below(4096)
        }
    }

    private mutating func randomExisting() -> IOVAMapping? {
        guard !model.mappings.isEmpty else { return nil }
        return model.mappings[Int(random.below(UInt64(model.mappings.count)))]
    }

    private mutating func randomMapping() -> IOVAMapping {
        let range = randomRange()
        // Backing that often continues that of the neighbours, so that merging has something to do.
        let lower = (range.first.rawValue >> 12 - phase.base) << 12
        let backing =
            random.below(3) < 2 ? 0x7000_0000_0000 + lower : random.below(1 << 40) << 12
        let permissions = IOVAPermissions(rawValue: random.below(4) == 0 ? 1 : 3)
        return IOVAMapping(
            range, backing: backing, permissions: permissions, tag: random.below(5) == 0 ? 7 : 0)
    }

    // MARK: Operations

    private mutating func mapSomething() throws {
        var mapping = randomMapping()
        if random.below(200) == 0 { mapping.backing = .max - random.below(8192) }
        let expected = thrown { () throws(IOVAMapError) in try model.map(mapping) }
        let got = thrown { () throws(IOVAMapError) in try map.map(mapping) }
        if expected != got { throw mismatch("map \(mapping): \(String(describing: got))") }
    }

    private mutating func unmapOne() throws {
        guard let mapping = randomExisting() else { return }
        let target = random.below(10) == 0 ? randomRange() : mapping.range
        var expected: IOVAMapping?
        var got: IOVAMapping?
        let expectedError = thrown { () throws(IOVAMapError) in expected = try model.unmap(exactly: target) }
        let gotError = thrown { () throws(IOVAMapError) in got = try map.unmap(exactly: target) }
        if expected != got || expectedError != gotError { throw mismatch("unmap exactly \(target)") }
    }

    private mutating func unmapRange() throws {
        let first = random.below(phase.pageCount)
        let length = 1 + random.below(Swift.min(phase.pageCount - first, random.below(8) == 0 ? 256 : 16))
        let target = pages(phase.base + first, length)
        let cut: IOVACut = random.below(2) == 0 ? .refuse : .split
        var expected: [IOVAMapping] = []
        var got: [IOVAMapping] = []
        var removal = IOVARemoval()
        let expectedError = thrown { () throws(IOVAMapError) in
            expected = try model.unmap(in: target, cutting: cut)
        }
        let gotError = thrown { () throws(IOVAMapError) in
            removal = try map.unmap(in: target, cutting: cut) { got.append($0) }
        }
        let bytes = expected.reduce(0) { $0 &+ $1.range.byteCount }
        if expected != got || expectedError != gotError || removal.mappingCount != expected.count
            || removal.byteCount != bytes
        {
            throw mismatch("unmap in \(target), \(cut)")
        }
    }

    private mutating func splitSomewhere() throws {
        let address = randomAddress()
        if map.split(at: IOVA(address)) != model.split(at: address) { throw mismatch("split at \(address)") }
    }

    private mutating func remapSomething() throws {
        guard let mapping = randomExisting() else { return }
        var changed = mapping
        changed.backing = random.below(1 << 40) << 12
        changed.tag = UInt32(random.below(3))
        if random.below(8) == 0 { changed.range = randomRange() }
        let expected = thrown { () throws(IOVAMapError) in try model.remap(changed) }
        let got = thrown { () throws(IOVAMapError) in try map.remap(changed) }
        if expected != got { throw mismatch("remap \(changed)") }
    }

    private mutating func takeFirst() throws {
        let target = randomRange()
        let expected = model.removeFirst(startingIn: target)
        if map.removeFirstMapping(startingIn: target) != expected { throw mismatch("take in \(target)") }
    }

    private mutating func findGap() throws {
        let from = random.below(phase.pageCount)
        let area = pages(phase.base + from, phase.pageCount - from)
        let length = (1 + random.below(6)) << 12 - random.below(2)
        let alignment: UInt64 = 1 << random.below(16)
        let offset = random.below(alignment)
        let expected = model.firstGap(byteCount: length, alignment: alignment, offset: offset, in: area)
        let got = map.firstGap(byteCount: length, alignedTo: alignment, offset: offset, in: area)
        if expected != got { throw mismatch("gap \(String(describing: got))") }
    }

    private mutating func query() throws {
        let address = randomAddress()
        let iova = IOVA(address)
        if map.mapping(containing: iova) != model.mapping(containing: address) {
            throw mismatch("containing")
        }
        let starting = model.mappings.first { $0.range.first == iova }
        if map.mapping(startingAt: iova) != starting { throw mismatch("starting at") }
        let above = model.mappings.first { $0.range.first >= iova }
        if map.firstMapping(startingAtOrAbove: iova) != above { throw mismatch("at or above") }
        let below = model.mappings.last { $0.range.first <= iova }
        if map.lastMapping(startingAtOrBelow: iova) != below { throw mismatch("at or below") }
        let area = randomRange()
        let overlapping = model.mappings.filter { NaiveMap.overlap($0.range, area) }
        if map.firstMapping(overlapping: area) != overlapping.first { throw mismatch("first overlapping") }
        if map.lastMapping(overlapping: area) != overlapping.last { throw mismatch("last overlapping") }
        if map.overlaps(area) == overlapping.isEmpty { throw mismatch("overlaps") }
        var walked: [IOVAMapping] = []
        map.forEachMapping(overlapping: area) { walked.append($0) }
        if walked != overlapping { throw mismatch("walk") }
        walked = []
        var next = map.firstMapping(overlapping: area)
        while let mapping = next {
            walked.append(mapping)
            next = map.mapping(after: mapping, overlapping: area)
        }
        if walked != overlapping { throw mismatch("walk step by step") }
    }

    private mutating func translate() throws {
        let address = randomAddress()
        let wanted = random.below(5) == 0 ? random.next() : random.below(20_000)
        let access = IOVAPermissions(rawValue: UInt8(random.below(4)))
        var expected: IOVAPiece?
        var fault: IOVAFault?
        if let mapping = model.mapping(containing: address) {
            if mapping.permissions.isSuperset(of: access) {
                let rest = mapping.range.last.rawValue - address
                let length = wanted <= rest ? wanted : rest + 1
                expected = IOVAPiece(
                    backing: mapping.backing + (address - mapping.range.first.rawValue), byteCount: length)
            } else {
                fault = .denied(IOVA(address), mapping.permissions)
            }
        } else {
            fault = .unmapped(IOVA(address))
        }
        var got: IOVAPiece?
        let gotFault = thrown { () throws(IOVAFault) in
            got = try map.translate(IOVA(address), byteCount: wanted, for: access)
        }
        if got != expected || gotFault != fault { throw mismatch("translate \(address)") }
        var cached: IOVAPiece?
        let cachedFault = thrown { () throws(IOVAFault) in
            cached = try map.translate(IOVA(address), byteCount: wanted, for: access, cache: &cache)
        }
        if cached != expected || cachedFault != fault { throw mismatch("translate \(address), cached") }
        try checkCoverage(access)
    }

    private mutating func checkCoverage(_ access: IOVAPermissions) throws {
        let area = randomRange()
        // Mappings change only at pages and at split points; try every page and every byte after a mapping.
        var fault: IOVAFault?
        var at = area.first.rawValue
        while true {
            guard let mapping = model.mapping(containing: at) else {
                fault = .unmapped(IOVA(at))
                break
            }
            guard mapping.permissions.isSuperset(of: access) else {
                fault = .denied(IOVA(at), mapping.permissions)
                break
            }
            if mapping.range.last >= area.last { break }
            at = mapping.range.last.rawValue + 1
        }
        if map.firstFault(in: area, for: access) != fault { throw mismatch("first fault in \(area)") }
        if map.covers(area, for: access) != (fault == nil) { throw mismatch("covers \(area)") }
        var bytes: UInt64 = 0
        let stopped = thrown { () throws(IOVAFault) in
            try map.forEachPiece(of: area, for: access, cache: &cache) { bytes += $0.byteCount }
        }
        let reached = fault == nil ? area.byteCount : at - area.first.rawValue
        if stopped != fault || bytes != reached { throw mismatch("pieces of \(area)") }
    }
}
