/// Identify Controller: 4096 bytes (CNS 01h; NVMe Base 2.0, Figure 275).
public struct IdentifyController: BytePage {
    /// The number of bytes of the structure.
    public static let byteCount = 4096
    /// The bytes, as they go over DMA.
    public var bytes: PageBytes
    /// A structure with these bytes, which the caller knows to be `byteCount` many.
    public init(unchecked bytes: PageBytes) { self.bytes = bytes }

    /// VID: the PCI vendor.
    public var vendorID: UInt16 {
        get { bytes.load(0) }
        set { bytes.store(newValue, 0) }
    }
    /// SSVID: the PCI subsystem vendor.
    public var subsystemVendorID: UInt16 {
        get { bytes.load(2) }
        set { bytes.store(newValue, 2) }
    }
    /// SN: 20 ASCII characters, without the spaces at their end.
    public var serialNumber: String {
        get { bytes.text(at: 4, count: 20) }
        set { bytes.storeText(newValue, at: 4, count: 20) }
    }
    /// MN: 40 ASCII characters, without the spaces at their end.
    public var modelNumber: String {
        get { bytes.text(at: 24, count: 40) }
        set { bytes.storeText(newValue, at: 24, count: 40) }
    }
    /// FR: 8 ASCII characters, without the spaces at their end.
    public var firmwareRevision: String {
        get { bytes.text(at: 64, count: 8) }
        set { bytes.storeText(newValue, at: 64, count: 8) }
    }
    /// RAB: 2 ^ this commands at a time suit the controller.
    public var recommendedArbitrationBurst: UInt8 {
        get { bytes.load(72) }
        set { bytes.store(newValue, 72) }
    }
    /// IEEE: the vendor's organizationally unique identifier, 24 bits.
    public var organization: UInt32 {
        get { UInt32(bytes.load(73, as: UInt16.self)) | UInt32(bytes.load(75, as: UInt8.self)) << 16 }
        set {
            bytes.store(UInt16(truncatingIfNeeded: newValue), 73)
            bytes.store(UInt8(truncatingIfNeeded: newValue >> 16), 75)
        }
    }
    /// CMIC: bit 0 more than one port, bit 1 more than one controller, bit 3 asymmetric access.
    public var multipathCapabilities: UInt8 {
        get { bytes.load(76) }
        set { bytes.store(newValue, 76) }
    }
    /// MDTS: the most data of a command is 2 ^ this pages of CAP.MPSMIN; 0 is no limit.
    public var maximumTransferExponent: UInt8 {
        get { bytes.load(77) }
        set { bytes.store(newValue, 77) }
    }
    /// CNTLID: the controller's identifier in its subsystem.
    public var controllerID: UInt16 {
        get { bytes.load(78) }
        set { bytes.store(newValue, 78) }
    }
    /// VER: the version of the specification the controller follows.
    public var version: Version {
        get { Version(rawValue: bytes.load(80)) }
        set { bytes.store(newValue.rawValue, 80) }
    }
    /// RTD3R: microseconds to come back from D3; 0 is not told.
    public var resumeLatency: UInt32 {
        get { bytes.load(84) }
        set { bytes.store(newValue, 84) }
    }
    /// RTD3E: microseconds a shutdown may take; 0 is not told.
    public var entryLatency: UInt32 {
        get { bytes.load(88) }
        set { bytes.store(newValue, 88) }
    }
    /// OAES: the optional asynchronous events; bits as `AsynchronousEventConfiguration`.
    public var optionalEvents: UInt32 {
        get { bytes.load(92) }
        set { bytes.store(newValue, 92) }
    }
    /// CTRATT: bit 0 128-bit host identifiers, bit 4 endurance groups, and so on.
    public var controllerAttributes: UInt32 {
        get { bytes.load(96) }
        set { bytes.store(newValue, 96) }
    }
    /// CNTRLTYPE: 1 I/O controller, 2 discovery, 3 administrative; 0 is not told.
    public var controllerType: UInt8 {
        get { bytes.load(111) }
        set { bytes.store(newValue, 111) }
    }
    /// CRDT1: the delay of `Status.retryDelay` 1, in units of 100 ms.
    public var retryDelay1: UInt16 {
        get { bytes.load(128) }
        set { bytes.store(newValue, 128) }
    }
    /// CRDT2: the delay of `Status.retryDelay` 2, in units of 100 ms.
    public var retryDelay2: UInt16 {
        get { bytes.load(130) }
        set { bytes.store(newValue, 130) }
    }
    /// CRDT3: the delay of `Status.retryDelay` 3, in units of 100 ms.
    public var retryDelay3: UInt16 {
        get { bytes.load(132) }
        set { bytes.store(newValue, 132) }
    }
    /// OACS: the optional admin commands; see the flags below.
    public var optionalAdminCommands: UInt16 {
        get { bytes.load(256) }
        set { bytes.store(newValue, 256) }
    }
    /// ACL: one less than the Abort commands that may be in flight.
    public var abortLimitZeroBased: UInt8 {
        get { bytes.load(258) }
        set { bytes.store(newValue, 258) }
    }
    /// AERL: one less than the event requests that may wait.
    public var eventRequestLimitZeroBased: UInt8 {
        get { bytes.load(259) }
        set { bytes.store(newValue, 259) }
    }
    /// FRMW: bit 0 slot 1 is read only, bits 3:1 slots, bit 4 activation without reset.
    public var firmwareUpdates: UInt8 {
        get { bytes.load(260) }
        set { bytes.store(newValue, 260) }
    }
    /// LPA: bit 0 SMART per namespace, bit 1 commands and effects, bit 2 offsets in log pages.
    public var logPageAttributes: UInt8 {
        get { bytes.load(261) }
        set { bytes.store(newValue, 261) }
    }
    /// ELPE: one less than the entries of the error log.
    public var errorLogEntriesZeroBased: UInt8 {
        get { bytes.load(262) }
        set { bytes.store(newValue, 262) }
    }
    /// NPSS: one less than the power states.
    public var powerStatesZeroBased: UInt8 {
        get { bytes.load(263) }
        set { bytes.store(newValue, 263) }
    }
    /// AVSCC: bit 0, the vendor's admin commands have the standard format.
    public var vendorAdminFormat: UInt8 {
        get { bytes.load(264) }
        set { bytes.store(newValue, 264) }
    }
    /// APSTA: bit 0, the controller changes power states by itself.
    public var autonomousPowerStates: UInt8 {
        get { bytes.load(265) }
        set { bytes.store(newValue, 265) }
    }
    /// WCTEMP: kelvins from which the controller is too warm; 0 is not told.
    public var warningTemperature: UInt16 {
        get { bytes.load(266) }
        set { bytes.store(newValue, 266) }
    }
    /// CCTEMP: kelvins from which the controller is in danger; 0 is not told.
    public var criticalTemperature: UInt16 {
        get { bytes.load(268) }
        set { bytes.store(newValue, 268) }
    }
    /// MTFA: the longest pause when firmware is activated, in units of 100 ms.
    public var firmwareActivationTime: UInt16 {
        get { bytes.load(270) }
        set { bytes.store(newValue, 270) }
    }
    /// HMPRE: the host memory the controller would like, in units of 4 KiB.
    public var hostMemoryPreferred: UInt32 {
        get { bytes.load(272) }
        set { bytes.store(newValue, 272) }
    }
    /// HMMIN: the least host memory of use to the controller, in units of 4 KiB.
    public var hostMemoryMinimum: UInt32 {
        get { bytes.load(276) }
        set { bytes.store(newValue, 276) }
    }
    /// TNVMCAP: the bytes of the medium; 0 is not told.
    public var totalCapacity: UInt128 {
        get { bytes.load(280) }
        set { bytes.store(newValue, 280) }
    }
    /// UNVMCAP: the bytes of the medium that no namespace has.
    public var unallocatedCapacity: UInt128 {
        get { bytes.load(296) }
        set { bytes.store(newValue, 296) }
    }
    /// KAS: the unit of the keep alive time in 100 ms; 0 is no keep alive.
    public var keepAliveGranularity: UInt16 {
        get { bytes.load(320) }
        set { bytes.store(newValue, 320) }
    }
    /// SANICAP: what Sanitize can do.
    public var sanitizeCapabilities: UInt32 {
        get { bytes.load(328) }
        set { bytes.store(newValue, 328) }
    }
    /// SQES: smallest (bits 3:0) and largest (bits 7:4) submission entry, as exponents of two.
    public var submissionEntrySize: UInt8 {
        get { bytes.load(512) }
        set { bytes.store(newValue, 512) }
    }
    /// CQES: smallest (bits 3:0) and largest (bits 7:4) completion entry, as exponents of two.
    public var completionEntrySize: UInt8 {
        get { bytes.load(513) }
        set { bytes.store(newValue, 513) }
    }
    /// MAXCMD: the most commands of a queue in flight; 0 is not told.
    public var maximumCommands: UInt16 {
        get { bytes.load(514) }
        set { bytes.store(newValue, 514) }
    }
    /// NN: the largest valid namespace identifier.
    public var namespaceCount: UInt32 {
        get { bytes.load(516) }
        set { bytes.store(newValue, 516) }
    }
    /// ONCS: the optional I/O commands; see the flags below.
    public var optionalIOCommands: UInt16 {
        get { bytes.load(520) }
        set { bytes.store(newValue, 520) }
    }
    /// FUSES: bit 0, Compare and Write can be fused.
    public var fusedOperations: UInt16 {
        get { bytes.load(522) }
        set { bytes.store(newValue, 522) }
    }
    /// FNA: bits 0 and 1, Format and erase touch all namespaces; bit 2 cryptographic erase.
    public var formatAttributes: UInt8 {
        get { bytes.load(524) }
        set { bytes.store(newValue, 524) }
    }
    /// VWC: bit 0 a volatile write cache is there, bits 2:1 whether Flush takes all namespaces.
    public var volatileWriteCache: UInt8 {
        get { bytes.load(525) }
        set { bytes.store(newValue, 525) }
    }
    /// AWUN: one less than the blocks that are written atomically.
    public var atomicWriteUnitZeroBased: UInt16 {
        get { bytes.load(526) }
        set { bytes.store(newValue, 526) }
    }
    /// AWUPF: one less than the blocks written atomically when power fails.
    public var atomicWriteUnitPowerFailZeroBased: UInt16 {
        get { bytes.load(528) }
        set { bytes.store(newValue, 528) }
    }
    /// ICSVSCC: bit 0, the vendor's I/O commands have the standard format.
    public var vendorIOFormat: UInt8 {
        get { bytes.load(530) }
        set { bytes.store(newValue, 530) }
    }
    /// NWPC: what write protection of namespaces can do.
    public var writeProtection: UInt8 {
        get { bytes.load(531) }
        set { bytes.store(newValue, 531) }
    }
    /// SGLS: see `sglAlignment` and the bits of Figure 275.
    public var sglSupport: UInt32 {
        get { bytes.load(536) }
        set { bytes.store(newValue, 536) }
    }
    /// MNAN: the most namespaces at one time; 0 is `namespaceCount`.
    public var maximumAllowedNamespaces: UInt32 {
        get { bytes.load(540) }
        set { bytes.store(newValue, 540) }
    }
    /// SUBNQN: the subsystem's NVMe qualified name.
    public var subsystemName: String {
        get { bytes.text(at: 768, count: 256) }
        set { bytes.storeText(newValue, at: 768, count: 256, fill: 0) }
    }
    /// PSD0 to PSD31: a power state; nil from `powerStatesZeroBased` + 1 on.
    public func powerState(_ index: Int) -> PowerState? {
        guard index >= 0, index <= Int(powerStatesZeroBased), index < 32 else { return nil }
        return PowerState(bytes.bytes(at: 2048 + 32 * index, count: 32))
    }
    /// Puts a power state at an index of 0...31; does nothing elsewhere.
    public mutating func setPowerState(_ index: Int, _ state: PowerState) {
        guard (0..<32).contains(index) else { return }
        bytes.store(state.bytes.array, at: 2048 + 32 * index)
    }

