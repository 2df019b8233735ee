import CLinux

/// 64-bit words that several threads count in and read without a lock, and without any order between them: for
/// statistics and for switches that nothing else hangs on.
@safe public final class RelaxedWords: @unchecked Sendable {
    // SAFETY: allocated here, freed in deinit, reached through atomic operations on checked places only.
    private let words: UnsafeMutablePointer<UInt64>
    @usableFromInline let base: UInt
    /// How many words there are.
    public let count: Int

    /// Words that are zero.
    public init(count: Int) {
        self.count = max(count, 1)
        // SAFETY: initialised before anyone sees it.
        unsafe words = .allocate(capacity: self.count)
        unsafe words.initialize(repeating: 0, count: self.count)
        base = unsafe UInt(bitPattern: words)
    }

    deinit {
        // SAFETY: the last reference is gone.
        unsafe words.deallocate()
    }

    @inlinable @inline(__always)
    func place(_ index: Int) -> UInt {
        precondition(index >= 0 && index < count, "no such word")
        return base &+ UInt(bitPattern: index) &* 8
    }

    /// A word's value now.
    @inlinable @inline(__always)
    public func load(_ index: Int) -> UInt64 { clinux_relaxed_load(place(index)) }

    /// Replaces a word's value.
    @inlinable @inline(__always)
    public func store(_ index: Int, _ value: UInt64) { clinux_relaxed_store(place(index), value) }

    /// Adds to a word, wrapping around at 2^64.
    @inlinable @inline(__always)
    public func add(_ index: Int, _ value: UInt64) { clinux_relaxed_add(place(index), value) }

    /// Sets bits of a word, or clears them.
    @inlinable
    public func set(_ index: Int, bits: UInt64, _ areSet: Bool) {
        if areSet { clinux_relaxed_or(place(index), bits) } else { clinux_relaxed_clear(place(index), bits) }
    }

    /// Makes a word at least as large as this.
    @inlinable
    public func raise(_ index: Int, to value: UInt64) {
        if load(index) < value { clinux_relaxed_raise(place(index), value) }
    }
}
