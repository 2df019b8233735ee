/// FID: a feature (NVMe Base 2.0, Figure 317).
public struct Feature: RawRepresentable, Equatable, Sendable {
    /// The FID byte.
    public var rawValue: UInt8
    /// A feature from its byte.
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// Arbitration.
    public static let arbitration = Feature(rawValue: 0x01)
    /// Power Management.
    public static let powerManagement = Feature(rawValue: 0x02)
    /// LBA Range Type.
    public static let lbaRangeType = Feature(rawValue: 0x03)
    /// Temperature Threshold.
    public static let temperatureThreshold = Feature(rawValue: 0x04)
    /// Error Recovery.
    public static let errorRecovery = Feature(rawValue: 0x05)
    /// Volatile Write Cache: bit 0, it is enabled.
    public static let volatileWriteCache = Feature(rawValue: 0x06)
    /// Number of Queues; see `QueueCounts`.
    public static let numberOfQueues = Feature(rawValue: 0x07)
    /// Interrupt Coalescing.
    public static let interruptCoalescing = Feature(rawValue: 0x08)
    /// Interrupt Vector Configuration.
    public static let interruptVectorConfiguration = Feature(rawValue: 0x09)
    /// Write Atomicity Normal.
    public static let writeAtomicity = Feature(rawValue: 0x0a)
    /// Asynchronous Event Configuration; see `AsynchronousEventConfiguration`.
    public static let asynchronousEventConfiguration = Feature(rawValue: 0x0b)
    /// Autonomous Power State Transition.
    public static let autonomousPowerStateTransition = Feature(rawValue: 0x0c)
    /// Host Memory Buffer.
    public static let hostMemoryBuffer = Feature(rawValue: 0x0d)
    /// Timestamp: 8 bytes of data.
    public static let timestamp = Feature(rawValue: 0x0e)
    /// Keep Alive Timer.
    public static let keepAliveTimer = Feature(rawValue: 0x0f)
    /// Host Controlled Thermal Management.
    public static let thermalManagement = Feature(rawValue: 0x10)
    /// Non-Operational Power State Config.
    public static let nonOperationalPowerState = Feature(rawValue: 0x11)
    /// Host Behavior Support: 512 bytes of data.
    public static let hostBehaviorSupport = Feature(rawValue: 0x16)
    /// I/O Command Set Profile.
    public static let commandSetProfile = Feature(rawValue: 0x19)
    /// Software Progress Marker.
    public static let softwareProgressMarker = Feature(rawValue: 0x80)
    /// Host Identifier.
    public static let hostIdentifier = Feature(rawValue: 0x81)
    /// Namespace Write Protection Config.
    public static let namespaceWriteProtection = Feature(rawValue: 0x84)
}

/// SEL: which value of a feature Get Features asks for (NVMe Base 2.0, Figure 190).
public enum FeatureSelect: UInt8, Sendable {
    /// The value in use.
    case current = 0
    /// The value after a reset when nothing has been saved.
    case defaultValue = 1
    /// The saved value.
    case saved = 2
    /// What can be done with the feature; see `FeatureCapabilities`.
    case capabilities = 3
}

/// What Get Features tells for `FeatureSelect.capabilities`.
public struct FeatureCapabilities: OptionSet, Sendable {
    /// The result's bits.
    public var rawValue: UInt32
    /// Capabilities from their 32 bits.
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    /// The value can be saved.
    public static let saveable = FeatureCapabilities(rawValue: 1)
    /// Each namespace has its own value.
    public static let namespaceSpecific = FeatureCapabilities(rawValue: 2)
    /// The value can be changed.
    public static let changeable = FeatureCapabilities(rawValue: 4)
}

/// Number of Queues, in CDW11 and in the result (NVMe Base 2.0, 5.27.1.6).
public struct QueueCounts: RawRepresentable, Equatable, Sendable {
    /// NSQR or NSQA in bits 15:0, NCQR or NCQA in bits 31:16, each one less than the count.
    public var rawValue: UInt32
    /// Counts from their 32 bits.
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    /// Counts of 1...65535 I/O queues.
    public init(submission: Int, completion: Int) {
        let low = UInt32(UInt16(truncatingIfNeeded: max(submission, 1) - 1))
        let high = UInt32(UInt16(truncatingIfNeeded: max(completion, 1) - 1))
        rawValue = low | high << 16
    }
    /// The I/O submission queues.
    public var submission: Int { Int(rawValue & 0xffff) + 1 }
    /// The I/O completion queues.
    public var completion: Int { Int(rawValue >> 16) + 1 }
}

/// Asynchronous Event Configuration, and OAES of Identify Controller (NVMe Base 2.0, 5.27.1.8).
public struct AsynchronousEventConfiguration: OptionSet, Sendable {
    /// The feature's value.
    public var rawValue: UInt32
    /// A configuration from its 32 bits.
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    /// SMART critical warnings, bits 7:0.
    public static let criticalWarnings = AsynchronousEventConfiguration(rawValue: 0xff)
    /// Namespace Attribute Notices.
    public static let namespaceAttributes = AsynchronousEventConfiguration(rawValue: 1 << 8)
    /// Firmware Activation Notices.
    public static let firmwareActivation = AsynchronousEventConfiguration(rawValue: 1 << 9)
}
