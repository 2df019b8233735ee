import CLinux

/// Where an x86-64 processor's extended state (what `XSAVE` writes, in its standard form) keeps the parts of the
/// vector registers: offsets in bytes from its start, where the area of `FXSAVE` is too. A signal's frame holds one.
///
/// A part that the processor doesn't have, or that the kernel doesn't save, is nil. On other processors all are.
public struct ExtendedStateLayout: Sendable {
    /// Bytes 16 to 31 of registers 0 to 15 (component 2).
    public let upperHalves256: Int?
    /// The mask registers `k0` to `k7` (component 5).
    public let masks: Int?
    /// Bytes 32 to 63 of registers 0 to 15 (component 6).
    public let upperHalves512: Int?
    /// Registers 16 to 31 (component 7).
    public let registers16to31: Int?

    /// That of the processor that this runs on.
    public static let current = ExtendedStateLayout()

    private init() {
        func offset(_ component: UInt32) -> Int? {
            let value = clinux_extended_state_offset(component)
            return value == 0 ? nil : Int(value)
        }
        upperHalves256 = offset(2)
        masks = offset(5)
        upperHalves512 = offset(6)
        registers16to31 = offset(7)
    }

    /// Where bytes `8 * lane` to `8 * lane + 7` of a vector register are.
    /// - Parameters:
    ///   - register: 0 to 31.
    ///   - lane: 0 to 7.
    /// - Returns: nil if the processor doesn't have them.
    @inlinable public func offset(ofVector register: Int, lane: Int) -> Int? {
        if register >= 16 { return registers16to31.map { $0 + (register - 16) * 64 + lane * 8 } }
        switch lane {
        case 0, 1: return 160 + register * 16 + lane * 8
        case 2, 3: return upperHalves256.map { $0 + register * 16 + (lane - 2) * 8 }
        default: return upperHalves512.map { $0 + register * 32 + (lane - 4) * 8 }
        }
    }

    /// The component of the extended state that holds eight bytes of a vector register, as a bit of its header.
    @inlinable public static func component(ofVector register: Int, lane: Int) -> UInt64 {
        if register >= 16 { return 1 << 7 }
        return lane < 2 ? 1 << 1 : lane < 4 ? 1 << 2 : 1 << 6
    }
}
