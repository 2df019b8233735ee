import LinuxSystem
import VFIO

/// Measures something many times over, for a time.
struct Sampler {
    /// How long each thing is measured.
    let nanoseconds: UInt64

    /// The most times that are kept of one thing.
    static let mostSamples = 20_000
    /// What is shorter than this is measured several times in one go, or the clock would be what is measured.
    private static let shortest: UInt64 = 2_000

    /// The times that something took.
    struct Samples {
        /// From the shortest to the longest, in nanoseconds.
        var nanoseconds: [Double] = []
        /// How often it was done for each of the times, which is then the mean.
        var batch = 1

        var median: Double { Distribution.quantile(0.5, of: nanoseconds) ?? 0 }
    }

    /// Measures something.
    /// - Parameter body: does it as often as it is told.
    func measure<E: Error>(_ body: (Int) throws(E) -> Void) throws(E) -> Samples {
        try body(1)
        var samples = Samples()
        samples.batch = try batch(body)
        let begin = Clock.now
        var now = begin
        repeat {
            try body(samples.batch)
            let end = Clock.now
            samples.nanoseconds.append(Double(end &- now) / Double(samples.batch))
            now = end
            // At least three, however long they take.
        } while samples.nanoseconds.count < 3
            || (now &- begin < nanoseconds && samples.nanoseconds.count < Self.mostSamples)
        samples.nanoseconds.sort()
        return samples
    }

    /// How often something has to be done to be measurable.
    private func batch<E: Error>(_ body: (Int) throws(E) -> Void) throws(E) -> Int {
        var count = 1
        while count < 1 << 20 {
            let begin = Clock.now
            try body(count)
            let taken = Clock.now &- begin
            if taken >= Self.shortest { return count }
            // Straight to about the right number, in two or three steps.
            let factor = taken == 0 ? 16 : min(16, Self.shortest / taken + 1)
            count *= Int(factor)
        }
        return count
    }

    /// Something that signals an eventfd once, and the eventfd, which nobody else waits for.
    typealias Signal = (number: Int32, raise: () throws(VFIOError) -> Void)

    /// Measures from a signal to the moment when another thread, which sleeps until then, has taken it from its eventfd.
    ///
    /// Two kinds of signals take turns, so that what disturbs the one disturbs the other as much.
    /// - Throws: what raising throws; `ETIMEDOUT` if a signal didn't come within a second.
    func wakings(_ first: Signal, _ second: Signal) throws(VFIOError) -> (Samples, Samples) {
        let readers: (Reader, Reader)
        do throws(Errno) {
            readers = (try Reader(of: first.number), try Reader(of: second.number))
        } catch {
            throw VFIOError(operation: "wait for an interrupt", object: "a thread of its own", errno: error)
        }
        var samples = (Samples(), Samples())
        let begin = Clock.now
        repeat {
            samples.0.nanoseconds.append(try Self.waking(readers.0, first))
            samples.1.nanoseconds.append(try Self.waking(readers.1, second))
        } while Clock.now &- begin < 2 * nanoseconds && samples.0.nanoseconds.count < Self.mostSamples
        samples.0.nanoseconds.sort()
        samples.1.nanoseconds.sort()
        return samples
    }

    private static func waking(_ reader: Reader, _ signal: Signal) throws(VFIOError) -> Double {
        // The reader has to be asleep again, as it is when interrupts are rare.
        Clock.sleep(nanoseconds: 20_000)
        let asked = Clock.now
        try signal.raise()
        do throws(Errno) {
            return Double(try reader.next() &- asked)
        } catch {
            throw VFIOError(
                operation: "wait for an interrupt", object: "eventfd \(signal.number)", errno: error,
                cause: "it was triggered and didn't come within a second",
                remedy: "see whether the device's interrupts work: vfio inspect")
        }
    }

    /// Makes the compiler believe that a value is needed.
    @inline(never)
    @_optimize(none)
    static func keep(_ value: UInt64) {}

    /// The thread that sleeps until an eventfd is signalled.
    private final class Reader {
        /// What both threads know.
        private final class Shared: @unchecked Sendable {
            // SAFETY: `moment` and `isEnding` are only touched with `lock` held; descriptors guard themselves.
            let lock = Lock()
            let changed = Condition()
            let event: EventDescriptor
            var moment: UInt64?
            var isEnding = false

            init(_ event: consuming EventDescriptor) { self.event = event }

            var hasEnded: Bool { lock.withLock { isEnding } }
        }

        private let shared: Shared
        private let thread: WorkerThread

        init(of number: Int32) throws(Errno) {
            let shared = Shared(try EventDescriptor(duplicating: number))
            self.shared = shared
            thread = try WorkerThread {
                while !shared.hasEnded {
                    guard let count = try? shared.event.wait(milliseconds: 500) else { continue }
                    let now = Clock.now
                    guard count > 0 else { continue }
                    shared.lock.withLock {
                        shared.moment = now
                        shared.changed.wakeAll()
                    }
                }
            }
        }

        deinit {
            shared.lock.withLock { shared.isEnding = true }
            shared.event.signal()
        }

        /// When the next signal was taken.
        /// - Throws: `ETIMEDOUT`
        func next() throws(Errno) -> UInt64 {
            let deadline = Clock.moment(inMilliseconds: 1000)
            shared.lock.lock()
            defer { shared.lock.unlock() }
            while true {
                if let moment = shared.moment {
                    shared.moment = nil
                    return moment
                }
                guard Clock.now < deadline else { throw .timedOut }
                shared.changed.wait(for: shared.lock, until: deadline)
            }
        }
    }
}
