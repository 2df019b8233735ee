import VFIOABI

/// The number of a device's region.
public struct RegionIndex: RawRepresentable, Hashable, Sendable, ExpressibleByIntegerLiteral,
    CustomStringConvertible
{
    /// The number: `VFIO_PCI_…_REGION_INDEX`, and beyond those the device's own.
    public let rawValue: UInt32

    /// A region by its number.
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    /// A region by its number.
    public init(integerLiteral value: UInt32) { rawValue = value }
    /// A region of a PCI device.
    init(_ region: PCIRegion) { rawValue = region.rawValue }

    /// The region of BAR 0.
    public static let bar0 = RegionIndex(PCIRegion.bar0)
    /// The region of BAR 1.
    public static let bar1 = RegionIndex(PCIRegion.bar1)
    /// The region of BAR 2.
    public static let bar2 = RegionIndex(PCIRegion.bar2)
    /// The region of BAR 3.
    public static let bar3 = RegionIndex(PCIRegion.bar3)
    /// The region of BAR 4.
    public static let bar4 = RegionIndex(PCIRegion.bar4)
    /// The region of BAR 5.
    public static let bar5 = RegionIndex(PCIRegion.bar5)
    /// The expansion ROM.
    public static let rom = RegionIndex(PCIRegion.rom)
    /// The configuration space.
    public static let configuration = RegionIndex(PCIRegion.config)
    /// The legacy VGA windows.
    public static let vga = RegionIndex(PCIRegion.vga)

    /// "BAR 0", "the configuration space", "region 9", …
    public var description: String {
        switch rawValue {
        case 0...5: "BAR \(rawValue)"
        case 6: "the ROM"
        case 7: "the configuration space"
        case 8: "the VGA region"
        default: "region \(rawValue)"
        }
    }
}

/// The number of one of a device's kinds of interrupts.
public struct InterruptIndex: RawRepresentable, Hashable, Sendable, ExpressibleByIntegerLiteral,
    CustomStringConvertible
{
    /// The number: `VFIO_PCI_…_IRQ_INDEX`.
    public let rawValue: UInt32

    /// A kind by its number.
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    /// A kind by its number.
    public init(integerLiteral value: UInt32) { rawValue = value }
    /// A kind of interrupts of a PCI device.
    init(_ interrupt: PCIInterrupt) { rawValue = interrupt.rawValue }

    /// The line: masked automatically when it arrives.
    public static let intx = InterruptIndex(PCIInterrupt.intx)
    /// Messages, up to 32.
    public static let msi = InterruptIndex(PCIInterrupt.msi)
    /// Messages from a table, up to 2048.
    public static let msix = InterruptIndex(PCIInterrupt.msix)
    /// An uncorrected PCI Express error.
    public static let error = InterruptIndex(PCIInterrupt.err)
    /// The host asks for the device back: finish, and close it.
    public static let request = InterruptIndex(PCIInterrupt.req)

    /// "INTx", "MSI", "MSI-X", …
    public var description: String {
        switch rawValue {
        case 0: "INTx"
        case 1: "MSI"
        case 2: "MSI-X"
        case 3: "the error interrupt"
        case 4: "the request interrupt"
        default: "interrupt index \(rawValue)"
        }
    }

    /// Whether this kind excludes others: a device signals through INTx, MSI or MSI-X.
    var isExclusive: Bool { rawValue <= 2 }
}

/// What a kind of interrupts can do.
public struct InterruptInfo: Sendable, Equatable {
    /// How many vectors there are; 0 if the device doesn't have this kind.
    public let count: Int
    /// Whether it signals eventfds.
    public let signalsEvents: Bool
    /// Whether it can be masked and unmasked.
    public let isMaskable: Bool
    /// Whether an interrupt masks it until it is unmasked.
    public let masksItself: Bool
    /// Whether all vectors must be enabled at once (`VFIO_IRQ_INFO_NORESIZE`).
    public let isFixedSize: Bool
}
