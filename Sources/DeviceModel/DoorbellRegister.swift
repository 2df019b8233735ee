/// A register whose writes may come as a signal of an eventfd, with no message and nobody to wait for: what a driver
/// rings to say that there is work.
///
/// Rings may be lost in later ones: a host carries out one write for any number of them. They may also come later than
/// reads that were made after them.
public struct DoorbellRegister: Sendable, Equatable {
    /// What is known of the value when the register is rung.
    public enum Value: Sendable, Equatable {
        /// Only writes of this value ring; others come as ever.
        case only(UInt64)
        /// Any value rings, and the model is told 0: it must not matter to it.
        case any
        /// Any value rings, and the model is told the latest, which a host finds in memory that is shared with
        /// the driver.
        case latest
    }

    /// Which BAR, 0...5.
    public let bar: Int
    /// Bytes from its beginning; a multiple of the width.
    public let offset: UInt64
    /// The width of writes: 1, 2, 4 or 8 bytes.
    public let width: Int
    /// What is known of the value.
    public let value: Value

    /// Describes a register that can be rung.
    /// - Precondition: the width is one that a register has, and the offset a multiple of it.
    public init(bar: Int, offset: UInt64, width: Int, value: Value) {
        precondition([1, 2, 4, 8].contains(width) && offset % UInt64(width) == 0, "no register")
        self.bar = bar
        self.offset = offset
        self.width = width
        self.value = value
    }
}
