import DeviceModel
import VFIOABI
import VFIOHost

/// What a server's function is to its user: what doesn't change as long as it is the same function.
struct RemoteShape {
    /// What the six Base Address Registers decode.
    let bars: [BAR?]
    /// What an access to each BAR needs to know.
    private(set) var plans = InlineArray<6, PCIBARPlan>(repeating: PCIBARPlan())
    /// How much the expansion ROM's BAR decodes.
    let romByteCount: UInt64
    /// Whether it has the capability of PCI Express.
    let isExpress: Bool
    /// Whether the bit of PCI Express resets it.
    let hasExpressReset: Bool
    /// Whether the bit of Advanced Features does.
    let hasAdvancedReset: Bool
    /// The addresses that its BARs would have on a bus. Nothing decodes them, and the server isn't told.
    let assigned: PCIAssignedAddresses
    /// COMMAND's bits for the kinds of BARs that it has.
    private(set) var decodedSpaces: UInt16 = 0

    /// Sorts out what a server tells. Nothing of it is believed: what makes no sense is left out.
    init(_ description: RemoteDescription, _ registers: PCIRegisterSnapshot) {
        typealias ID = PCICapabilityID.Standard
        typealias Command = PCIConfiguration.Command
        let express = registers.place(ofCapability: ID.express)
        isExpress = express != nil
        hasExpressReset = express.map { registers.value(at: $0 + 4, width: 4) & 1 << 28 != 0 } ?? false
        let advanced = registers.place(ofCapability: ID.advancedFeatures)
        hasAdvancedReset = advanced.map { registers.value(at: $0 + 3, width: 1) & 3 == 3 } ?? false
        romByteCount = Self.decoded(description.regions[Int(PCIRegion.rom.rawValue)].size, atLeast: 2048)
        if romByteCount > 0 { decodedSpaces |= Command.memory }
        var bars: [BAR?] = [nil, nil, nil, nil, nil, nil]
        let msix = registers.place(ofCapability: ID.msix)
        var isUpperHalf = false
        for index in 0..<6 {
            // A BAR of 64 bits takes two places.
            if isUpperHalf {
                isUpperHalf = false
                continue
            }
            let size = description.regions[index].size
            let register = registers.value(at: PCIConfiguration.Register.bar0 + 4 * index, width: 4)
            let isWide = register & 7 == 4 && index < 5
            let isPort = register & 1 != 0
            isUpperHalf = isWide
            guard size > 0 else { continue }
            let kind: BAR.Kind = isPort ? .io : isWide ? .memory64 : .memory32
            let byteCount = Self.decoded(size, atLeast: isPort ? 4 : 16)
            if kind == .memory64 || byteCount <= 1 << 31 {
                bars[index] = BAR(kind, byteCount: byteCount, isPrefetchable: !isPort && register & 8 != 0)
            }
            var table: Range<UInt64>?
            if let msix {
                let place = registers.value(at: msix + 4, width: 4)
                let count = UInt64(registers.value(at: msix + 2, width: 2) & 0x7ff) + 1
                let start = UInt64(place & ~7)
                if Int(place & 7) == index { table = start..<start + 16 * count }
            }
            plans[index] = PCIBARPlan(byteCount: size, isMemory: !isPort, table: table)
            decodedSpaces |= isPort ? Command.io : Command.memory
        }
        self.bars = bars
        let place = VFIOUserHost.deviceAddress
        assigned = PCIAssignedAddresses(
            bars, romByteCount: romByteCount, nil, bus: place.bus, deviceFunction: place.deviceFunction)
    }

    /// The length of a BAR that decodes so many bytes; 0 for none.
    private static func decoded(_ byteCount: UInt64, atLeast least: UInt64) -> UInt64 {
        guard byteCount > 0 else { return 0 }
        // Regions end at 2^40, so nothing overflows.
        return max(least, UInt64(1) << UInt64(64 - (byteCount - 1).leadingZeroBitCount))
    }
}
