import DeviceModel
import Foundation
import LinuxSystem
import NVMe
import NVMeController
import Testing

@Suite("A controller that is moved to another host")
struct MigrationTests {
    @Test("It goes on where it stood: rings, phases, features, logs and waiting event requests")
    func everything() throws {
        let rig = try Rig()
        let queue = rig.makeQueue(1, entries: 16, completionEntries: 4)
        // Far enough that the rings have wrapped and the phase tag has changed.
        for _ in 0..<5 { #expect(rig.run(.flush(namespaceID: 1), on: queue)?.status == .success) }
        #expect(rig.run(.flush(namespaceID: 9), on: queue)?.status.isSuccess == false)
        let threshold: UInt32 = 333
        #expect(rig.admin(.setFeatures(.temperatureThreshold, value: threshold))?.status == .success)
        let wanted: UInt32 = 2
        #expect(rig.admin(.setFeatures(.asynchronousEventConfiguration, value: wanted))?.status == .success)
        let request = rig.place(.asynchronousEventRequest(), on: rig.adminQueue)
        rig.ring(rig.adminQueue)
        // Ten commands, room for the completions of three.
        let ids = (0..<10).map { _ in rig.place(.flush(namespaceID: 1), on: queue) }
        rig.ring(queue)
        let errors = rig.page(.getLogPage(.error, byteCount: 4096))
        let old = rig.controller
        try rig.move()
        #expect(rig.controller !== old)
        #expect(rig.status.rawValue == 1)
        var seen: [UInt16] = []
        for expected in [3, 3, 3, 1, 0] {
            let list = rig.reap(queue)
            #expect(list.count == expected)
            seen += list.map(\.commandID)
        }
        #expect(seen == ids)
        #expect(rig.admin(.getFeatures(.temperatureThreshold))?.result == threshold)
        #expect(rig.page(.getLogPage(.error, byteCount: 4096)) == errors)
        rig.controller.temperature = UInt16(threshold) + 1
        let event = rig.reap(rig.adminQueue)
        #expect(event.map(\.commandID) == [request])
        #expect(event.first.map { AsynchronousEvent(rawValue: $0.result) } == .temperature)
    }

    @Test("Doorbells that are rung while other devices are spared are heard afterwards, shadows too")
    func sparing() throws {
        for hasShadows in [false, true] {
            let rig = try Rig()
            var shadow: UInt64 = 0
            if hasShadows {
                shadow = rig.slot.allocate(2)
                let configure = SubmissionEntry.doorbellBufferConfig(
                    shadow: shadow, eventIndexes: shadow + 4096)
                #expect(rig.admin(configure)?.status == .success)
            }
            let queue = rig.makeQueue(1)
            var ids: [UInt16] = []
            var turns = 0
            try rig.move { rig in
                turns += 1
                ids.append(rig.place(.flush(namespaceID: 1), on: queue))
                if hasShadows { rig.slot.store(queue.tail, at: shadow + 8) }
                rig.ring(queue)
                #expect(rig.reap(queue, ringing: false).isEmpty)
            }
            #expect(turns == 2)
            #expect(rig.reap(queue).map(\.commandID) == ids)
        }
    }

    /// How many moves: `VFIO_MOVE_COUNT`, or a few that take seconds in a debug build.
    private var moveCount: UInt64 {
        ProcessInfo.processInfo.environment["VFIO_MOVE_COUNT"].flatMap(UInt64.init) ?? 2000
    }

    @Test("A driver that writes numbers loses none of them and sees none twice, however often it is moved")
    func moves() throws {
        let seed = UInt64.random(in: 0 ... .max)
        print("NVMe migration seed: \(seed)")
        var random = Generator(state: seed)
        var settings = NVMeController.Settings()
        settings.queuePairs = 3
        let rig = try Rig(settings: settings)
        let queues = [
            rig.makeQueue(1, entries: 8, completionEntries: 4), rig.makeQueue(2, entries: 16),
            rig.makeQueue(3, entries: 32, completionEntries: 8),
        ]
        // Each slot of a submission queue has a buffer of its own, which is free when its command has ended.
        let buffers = queues.map { rig.slot.allocate(Int($0.entries)) }
        var flying = queues.map { _ in [(command: UInt16, block: Int, number: UInt64)]() }
        var expected = [UInt64](repeating: 0, count: Rig.blocks)
        var number: UInt64 = 0
        var ended: UInt64 = 0

        func submit(_ place: Int) {
            let queue = queues[place]
            guard flying[place].count < Int(queue.entries) - 1 else { return }
            let block = Int.random(in: 0..<Rig.blocks, using: &random)
            // Two commands on one block may end in any order.
            guard !flying.contains(where: { $0.contains { $0.block == block } }) else { return }
            number += 1
            let buffer = buffers[place] + UInt64(queue.tail) * 4096
            rig.slot.store(number, at: buffer)
            rig.slot.store(~number, at: buffer + 504)
            var entry = SubmissionEntry.write(namespaceID: 1, startingBlock: UInt64(block), blocks: 1)
            entry.setPRP(buffer)
            flying[place].append((rig.place(entry, on: queue), block, number))
        }
        func reap(_ place: Int) {
            for completion in rig.reap(queues[place]) {
                guard let first = flying[place].first else {
                    Issue.record("a completion of nothing, seed \(seed)")
                    return
                }
                #expect(
                    completion.commandID == first.command && completion.status == .success, "seed \(seed)")
                expected[first.block] = first.number
                flying[place].removeFirst()
                ended += 1
            }
        }
        func anything() {
            for _ in 0..<Int.random(in: 0..<4, using: &random) {
                let place = Int.random(in: 0..<3, using: &random)
                switch random.next() % 4 {
                case 0: rig.ring(queues[place])
                case 1: reap(place)
                default: submit(place)
                }
            }
        }
        for _ in 0..<moveCount {
            anything()
            try rig.move { _ in anything() }
        }
        for _ in 0..<64 {
            for place in 0..<3 {
                rig.ring(queues[place])
                reap(place)
            }
        }
        #expect(flying.allSatisfy(\.isEmpty) && ended == number, "seed \(seed)")
        #expect(number > moveCount / 2)
        for (block, number) in expected.enumerated() where number != 0 {
            let bytes = try rig.stored(block)
            let stored = (0..<8).reduce(UInt64(0)) { $0 | UInt64(bytes[$1]) << UInt64(8 * $1) }
            #expect(stored == number, "block \(block), seed \(seed)")
        }
    }

