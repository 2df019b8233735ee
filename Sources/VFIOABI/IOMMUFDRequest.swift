// The commands of iommufd.h and the requests made of them. All go to `/dev/iommu`.

/// The sequence number of an iommufd request.
public struct IOMMUFDCommand: RawRepresentable, Hashable, ABIValue {
    /// The number as the uAPI has it; unknown ones are kept.
    public var rawValue: UInt8

    /// Takes any number, known or not.
    @inlinable public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// `IOMMUFD_CMD_BASE`: the first number.
    @inlinable public static var base: IOMMUFDCommand { IOMMUFDCommand(rawValue: 0x80) }

    /// `IOMMUFD_CMD_DESTROY`: `Request.iommufdDestroy`.
    @inlinable public static var destroy: IOMMUFDCommand { IOMMUFDCommand(rawValue: 0x80) }

    /// `IOMMUFD_CMD_IOAS_ALLOC`: `Request.ioasAlloc`.
    @inlinable public static var ioasAlloc: IOMMUFDCommand { IOMMUFDCommand(rawValue: 0x81) }

    /// `IOMMUFD_CMD_IOAS_ALLOW_IOVAS`: `Request.ioasAllowIOVAs`.
    @inlinable public static var ioasAllowIOVAs: IOMMUFDCommand { IOMMUFDCommand(rawValue: 0x82) }

    /// `IOMMUFD_CMD_IOAS_COPY`: `Request.ioasCopy`.
    @inlinable public static var ioasCopy: IOMMUFDCommand { IOMMUFDCommand(rawValue: 0x83) }

    /// `IOMMUFD_CMD_IOAS_IOVA_RANGES`: `Request.ioasIOVARanges`.
    @inlinable public static var ioasIOVARanges: IOMMUFDCommand { IOMMUFDCommand(rawValue: 0x84) }

    /// `IOMMUFD_CMD_IOAS_MAP`: `Request.ioasMap`.
    @inlinable public static var ioasMap: IOMMUFDCommand { IOMMUFDCommand(rawValue: 0x85) }

    /// `IOMMUFD_CMD_IOAS_UNMAP`: `Request.ioasUnmap`.
    @inlinable public static var ioasUnmap: IOMMUFDCommand { IOMMUFDCommand(rawValue: 0x86) }

    /// `IOMMUFD_CMD_OPTION`: `Request.iommufdOption`.
    @inlinable public static var option: IOMMUFDCommand { IOMMUFDCommand(rawValue: 0x87) }

    /// `IOMMUFD_CMD_VFIO_IOAS`: `Request.iommufdVFIOIOAS`.
    @inlinable public static var vfioIOAS: IOMMUFDCommand { IOMMUFDCommand(rawValue: 0x88) }

    /// `IOMMUFD_CMD_HWPT_ALLOC`: `Request.hwptAlloc`.
    @inlinable public static var hwptAlloc: IOMMUFDCommand { IOMMUFDCommand(rawValue: 0x89) }

    /// `IOMMUFD_CMD_GET_HW_INFO`: `Request.iommufdGetHWInfo`.
    @inlinable public static var getHWInfo: IOMMUFDCommand { IOMMUFDCommand(rawValue: 0x8a) }

    /// `IOMMUFD_CMD_HWPT_SET_DIRTY_TRACKING`: `Request.hwptSetDirtyTracking`.
    @inlinable public static var hwptSetDirtyTracking: IOMMUFDCommand { IOMMUFDCommand(rawValue: 0x8b) }

    /// `IOMMUFD_CMD_HWPT_GET_DIRTY_BITMAP`: `Request.hwptGetDirtyBitmap`.
    @inlinable public static var hwptGetDirtyBitmap: IOMMUFDCommand { IOMMUFDCommand(rawValue: 0x8c) }

    /// `IOMMUFD_CMD_HWPT_INVALIDATE`: `Request.hwptInvalidate`.
    @inlinable public static var hwptInvalidate: IOMMUFDCommand { IOMMUFDCommand(rawValue: 0x8d) }

    /// `IOMMUFD_CMD_FAULT_QUEUE_ALLOC`: `Request.faultQueueAlloc`.
    @inlinable public static var faultQueueAlloc: IOMMUFDCommand { IOMMUFDCommand(rawValue: 0x8e) }

    /// `IOMMUFD_CMD_IOAS_MAP_FILE`: `Request.ioasMapFile`.
    @inlinable public static var ioasMapFile: IOMMUFDCommand { IOMMUFDCommand(rawValue: 0x8f) }

    /// `IOMMUFD_CMD_VIOMMU_ALLOC`: `Request.viommuAlloc`.
    @inlinable public static var viommuAlloc: IOMMUFDCommand { IOMMUFDCommand(rawValue: 0x90) }

