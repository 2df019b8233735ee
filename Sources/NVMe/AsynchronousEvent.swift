/// What the completion of an Asynchronous Event Request tells in DW0 (NVMe Base 2.0, Figure 145).
public struct AsynchronousEvent: RawRepresentable, Equatable, Sendable {
    /// The type in bits 2:0, the information in bits 15:8, the log page in bits 23:16.
    public var rawValue: UInt32
    /// An event from its 32 bits.
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    /// An event from its parts.
    public init(_ kind: Kind, information: UInt8, logPage: LogPage) {
        rawValue = UInt32(kind.rawValue) | UInt32(information) << 8 | UInt32(logPage.rawValue) << 16
    }

    /// The type of an event.
    public enum Kind: UInt8, Sendable {
        /// An error that belongs to no command.
        case error = 0
        /// The health of the controller.
        case smart = 1
        /// Something worth knowing.
        case notice = 2
        /// A type that the specification reserves.
        case reserved3 = 3
        /// A type that the specification reserves.
        case reserved4 = 4
        /// A type that the specification reserves.
        case reserved5 = 5
        /// An event of an I/O command set.
        case commandSet = 6
        /// The vendor's own.
        case vendor = 7
    }
    /// Asynchronous Event Type.
    public var kind: Kind { Kind(rawValue: UInt8(rawValue & 7)) ?? .vendor }
    /// Asynchronous Event Information.
    public var information: UInt8 { UInt8((rawValue >> 8) & 0xff) }
    /// The log page that tells more; reading it allows the next event of this type.
    public var logPage: LogPage { LogPage(rawValue: UInt8((rawValue >> 16) & 0xff)) }

    /// A doorbell of a queue that doesn't exist was written.
    public static let invalidDoorbellRegister = AsynchronousEvent(.error, information: 0, logPage: .error)
    /// A doorbell was written with a value outside of its queue.
    public static let invalidDoorbellValue = AsynchronousEvent(.error, information: 1, logPage: .error)
    /// The controller failed and needs a reset.
    public static let persistentInternalError = AsynchronousEvent(.error, information: 3, logPage: .error)
    /// The controller failed once.
    public static let transientInternalError = AsynchronousEvent(.error, information: 4, logPage: .error)
    /// The subsystem can't be relied on any more.
    public static let reliability = AsynchronousEvent(.smart, information: 0, logPage: .smart)
    /// The temperature is beyond a threshold.
    public static let temperature = AsynchronousEvent(.smart, information: 1, logPage: .smart)
    /// The spare is below its threshold.
    public static let spare = AsynchronousEvent(.smart, information: 2, logPage: .smart)
    /// Namespaces changed.
    public static let namespacesChanged = AsynchronousEvent(
        .notice, information: 0, logPage: .changedNamespaces)
    /// Firmware is about to be activated.
    public static let firmwareActivation = AsynchronousEvent(
        .notice, information: 1, logPage: .firmwareSlot)
}

/// LID: a log page (NVMe Base 2.0, Figure 202).
public struct LogPage: RawRepresentable, Equatable, Sendable {
    /// The LID byte.
    public var rawValue: UInt8
    /// A log page from its byte.
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// Supported Log Pages.
    public static let supportedLogPages = LogPage(rawValue: 0x00)
    /// Error Information: entries of `ErrorLogEntry`, the newest first.
    public static let error = LogPage(rawValue: 0x01)
    /// SMART / Health Information: `SMARTLog`.
    public static let smart = LogPage(rawValue: 0x02)
    /// Firmware Slot Information: `FirmwareSlotLog`.
    public static let firmwareSlot = LogPage(rawValue: 0x03)
    /// Changed Namespace List: `ChangedNamespaceLog`.
    public static let changedNamespaces = LogPage(rawValue: 0x04)
    /// Commands Supported and Effects: `CommandEffectsLog`.
    public static let commandEffects = LogPage(rawValue: 0x05)
    /// Device Self-test.
    public static let selfTest = LogPage(rawValue: 0x06)
    /// Telemetry Host-Initiated.
    public static let telemetryHost = LogPage(rawValue: 0x07)
    /// Telemetry Controller-Initiated.
    public static let telemetryController = LogPage(rawValue: 0x08)
    /// Asymmetric Namespace Access.
    public static let asymmetricAccess = LogPage(rawValue: 0x0c)
    /// Persistent Event Log.
    public static let persistentEvent = LogPage(rawValue: 0x0d)
    /// Sanitize Status.
    public static let sanitizeStatus = LogPage(rawValue: 0x81)
}
