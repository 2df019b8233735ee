extension UserCommand {
    /// The command's word in the protocol, without the prefix `VFIO_USER_` ("REGION_READ"); nil for a number that is
    /// no command. 14 was a command once: "DIRTY_PAGES".
    public var name: StaticString? {
        switch self {
        case .version: "VERSION"
        case .dmaMap: "DMA_MAP"
        case .dmaUnmap: "DMA_UNMAP"
        case .deviceGetInfo: "DEVICE_GET_INFO"
        case .deviceGetRegionInfo: "DEVICE_GET_REGION_INFO"
        case .deviceGetRegionIOFDs: "DEVICE_GET_REGION_IO_FDS"
        case .deviceGetIRQInfo: "DEVICE_GET_IRQ_INFO"
        case .deviceSetIRQs: "DEVICE_SET_IRQS"
        case .regionRead: "REGION_READ"
        case .regionWrite: "REGION_WRITE"
        case .dmaRead: "DMA_READ"
        case .dmaWrite: "DMA_WRITE"
        case .deviceReset: "DEVICE_RESET"
        case UserCommand(rawValue: 14): "DIRTY_PAGES"
        case .regionWriteMulti: "REGION_WRITE_MULTI"
        case .deviceFeature: "DEVICE_FEATURE"
        case .migrationDataRead: "MIG_DATA_READ"
        case .migrationDataWrite: "MIG_DATA_WRITE"
        default: nil
        }
    }
}
