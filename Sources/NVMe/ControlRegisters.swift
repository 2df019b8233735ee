/// CC: how the host wants the controller to work (NVMe Base 2.0, 3.1.3.5).
public struct ControllerConfiguration: RawRepresentable, Equatable, Sendable {
    /// The register as read or written.
    public var rawValue: UInt32
    /// The register from its 32 bits.
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// What SHN asks for.
    public enum ShutdownNotification: UInt8, Sendable {
        /// No notification.
        case none = 0
        /// A normal shutdown: the controller brings everything to a safe place.
        case normal = 1
        /// An abrupt shutdown: power is about to go.
        case abrupt = 2
        /// A value that the specification reserves.
        case reserved = 3
    }

    /// EN: the controller works on commands.
    public var isEnabled: Bool {
        get { bits(0, 0) != 0 }
        set { setBits(0, 0, newValue ? 1 : 0) }
    }
    /// CSS: 000b the NVM command set, 110b all supported command sets, 111b admin commands only.
    public var commandSet: UInt8 {
        get { UInt8(bits(6, 4)) }
        set { setBits(6, 4, UInt32(newValue)) }
    }
    /// MPS: the host's page is 2 ^ (12 + this) bytes.
    public var pageSizeExponent: UInt8 {
        get { UInt8(bits(10, 7)) }
        set { setBits(10, 7, UInt32(newValue)) }
    }
    /// The host's page in bytes.
    public var pageSize: Int { 4096 << Int(pageSizeExponent) }
    /// AMS: 000b round robin, 001b weighted round robin with urgent, 111b vendor's own.
    public var arbitrationMechanism: UInt8 {
        get { UInt8(bits(13, 11)) }
        set { setBits(13, 11, UInt32(newValue)) }
    }
    /// SHN: the host says that it is going to shut down.
    public var shutdownNotification: ShutdownNotification {
        get { ShutdownNotification(rawValue: UInt8(bits(15, 14))) ?? .reserved }
        set { setBits(15, 14, UInt32(newValue.rawValue)) }
    }
    /// IOSQES: an I/O submission entry is 2 ^ this bytes; 6 for the NVM command set.
    public var submissionEntrySizeExponent: UInt8 {
        get { UInt8(bits(19, 16)) }
        set { setBits(19, 16, UInt32(newValue)) }
    }
    /// IOCQES: an I/O completion entry is 2 ^ this bytes; 4 for the NVM command set.
    public var completionEntrySizeExponent: UInt8 {
        get { UInt8(bits(23, 20)) }
        set { setBits(23, 20, UInt32(newValue)) }
    }
    /// The bits of CC that have a meaning up to NVMe 2.0 (CRIME, bit 24, included).
    public static let writableMask: UInt32 = 0x01ff_fff1

    private func bits(_ high: UInt32, _ low: UInt32) -> UInt32 {
        (rawValue >> low) & ((1 << (high - low + 1)) - 1)
    }
    private mutating func setBits(_ high: UInt32, _ low: UInt32, _ value: UInt32) {
        let mask: UInt32 = ((1 << (high - low + 1)) - 1) << low
        rawValue = (rawValue & ~mask) | ((value << low) & mask)
    }
}

/// CSTS: how the controller is (NVMe Base 2.0, 3.1.3.6).
public struct ControllerStatus: RawRepresentable, Equatable, Sendable {
    /// The register as read.
    public var rawValue: UInt32
    /// The register from its 32 bits.
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// What SHST says.
    public enum Shutdown: UInt8, Sendable {
        /// Normal operation, no shutdown asked for.
        case normal = 0
        /// Shutdown is under way.
        case occurring = 1
        /// Shutdown is complete: power may go.
        case complete = 2
        /// A value that the specification reserves.
        case reserved = 3
    }

