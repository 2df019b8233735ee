import VFIOABI

/// The names of requests in the text of a ``FaultRule``: the uAPI's own in small letters with dashes, without
/// `VFIO_` and `IOMMU_`, `IOMMUFD_CMD_` or `IOMMU_` in front ("map-dma" is `VFIO_IOMMU_MAP_DMA`).
struct FaultRequestName {
    let text: StaticString
    let request: Request
    /// Where a number means several things, the kinds of files where it means this.
    let files: FaultScope.Files

    private init(_ text: StaticString, _ request: Request, _ files: FaultScope.Files) {
        self.text = text
        self.request = request
        self.files = files
    }

    /// What containers answer, and iommufds that take their place.
    private static var containers: FaultScope.Files { [.containers, .iommufds] }

    static var all: [FaultRequestName] { ofContainers + ofGroups + ofDevices + ofIOMMUFDs }

    private static var ofContainers: [FaultRequestName] {
        [
            FaultRequestName("get-api-version", .getAPIVersion, containers),
            FaultRequestName("check-extension", .checkExtension, containers),
            FaultRequestName("set-iommu", .setIOMMU, containers),
            FaultRequestName("iommu-get-info", .iommuGetInfo, containers),
            FaultRequestName("map-dma", .iommuMapDMA, containers),
            FaultRequestName("unmap-dma", .iommuUnmapDMA, containers),
            FaultRequestName("dirty-pages", .iommuDirtyPages, containers),
        ]
    }

    private static var ofGroups: [FaultRequestName] {
        [
            FaultRequestName("group-get-status", .groupGetStatus, .groups),
            FaultRequestName("set-container", .groupSetContainer, .groups),
            FaultRequestName("unset-container", .groupUnsetContainer, .groups),
            FaultRequestName("get-device-fd", .groupGetDeviceFD, .groups),
        ]
    }

    private static var ofDevices: [FaultRequestName] {
        [
            FaultRequestName("get-info", .deviceGetInfo, .devices),
            FaultRequestName("get-region-info", .deviceGetRegionInfo, .devices),
            FaultRequestName("get-irq-info", .deviceGetIRQInfo, .devices),
            FaultRequestName("set-irqs", .deviceSetIRQs, .devices),
            FaultRequestName("reset", .deviceReset, .devices),
            FaultRequestName("get-pci-hot-reset-info", .deviceGetPCIHotResetInfo, .devices),
            FaultRequestName("pci-hot-reset", .devicePCIHotReset, .devices),
            FaultRequestName("ioeventfd", .deviceIOEventFD, .devices),
            FaultRequestName("feature", .deviceFeature, .devices),
            FaultRequestName("bind-iommufd", .deviceBindIOMMUFD, .devices),
            FaultRequestName("attach-iommufd-pt", .deviceAttachIOMMUFD, .devices),
            FaultRequestName("detach-iommufd-pt", .deviceDetachIOMMUFD, .devices),
        ]
    }

    private static var ofIOMMUFDs: [FaultRequestName] {
        [
            FaultRequestName("destroy", .iommufdDestroy, .iommufds),
            FaultRequestName("ioas-alloc", .ioasAlloc, .iommufds),
            FaultRequestName("ioas-allow-iovas", .ioasAllowIOVAs, .iommufds),
            FaultRequestName("ioas-copy", .ioasCopy, .iommufds),
            FaultRequestName("ioas-iova-ranges", .ioasIOVARanges, .iommufds),
            FaultRequestName("ioas-map", .ioasMap, .iommufds),
            FaultRequestName("ioas-map-file", .ioasMapFile, .iommufds),
            FaultRequestName("ioas-unmap", .ioasUnmap, .iommufds),
            FaultRequestName("option", .iommufdOption, .iommufds),
            FaultRequestName("vfio-ioas", .iommufdVFIOIOAS, .iommufds),
            FaultRequestName("hwpt-alloc", .hwptAlloc, .iommufds),
            FaultRequestName("get-hw-info", .iommufdGetHWInfo, .iommufds),
            FaultRequestName("hwpt-set-dirty-tracking", .hwptSetDirtyTracking, .iommufds),
            FaultRequestName("hwpt-get-dirty-bitmap", .hwptGetDirtyBitmap, .iommufds),
        ]
    }
}
