/// The Commands Supported and Effects log page: 4096 bytes (LID 05h; NVMe Base 2.0, Figure 210).
public struct CommandEffectsLog: BytePage {
    /// The number of bytes of the structure.
    public static let byteCount = 4096
    /// The bytes, as they go over DMA.
    public var bytes: PageBytes
    /// A structure with these bytes, which the caller knows to be `byteCount` many.
    public init(unchecked bytes: PageBytes) { self.bytes = bytes }

    /// ACS: what an admin command does.
    public subscript(admin opcode: AdminOpcode) -> CommandEffects {
        get { CommandEffects(rawValue: bytes.load(4 * Int(opcode.rawValue))) }
        set { bytes.store(newValue.rawValue, 4 * Int(opcode.rawValue)) }
    }
    /// IOCS: what an I/O command does.
    public subscript(io opcode: IOOpcode) -> CommandEffects {
        get { CommandEffects(rawValue: bytes.load(1024 + 4 * Int(opcode.rawValue))) }
        set { bytes.store(newValue.rawValue, 1024 + 4 * Int(opcode.rawValue)) }
    }
}

/// What a command does beyond its job (NVMe Base 2.0, Figure 211).
public struct CommandEffects: OptionSet, Sendable {
    /// The word as it lies in the page.
    public var rawValue: UInt32
    /// Effects from their 32 bits.
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    /// CSUPP: the controller has the command.
    public static let supported = CommandEffects(rawValue: 1 << 0)
    /// LBCC: blocks may have other contents afterwards.
    public static let changesBlocks = CommandEffects(rawValue: 1 << 1)
    /// NCC: a namespace may have other capabilities afterwards.
    public static let changesNamespace = CommandEffects(rawValue: 1 << 2)
    /// NIC: there may be more or less namespaces afterwards.
    public static let changesInventory = CommandEffects(rawValue: 1 << 3)
    /// CCC: the controller may have other capabilities afterwards.
    public static let changesController = CommandEffects(rawValue: 1 << 4)
}

/// The Changed Namespace List log page: up to 1024 identifiers (LID 04h; NVMe Base 2.0, 5.16.1.5).
///
/// It has the form of a namespace list; more than 1024 changes are told as one entry FFFFFFFFh.
public typealias ChangedNamespaceLog = NamespaceList
