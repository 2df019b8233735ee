/// What a request is called: the one table of names, for messages, traces and the language of faults.
public struct RequestName: Sendable {
    /// The kinds of files that requests go to. Several requests share a number and differ in this only.
    public enum File: Sendable, Equatable {
        /// `/dev/vfio/vfio`, or an iommufd in its place.
        case container
        /// `/dev/vfio/<number>`
        case group
        /// A device, however it was opened.
        case device
        /// `/dev/iommu`
        case iommufd
        /// What a device's state is read from or written to when it moves.
        case migration
    }

    /// The uAPI's own word, e.g. "VFIO_IOMMU_MAP_DMA".
    public let word: StaticString
    /// The word that people type, e.g. "map-dma".
    public let shortName: StaticString
    /// The number.
    public let request: Request
    /// What it is sent to.
    public let file: File
    /// Whether only a container with a POWER machine's IOMMU knows it; another request of containers may have the same
    /// number.
    public let isSPAPR: Bool

    private init(
        _ word: StaticString, _ shortName: StaticString, _ request: Request, _ file: File,
        isSPAPR: Bool = false
    ) {
        self.word = word
        self.shortName = shortName
        self.request = request
        self.file = file
        self.isSPAPR = isSPAPR
    }

    /// All requests of vfio.h and iommufd.h.
    public static var all: [RequestName] { ofContainers + ofSPAPR + ofGroups + ofDevices + ofIOMMUFDs }

    private static var ofContainers: [RequestName] {
        [
            RequestName("VFIO_GET_API_VERSION", "get-api-version", .getAPIVersion, .container),
            RequestName("VFIO_CHECK_EXTENSION", "check-extension", .checkExtension, .container),
            RequestName("VFIO_SET_IOMMU", "set-iommu", .setIOMMU, .container),
            RequestName("VFIO_IOMMU_GET_INFO", "iommu-get-info", .iommuGetInfo, .container),
            RequestName("VFIO_IOMMU_MAP_DMA", "map-dma", .iommuMapDMA, .container),
            RequestName("VFIO_IOMMU_UNMAP_DMA", "unmap-dma", .iommuUnmapDMA, .container),
            RequestName("VFIO_IOMMU_DIRTY_PAGES", "dirty-pages", .iommuDirtyPages, .container),
        ]
    }

    private static var ofSPAPR: [RequestName] {
        func name(_ word: StaticString, _ shortName: StaticString, _ request: Request) -> RequestName {
            RequestName(word, shortName, request, .container, isSPAPR: true)
        }
        return [
            name("VFIO_IOMMU_ENABLE", "enable", .iommuEnable),
            name("VFIO_IOMMU_DISABLE", "disable", .iommuDisable),
            name("VFIO_IOMMU_SPAPR_TCE_GET_INFO", "spapr-tce-get-info", .spaprTCEGetInfo),
            name("VFIO_EEH_PE_OP", "eeh-pe-op", .eehOperation),
            name("VFIO_IOMMU_SPAPR_REGISTER_MEMORY", "spapr-register-memory", .spaprRegisterMemory),
            name("VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY", "spapr-unregister-memory", .spaprUnregisterMemory),
            name("VFIO_IOMMU_SPAPR_TCE_CREATE", "spapr-tce-create", .spaprTCECreate),
            name("VFIO_IOMMU_SPAPR_TCE_REMOVE", "spapr-tce-remove", .spaprTCERemove),
        ]
    }

    private static var ofGroups: [RequestName] {
        [
            RequestName("VFIO_GROUP_GET_STATUS", "group-get-status", .groupGetStatus, .group),
            RequestName("VFIO_GROUP_SET_CONTAINER", "set-container", .groupSetContainer, .group),
            RequestName("VFIO_GROUP_UNSET_CONTAINER", "unset-container", .groupUnsetContainer, .group),
            RequestName("VFIO_GROUP_GET_DEVICE_FD", "get-device-fd", .groupGetDeviceFD, .group),
        ]
    }

