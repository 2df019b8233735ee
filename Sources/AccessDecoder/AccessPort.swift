/// Where an instruction's accesses to memory go, and what else of a thread's state it needs beyond its general
/// registers.
///
/// An instruction makes each of its accesses exactly once, in the processor's order: a load before the store of
/// the same place, a wide move from its lowest address up, in pieces of at most eight bytes.
public protocol AccessPort {
    /// Loads 1, 2, 4 or 8 bytes, little-endian.
    /// - Returns: the value, zero-extended.
    /// - Throws: ``AccessFault`` if the address can't be read; nothing may have happened then.
    mutating func load(_ address: UInt64, byteCount: Int) throws(AccessFault) -> UInt64

    /// Stores the low 1, 2, 4 or 8 bytes of a value, little-endian.
    /// - Throws: ``AccessFault`` if the address can't be written; nothing may have happened then.
    mutating func store(_ address: UInt64, _ value: UInt64, byteCount: Int) throws(AccessFault)

    /// What follows, up to ``endExclusive()``, is one atomic step to every other thread's atomic instructions.
    mutating func beginExclusive()
    /// The atomic step is over.
    mutating func endExclusive()

    /// Where a segment of x86-64 begins (`fs`, `gs`).
    func base(of segment: X86Segment) -> UInt64

    /// Eight bytes of a vector register.
    /// - Parameters:
    ///   - register: 0 to 31.
    ///   - lane: which eight bytes, 0 to 7 (0 and 1: `xmm`, and all there is on arm64; to 3: `ymm`; to 7: `zmm`).
    func vector(_ register: Int, lane: Int) -> UInt64
    /// Sets eight bytes of a vector register. A lane that the processor doesn't have is only ever set to 0.
    mutating func setVector(_ register: Int, lane: Int, to value: UInt64)

    /// A mask register of AVX-512 (`k1` to `k7`).
    func mask(_ register: Int) -> UInt64
}

/// An address that could not be accessed.
public struct AccessFault: Error, Equatable, Sendable {
    /// The first address of the access.
    public let address: UInt64
    /// Whether it was a store.
    public let isStore: Bool

    /// A failed access.
    public init(address: UInt64, isStore: Bool) {
        self.address = address
        self.isStore = isStore
    }
}

/// The two segments of x86-64 that have a base.
public enum X86Segment: Sendable, Equatable {
    /// `fs`, where threads keep what is their own.
    case fs
    /// `gs`.
    case gs
}