    /// The most data of a command in bytes, for the smallest page the controller has; nil without limit.
    public func maximumTransferBytes(minimumPageSize: Int) -> Int? {
        let exponent = Int(maximumTransferExponent)
        guard exponent > 0, exponent < 32 else { return nil }
        return minimumPageSize << exponent
    }
    /// ACL + 1: the Abort commands that may be in flight.
    public var abortLimit: Int { Int(abortLimitZeroBased) + 1 }
    /// AERL + 1: the event requests that may wait.
    public var eventRequestLimit: Int { Int(eventRequestLimitZeroBased) + 1 }
    /// ELPE + 1: the entries of the error log.
    public var errorLogEntries: Int { Int(errorLogEntriesZeroBased) + 1 }
    /// FRMW bits 3:1: the firmware slots.
    public var firmwareSlots: Int { Int((firmwareUpdates >> 1) & 7) }

    /// What SGLS bits 1:0 say about SGLs.
    public enum SGLAlignment: UInt8, Sendable {
        /// The controller takes no SGLs.
        case unsupported = 0
        /// Data blocks may have any alignment.
        case any = 1
        /// Data blocks have to be aligned to four bytes, in address and length.
        case dword = 2
        /// A value that the specification reserves.
        case reserved = 3
    }
    /// SGLS bits 1:0.
    public var sglAlignment: SGLAlignment { SGLAlignment(rawValue: UInt8(sglSupport & 3)) ?? .reserved }
    /// OACS bit 0: Security Send and Receive.
    public var supportsSecurity: Bool { optionalAdminCommands & 0x1 != 0 }
    /// OACS bit 1: Format NVM.
    public var supportsFormat: Bool { optionalAdminCommands & 0x2 != 0 }
    /// OACS bit 2: Firmware Commit and Image Download.
    public var supportsFirmware: Bool { optionalAdminCommands & 0x4 != 0 }
    /// OACS bit 3: Namespace Management and Attachment.
    public var supportsNamespaceManagement: Bool { optionalAdminCommands & 0x8 != 0 }
    /// OACS bit 4: Device Self-test.
    public var supportsSelfTest: Bool { optionalAdminCommands & 0x10 != 0 }
    /// OACS bit 5: Directive Send and Receive.
    public var supportsDirectives: Bool { optionalAdminCommands & 0x20 != 0 }
    /// OACS bit 8: Doorbell Buffer Config.
    public var supportsDoorbellBuffer: Bool { optionalAdminCommands & 0x100 != 0 }
    /// ONCS bit 0: Compare.
    public var supportsCompare: Bool { optionalIOCommands & 0x1 != 0 }
    /// ONCS bit 1: Write Uncorrectable.
    public var supportsWriteUncorrectable: Bool { optionalIOCommands & 0x2 != 0 }
    /// ONCS bit 2: Dataset Management.
    public var supportsDatasetManagement: Bool { optionalIOCommands & 0x4 != 0 }
    /// ONCS bit 3: Write Zeroes.
    public var supportsWriteZeroes: Bool { optionalIOCommands & 0x8 != 0 }
    /// ONCS bit 4: saving and selecting in the feature commands.
    public var supportsFeatureSelect: Bool { optionalIOCommands & 0x10 != 0 }
    /// ONCS bit 5: reservations.
    public var supportsReservations: Bool { optionalIOCommands & 0x20 != 0 }
    /// ONCS bit 6: the timestamp feature.
    public var supportsTimestamp: Bool { optionalIOCommands & 0x40 != 0 }
    /// ONCS bit 7: Verify.
    public var supportsVerify: Bool { optionalIOCommands & 0x80 != 0 }
    /// ONCS bit 8: Copy.
    public var supportsCopy: Bool { optionalIOCommands & 0x100 != 0 }
    /// VWC bit 0: a volatile write cache is there.
    public var hasVolatileWriteCache: Bool { volatileWriteCache & 0x1 != 0 }
    /// VWC bits 2:1 are 11b: Flush takes the identifier of all namespaces.
    public var flushTakesAllNamespaces: Bool { volatileWriteCache & 6 == 6 }
}