    /// RDY: the controller takes commands.
    public var isReady: Bool {
        get { rawValue & 1 != 0 }
        set { rawValue = (rawValue & ~1) | (newValue ? 1 : 0) }
    }
    /// CFS: a fatal error that could not be told through a completion queue.
    public var isFatal: Bool {
        get { rawValue & 2 != 0 }
        set { rawValue = (rawValue & ~2) | (newValue ? 2 : 0) }
    }
    /// SHST: how far a shutdown is.
    public var shutdown: Shutdown {
        get { Shutdown(rawValue: UInt8((rawValue >> 2) & 3)) ?? .reserved }
        set { rawValue = (rawValue & ~0xc) | UInt32(newValue.rawValue) << 2 }
    }
    /// NSSRO: an NVM subsystem reset happened; written 1 to clear.
    public var subsystemResetOccurred: Bool {
        get { rawValue & 0x10 != 0 }
        set { rawValue = (rawValue & ~0x10) | (newValue ? 0x10 : 0) }
    }
    /// PP: command processing is paused.
    public var isProcessingPaused: Bool {
        get { rawValue & 0x20 != 0 }
        set { rawValue = (rawValue & ~0x20) | (newValue ? 0x20 : 0) }
    }
    /// All bits one: what a read gives when the device is gone.
    public var isGone: Bool { rawValue == 0xffff_ffff }
}

/// AQA: the sizes of the admin queues (NVMe Base 2.0, 3.1.3.8).
public struct AdminQueueAttributes: RawRepresentable, Equatable, Sendable {
    /// The register as read or written.
    public var rawValue: UInt32
    /// The register from its 32 bits.
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    /// The register for queues of this many entries, 2...4096 each; larger numbers are cut.
    public init(submissionEntries: Int, completionEntries: Int) {
        let submission = UInt32(truncatingIfNeeded: max(submissionEntries, 1) - 1) & 0xfff
        let completion = UInt32(truncatingIfNeeded: max(completionEntries, 1) - 1) & 0xfff
        rawValue = completion << 16 | submission
    }
    /// ASQS + 1: the entries of the admin submission queue; valid from 2 to 4096.
    public var submissionEntries: Int { Int(rawValue & 0xfff) + 1 }
    /// ACQS + 1: the entries of the admin completion queue; valid from 2 to 4096.
    public var completionEntries: Int { Int((rawValue >> 16) & 0xfff) + 1 }
    /// The bits that have a meaning.
    public static let writableMask: UInt32 = 0x0fff_0fff
}

/// CMBLOC: where the controller memory buffer lies (NVMe Base 2.0, 3.1.3.11).
public struct MemoryBufferLocation: RawRepresentable, Equatable, Sendable {
    /// The register as read.
    public var rawValue: UInt32
    /// The register from its 32 bits.
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    /// BIR: the BAR that holds the buffer.
    public var bar: UInt8 { UInt8(rawValue & 7) }
    /// OFST: the offset in that BAR, in units of `MemoryBufferSize.unit`.
    public var offset: UInt32 { rawValue >> 12 }
}

/// CMBSZ: how large the controller memory buffer is and what it may hold (NVMe Base 2.0, 3.1.3.12).
public struct MemoryBufferSize: RawRepresentable, Equatable, Sendable {
    /// The register as read.
    public var rawValue: UInt32
    /// The register from its 32 bits.
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    /// SQS: submission queues may lie in the buffer.
    public var allowsSubmissionQueues: Bool { rawValue & 1 != 0 }
    /// CQS: completion queues may lie in the buffer.
    public var allowsCompletionQueues: Bool { rawValue & 2 != 0 }
    /// LISTS: PRP lists and SGL segments may lie in the buffer.
    public var allowsLists: Bool { rawValue & 4 != 0 }
    /// RDS: data of commands that move data to the host may lie in the buffer.
    public var allowsReadData: Bool { rawValue & 8 != 0 }
    /// WDS: data of commands that move data from the host may lie in the buffer.
    public var allowsWriteData: Bool { rawValue & 16 != 0 }
    /// SZU: the unit in bytes, 4 KiB × 16 ^ SZU; nil for a reserved value.
    public var unit: UInt64? {
        let exponent = UInt64((rawValue >> 8) & 0xf)
        return exponent <= 6 ? 4096 << (4 * exponent) : nil
    }
    /// SZ: the size in units.
    public var units: UInt32 { rawValue >> 12 }
    /// The size in bytes; nil for a reserved unit.
    public var bytes: UInt64? { unit.map { $0 * UInt64(units) } }
}
