/// The names of bits, without the uAPI's prefixes.
extension MessageDescription {
    /// `VFIO_USER_F_DMA_REGION_…`
    static var mapFlags: [(UInt64, String)] { [(1, "READ"), (2, "WRITE"), (4, "MMAP"), (8, "FILE_IO")] }

    /// `VFIO_DMA_UNMAP_FLAG_…`
    static var unmapFlags: [(UInt64, String)] { [(1, "GET_DIRTY_BITMAP"), (2, "ALL")] }

    /// `VFIO_DEVICE_FLAGS_…`
    static var deviceFlags: [(UInt64, String)] {
        [
            (1, "RESET"), (2, "PCI"), (4, "PLATFORM"), (8, "AMBA"), (16, "CCW"), (32, "AP"), (64, "FSL_MC"),
            (128, "CAPS"), (256, "CDX"),
        ]
    }

    /// `VFIO_REGION_INFO_FLAG_…`
    static var regionFlags: [(UInt64, String)] { [(1, "READ"), (2, "WRITE"), (4, "MMAP"), (8, "CAPS")] }

    /// `VFIO_IRQ_INFO_…`
    static var irqFlags: [(UInt64, String)] {
        [(1, "EVENTFD"), (2, "MASKABLE"), (4, "AUTOMASKED"), (8, "NORESIZE")]
    }

    /// `VFIO_IRQ_SET_…`
    static var irqSetFlags: [(UInt64, String)] {
        [
            (1, "DATA_NONE"), (2, "DATA_BOOL"), (4, "DATA_EVENTFD"), (8, "ACTION_MASK"),
            (16, "ACTION_UNMASK"), (32, "ACTION_TRIGGER"),
        ]
    }

    /// `VFIO_DEVICE_FEATURE_…`
    static var featureFlags: [(UInt64, String)] { [(1 << 16, "GET"), (1 << 17, "SET"), (1 << 18, "PROBE")] }

    /// `VFIO_MIGRATION_…`
    static var migrationFlags: [(UInt64, String)] { [(1, "STOP_COPY"), (2, "P2P"), (4, "PRE_COPY")] }
}
