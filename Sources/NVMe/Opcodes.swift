/// The opcode of a command on the admin queue (NVMe Base 2.0, Figure 138).
public struct AdminOpcode: RawRepresentable, Equatable, Sendable {
    /// The opcode byte.
    public var rawValue: UInt8
    /// An opcode from its byte.
    @inlinable public init(rawValue: UInt8) { self.rawValue = rawValue }
    @inlinable init(_ rawValue: UInt8) { self.rawValue = rawValue }

    /// Delete I/O Submission Queue.
    public static let deleteSubmissionQueue = AdminOpcode(0x00)
    /// Create I/O Submission Queue.
    public static let createSubmissionQueue = AdminOpcode(0x01)
    /// Get Log Page.
    public static let getLogPage = AdminOpcode(0x02)
    /// Delete I/O Completion Queue.
    public static let deleteCompletionQueue = AdminOpcode(0x04)
    /// Create I/O Completion Queue.
    public static let createCompletionQueue = AdminOpcode(0x05)
    /// Identify.
    public static let identify = AdminOpcode(0x06)
    /// Abort.
    public static let abort = AdminOpcode(0x08)
    /// Set Features.
    public static let setFeatures = AdminOpcode(0x09)
    /// Get Features.
    public static let getFeatures = AdminOpcode(0x0a)
    /// Asynchronous Event Request.
    public static let asynchronousEventRequest = AdminOpcode(0x0c)
    /// Namespace Management.
    public static let namespaceManagement = AdminOpcode(0x0d)
    /// Firmware Commit.
    public static let firmwareCommit = AdminOpcode(0x10)
    /// Firmware Image Download.
    public static let firmwareDownload = AdminOpcode(0x11)
    /// Device Self-test.
    public static let deviceSelfTest = AdminOpcode(0x14)
    /// Namespace Attachment.
    public static let namespaceAttachment = AdminOpcode(0x15)
    /// Keep Alive.
    public static let keepAlive = AdminOpcode(0x18)
    /// Directive Send.
    public static let directiveSend = AdminOpcode(0x19)
    /// Directive Receive.
    public static let directiveReceive = AdminOpcode(0x1a)
    /// Virtualization Management.
    public static let virtualizationManagement = AdminOpcode(0x1c)
    /// NVMe-MI Send.
    public static let managementSend = AdminOpcode(0x1d)
    /// NVMe-MI Receive.
    public static let managementReceive = AdminOpcode(0x1e)
    /// Capacity Management.
    public static let capacityManagement = AdminOpcode(0x20)
    /// Lockdown.
    public static let lockdown = AdminOpcode(0x24)
    /// Doorbell Buffer Config.
    public static let doorbellBufferConfig = AdminOpcode(0x7c)
    /// Fabrics commands.
    public static let fabrics = AdminOpcode(0x7f)
    /// Format NVM.
    public static let formatNVM = AdminOpcode(0x80)
    /// Security Send.
    public static let securitySend = AdminOpcode(0x81)
    /// Security Receive.
    public static let securityReceive = AdminOpcode(0x82)
    /// Sanitize.
    public static let sanitize = AdminOpcode(0x84)
    /// Get LBA Status.
    public static let getLBAStatus = AdminOpcode(0x86)
}

/// The opcode of a command on an I/O queue (NVMe Base 2.0, Figure 390; NVM Command Set 1.0, Figure 21).
public struct IOOpcode: RawRepresentable, Equatable, Sendable {
    /// The opcode byte.
    public var rawValue: UInt8
    /// An opcode from its byte.
    @inlinable public init(rawValue: UInt8) { self.rawValue = rawValue }
    @inlinable init(_ rawValue: UInt8) { self.rawValue = rawValue }

    /// Flush.
    public static let flush = IOOpcode(0x00)
    /// Write.
    public static let write = IOOpcode(0x01)
    /// Read.
    public static let read = IOOpcode(0x02)
    /// Write Uncorrectable.
    public static let writeUncorrectable = IOOpcode(0x04)
    /// Compare.
    public static let compare = IOOpcode(0x05)
    /// Write Zeroes.
    public static let writeZeroes = IOOpcode(0x08)
    /// Dataset Management.
    public static let datasetManagement = IOOpcode(0x09)
    /// Verify.
    public static let verify = IOOpcode(0x0c)
    /// Reservation Register.
    public static let reservationRegister = IOOpcode(0x0d)
    /// Reservation Report.
    public static let reservationReport = IOOpcode(0x0e)
    /// Reservation Acquire.
    public static let reservationAcquire = IOOpcode(0x11)
    /// Reservation Release.
    public static let reservationRelease = IOOpcode(0x15)
    /// Copy.
    public static let copy = IOOpcode(0x19)
}

/// The way data of a command goes, as bits 1:0 of its opcode say (NVMe Base 2.0, Figure 138).
public enum DataDirection: UInt8, Sendable {
    /// No data.
    case none = 0
    /// From the host to the controller.
    case hostToController = 1
    /// From the controller to the host.
    case controllerToHost = 2
    /// Both ways.
    case bidirectional = 3

    /// The direction an opcode byte stands for.
    public init(opcode: UInt8) {
        switch opcode & 3 {
        case 0: self = .none
        case 1: self = .hostToController
        case 2: self = .controllerToHost
        default: self = .bidirectional
        }
    }
}
