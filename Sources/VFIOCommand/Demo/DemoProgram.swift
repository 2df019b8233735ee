import LinuxSystem
import VFIO
import VFIOGuest

/// What runs in the guest of `vfio demo --guest`: a program that counts, and has the devices copy what it counts, for
/// as long as the guest's processors run.
final class DemoProgram: GuestProcessors, @unchecked Sendable {
    static let counter = GuestAddress(0x4000)
    /// Where the devices write: each a stretch of pages of its own.
    static let target: UInt64 = 0x40_0000
    static let targetPages: UInt64 = 512

    private let guest: DemoGuest
    private let engines: [DemoEngine]
    /// Held while a step is made.
    private let step = Lock()
    private let lock = Lock()
    // Guarded by `lock`.
    private var isPaused = true
    private var isOver = false
    private var isHeld = false
    private var counted: UInt64 = 0
    private var trouble: (any Error)?
    /// Its owner's.
    private var thread: WorkerThread?

    /// A program that doesn't run yet. It must be ended.
    init(_ guest: DemoGuest, _ engines: [DemoEngine]) throws {
        self.guest = guest
        self.engines = engines
        thread = try WorkerThread { [self] in while goOn() {} }
    }

    /// What went wrong in it, if something did.
    var failure: (any Error)? { lock.withLock { trouble } }

    /// How far it has counted here; 0 before its first step.
    var count: UInt64 { lock.withLock { counted } }

    /// How far it has counted, as the guest's memory says. For while it is paused.
    var countInMemory: UInt64 { get throws { try guest.space.load(UInt64.self, at: Self.counter) } }

    /// Ends the demo unless each device has copied the last number. For while it is paused.
    func checkCopies() throws {
        let count = try countInMemory
        for index in engines.indices {
            let copy = try guest.space.load(UInt64.self, at: GuestAddress(Self.place(of: count, index)))
            guard copy == count else {
                throw CommandFailure.refused(
                    "device \(index + 1) copied \(copy) when the program had counted to \(count)")
            }
        }
    }

    /// Where a device puts its copy of a number.
    private static func place(of count: UInt64, _ index: Int) -> UInt64 {
        let page = count &* 7 % targetPages + UInt64(index) * targetPages
        return target + page * UInt64(pageSize)
    }

    /// Stops the processors.
    func pause() {
        lock.withLock { isPaused = true }
        // The step that is being made is the last one.
        step.withLock {}
    }

    /// Lets them run, unless they are held back.
    func resume() { lock.withLock { isPaused = isHeld } }

    /// Whether they stay paused though they are resumed.
    var isHeldBack: Bool {
        get { lock.withLock { isHeld } }
        set { lock.withLock { isHeld = newValue } }
    }

    /// Ends it.
    func end() {
        lock.withLock { isOver = true }
        thread = nil
    }

    private func goOn() -> Bool {
        let (isPaused, isOver) = lock.withLock { (self.isPaused, self.isOver) }
        if isOver { return false }
        if isPaused {
            Clock.sleep(nanoseconds: 100_000)
            return true
        }
        do {
            try step.withLock {
                // Asked again: it may have been paused meanwhile.
                if !lock.withLock({ self.isPaused }) { try makeStep() }
            }
        } catch {
            lock.withLock {
                trouble = error
                self.isOver = true
            }
        }
        return true
    }

    private func makeStep() throws {
        let count = try countInMemory + 1
        try guest.space.store(count, at: Self.counter)
        for (index, engine) in engines.enumerated() {
            try engine.copy(64, from: Self.counter.rawValue, to: Self.place(of: count, index))
        }
        lock.withLock { counted = count }
    }
}
