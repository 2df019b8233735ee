extension Feature {
    /// The uAPI's word for it, without `VFIO_DEVICE_FEATURE_`; nil for one that has no name here.
    public var word: StaticString? {
        switch self {
        case .pciVFToken: "PCI_VF_TOKEN"
        case .migration: "MIGRATION"
        case .migrationDeviceState: "MIG_DEVICE_STATE"
        case .lowPowerEntry: "LOW_POWER_ENTRY"
        case .lowPowerEntryWithWakeup: "LOW_POWER_ENTRY_WITH_WAKEUP"
        case .lowPowerExit: "LOW_POWER_EXIT"
        case .dmaLoggingStart: "DMA_LOGGING_START"
        case .dmaLoggingStop: "DMA_LOGGING_STOP"
        case .dmaLoggingReport: "DMA_LOGGING_REPORT"
        case .migrationDataSize: "MIG_DATA_SIZE"
        case .busMaster: "BUS_MASTER"
        case .dmaBuf: "DMA_BUF"
        case .migrationPrecopyInfoV2: "MIG_PRECOPY_INFOv2"
        default: nil
        }
    }
}
