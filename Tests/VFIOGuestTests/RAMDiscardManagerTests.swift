import LinuxSystem
import Testing
import VFIO
import VFIOGuest

@Suite("A manager of discarded RAM")
struct RAMDiscardManagerTests {
    private func manager(_ parts: Parts...) throws -> RAMDiscardManager {
        let manager = try RAMDiscardManager(for: ramRegion(byteCount: 0x10000))
        for part in parts { try manager.join(part) }
        return manager
    }

    private func populated(_ manager: RAMDiscardManager, _ range: Range<UInt64>) -> [Range<UInt64>] {
        var parts: [Range<UInt64>] = []
        manager.replayPopulated(range) { parts.append($0) }
        return parts
    }

    private func discarded(_ manager: RAMDiscardManager, _ range: Range<UInt64>) -> [Range<UInt64>] {
        var parts: [Range<UInt64>] = []
        manager.replayDiscarded(range) { parts.append($0) }
        return parts
    }

    @Test("calls all RAM populated where nobody says otherwise")
    func noSource() throws {
        let manager = try manager()
        #expect(manager.granularity == 0)
        #expect(manager.isPopulated(0..<0x10000))
        #expect(populated(manager, 0..<0x10000) == [0..<0x10000])
        #expect(discarded(manager, 0..<0x10000) == [])
    }

