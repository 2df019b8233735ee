// The check that locks are always taken in the same order. Off unless VFIO_CHECK_LOCKS is defined for the whole
// build, as `Scripts/test stress` does: the thread sanitizer doesn't look at locks made in Swift for this.
#if VFIO_CHECK_LOCKS
    import CLinux

    /// A lock's place in the order in which threads take locks.
    ///
    /// Whenever a thread takes a lock while it holds others, these come before it from then on. A lock that would
    /// have to come before itself ends the process: some day two threads would wait for each other for ever.
    @safe @usableFromInline final class LockPlace: Sendable {
        private let number: UInt64

        init(_ file: StaticString, _ line: UInt) { number = LockOrder.shared.add("\(file):\(line)") }

        deinit { LockOrder.shared.remove(number) }

        /// The thread is about to wait for the lock.
        @usableFromInline func willTake() {
            let held = HeldLocks()
            if held.count > 0 { LockOrder.shared.check(number, after: held) }
            held.add(number)
        }

        /// The thread got the lock without waiting, which can't block anybody.
        @usableFromInline func hasTaken() { HeldLocks().add(number) }

        /// The thread gives the lock back.
        @usableFromInline func willGiveBack() { HeldLocks().remove(number) }
    }

    /// The locks that this thread holds: their count, then their numbers.
    @safe private struct HeldLocks {
        // SAFETY: a variable of this thread alone.
        private let words = unsafe clinux_held_locks()!

        var count: Int { unsafe Int(words[0]) }

        subscript(_ index: Int) -> UInt64 { unsafe words[1 + index] }

        func add(_ number: UInt64) {
            guard count < 63 else { return }
            unsafe words[1 + count] = number
            unsafe words[0] += 1
        }

        func remove(_ number: UInt64) {
            var index = count - 1
            while index >= 0 && self[index] != number { index -= 1 }
            guard index >= 0 else { return }
            while index + 1 < count {
                unsafe words[1 + index] = words[2 + index]
                index += 1
            }
            unsafe words[0] -= 1
        }
    }

    /// Which lock was taken while which was held.
    @safe private final class LockOrder: @unchecked Sendable {
        // SAFETY: everything is guarded by `mutex`, which isn't a `Lock`: that would ask here.
        static let shared = LockOrder()
        private let mutex: UnsafeMutablePointer<pthread_mutex_t>
        private var names: [UInt64: String] = [:]
        private var later: [UInt64: Set<UInt64>] = [:]
        private var earlier: [UInt64: Set<UInt64>] = [:]
        private var next: UInt64 = 1

        private init() {
            unsafe mutex = .allocate(capacity: 1)
            unsafe clinux_lock_init(mutex)
        }

        private func exclusively<R>(_ body: () -> R) -> R {
            unsafe clinux_lock(mutex)
            defer { unsafe clinux_unlock(mutex) }
            return body()
        }

        func add(_ name: String) -> UInt64 {
            exclusively {
                defer { next += 1 }
                names[next] = name
                return next
            }
        }

        func remove(_ number: UInt64) {
            exclusively {
                names[number] = nil
                for other in later.removeValue(forKey: number) ?? [] { earlier[other]?.remove(number) }
                for other in earlier.removeValue(forKey: number) ?? [] { later[other]?.remove(number) }
            }
        }

        func check(_ number: UInt64, after held: HeldLocks) {
            exclusively {
                for index in 0..<held.count {
                    let other = held[index]
                    if later[other]?.contains(number) == true { continue }
                    if let way = way(from: number, to: other) {
                        let chain = way.map { names[$0] ?? "?" }.joined(separator: " -> ")
                        fatalError(
                            "locks in two orders: now \(name(other)) -> \(name(number)), before \(chain)")
                    }
                    later[other, default: []].insert(number)
                    earlier[number, default: []].insert(other)
                }
            }
        }

        private func name(_ number: UInt64) -> String { names[number] ?? "?" }

        /// How one lock comes before another, if it does.
        private func way(from first: UInt64, to last: UInt64) -> [UInt64]? {
            if first == last { return [first] }
            var cameFrom: [UInt64: UInt64] = [first: first]
            var open = [first]
            while let number = open.popLast() {
                for other in later[number] ?? [] where cameFrom[other] == nil {
                    cameFrom[other] = number
                    if other == last {
                        var way = [last]
                        while let before = way.last, before != first { way.append(cameFrom[before] ?? first) }
                        return way.reversed()
                    }
                    open.append(other)
                }
            }
            return nil
        }
    }
#endif
