/// A scatter gather list descriptor: 16 bytes, little-endian (NVMe Base 2.0, 4.1.2).
@frozen
public struct SGLDescriptor: Equatable, Sendable, BitwiseCopyable {
    /// The address of the data or of the next segment.
    public var address: UInt64
    /// The length in bytes of the data or of the next segment.
    public var length: UInt32
    /// Reserved bytes 12...14.
    public var reserved0: UInt8
    /// Reserved bytes 12...14.
    public var reserved1: UInt8
    /// Reserved bytes 12...14.
    public var reserved2: UInt8
    /// SGL identifier: type in bits 7:4, sub type in bits 3:0.
    public var identifier: UInt8

    /// The bytes of a descriptor.
    public static let size = 16

    /// What a descriptor stands for.
    @frozen
    public enum Kind: UInt8, Sendable {
        /// Data to be moved.
        case dataBlock = 0
        /// Data from the controller that is thrown away.
        case bitBucket = 1
        /// The next segment, which has a segment descriptor at its end.
        case segment = 2
        /// The next segment, which is the last.
        case lastSegment = 3
        /// A keyed data block; fabrics only.
        case keyedDataBlock = 4
        /// A data block of the transport.
        case transportDataBlock = 5
        /// The vendor's own.
        case vendor = 0xf
    }

    /// A descriptor with the sub type "address".
    @inlinable
    public init(_ kind: Kind, address: UInt64, length: UInt32) {
        self.address = address
        self.length = length
        reserved0 = 0
        reserved1 = 0
        reserved2 = 0
        identifier = kind.rawValue << 4
    }

    /// A descriptor from its two 64-bit halves, as they lie in a command's DPTR.
    @inlinable
    public init(words first: UInt64, _ second: UInt64) {
        address = first
        length = UInt32(truncatingIfNeeded: second)
        reserved0 = UInt8(truncatingIfNeeded: second >> 32)
        reserved1 = UInt8(truncatingIfNeeded: second >> 40)
        reserved2 = UInt8(truncatingIfNeeded: second >> 48)
        identifier = UInt8(truncatingIfNeeded: second >> 56)
    }

    /// The second 64-bit half; the first is `address`.
    @inlinable public var secondWord: UInt64 {
        UInt64(length) | UInt64(reserved0) << 32 | UInt64(reserved1) << 40 | UInt64(reserved2) << 48
            | UInt64(identifier) << 56
    }

    /// The type; nil for a value that the specification reserves.
    @inlinable public var kind: Kind? { Kind(rawValue: identifier >> 4) }
    /// The sub type: 0 address, 1 offset, 0xA transport's own.
    @inlinable public var subtype: UInt8 { identifier & 0xf }
}
