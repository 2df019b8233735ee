/// An entry of the Error Information log page: 64 bytes (LID 01h; NVMe Base 2.0, Figure 206).
public struct ErrorLogEntry: BytePage {
    /// The number of bytes of the structure.
    public static let byteCount = 64
    /// The bytes, as they go over DMA.
    public var bytes: PageBytes
    /// A structure with these bytes, which the caller knows to be `byteCount` many.
    public init(unchecked bytes: PageBytes) { self.bytes = bytes }

    /// Error Count: the number of the error since the controller was made; 0 is an empty entry.
    public var errorCount: UInt64 {
        get { bytes.load(0) }
        set { bytes.store(newValue, 0) }
    }
    /// SQID: FFFFh when the error belongs to no command.
    public var submissionQueueID: UInt16 {
        get { bytes.load(8) }
        set { bytes.store(newValue, 8) }
    }
    /// CID: FFFFh when the error belongs to no command.
    public var commandID: UInt16 {
        get { bytes.load(10) }
        set { bytes.store(newValue, 10) }
    }
    /// Status Field: as in a completion, phase in bit 0.
    public var statusAndPhase: UInt16 {
        get { bytes.load(12) }
        set { bytes.store(newValue, 12) }
    }
    /// Parameter Error Location: the byte in bits 7:0, the bit in bits 10:8; FFFFh is not told.
    public var parameterLocation: UInt16 {
        get { bytes.load(14) }
        set { bytes.store(newValue, 14) }
    }
    /// LBA: the first block with the error.
    public var block: UInt64 {
        get { bytes.load(16) }
        set { bytes.store(newValue, 16) }
    }
    /// Namespace.
    public var namespaceID: UInt32 {
        get { bytes.load(24) }
        set { bytes.store(newValue, 24) }
    }
    /// Vendor Specific Information Available: a log page with more, or 0.
    public var vendorLogPage: UInt8 {
        get { bytes.load(28) }
        set { bytes.store(newValue, 28) }
    }
    /// TRTYPE: 0 is PCIe.
    public var transportType: UInt8 {
        get { bytes.load(29) }
        set { bytes.store(newValue, 29) }
    }
    /// Command Specific Information.
    public var commandSpecific: UInt64 {
        get { bytes.load(32) }
        set { bytes.store(newValue, 32) }
    }
    /// Transport Type Specific Information.
    public var transportSpecific: UInt16 {
        get { bytes.load(40) }
        set { bytes.store(newValue, 40) }
    }
    /// The status of the command.
    public var status: Status {
        get { Status(rawValue: statusAndPhase >> 1) }
        set { statusAndPhase = (statusAndPhase & 1) | newValue.rawValue << 1 }
    }
}

/// The SMART / Health Information log page: 512 bytes (LID 02h; NVMe Base 2.0, Figure 207).
public struct SMARTLog: BytePage {
    /// The number of bytes of the structure.
    public static let byteCount = 512
    /// The bytes, as they go over DMA.
    public var bytes: PageBytes
    /// A structure with these bytes, which the caller knows to be `byteCount` many.
    public init(unchecked bytes: PageBytes) { self.bytes = bytes }