    /// `IOMMUFD_CMD_VDEVICE_ALLOC`: `Request.vdeviceAlloc`.
    @inlinable public static var vdeviceAlloc: IOMMUFDCommand { IOMMUFDCommand(rawValue: 0x91) }

    /// `IOMMUFD_CMD_IOAS_CHANGE_PROCESS`: `Request.ioasChangeProcess`.
    @inlinable public static var ioasChangeProcess: IOMMUFDCommand { IOMMUFDCommand(rawValue: 0x92) }

    /// `IOMMUFD_CMD_VEVENTQ_ALLOC`: `Request.veventQueueAlloc`.
    @inlinable public static var veventQueueAlloc: IOMMUFDCommand { IOMMUFDCommand(rawValue: 0x93) }

    /// `IOMMUFD_CMD_HW_QUEUE_ALLOC`: `Request.hwQueueAlloc`.
    @inlinable public static var hwQueueAlloc: IOMMUFDCommand { IOMMUFDCommand(rawValue: 0x94) }
}

extension Request {
    /// `IOMMU_DESTROY`: `IOMMUFDDestroy`.
    @inlinable public static var iommufdDestroy: Request { Request(.destroy) }

    /// `IOMMU_IOAS_ALLOC`: `IOASAlloc`.
    @inlinable public static var ioasAlloc: Request { Request(.ioasAlloc) }

    /// `IOMMU_IOAS_ALLOW_IOVAS`: `IOASAllowIOVAs`.
    @inlinable public static var ioasAllowIOVAs: Request { Request(.ioasAllowIOVAs) }

    /// `IOMMU_IOAS_COPY`: `IOASCopy`.
    @inlinable public static var ioasCopy: Request { Request(.ioasCopy) }

    /// `IOMMU_IOAS_IOVA_RANGES`: `IOASIOVARanges`.
    @inlinable public static var ioasIOVARanges: Request { Request(.ioasIOVARanges) }

    /// `IOMMU_IOAS_MAP`: `IOASMap`.
    @inlinable public static var ioasMap: Request { Request(.ioasMap) }

    /// `IOMMU_IOAS_UNMAP`: `IOASUnmap`.
    @inlinable public static var ioasUnmap: Request { Request(.ioasUnmap) }

    /// `IOMMU_OPTION`: `IOMMUFDOption`.
    @inlinable public static var iommufdOption: Request { Request(.option) }

    /// `IOMMU_VFIO_IOAS`: `VFIOCompatibilityIOAS`.
    @inlinable public static var iommufdVFIOIOAS: Request { Request(.vfioIOAS) }

    /// `IOMMU_HWPT_ALLOC`: `HWPTAlloc`.
    @inlinable public static var hwptAlloc: Request { Request(.hwptAlloc) }

    /// `IOMMU_GET_HW_INFO`: `HWInfo`.
    @inlinable public static var iommufdGetHWInfo: Request { Request(.getHWInfo) }

    /// `IOMMU_HWPT_SET_DIRTY_TRACKING`: `HWPTSetDirtyTracking`.
    @inlinable public static var hwptSetDirtyTracking: Request { Request(.hwptSetDirtyTracking) }

    /// `IOMMU_HWPT_GET_DIRTY_BITMAP`: `HWPTGetDirtyBitmap`.
    @inlinable public static var hwptGetDirtyBitmap: Request { Request(.hwptGetDirtyBitmap) }

    /// `IOMMU_HWPT_INVALIDATE`: `HWPTInvalidate`.
    @inlinable public static var hwptInvalidate: Request { Request(.hwptInvalidate) }

    /// `IOMMU_FAULT_QUEUE_ALLOC`: `FaultQueueAlloc`.
    @inlinable public static var faultQueueAlloc: Request { Request(.faultQueueAlloc) }

    /// `IOMMU_IOAS_MAP_FILE`: `IOASMapFile`.
    @inlinable public static var ioasMapFile: Request { Request(.ioasMapFile) }

    /// `IOMMU_VIOMMU_ALLOC`: `VIOMMUAlloc`.
    @inlinable public static var viommuAlloc: Request { Request(.viommuAlloc) }

    /// `IOMMU_VDEVICE_ALLOC`: `VDeviceAlloc`.
    @inlinable public static var vdeviceAlloc: Request { Request(.vdeviceAlloc) }

    /// `IOMMU_IOAS_CHANGE_PROCESS`: `IOASChangeProcess`.
    @inlinable public static var ioasChangeProcess: Request { Request(.ioasChangeProcess) }

    /// `IOMMU_VEVENTQ_ALLOC`: `VEventQueueAlloc`.
    @inlinable public static var veventQueueAlloc: Request { Request(.veventQueueAlloc) }

    /// `IOMMU_HW_QUEUE_ALLOC`: `HWQueueAlloc`.
    @inlinable public static var hwQueueAlloc: Request { Request(.hwQueueAlloc) }
}
