import Foundation
import HostTestSupport
import LinuxSystem
import NVMe
import NVMeController
import SoftwareHost
import Testing
import VFIO
import VFIOABI
import VFIOHost

@testable import NVMeDriver

/// An image that both hosts reach, and that looks at what is written: each block's numbers must come one by one.
private final class NumberedStore: BlockStore, @unchecked Sendable {
    private let inner: MemoryStore
    private let lock = Lock()
    private var numbers: [UInt64]
    private var troubles: [String] = []
    let byteCount: UInt64
    let isReadOnly = false

    init(blocks: Int) throws(BlockStoreError) {
        inner = try MemoryStore(byteCount: UInt64(blocks * 512))
        numbers = Array(repeating: 0, count: blocks)
        byteCount = inner.byteCount
    }

    /// What was wrong with writes, the first few.
    var complaints: [String] { lock.withLock { troubles } }
    /// The number that each block has.
    var current: [UInt64] { lock.withLock { numbers } }

    func write(at offset: UInt64, from window: MemoryWindow) throws(Errno) {
        lock.lock()
        defer { lock.unlock() }
        for start in stride(from: 0, to: window.byteCount, by: 512) {
            let block = (Int(offset) + start) / 512
            let number = window.load64(start)
            if number != numbers[block] + 1 && troubles.count < 8 {
                troubles.append("block \(block): \(number) after \(numbers[block])")
            }
            numbers[block] = number
        }
        try inner.write(at: offset, from: window)
    }

    func read(at offset: UInt64, into window: MemoryWindow) throws(Errno) {
        try inner.read(at: offset, into: window)
    }
    func synchronize() throws(Errno) {}
    func zero(at offset: UInt64, byteCount: UInt64, deallocating: Bool) throws(Errno) { throw .inputOutput }
    func deallocate(at offset: UInt64, byteCount: UInt64) throws(Errno) { throw .inputOutput }
}

/// Two machines with the same disk, and the driver in front of them.
private final class TwinBench {
    static let blocks = 32
    let store: NumberedStore
    let host: TwinHost
    var side = 0
    var byteCount = 0

    init() throws {
        let store = try NumberedStore(blocks: Self.blocks)
        self.store = store
        func machine() throws -> SoftwareHost {
            let disk = NVMeController([try NVMeNamespace(store)])
            return try SoftwareHost(
                MachineDescription {
                    IOMMU(.type1)
                    IOMMUGroup(26) { PCIDevice(disk, at: Bench.address, driver: "software-vfio-pci") }
                })
        }
        host = TwinHost(try machine(), try machine())
    }

    func open(_ interrupts: ControllerOptions.InterruptChoice) throws(NVMeError) -> Controller {
        var options = ControllerOptions()
        options.interrupts = interrupts
        options.route = .group
        return try Controller(opening: Bench.address, on: host, options)
    }

    /// Moves the device to the other side while its driver goes on.
    func move(_ device: Device, _ random: inout TestRandom) throws(VFIOError) {
        func pause() { for _ in 0..<random.below(400) { _ = Clock.now } }
        host.side = side
        var out: MigrationData?
        var state: [UInt8] = []
        if random.below(2) == 0 {
            out = try device.setMigrationState(.preCopy)
            state = try out?.readAll() ?? []
            pause()
        }
        if random.below(2) == 0 {
            // Doorbells are heard, and answered later.
            let spared: MigrationState = out == nil ? .runningP2P : .preCopyP2P
            try device.setMigrationState(spared)
            pause()
        }
        host.stop()
        var target = side
        defer { host.resume(on: target) }
        out = try device.setMigrationState(.stopCopy) ?? out
        state += try out?.readAll() ?? []
        host.side = 1 - side
        let into = try device.setMigrationState(.resuming)
        try into?.write(state)
        try device.setMigrationState(.running)
        target = 1 - side
        side = target
        byteCount += state.count
    }
}