    @Test("belongs to a region of RAM that nobody sees yet, each to one")
    func regions() throws {
        let memory = GuestMemory()
        let root = try MemoryRegion("root", .container, byteCount: 1 << 32, in: memory)
        let ram = try ramRegion(byteCount: 0x10000, in: memory)
        let rom = try MemoryRegion("rom", .rom(RAMBlock("rom", byteCount: 4096)), byteCount: 4096, in: memory)
        func refusal(_ region: MemoryRegion) -> GuestMemoryError? {
            thrown { () throws(GuestMemoryError) in try RAMDiscardManager(for: region) }
        }
        #expect(refusal(root) == .wrongKind("root"))
        #expect(refusal(rom) == .wrongKind("rom"))
        try root.add(ram, at: 0)
        #expect(refusal(ram) == .hasParent("vmem0"))
        try root.remove(ram)
        let manager = try RAMDiscardManager(for: ram)
        #expect(ram.discardManager === manager)
        #expect(refusal(ram) == .hasDiscardManager("vmem0"))
        try root.add(ram, at: 0)
        #expect(
            thrown { () throws(GuestMemoryError) in try ram.removeDiscardManager() } == .hasParent("vmem0"))
        try root.remove(ram)
        try ram.removeDiscardManager()
        #expect(ram.discardManager == nil)
        #expect(refusal(ram) == nil)
        let alias = try MemoryRegion("alias", .alias(ram, offset: 0), byteCount: 4096, in: memory)
        #expect(
            thrown { () throws(GuestMemoryError) in try ram.removeDiscardManager() } == .hasParent("vmem0"))
        #expect(alias.name == "alias")
    }

    @Test("answers for ranges without alignment, and says no to what isn't RAM")
    func questions() throws {
        let manager = try manager(Parts(0x1000, [0x1000..<0x3000, 0x8000..<0x9000]))
        #expect(manager.granularity == 0x1000)
        #expect(manager.isPopulated(0x1fff..<0x2001))
        #expect(manager.isPopulated(0x1000..<0x3000))
        #expect(!manager.isPopulated(0xfff..<0x1001))
        #expect(!manager.isPopulated(0x2fff..<0x3001))
        #expect(!manager.isPopulated(0x1000..<0x9000))
        #expect(!manager.isPopulated(0x1000..<0x1000))
        #expect(!manager.isPopulated(0x10000..<0x10001))
        #expect(!manager.isPopulated(0..<UInt64.max))
    }

    @Test("replays what is populated and what is discarded of a range, cut to it")
    func replay() throws {
        let manager = try manager(Parts(0x1000, [0x1000..<0x3000, 0x8000..<0x9000]))
        #expect(populated(manager, 0x1800..<0x8800) == [0x1800..<0x3000, 0x8000..<0x8800])
        #expect(discarded(manager, 0x1800..<0x9800) == [0x3000..<0x8000, 0x9000..<0x9800])
        #expect(discarded(manager, 0..<UInt64.max) == [0..<0x1000, 0x3000..<0x8000, 0x9000..<0x10000])
        #expect(populated(manager, 0x3000..<0x3000) == [])
    }

    @Test("stops a replay at the first error")
    func replayError() throws {
        let manager = try manager(Parts(0x1000, [0x1000..<0x2000, 0x3000..<0x4000]))
        var count = 0
        let error = thrown { () throws(Errno) in
            try manager.replayPopulated(0..<0x10000) { (_) throws(Errno) in
                count += 1
                throw .noSpace
            }
        }
        #expect(error == .noSpace)
        #expect(count == 1)
    }

    @Test("calls a part populated only where every source does, in the shortest granularity")
    func sources() throws {
        let first = Parts(0x1000, [0x0..<0x4000, 0x6000..<0x9000])
        let second = Parts(0x800, [0x1000..<0x1800, 0x2000..<0x7800])
        let manager = try manager(first, second)
        #expect(manager.granularity == 0x800)
        #expect(populated(manager, 0..<0x10000) == [0x1000..<0x1800, 0x2000..<0x4000, 0x6000..<0x7800])
        #expect(
            discarded(manager, 0..<0x10000) == [
                0..<0x1000, 0x1800..<0x2000, 0x4000..<0x6000, 0x7800..<0x10000,
            ])
        #expect(manager.isPopulated(0x2000..<0x4000))
        #expect(!manager.isPopulated(0x1000..<0x2001))
    }

    @Test("takes sources only while nobody listens, each once, with a power of two")
    func joining() throws {
        let source = Parts(0x1000, [0..<0x1000])
        let manager = try manager(source)
        #expect(source.manager === manager)
        #expect(thrown { () throws(RAMDiscardError) in try manager.join(source) } == .alreadyRegistered)
        let odd = Parts(0x1800, [])
        #expect(
            thrown { () throws(RAMDiscardError) in try manager.join(odd) } == .unsuitableGranularity(0x1800))
        let listener = DiscardRecorder("a", Ears())
        try manager.register(listener, for: 0..<0x1000)
        #expect(thrown { () throws(RAMDiscardError) in try manager.join(odd) } == .busy)
        #expect(thrown { () throws(RAMDiscardError) in try manager.leave(source) } == .busy)
        try manager.unregister(listener)
        try manager.leave(source)
        #expect(source.manager == nil)
        #expect(thrown { () throws(RAMDiscardError) in try manager.leave(source) } == .notRegistered)
    }

    @Test("tells a new listener of what is populated, and at its end of one discard")
    func registration() throws {
        let manager = try manager(Parts(0x1000, [0x1000..<0x3000, 0x8000..<0x9000]))
        let ears = Ears()
        let listener = DiscardRecorder("a", ears)
        try manager.register(listener, for: 0x2000..<0xa000)
        #expect(ears.heard == ["a+\(0x2000..<0x3000)", "a+\(0x8000..<0x9000)"])
        #expect(
            thrown { () throws(RAMDiscardError) in try manager.register(listener, for: 0..<0x1000) }
                == .alreadyRegistered)
        try manager.unregister(listener)
        #expect(ears.heard.dropFirst(2) == ["a-\(0x2000..<0xa000)"])
        #expect(
            thrown { () throws(RAMDiscardError) in try manager.unregister(listener) } == .notRegistered)
    }

    @Test(
        "ends a registration part by part for who can't take a double discard, and silently with nothing there"
    )
    func exactEnd() throws {
        let source = Parts(0x1000, [0x1000..<0x3000, 0x8000..<0x9000])
        let manager = try manager(source)
        let ears = Ears()
        let listener = DiscardRecorder("a", ears, acceptsDoubleDiscard: false)
        try manager.register(listener, for: 0x2000..<0xa000)
        ears.heard = []
        try manager.unregister(listener)
        #expect(ears.heard == ["a-\(0x2000..<0x3000)", "a-\(0x8000..<0x9000)"])
        let other = DiscardRecorder("b", ears)
        ears.heard = []
        try manager.register(other, for: 0x3000..<0x8000)
        try manager.unregister(other)
        #expect(ears.heard == [])
    }

    @Test("refuses to register for what isn't RAM")
    func outside() throws {
        let manager = try manager()
        for range: Range<UInt64> in [0..<0, 0x10000..<0x10001, 0..<UInt64.max] {
            #expect(
                thrown { () throws(RAMDiscardError) in
                    try manager.register(DiscardRecorder("a", Ears()), for: range)
                } == .outOfRange(range, end: 0x10000))
        }
        #expect(manager.listenerCount == 0)
    }

    @Test("doesn't register who refuses what is populated, and has it let go of the rest")
    func refusedRegistration() throws {
        let manager = try manager(Parts(0x1000, [0..<0x1000, 0x3000..<0x4000, 0x6000..<0x7000]))
        let ears = Ears()
        let listener = DiscardRecorder("a", ears)
        listener.refused = 0x6000..<0x6001
        let error = thrown { () throws(RAMDiscardError) in try manager.register(listener, for: 0..<0x10000) }
        #expect(error?.errno == .noSpace)
        #expect(
            ears.heard == [
                "a+\(0..<0x1000)", "a+\(0x3000..<0x4000)", "a refuses \(0x6000..<0x7000)",
                "a-\(0..<0x1000)", "a-\(0x3000..<0x4000)",
            ])
        #expect(manager.listenerCount == 0)
    }

    @Test("takes a refused part back from those who had it, the last one first")
    func rollback() throws {
        let source = Parts(0x1000, [])
        let manager = try manager(source)
        let ears = Ears()
        let listeners = ["a", "b", "c", "d"].map { DiscardRecorder($0, ears) }
        for listener in listeners { try manager.register(listener, for: 0..<0x10000) }
        listeners[2].refused = 0..<0x10000
        let error = thrown { () throws(RAMDiscardError) in
            try manager.populate(0x1000..<0x2000, by: source)
        }
        #expect(error?.errno == .noSpace)
        #expect(
            ears.heard == ["a", "b"].map { "\($0)+\(0x1000..<0x2000)" }
                + ["c refuses \(0x1000..<0x2000)"] + ["b", "a"].map { "\($0)-\(0x1000..<0x2000)" })
    }

    @Test("tells of a discard the last listener first, each cut to what it registered for")
    func discards() throws {
        let source = Parts(0x1000, [0x1000..<0x5000])
        let manager = try manager(source)
        let ears = Ears()
        let listeners: [(DiscardRecorder, Range<UInt64>)] = [
            (DiscardRecorder("a", ears), 0..<0x2000), (DiscardRecorder("b", ears), 0x8000..<0x9000),
            (DiscardRecorder("c", ears), 0x1800..<0x10000),
        ]
        for (listener, range) in listeners { try manager.register(listener, for: range) }
        ears.heard = []
        source.populated = []
        try manager.discard(0x1000..<0x5000, by: source)
        #expect(ears.heard == ["c-\(0x1800..<0x5000)", "a-\(0x1000..<0x2000)"])
    }

    @Test("tells of what one source changes only where the others agree")
    func agreement() throws {
        let first = Parts(0x1000, [])
        let second = Parts(0x1000, [0x1000..<0x2000, 0x3000..<0x4000])
        let manager = try manager(first, second)
        let ears = Ears()
        let listener = DiscardRecorder("a", ears)
        try manager.register(listener, for: 0..<0x10000)
        try manager.populate(0..<0x8000, by: first)
        first.populated = [0..<0x8000]
        #expect(ears.heard == ["a+\(0x1000..<0x2000)", "a+\(0x3000..<0x4000)"])
        ears.heard = []
        first.populated = []
        try manager.discard(0..<0x8000, by: first)
        #expect(ears.heard == ["a-\(0x1000..<0x2000)", "a-\(0x3000..<0x4000)"])
    }

    @Test("lets nobody change anything while listeners are told")
    func reentrance() throws {
        let source = Parts(0x1000, [0..<0x1000])
        let manager = try manager(source)
        let listener = DiscardRecorder("a", Ears(), acceptsDoubleDiscard: false)
        let other = DiscardRecorder("b", Ears())
        var errors: [RAMDiscardError?] = []
        listener.whileTold = {
            errors = [
                thrown { () throws(RAMDiscardError) in try manager.register(other, for: 0..<0x1000) },
                thrown { () throws(RAMDiscardError) in try manager.unregister(listener) },
                thrown { () throws(RAMDiscardError) in try manager.populate(0..<0x1000, by: source) },
                thrown { () throws(RAMDiscardError) in try manager.discard(0..<0x1000, by: source) },
                thrown { () throws(RAMDiscardError) in try manager.leave(source) },
            ]
        }
        try manager.register(listener, for: 0..<0x10000)
        #expect(errors == [.busy, .busy, .busy, .busy, .busy])
        errors = []
        try manager.discard(0..<0x1000, by: source)
        #expect(errors == [.busy, .busy, .busy, .busy, .busy])
        listener.whileTold = {}
    }

    @Test("lets who accepts double discards go while it, or another, is being told")
    func endWhileTold() throws {
        let source = Parts(0x1000, [0..<0x1000])
        let manager = try manager(source)
        let ears = Ears()
        let listeners = ["a", "b", "c"].map { DiscardRecorder($0, ears) }
        for listener in listeners { try manager.register(listener, for: 0..<0x10000) }
        // The second one ends all three, as somebody who takes a device away does.
        var isFirst = true
        listeners[1].whileTold = {
            guard isFirst else { return }
            isFirst = false
            for listener in listeners { try? manager.unregister(listener) }
        }
        ears.heard = []
        try manager.populate(0x1000..<0x2000, by: source)
        #expect(
            ears.heard == ["a+\(0x1000..<0x2000)"] + ["a", "b", "c"].map { "\($0)-\(0..<0x10000)" }
                + ["b+\(0x1000..<0x2000)", "b-\(0x1000..<0x2000)"])
        #expect(manager.listenerCount == 0)
        // And so while a discard is told.
        source.populated = [0..<0x2000]
        for listener in listeners { try manager.register(listener, for: 0..<0x10000) }
        isFirst = true
        ears.heard = []
        try manager.discard(0x1000..<0x2000, by: source)
        #expect(
            ears.heard == ["c-\(0x1000..<0x2000)"] + ["a", "b", "c"].map { "\($0)-\(0..<0x10000)" }
                + ["b-\(0x1000..<0x2000)"])
        listeners[1].whileTold = {}
    }

    @Test("answers as byte after byte would, whatever its sources say", arguments: 0..<4)
    func random(round: Int) throws {
        var random = randomSeed("sources at random, round \(round)")
        let unit: UInt64 = 0x800
        let count = 32
        for _ in 0..<60 {
            var model = [Bool](repeating: true, count: count)
            let manager = try manager()
            for _ in 0..<1 + random.below(3) {
                let bits = (0..<count).map { _ in random.below(4) > 0 }
                var parts: [Range<UInt64>] = []
                for (index, bit) in bits.enumerated() where bit {
                    let part = UInt64(index) * unit..<UInt64(index + 1) * unit
                    if let last = parts.last, last.upperBound == part.lowerBound {
                        parts[parts.count - 1] = last.lowerBound..<part.upperBound
                    } else {
                        parts.append(part)
                    }
                }
                try manager.join(Parts(unit, parts))
                for index in 0..<count { model[index] = model[index] && bits[index] }
            }
            for _ in 0..<20 {
                let first = UInt64(random.below(count * Int(unit)))
                let last = first + UInt64(random.below(count * Int(unit) - Int(first)))
                let range = first..<last + 1
                let states = (Int(first / unit)...Int(last / unit)).map { model[$0] }
                #expect(manager.isPopulated(range) == states.allSatisfy { $0 })
                let there = populated(manager, range)
                let missing = discarded(manager, range)
                // Together they are the range, in turns; each begins and ends where the state changes.
                let all = (there + missing).sorted { $0.lowerBound < $1.lowerBound }
                #expect(all.first?.lowerBound == first && all.last?.upperBound == last + 1)
                #expect(zip(all, all.dropFirst()).allSatisfy { $0.upperBound == $1.lowerBound })
                #expect(there.allSatisfy { part in model[Int(part.lowerBound / unit)] })
                #expect(missing.allSatisfy { part in !model[Int(part.lowerBound / unit)] })
                let changes = zip(states, states.dropFirst()).count { $0 != $1 }
                #expect(all.count == changes + 1)
            }
        }
    }
}
