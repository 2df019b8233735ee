import DeviceModel
import LinuxSystem

/// Arm's real time clock PL031, on the AMBA bus: it counts seconds, and interrupts when a set one has come.
///
/// Time passes when its owner says so (``tick(_:)``): a model that counts by itself would make no two runs alike.
public final class PrimeCellClock: BusDeviceModel {
    /// Offsets in region 0; all registers have 32 bits.
    public enum Register {
        /// Read: the seconds.
        public static let data: UInt64 = 0x000
        /// The second at which it interrupts.
        public static let match: UInt64 = 0x004
        /// Written: the seconds are these from now on.
        public static let load: UInt64 = 0x008
        /// Bit 0: it runs; once set it stays.
        public static let control: UInt64 = 0x00c
        /// Bit 0: it may interrupt.
        public static let interruptMask: UInt64 = 0x010
        /// Read, bit 0: the second has come.
        public static let rawInterrupt: UInt64 = 0x014
        /// Read, bit 0: it interrupts.
        public static let maskedInterrupt: UInt64 = 0x018
        /// Written, bit 0: ends the interrupt.
        public static let interruptClear: UInt64 = 0x01c
        /// Read: the number by which the bus knows it, and the bus's own, a byte in each of eight registers.
        public static let identification: UInt64 = 0xfe0
    }

    /// Its number on the bus.
    public static let peripheralID: UInt32 = 0x0014_1031

    /// A page of registers and one level-triggered line.
    public let resources: BusResources
    private let lock = Lock()
    private var seconds: UInt32 = 0
    private var match: UInt32 = 0
    private var loaded: UInt32 = 0
    private var isRunning = false
    private var mayInterrupt = false
    private var hasCome = false

    /// A clock at second 0 that doesn't run yet.
    public init() {
        resources = BusResources(
            .amba(Self.peripheralID, FirmwareNode(compatible: ["arm,pl031", "arm,primecell"])),
            regions: [BusRegion(at: 0x901_0000, byteCount: 4096)], lines: [.level])
    }

    /// Time passes.
    public func tick(_ count: UInt32 = 1) {
        let interrupts = lock.withLock { () -> Bool in
            guard isRunning else { return false }
            // Whether the second comes within the next ones.
            let distance = match &- seconds
            if distance > 0 && distance <= count { hasCome = true }
            seconds &+= count
            return hasCome && mayInterrupt
        }
        resources.setLine(0, interrupts)
    }

    /// A register; what isn't one reads as 0.
    public func readRegister(region: Int, offset: UInt64, width: Int) -> UInt64 {
        guard width == 4 else { return 0 }
        let value = lock.withLock { () -> UInt32 in
            switch offset {
            case Register.data: return seconds
            case Register.match: return match
            case Register.load: return loaded
            case Register.control: return isRunning ? 1 : 0
            case Register.interruptMask: return mayInterrupt ? 1 : 0
            case Register.rawInterrupt: return hasCome ? 1 : 0
            case Register.maskedInterrupt: return hasCome && mayInterrupt ? 1 : 0
            case Register.identification..<0x1000:
                let place = (offset - Register.identification) / 4
                // "PrimeCell" by its number.
                let word: UInt64 = place < 4 ? UInt64(Self.peripheralID) : 0xb105_f00d
                return UInt32(truncatingIfNeeded: word >> (8 * (place % 4))) & 0xff
            default: return 0
            }
        }
        return UInt64(value)
    }

    /// Writes a register of 32 bits.
    public func writeRegister(region: Int, offset: UInt64, width: Int, value: UInt64) {
        guard width == 4 else { return }
        let value = UInt32(truncatingIfNeeded: value)
        let interrupts = lock.withLock { () -> Bool in
            switch offset {
            case Register.match: match = value
            case Register.load:
                loaded = value
                seconds = value
            case Register.control: isRunning = isRunning || value & 1 != 0
            case Register.interruptMask: mayInterrupt = value & 1 != 0
            case Register.interruptClear: hasCome = hasCome && value & 1 == 0
            default: break
            }
            return hasCome && mayInterrupt
        }
        resources.setLine(0, interrupts)
    }

    /// Firmware has no reset for it.
    public func reset() throws(Errno) { throw .notSupported }
}