@Suite("A controller that is moved under its driver")
struct MovedControllerTests {
    /// How many moves: `VFIO_MOVE_COUNT`, or a few that take seconds in a debug build.
    private var moveCount: Int {
        ProcessInfo.processInfo.environment["VFIO_MOVE_COUNT"].flatMap { Int($0) } ?? 100
    }

    @Test(
        "Writes of numbers, many at a time, are each carried out once and told once, however often it is moved",
        arguments: [ControllerOptions.InterruptChoice.msix, .polling])
    func numbers(_ interrupts: ControllerOptions.InterruptChoice) throws {
        var random = TestRandom("moves under the driver")
        let bench = try TwinBench()
        let ssd = try bench.open(interrupts)
        let outcome = Outcome()
        var driver: WorkerThread? = try WorkerThread {
            do throws(NVMeError) {
                try Self.write(ssd, outcome)
            } catch {
                outcome.fail("\(error)")
            }
        }
        var moved = 0
        do {
            for _ in 0..<moveCount {
                try bench.move(ssd.device, &random)
                moved += 1
                for _ in 0..<random.below(2000) { _ = Clock.now }
                if outcome.failure != nil { break }
            }
        } catch {
            Issue.record("move \(moved): \(error)")
        }
        outcome.end()
        // Waits for the thread.
        withExtendedLifetime(driver) {}
        driver = nil
        #expect(outcome.failure == nil)
        #expect(bench.store.complaints == [])
        let sum = bench.store.current.reduce(0, +)
        #expect(sum == outcome.count, "as many writes were carried out as were told of")
        print("\(moved) moves, \(sum) writes, \(bench.byteCount / max(moved, 1)) bytes of state each")
        #expect(moved == moveCount)
        try ssd.close()
    }

    /// What becomes of the driver's thread.
    private final class Outcome: @unchecked Sendable {
        private let lock = Lock()
        private var writes: UInt64 = 0
        private var text: String?
        private var isEnding = false

        /// How many writes it was told of.
        var count: UInt64 { lock.withLock { writes } }
        var failure: String? { lock.withLock { text } }
        var isOver: Bool { lock.withLock { isEnding } }
        func end() { lock.withLock { isEnding = true } }
        func fail(_ reason: String) { lock.withLock { text = reason } }
        func add() { lock.withLock { writes += 1 } }
    }

    /// Writes the next number to each block, again and again, as many at a time as the queue takes.
    private static func write(_ ssd: Controller, _ outcome: Outcome) throws(NVMeError) {
        let namespace = try ssd.defaultNamespace()
        let memory = try ssd.allocate(byteCount: TwinBench.blocks * 512)
        var queue = try ssd.makeQueuePair(entryCount: 16)
        var next = [UInt64](repeating: 1, count: TwinBench.blocks)
        var isFlying = [Bool](repeating: false, count: TwinBench.blocks)
        var block = 0
        while true {
            let mayGoOn = !outcome.isOver
            if !mayGoOn && queue.inFlightCount == 0 { return }
            if mayGoOn && queue.roomCount > 0 && !isFlying[block] {
                memory.window.store64(block * 512, next[block])
                try queue.write(
                    UInt64(block)..<UInt64(block + 1), of: namespace,
                    from: memory.segment(at: block * 512, byteCount: 512), RequestOptions(tag: UInt64(block)))
                isFlying[block] = true
                if block % 3 == 0 { queue.ring() }
                block = (block + 1) % TwinBench.blocks
                continue
            }
            queue.ring()
            guard let completion = try queue.wait(milliseconds: 60_000) else {
                throw NVMeError(.stopped, "wait for a completion", on: ssd.name)
            }
            let done = Int(completion.tag)
            guard completion.status.isSuccess, !completion.isCancelled, isFlying[done] else {
                throw NVMeError(.stopped, "take \(completion)", on: ssd.name)
            }
            isFlying[done] = false
            next[done] += 1
            outcome.add()
        }
    }
}