/// A power state of Identify Controller: 32 bytes (NVMe Base 2.0, Figure 276).
public struct PowerState: BytePage {
    /// The number of bytes of the structure.
    public static let byteCount = 32
    /// The bytes, as they go over DMA.
    public var bytes: PageBytes
    /// A structure with these bytes, which the caller knows to be `byteCount` many.
    public init(unchecked bytes: PageBytes) { self.bytes = bytes }

    /// MP: in units of 0.01 W, or of 0.0001 W if `scale` bit 0 is set.
    public var maximumPower: UInt16 {
        get { bytes.load(0) }
        set { bytes.store(newValue, 0) }
    }
    /// MXPS in bit 0, NOPS (no I/O is done in this state) in bit 1.
    public var scale: UInt8 {
        get { bytes.load(3) }
        set { bytes.store(newValue, 3) }
    }
    /// ENLAT: microseconds to enter the state.
    public var entryLatency: UInt32 {
        get { bytes.load(4) }
        set { bytes.store(newValue, 4) }
    }
    /// EXLAT: microseconds to leave the state.
    public var exitLatency: UInt32 {
        get { bytes.load(8) }
        set { bytes.store(newValue, 8) }
    }
    /// IDLP: power when idle.
    public var idlePower: UInt16 {
        get { bytes.load(16) }
        set { bytes.store(newValue, 16) }
    }
    /// ACTP: power when busy.
    public var activePower: UInt16 {
        get { bytes.load(20) }
        set { bytes.store(newValue, 20) }
    }
}