    private static var ofDevices: [RequestName] {
        func name(_ word: StaticString, _ shortName: StaticString, _ request: Request) -> RequestName {
            RequestName(word, shortName, request, .device)
        }
        return [
            name("VFIO_DEVICE_GET_INFO", "get-info", .deviceGetInfo),
            name("VFIO_DEVICE_GET_REGION_INFO", "get-region-info", .deviceGetRegionInfo),
            name("VFIO_DEVICE_GET_IRQ_INFO", "get-irq-info", .deviceGetIRQInfo),
            name("VFIO_DEVICE_SET_IRQS", "set-irqs", .deviceSetIRQs),
            name("VFIO_DEVICE_RESET", "reset", .deviceReset),
            name("VFIO_DEVICE_GET_PCI_HOT_RESET_INFO", "get-pci-hot-reset-info", .deviceGetPCIHotResetInfo),
            name("VFIO_DEVICE_PCI_HOT_RESET", "pci-hot-reset", .devicePCIHotReset),
            name("VFIO_DEVICE_QUERY_GFX_PLANE", "query-gfx-plane", .deviceQueryGFXPlane),
            name("VFIO_DEVICE_GET_GFX_DMABUF", "get-gfx-dmabuf", .deviceGetGFXDMABuf),
            name("VFIO_DEVICE_IOEVENTFD", "ioeventfd", .deviceIOEventFD),
            name("VFIO_DEVICE_FEATURE", "feature", .deviceFeature),
            name("VFIO_DEVICE_BIND_IOMMUFD", "bind-iommufd", .deviceBindIOMMUFD),
            name("VFIO_DEVICE_ATTACH_IOMMUFD_PT", "attach-iommufd-pt", .deviceAttachIOMMUFD),
            name("VFIO_DEVICE_DETACH_IOMMUFD_PT", "detach-iommufd-pt", .deviceDetachIOMMUFD),
            RequestName(
                "VFIO_MIG_GET_PRECOPY_INFO", "mig-get-precopy-info", .migrationGetPrecopyInfo, .migration),
        ]
    }

    private static var ofIOMMUFDs: [RequestName] {
        func name(_ word: StaticString, _ shortName: StaticString, _ request: Request) -> RequestName {
            RequestName(word, shortName, request, .iommufd)
        }
        return [
            name("IOMMU_DESTROY", "destroy", .iommufdDestroy),
            name("IOMMU_IOAS_ALLOC", "ioas-alloc", .ioasAlloc),
            name("IOMMU_IOAS_ALLOW_IOVAS", "ioas-allow-iovas", .ioasAllowIOVAs),
            name("IOMMU_IOAS_COPY", "ioas-copy", .ioasCopy),
            name("IOMMU_IOAS_IOVA_RANGES", "ioas-iova-ranges", .ioasIOVARanges),
            name("IOMMU_IOAS_MAP", "ioas-map", .ioasMap),
            name("IOMMU_IOAS_MAP_FILE", "ioas-map-file", .ioasMapFile),
            name("IOMMU_IOAS_UNMAP", "ioas-unmap", .ioasUnmap),
            name("IOMMU_OPTION", "option", .iommufdOption),
            name("IOMMU_VFIO_IOAS", "vfio-ioas", .iommufdVFIOIOAS),
            name("IOMMU_HWPT_ALLOC", "hwpt-alloc", .hwptAlloc),
            name("IOMMU_GET_HW_INFO", "get-hw-info", .iommufdGetHWInfo),
            name("IOMMU_HWPT_SET_DIRTY_TRACKING", "hwpt-set-dirty-tracking", .hwptSetDirtyTracking),
            name("IOMMU_HWPT_GET_DIRTY_BITMAP", "hwpt-get-dirty-bitmap", .hwptGetDirtyBitmap),
            name("IOMMU_HWPT_INVALIDATE", "hwpt-invalidate", .hwptInvalidate),
            name("IOMMU_FAULT_QUEUE_ALLOC", "fault-queue-alloc", .faultQueueAlloc),
            name("IOMMU_VIOMMU_ALLOC", "viommu-alloc", .viommuAlloc),
            name("IOMMU_VDEVICE_ALLOC", "vdevice-alloc", .vdeviceAlloc),
            name("IOMMU_IOAS_CHANGE_PROCESS", "ioas-change-process", .ioasChangeProcess),
            name("IOMMU_VEVENTQ_ALLOC", "veventq-alloc", .veventQueueAlloc),
            name("IOMMU_HW_QUEUE_ALLOC", "hw-queue-alloc", .hwQueueAlloc),
        ]
    }
}
