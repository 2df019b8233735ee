/// The index of a region of a PCI device; from `count` on come device-specific ones.
public struct PCIRegion: RawRepresentable, Hashable, ABIValue {
    /// The number as the uAPI has it; unknown ones are kept.
    public var rawValue: UInt32

    /// Takes any number, known or not.
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// `VFIO_PCI_BAR0_REGION_INDEX`: base address register 0.
    @inlinable public static var bar0: PCIRegion { PCIRegion(rawValue: 0) }

    /// `VFIO_PCI_BAR1_REGION_INDEX`: base address register 1.
    @inlinable public static var bar1: PCIRegion { PCIRegion(rawValue: 1) }

    /// `VFIO_PCI_BAR2_REGION_INDEX`: base address register 2.
    @inlinable public static var bar2: PCIRegion { PCIRegion(rawValue: 2) }

    /// `VFIO_PCI_BAR3_REGION_INDEX`: base address register 3.
    @inlinable public static var bar3: PCIRegion { PCIRegion(rawValue: 3) }

    /// `VFIO_PCI_BAR4_REGION_INDEX`: base address register 4.
    @inlinable public static var bar4: PCIRegion { PCIRegion(rawValue: 4) }

    /// `VFIO_PCI_BAR5_REGION_INDEX`: base address register 5.
    @inlinable public static var bar5: PCIRegion { PCIRegion(rawValue: 5) }

    /// `VFIO_PCI_ROM_REGION_INDEX`: the expansion ROM.
    @inlinable public static var rom: PCIRegion { PCIRegion(rawValue: 6) }

    /// `VFIO_PCI_CONFIG_REGION_INDEX`: the configuration space.
    @inlinable public static var config: PCIRegion { PCIRegion(rawValue: 7) }

    /// `VFIO_PCI_VGA_REGION_INDEX`: the legacy VGA ranges.
    @inlinable public static var vga: PCIRegion { PCIRegion(rawValue: 8) }

    /// `VFIO_PCI_NUM_REGIONS`: the number of fixed indices, and so the first device-specific one.
    @inlinable public static var count: UInt32 { 9 }
}

/// The index of an interrupt of a PCI device.
public struct PCIInterrupt: RawRepresentable, Hashable, ABIValue {
    /// The number as the uAPI has it; unknown ones are kept.
    public var rawValue: UInt32

    /// Takes any number, known or not.
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// `VFIO_PCI_INTX_IRQ_INDEX`: the legacy line.
    @inlinable public static var intx: PCIInterrupt { PCIInterrupt(rawValue: 0) }

    /// `VFIO_PCI_MSI_IRQ_INDEX`: message-signalled interrupts.
    @inlinable public static var msi: PCIInterrupt { PCIInterrupt(rawValue: 1) }

    /// `VFIO_PCI_MSIX_IRQ_INDEX`: MSI-X.
    @inlinable public static var msix: PCIInterrupt { PCIInterrupt(rawValue: 2) }

    /// `VFIO_PCI_ERR_IRQ_INDEX`: PCI Express reports an uncorrected error.
    @inlinable public static var err: PCIInterrupt { PCIInterrupt(rawValue: 3) }

    /// `VFIO_PCI_REQ_IRQ_INDEX`: the host asks for the device back.
    @inlinable public static var req: PCIInterrupt { PCIInterrupt(rawValue: 4) }

    /// `VFIO_PCI_NUM_IRQS`: the number of indices.
    @inlinable public static var count: UInt32 { 5 }
}

/// The index of a region of an s390 channel device.
public struct CCWRegion: RawRepresentable, Hashable, ABIValue {
    /// The number as the uAPI has it; unknown ones are kept.
    public var rawValue: UInt32

    /// Takes any number, known or not.
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// `VFIO_CCW_CONFIG_REGION_INDEX`: `CCWIORegion`.
    @inlinable public static var config: CCWRegion { CCWRegion(rawValue: 0) }

    /// `VFIO_CCW_NUM_REGIONS`: the number of fixed indices.
    @inlinable public static var count: UInt32 { 1 }
}

/// The index of an interrupt of an s390 channel device.
public struct CCWInterrupt: RawRepresentable, Hashable, ABIValue {
    /// The number as the uAPI has it; unknown ones are kept.
    public var rawValue: UInt32

    /// Takes any number, known or not.
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// `VFIO_CCW_IO_IRQ_INDEX`: an I/O interrupt.
    @inlinable public static var io: CCWInterrupt { CCWInterrupt(rawValue: 0) }

    /// `VFIO_CCW_CRW_IRQ_INDEX`: a channel report word is there.
    @inlinable public static var crw: CCWInterrupt { CCWInterrupt(rawValue: 1) }

    /// `VFIO_CCW_REQ_IRQ_INDEX`: the host asks for the device back.
    @inlinable public static var req: CCWInterrupt { CCWInterrupt(rawValue: 2) }

    /// `VFIO_CCW_NUM_IRQS`: the number of indices.
    @inlinable public static var count: UInt32 { 3 }
}

/// The index of an interrupt of an s390 cryptographic adapter.
public struct APInterrupt: RawRepresentable, Hashable, ABIValue {
    /// The number as the uAPI has it; unknown ones are kept.
    public var rawValue: UInt32

    /// Takes any number, known or not.
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// `VFIO_AP_REQ_IRQ_INDEX`: the host asks for the device back.
    @inlinable public static var req: APInterrupt { APInterrupt(rawValue: 0) }

    /// `VFIO_AP_CFG_CHG_IRQ_INDEX`: the adapters given to the device changed; newer than the seed revision.
    @inlinable public static var configurationChange: APInterrupt { APInterrupt(rawValue: 1) }

    /// `VFIO_AP_NUM_IRQS`: the number of indices, at Linux 7.2 (1 before `configurationChange` came).
    @inlinable public static var count: UInt32 { 2 }
}
