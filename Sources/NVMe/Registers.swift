/// Where the controller's registers lie in BAR 0 (NVMe Base 2.0, 3.1.3, Figure 33). Offsets in bytes.
public enum RegisterOffset {
    /// CAP: controller capabilities, 64 bit, read only.
    public static let capabilities: UInt64 = 0x00
    /// VS: version, 32 bit, read only.
    public static let version: UInt64 = 0x08
    /// INTMS: interrupt mask set, 32 bit; for pin and MSI interrupts only.
    public static let interruptMaskSet: UInt64 = 0x0c
    /// INTMC: interrupt mask clear, 32 bit; for pin and MSI interrupts only.
    public static let interruptMaskClear: UInt64 = 0x10
    /// CC: controller configuration, 32 bit.
    public static let configuration: UInt64 = 0x14
    /// CSTS: controller status, 32 bit.
    public static let status: UInt64 = 0x1c
    /// NSSR: NVM subsystem reset, 32 bit; `subsystemResetKey` resets the subsystem.
    public static let subsystemReset: UInt64 = 0x20
    /// AQA: admin queue attributes, 32 bit.
    public static let adminQueueAttributes: UInt64 = 0x24
    /// ASQ: admin submission queue base address, 64 bit.
    public static let adminSubmissionQueue: UInt64 = 0x28
    /// ACQ: admin completion queue base address, 64 bit.
    public static let adminCompletionQueue: UInt64 = 0x30
    /// CMBLOC: controller memory buffer location, 32 bit.
    public static let memoryBufferLocation: UInt64 = 0x38
    /// CMBSZ: controller memory buffer size, 32 bit.
    public static let memoryBufferSize: UInt64 = 0x3c
    /// BPINFO: boot partition information, 32 bit.
    public static let bootPartitionInformation: UInt64 = 0x40
    /// CMBMSC: controller memory buffer memory space control, 64 bit.
    public static let memoryBufferSpaceControl: UInt64 = 0x50
    /// CMBSTS: controller memory buffer status, 32 bit.
    public static let memoryBufferStatus: UInt64 = 0x58
    /// CRTO: controller ready timeouts, 32 bit (NVMe 2.0).
    public static let readyTimeouts: UInt64 = 0x68
    /// PMRCAP: persistent memory region capabilities, 32 bit.
    public static let persistentMemoryCapabilities: UInt64 = 0xe00
    /// SQ0TDBL: the first doorbell; see `Doorbell`.
    public static let doorbells: UInt64 = 0x1000

    /// What has to be written to NSSR to reset the subsystem: "NVMe" in ASCII.
    public static let subsystemResetKey: UInt32 = 0x4e56_4d65
}

/// The places of the doorbell registers (NVMe PCIe Transport 1.0, 3.1.2), for one doorbell stride.
public struct Doorbell: Equatable, Sendable {
    /// CAP.DSTRD: the distance between doorbells is 4 << `stride` bytes. 0...15.
    public var stride: UInt8

    /// Doorbells for a stride as CAP.DSTRD names it; only the low four bits count.
    public init(stride: UInt8) { self.stride = stride & 0xf }

    /// The distance between two doorbells in bytes.
    @inlinable public var spacing: UInt64 { 4 << UInt64(stride) }

    /// The offset in BAR 0 of the tail doorbell of a submission queue.
    @inlinable public func submissionTail(of queue: UInt16) -> UInt64 {
        RegisterOffset.doorbells + 2 * UInt64(queue) * spacing
    }

    /// The offset in BAR 0 of the head doorbell of a completion queue.
    @inlinable public func completionHead(of queue: UInt16) -> UInt64 {
        RegisterOffset.doorbells + (2 * UInt64(queue) + 1) * spacing
    }

    /// The bytes of BAR 0 that reach up to the last doorbell of queues 0...`lastQueue`.
    public func registerBytes(lastQueue: UInt16) -> UInt64 {
        completionHead(of: lastQueue) + 4
    }

    /// What a doorbell register is for.
    public enum Target: Equatable, Sendable {
        /// The tail of this submission queue.
        case submissionTail(UInt16)
        /// The head of this completion queue.
        case completionHead(UInt16)
    }

    /// The doorbell at an offset in BAR 0; nil where no doorbell begins.
    @inlinable public func target(at offset: UInt64) -> Target? {
        guard offset >= RegisterOffset.doorbells else { return nil }
        let distance = offset - RegisterOffset.doorbells
        guard distance % spacing == 0 else { return nil }
        let index = distance / spacing
        guard index >> 1 <= 0xffff else { return nil }
        let queue = UInt16(truncatingIfNeeded: index >> 1)
        return index & 1 == 0 ? .submissionTail(queue) : .completionHead(queue)
    }
}

