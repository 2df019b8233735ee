import CLinux

/// 64-bit words that several threads count in and read without a lock, and without any order between them: for
/// statistics and for switches that nothing else hangs on.
@safe public final class RelaxedWords: @unchecked Sendable {
    // SAFETY: allocated or mapped here, freed in deinit, reached through atomic operations on checked places only.
    private let words: UnsafeMutablePointer<UInt64>?
    /// The memory, where it is mapped; unmapped with the last reference.
    private let mapping: Mapping?
    @usableFromInline let base: UInt
    /// How many words there are.
    public let count: Int

    /// Words that are zero.
    public init(count: Int) {
        self.count = max(count, 1)
        // SAFETY: initialised before anyone sees it.
        let words = UnsafeMutablePointer<UInt64>.allocate(capacity: self.count)
        unsafe words.initialize(repeating: 0, count: self.count)
        unsafe self.words = words
        mapping = nil
        base = UInt(bitPattern: words)
    }

    /// Words in memory that others may have mapped as well, with the values that they have.
    ///
    /// Nobody may make a file behind it shorter.
    public init(in mapping: consuming Mapping) {
        unsafe words = nil
        base = mapping.window.address.rawValue
        count = mapping.window.byteCount / 8
        self.mapping = consume mapping
    }

    deinit {
        // SAFETY: the last reference is gone.
        unsafe words?.deallocate()
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

    /// Adds to a word without keeping others from doing so at the same moment: one of the additions may then be lost.
    /// No bus lock, as ``add(_:_:)`` has.
    @inlinable @inline(__always)
    public func addLoosely(_ index: Int, _ value: UInt64) {
        let place = place(index)
        clinux_relaxed_store(place, clinux_relaxed_load(place) &+ value)
    }

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
