import CLinux

/// A 64-bit word that several threads read and write without a lock.
///
/// Loads acquire and stores release: what a thread wrote before its store is visible to whoever loads the
/// stored value.
@safe public struct AtomicWord: ~Copyable, @unchecked Sendable {
    // SAFETY: allocated here, freed in deinit, reached through atomic operations only.
    private let word: UnsafeMutablePointer<UInt64>

    /// A word with the given value.
    public init(_ value: UInt64 = 0) {
        // SAFETY: initialised before anyone sees it.
        unsafe word = .allocate(capacity: 1)
        unsafe word.initialize(to: value)
    }

    deinit {
        // SAFETY: the one owner is gone.
        unsafe word.deallocate()
    }

    // SAFETY: the address of an allocation that lives as long as this owner.
    private var place: UInt { unsafe UInt(bitPattern: word) }

    /// The value now.
    public func load() -> UInt64 { clinux_atomic_load(place) }

    /// Replaces the value.
    public func store(_ value: UInt64) { clinux_atomic_store(place, value) }

    /// Adds, wrapping around at 2^64.
    /// - Returns: the value before.
    @discardableResult
    public func add(_ value: UInt64) -> UInt64 { clinux_atomic_add(place, value) }
}
