/// A fixed number of plain values with exactly one owner, allocated once.
///
/// A stored `Array` would check for other owners at every change; the tables of a queue are changed with every
/// command.
@safe struct FixedArray<Element: BitwiseCopyable>: ~Copyable {
    // SAFETY: allocated and filled by `init`, freed by `deinit`, and reached through the checked subscript only.
    private let base: UnsafeMutablePointer<Element>
    /// How many there are.
    let count: Int

    /// `count` copies of a value.
    init(repeating value: Element, count: Int) {
        precondition(count >= 0, "a negative count")
        self.count = count
        // SAFETY: exactly `count` values are initialised.
        unsafe base = .allocate(capacity: count)
        unsafe base.initialize(repeating: value, count: count)
    }

    deinit {
        // SAFETY: the only owner goes; plain values need no deinitialisation.
        unsafe base.deallocate()
    }

    /// One value.
    subscript(index: Int) -> Element {
        @inline(__always) get {
            precondition(index >= 0 && index < count, "outside the table")
            // SAFETY: checked above.
            return unsafe base[index]
        }
        @inline(__always) set {
            precondition(index >= 0 && index < count, "outside the table")
            // SAFETY: checked above.
            unsafe base[index] = newValue
        }
        @inline(__always) _modify {
            precondition(index >= 0 && index < count, "outside the table")
            // SAFETY: checked above.
            yield unsafe &base[index]
        }
    }
}

// SAFETY: the memory belongs to this value alone, as if it were stored inline.
extension FixedArray: @unchecked Sendable where Element: Sendable {}