    /// Critical Warning: 0 when all is well; see `CriticalWarning`.
    public var criticalWarning: UInt8 {
        get { bytes.load(0) }
        set { bytes.store(newValue, 0) }
    }
    /// Composite Temperature in kelvins.
    public var temperature: UInt16 {
        get { bytes.load(1) }
        set { bytes.store(newValue, 1) }
    }
    /// Available Spare in per cent.
    public var availableSpare: UInt8 {
        get { bytes.load(3) }
        set { bytes.store(newValue, 3) }
    }
    /// Available Spare Threshold in per cent.
    public var availableSpareThreshold: UInt8 {
        get { bytes.load(4) }
        set { bytes.store(newValue, 4) }
    }
    /// Percentage Used: may go beyond 100; 255 is the most.
    public var percentageUsed: UInt8 {
        get { bytes.load(5) }
        set { bytes.store(newValue, 5) }
    }
    /// Endurance Group Critical Warning Summary.
    public var enduranceGroupWarning: UInt8 {
        get { bytes.load(6) }
        set { bytes.store(newValue, 6) }
    }
    /// Data Units Read: thousands of 512 bytes, rounded up.
    public var dataUnitsRead: UInt128 {
        get { bytes.load(32) }
        set { bytes.store(newValue, 32) }
    }
    /// Data Units Written: thousands of 512 bytes, rounded up.
    public var dataUnitsWritten: UInt128 {
        get { bytes.load(48) }
        set { bytes.store(newValue, 48) }
    }
    /// Host Read Commands.
    public var hostReads: UInt128 {
        get { bytes.load(64) }
        set { bytes.store(newValue, 64) }
    }
    /// Host Write Commands.
    public var hostWrites: UInt128 {
        get { bytes.load(80) }
        set { bytes.store(newValue, 80) }
    }
    /// Controller Busy Time in minutes.
    public var busyMinutes: UInt128 {
        get { bytes.load(96) }
        set { bytes.store(newValue, 96) }
    }
    /// Power Cycles.
    public var powerCycles: UInt128 {
        get { bytes.load(112) }
        set { bytes.store(newValue, 112) }
    }
    /// Power On Hours.
    public var powerOnHours: UInt128 {
        get { bytes.load(128) }
        set { bytes.store(newValue, 128) }
    }
    /// Unsafe Shutdowns.
    public var unsafeShutdowns: UInt128 {
        get { bytes.load(144) }
        set { bytes.store(newValue, 144) }
    }
    /// Media and Data Integrity Errors.
    public var mediaErrors: UInt128 {
        get { bytes.load(160) }
        set { bytes.store(newValue, 160) }
    }
    /// Number of Error Information Log Entries.
    public var errorLogEntries: UInt128 {
        get { bytes.load(176) }
        set { bytes.store(newValue, 176) }
    }
    /// Warning Composite Temperature Time in minutes.
    public var warningTemperatureMinutes: UInt32 {
        get { bytes.load(192) }
        set { bytes.store(newValue, 192) }
    }
    /// Critical Composite Temperature Time in minutes.
    public var criticalTemperatureMinutes: UInt32 {
        get { bytes.load(196) }
        set { bytes.store(newValue, 196) }
    }
    /// Temperature Sensor 1 to 8 in kelvins; 0 when it isn't there.
    public func temperatureSensor(_ index: Int) -> UInt16 {
        (1...8).contains(index) ? bytes.load(198 + 2 * index) : 0
    }

    /// The bits of Critical Warning.
    public enum CriticalWarning {
        /// The spare is below its threshold.
        public static let spareLow: UInt8 = 0x01
        /// The temperature is beyond a threshold.
        public static let temperature: UInt8 = 0x02
        /// The subsystem can't be relied on any more.
        public static let degraded: UInt8 = 0x04
        /// The medium can only be read.
        public static let readOnly: UInt8 = 0x08
        /// The backup of volatile memory failed.
        public static let backupFailed: UInt8 = 0x10
    }
}

/// The Firmware Slot Information log page: 512 bytes (LID 03h; NVMe Base 2.0, Figure 208).
public struct FirmwareSlotLog: BytePage {
    /// The number of bytes of the structure.
    public static let byteCount = 512
    /// The bytes, as they go over DMA.
    public var bytes: PageBytes
    /// A structure with these bytes, which the caller knows to be `byteCount` many.
    public init(unchecked bytes: PageBytes) { self.bytes = bytes }

    /// AFI: the active slot in bits 2:0, the slot of the next reset in bits 6:4.
    public var activeInformation: UInt8 {
        get { bytes.load(0) }
        set { bytes.store(newValue, 0) }
    }
    /// The slot that runs: 1...7.
    public var activeSlot: Int { Int(activeInformation & 7) }
    /// FRS1 to FRS7: the revision in a slot; empty when there is none.
    public func revision(slot: Int) -> String {
        (1...7).contains(slot) ? bytes.text(at: 8 * slot, count: 8) : ""
    }
    /// Puts the revision of a slot of 1...7; does nothing elsewhere.
    public mutating func setRevision(_ revision: String, slot: Int) {
        guard (1...7).contains(slot) else { return }
        bytes.storeText(revision, at: 8 * slot, count: 8)
    }
}
