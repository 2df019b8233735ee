/// A command as it lies in a submission queue: 64 bytes, every field little-endian
/// (NVMe Base 2.0, Figure 87: "Common Command Format").
///
/// The fields are stored as the machine's integers: the house supports little-endian machines only.
/// What a dword means for a particular command is told by the accessors of the extensions; each has
/// the specification's word in its comment. The command identifier and the data pointer are left to
/// the queue that sends the entry.
@frozen
public struct SubmissionEntry: Equatable, Sendable, BitwiseCopyable {
    /// CDW0 bits 7:0: the opcode; see `AdminOpcode` and `IOOpcode`.
    public var opcode: UInt8
    /// CDW0 bits 15:8: FUSE in bits 1:0, PSDT in bits 7:6.
    public var flags: UInt8
    /// CDW0 bits 31:16, CID: names the command among those in flight on its queue.
    public var commandID: UInt16
    /// NSID.
    public var namespaceID: UInt32
    /// CDW2.
    public var dword2: UInt32
    /// CDW3.
    public var dword3: UInt32
    /// MPTR: where metadata lies.
    public var metadataPointer: UInt64
    /// DPTR bits 63:0: PRP entry 1, or the first half of an SGL descriptor.
    public var prp1: UInt64
    /// DPTR bits 127:64: PRP entry 2, or the second half of an SGL descriptor.
    public var prp2: UInt64
    /// CDW10.
    public var dword10: UInt32
    /// CDW11.
    public var dword11: UInt32
    /// CDW12.
    public var dword12: UInt32
    /// CDW13.
    public var dword13: UInt32
    /// CDW14.
    public var dword14: UInt32
    /// CDW15.
    public var dword15: UInt32

    /// The bytes of an entry.
    public static let size = 64
    /// The exponent of `size`, as CC.IOSQES and Create I/O Submission Queue want it.
    public static let sizeExponent: UInt8 = 6

    /// An entry with every bit zero but the opcode and the namespace.
    @inlinable
    public init(opcode: UInt8 = 0, namespaceID: UInt32 = 0) {
        self.opcode = opcode
        flags = 0
        commandID = 0
        self.namespaceID = namespaceID
        dword2 = 0
        dword3 = 0
        metadataPointer = 0
        prp1 = 0
        prp2 = 0
        dword10 = 0
        dword11 = 0
        dword12 = 0
        dword13 = 0
        dword14 = 0
        dword15 = 0
    }

    /// An admin command.
    @inlinable
    public init(admin opcode: AdminOpcode, namespaceID: UInt32 = 0) {
        self.init(opcode: opcode.rawValue, namespaceID: namespaceID)
    }

    /// An I/O command.
    @inlinable
    public init(io opcode: IOOpcode, namespaceID: UInt32) {
        self.init(opcode: opcode.rawValue, namespaceID: namespaceID)
    }

    /// What FUSE says.
    public enum Fuse: UInt8, Sendable {
        /// A command by itself.
        case none = 0
        /// The first of a fused pair.
        case first = 1
        /// The second of a fused pair.
        case second = 2
        /// A value that the specification reserves.
        case reserved = 3
    }

    /// FUSE.
    @inlinable public var fuse: Fuse {
        get { Fuse(rawValue: flags & 3) ?? .reserved }
        set { flags = (flags & ~3) | newValue.rawValue }
    }

    /// What PSDT says about the data pointer.
    public enum DataPointerKind: UInt8, Sendable {
        /// PRP entries.
        case prp = 0
        /// An SGL; metadata, if any, is one contiguous buffer.
        case sgl = 1
        /// An SGL; metadata is told by an SGL, too.
        case sglWithMetadataSGL = 2
        /// A value that the specification reserves.
        case reserved = 3
    }

    /// PSDT.
    @inlinable public var dataPointerKind: DataPointerKind {
        get { DataPointerKind(rawValue: flags >> 6) ?? .reserved }
        set { flags = (flags & 0x3f) | newValue.rawValue << 6 }
    }

    /// Bits 5:2 of the flags byte: reserved, and to be zero.
    @inlinable public var reservedFlags: UInt8 { flags & 0x3c }

    /// DPTR as two PRP entries; sets PSDT to PRP.
    @inlinable public mutating func setPRP(_ first: UInt64, _ second: UInt64 = 0) {
        prp1 = first
        prp2 = second
        dataPointerKind = .prp
    }

    /// DPTR as an SGL descriptor; setting it sets PSDT to "SGL".
    @inlinable public var sgl: SGLDescriptor {
        get { SGLDescriptor(words: prp1, prp2) }
        set {
            prp1 = newValue.address
            prp2 = newValue.secondWord
            dataPointerKind = .sgl
        }
    }

    /// The way the command's data goes.
    @inlinable public var dataDirection: DataDirection { DataDirection(opcode: opcode) }

    /// The namespace identifier that stands for all namespaces.
    public static let allNamespaces: UInt32 = 0xffff_ffff
}