/// CAP: what the controller can do (NVMe Base 2.0, 3.1.3.1).
public struct ControllerCapabilities: RawRepresentable, Equatable, Sendable {
    /// The register as read.
    public var rawValue: UInt64
    /// The register from its 64 bits.
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// MQES: the largest index of a queue, so one less than the most entries an I/O queue may have.
    public var maximumQueueEntriesZeroBased: UInt16 {
        get { UInt16(bits(15, 0)) }
        set { setBits(15, 0, UInt64(newValue)) }
    }
    /// The most entries an I/O queue may have: MQES + 1.
    public var maximumQueueEntries: Int { Int(maximumQueueEntriesZeroBased) + 1 }
    /// CQR: queues have to be physically contiguous.
    public var requiresContiguousQueues: Bool {
        get { bits(16, 16) != 0 }
        set { setBits(16, 16, newValue ? 1 : 0) }
    }
    /// AMS: arbitration beyond round robin: bit 0 weighted round robin with urgent, bit 1 vendor's own.
    public var arbitrationMechanisms: UInt8 {
        get { UInt8(bits(18, 17)) }
        set { setBits(18, 17, UInt64(newValue)) }
    }
    /// TO: the longest wait for CSTS.RDY to change, in units of 500 ms.
    public var timeout: UInt8 {
        get { UInt8(bits(31, 24)) }
        set { setBits(31, 24, UInt64(newValue)) }
    }
    /// The longest wait for CSTS.RDY to change, in milliseconds.
    public var timeoutMilliseconds: Int { Int(timeout) * 500 }
    /// DSTRD: the doorbell stride; see `Doorbell`.
    public var doorbellStride: UInt8 {
        get { UInt8(bits(35, 32)) }
        set { setBits(35, 32, UInt64(newValue)) }
    }
    /// NSSRS: the NVM subsystem reset register works.
    public var supportsSubsystemReset: Bool {
        get { bits(36, 36) != 0 }
        set { setBits(36, 36, newValue ? 1 : 0) }
    }
    /// CSS: bit 0 the NVM command set, bit 6 one or more I/O command sets, bit 7 admin commands only.
    public var commandSets: UInt8 {
        get { UInt8(bits(44, 37)) }
        set { setBits(44, 37, UInt64(newValue)) }
    }
    /// CSS bit 0: the NVM command set is supported.
    public var supportsNVMCommandSet: Bool { commandSets & 1 != 0 }
    /// CSS bit 6: CC.CSS may be 110b, "all supported I/O command sets".
    public var supportsCommandSetProfiles: Bool { commandSets & 0x40 != 0 }
    /// BPS: the controller has boot partitions.
    public var supportsBootPartitions: Bool {
        get { bits(45, 45) != 0 }
        set { setBits(45, 45, newValue ? 1 : 0) }
    }
    /// MPSMIN: the smallest host page is 2 ^ (12 + this) bytes.
    public var minimumPageSizeExponent: UInt8 {
        get { UInt8(bits(51, 48)) }
        set { setBits(51, 48, UInt64(newValue)) }
    }
    /// MPSMAX: the largest host page is 2 ^ (12 + this) bytes.
    public var maximumPageSizeExponent: UInt8 {
        get { UInt8(bits(55, 52)) }
        set { setBits(55, 52, UInt64(newValue)) }
    }
    /// The smallest host page in bytes.
    public var minimumPageSize: Int { 4096 << Int(minimumPageSizeExponent) }
    /// The largest host page in bytes.
    public var maximumPageSize: Int { 4096 << Int(maximumPageSizeExponent) }
    /// PMRS: the controller has a persistent memory region.
    public var hasPersistentMemoryRegion: Bool {
        get { bits(56, 56) != 0 }
        set { setBits(56, 56, newValue ? 1 : 0) }
    }
    /// CMBS: the controller has a controller memory buffer.
    public var hasMemoryBuffer: Bool {
        get { bits(57, 57) != 0 }
        set { setBits(57, 57, newValue ? 1 : 0) }
    }

    private func bits(_ high: UInt64, _ low: UInt64) -> UInt64 {
        (rawValue >> low) & ((1 << (high - low + 1)) - 1)
    }
    private mutating func setBits(_ high: UInt64, _ low: UInt64, _ value: UInt64) {
        let mask: UInt64 = ((1 << (high - low + 1)) - 1) << low
        rawValue = (rawValue & ~mask) | ((value << low) & mask)
    }
}

/// VS, and the VER field of Identify Controller: a version of the specification.
public struct Version: RawRepresentable, Equatable, Comparable, Sendable {
    /// Major in bits 31:16, minor in bits 15:8, tertiary in bits 7:0.
    public var rawValue: UInt32
    /// A version from its 32 bits.
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    /// A version from its three numbers.
    public init(major: UInt16, minor: UInt8, tertiary: UInt8 = 0) {
        rawValue = UInt32(major) << 16 | UInt32(minor) << 8 | UInt32(tertiary)
    }
    /// MJR.
    public var major: UInt16 { UInt16(truncatingIfNeeded: rawValue >> 16) }
    /// MNR.
    public var minor: UInt8 { UInt8(truncatingIfNeeded: rawValue >> 8) }
    /// TER.
    public var tertiary: UInt8 { UInt8(truncatingIfNeeded: rawValue) }
    /// Earlier versions come first.
    public static func < (left: Version, right: Version) -> Bool { left.rawValue < right.rawValue }
    /// NVMe 1.0.
    public static let v1_0 = Version(major: 1, minor: 0)
    /// NVMe 1.1.
    public static let v1_1 = Version(major: 1, minor: 1)
    /// NVMe 1.2.
    public static let v1_2 = Version(major: 1, minor: 2)
    /// NVMe 1.3.
    public static let v1_3 = Version(major: 1, minor: 3)
    /// NVMe 1.4.
    public static let v1_4 = Version(major: 1, minor: 4)
    /// NVMe 2.0.
    public static let v2_0 = Version(major: 2, minor: 0)
}

extension Version: CustomStringConvertible {
    /// Such as "1.4.0".
    public var description: String { "\(major).\(minor).\(tertiary)" }
}