    private func state(of controller: NVMeController) -> [UInt8] {
        var writer = StateWriter()
        controller.saveState(to: &writer)
        return writer.bytes
    }

    @Test(
        "A state that was cut or changed is refused with nothing changed, or is one that a controller can have"
    )
    func hostile() throws {
        let seed = UInt64.random(in: 0 ... .max)
        print("NVMe migration, hostile seed: \(seed)")
        var random = Generator(state: seed)
        let source = try Rig()
        let queue = source.makeQueue(1, entries: 16, completionEntries: 4)
        _ = source.makeQueue(5)
        for _ in 0..<10 { source.place(.flush(namespaceID: 7), on: queue) }
        source.ring(queue)
        let good = state(of: source.controller)
        #expect(good.count <= source.controller.stateByteLimit)
        var refused = 0
        for turn in 0..<4000 {
            var bytes = good
            if turn % 8 == 0 {
                bytes.removeLast(Int.random(in: 1..<bytes.count, using: &random))
            } else {
                for _ in 0..<Int.random(in: 1..<4, using: &random) {
                    // Mostly in the registers and queues, which come first.
                    let end = random.next() % 4 == 0 ? bytes.count : min(200, bytes.count)
                    bytes[Int.random(in: 0..<end, using: &random)] = UInt8(truncatingIfNeeded: random.next())
                }
            }
            let rig = try Rig(bringUp: false)
            let before = state(of: rig.controller)
            rig.controller.freeze()
            var reader = StateReader(bytes)
            do throws(MigrationError) {
                try rig.controller.loadState(from: &reader)
            } catch {
                refused += 1
                #expect(state(of: rig.controller) == before, "seed \(seed), turn \(turn)")
                continue
            }
            rig.controller.thaw()
            for id in 0..<7 as Range<UInt16> {
                rig.write(Doorbell(stride: 0).submissionTail(of: id), UInt32(random.next() % 20))
                rig.write(Doorbell(stride: 0).completionHead(of: id), UInt32(random.next() % 20))
            }
            rig.controller.temperature = 400
            rig.controller.performReset(.function)
            rig.controller.function.configuration.write(6, at: 4, width: 2)
            rig.bringUp()
            #expect(rig.status.rawValue == 1, "seed \(seed), turn \(turn)")
        }
        #expect(refused > 500 && refused < 4000)
    }

    @Test(
        "A controller with other settings or another disk doesn't take it, and says so before it is stopped")
    func different() throws {
        func describe(_ change: (inout NVMeController.Settings) -> Void, blocks: UInt64 = 8) throws -> [UInt8]
        {
            var settings = NVMeController.Settings()
            change(&settings)
            let store = try MemoryStore(byteCount: blocks * 4096)
            var writer = StateWriter()
            NVMeController([try NVMeNamespace(store)], settings: settings).describe(to: &writer)
            return writer.bytes
        }
        let same = try describe { _ in }
        #expect(try describe { _ in } == same)
        #expect(try describe({ _ in }, blocks: 9) != same)
        #expect(try describe { $0.serialNumber = "OTHER" } != same)
        #expect(try describe { $0.queuePairs = 2 } != same)
        #expect(try describe { $0.queueEntries = 64 } != same)
        #expect(try describe { $0.hasSGLs = false } != same)
    }

    /// A store that can't make anything safe.
    private final class Unsafe: BlockStore {
        let byteCount: UInt64 = 4096
        let isReadOnly = false
        func read(at offset: UInt64, into window: MemoryWindow) throws(Errno) {}
        func write(at offset: UInt64, from window: MemoryWindow) throws(Errno) {}
        func synchronize() throws(Errno) { throw .inputOutput }
        func zero(at offset: UInt64, byteCount: UInt64, deallocating: Bool) throws(Errno) {}
        func deallocate(at offset: UInt64, byteCount: UInt64) throws(Errno) {}
    }

    @Test(
        "Writes that can't be made safe before the move are a failed controller on the far side, not a silent loss"
    )
    func unsafeDisk() throws {
        let rig = try Rig(store: Unsafe())
        try rig.move()
        #expect(rig.status.isFatal)
    }
}
