import DeviceModel
import LinuxSystem

/// What of AMD's 10 Gigabit network controller of the Seattle processors (`amd,xgbe-seattle-v1a`) its reset and its
/// autonegotiation need: the registers of the MAC, and those of the PHY behind a window.
///
/// Both resets take a while: their bits stay set for some reads. One of several edges shows that autonegotiation
/// has ended.
public final class SeattleXGBE: BusDeviceModel {
    /// Where things are.
    public enum Register {
        /// Region 0, the DMA mode: bit 0 resets the MAC, and is set until that is done.
        public static let dmaMode: UInt64 = 0x3000
        /// Region 1: chooses the page of the window, the register's address without its low 8 bits.
        public static let pageSelect: UInt64 = 0xff << 2
    }

    /// Registers of the PHY: device << 16 | register.
    public enum PHYRegister {
        /// Control of the coding sublayer: bit 15 resets it, and is set until that is done.
        public static let codingControl: UInt32 = 3 << 16
        /// Control of autonegotiation: bit 12 enables it, bit 9 starts it.
        public static let negotiationControl: UInt32 = 7 << 16
        /// What of autonegotiation interrupts.
        public static let negotiationInterruptMask: UInt32 = 7 << 16 | 0x8001
        /// What has happened; bit 0: it has ended.
        public static let negotiationInterrupt: UInt32 = 7 << 16 | 0x8002
    }

    /// The line of the controller, the edges of its channel and of autonegotiation.
    public enum Line {
        /// The controller itself: level-triggered.
        public static let controller = 0
        /// The DMA channel: an edge.
        public static let channel = 1
        /// Autonegotiation has ended: an edge.
        public static let negotiation = 2
    }

    /// The MAC's and the PHY's registers.
    public let resources: BusResources
    /// How many reads a reset lasts.
    private let resetReads: Int
    private var words: [UInt64: UInt32] = [:]
    private var phy: [UInt32: UInt32] = [:]
    private var page: UInt32 = 0
    private var macReadsLeft = 0
    private var phyReadsLeft = 0

    /// How many registers are kept at most; others read as 0.
    private static let mostRegisters = 4096

    /// Makes a controller.
    /// - Parameter resetReads: how many reads of its bit a reset lasts.
    public init(resetReads: Int = 2) {
        self.resetReads = max(0, resetReads)
        resources = BusResources(
            .platform(
                FirmwareNode(
                    compatible: ["amd,xgbe-seattle-v1a"],
                    properties: [
                        FirmwareNode.Property("phy-mode", Array("xgmii".utf8) + [0]),
                        FirmwareNode.Property("mac-address", [0x02, 0xb1, 0xb2, 0xb3, 0xb4, 0xb5]),
                        FirmwareNode.Property("dma-coherent", []),
                    ])),
            regions: [
                BusRegion(at: 0xe070_0000, byteCount: 0x80000),
                BusRegion(at: 0xe078_0000, byteCount: 0x80000),
            ], lines: [.level, .edge, .edge])
    }

    /// A register of the MAC, or what the window shows of the PHY.
    public func readRegister(region: Int, offset: UInt64, width: Int) -> UInt64 {
        guard width == 4 else { return UInt64.max >> UInt64(64 - 8 * width) }
        if region == 1 { return UInt64(readPHY(offset)) }
        if offset == Register.dmaMode && macReadsLeft > 0 {
            macReadsLeft -= 1
            if macReadsLeft == 0 {
                for key in Array(words.keys) { words[key] = nil }
            }
        }
        return UInt64(words[offset] ?? 0)
    }

    /// Writes a register of the MAC, or one of the PHY through the window; nothing happens for other widths than 4.
    public func writeRegister(region: Int, offset: UInt64, width: Int, value: UInt64) {
        guard width == 4 else { return }
        let value = UInt32(truncatingIfNeeded: value)
        if region == 1 { return writePHY(offset, value) }
        if offset == Register.dmaMode && value & 1 != 0 {
            macReadsLeft = resetReads + 1
        }
        guard words[offset] != nil || words.count < Self.mostRegisters else { return }
        words[offset] = value
    }

    /// Firmware has no reset for it.
    public func reset() throws(Errno) { throw .notSupported }

    // MARK: the PHY

    private func address(_ offset: UInt64) -> UInt32 {
        page << 8 | UInt32(truncatingIfNeeded: offset >> 2) & 0xff
    }

    private func readPHY(_ offset: UInt64) -> UInt32 {
        // The window is a page of 256 registers.
        guard offset < 0x400 else { return 0 }
        guard offset != Register.pageSelect else { return page }
        let register = address(offset)
        if register == PHYRegister.codingControl && phyReadsLeft > 0 {
            phyReadsLeft -= 1
            if phyReadsLeft == 0 { phy[register] = 0 }
        }
        return phy[register] ?? 0
    }

    private func writePHY(_ offset: UInt64, _ value: UInt32) {
        guard offset < 0x400 else { return }
        guard offset != Register.pageSelect else {
            page = value & 0x1fff
            return
        }
        let register = address(offset)
        var value = value & 0xffff
        if register == PHYRegister.codingControl && value & 0x8000 != 0 { phyReadsLeft = resetReads + 1 }
        var hasNegotiated = false
        if register == PHYRegister.negotiationControl && value & 0x1200 == 0x1200 {
            // The partner agrees at once; the bit that starts it reads as 0.
            value &= ~0x200
            hasNegotiated = true
        }
        guard phy[register] != nil || phy.count < Self.mostRegisters else { return }
        phy[register] = value
        guard hasNegotiated else { return }
        phy[PHYRegister.negotiationInterrupt, default: 0] |= 1
        if phy[PHYRegister.negotiationInterruptMask, default: 0] & 1 != 0 {
            resources.pulseLine(Line.negotiation)
        }
    }
}
