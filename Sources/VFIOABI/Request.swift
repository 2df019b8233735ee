/// The number of a request, the second argument of `ioctl`.
///
/// Several requests share a number (`iommuGetInfo` and `deviceGetPCIHotResetInfo`, for one): what a number means
/// depends on the kind of descriptor that it is sent to. So two names may be equal.
///
/// All of them are made as `_IO(';', number)`: no direction and no size (vfio.h, iommufd.h).
public struct Request: RawRepresentable, Hashable, ABIValue {
    /// The number as `ioctl` takes it.
    public var rawValue: UInt

    /// Takes any number, known or not.
    @inlinable public init(rawValue: UInt) { self.rawValue = rawValue }

    /// Calculates a request number as the C macro `_IO` does: no direction and no size.
    ///
    /// - Parameters:
    ///   - type: The type character, 8 bits; `UAPI.requestType` for VFIO and iommufd.
    ///   - number: The sequence number, 8 bits. Higher bits are dropped.
    @inlinable public init(type: UInt8, number: UInt8) { self.rawValue = UInt(type) << 8 | UInt(number) }

    /// The request of vfio.h at an index from `VFIO_BASE`: `_IO(VFIO_TYPE, VFIO_BASE + index)`.
    ///
    /// - Parameter index: 0 to 155; what is beyond wraps within the sequence number's 8 bits.
    @inlinable public init(index: UInt8) { self.init(type: 0x3B, number: 100 &+ index) }

    /// The request of iommufd.h with a command number: `_IO(IOMMUFD_TYPE, command)`.
    @inlinable public init(_ command: IOMMUFDCommand) { self.init(type: 0x3B, number: command.rawValue) }

    /// The type character: bits 8 to 15.
    @inlinable public var type: UInt8 { UInt8(truncatingIfNeeded: rawValue >> 8) }

    /// The sequence number: bits 0 to 7.
    @inlinable public var number: UInt8 { UInt8(truncatingIfNeeded: rawValue) }

    /// Whether the number belongs to the family of VFIO and iommufd: type `;`, no direction, no size.
    ///
    /// Only the low 32 bits count, as in the kernel.
    @inlinable public var isVFIO: Bool { UInt32(truncatingIfNeeded: rawValue) >> 8 == 0x3B }
}

// MARK: - vfio.h

extension Request {
    /// `VFIO_GET_API_VERSION`: container: the version of the uAPI, `UAPI.version`. No argument.
    @inlinable public static var getAPIVersion: Request { Request(index: 0) }

    /// `VFIO_CHECK_EXTENSION`: container: whether an `Extension` is supported. The argument is the number;
    /// the answer is positive when it is.
    @inlinable public static var checkExtension: Request { Request(index: 1) }

    /// `VFIO_SET_IOMMU`: container: choose the IOMMU model. The argument is an `IOMMUType`.
    @inlinable public static var setIOMMU: Request { Request(index: 2) }

    /// `VFIO_GROUP_GET_STATUS`: group: `GroupStatus`.
    @inlinable public static var groupGetStatus: Request { Request(index: 3) }

    /// `VFIO_GROUP_SET_CONTAINER`: group: attach to a container. The argument points to its descriptor, an
    /// `Int32`.
    @inlinable public static var groupSetContainer: Request { Request(index: 4) }

    /// `VFIO_GROUP_UNSET_CONTAINER`: group: leave the container. No argument.
    @inlinable public static var groupUnsetContainer: Request { Request(index: 5) }

    /// `VFIO_GROUP_GET_DEVICE_FD`: group: open a device. The argument is its name, zero-terminated; the
    /// answer is a descriptor.
    @inlinable public static var groupGetDeviceFD: Request { Request(index: 6) }

    /// `VFIO_DEVICE_GET_INFO`: device: `DeviceInfo`.
    @inlinable public static var deviceGetInfo: Request { Request(index: 7) }

    /// `VFIO_DEVICE_GET_REGION_INFO`: device: `RegionInfo`.
    @inlinable public static var deviceGetRegionInfo: Request { Request(index: 8) }

    /// `VFIO_DEVICE_GET_IRQ_INFO`: device: `IRQInfo`.
    @inlinable public static var deviceGetIRQInfo: Request { Request(index: 9) }

    /// `VFIO_DEVICE_SET_IRQS`: device: `IRQSet` and its data.
    @inlinable public static var deviceSetIRQs: Request { Request(index: 10) }

    /// `VFIO_DEVICE_RESET`: device: reset. No argument.
    @inlinable public static var deviceReset: Request { Request(index: 11) }

    /// `VFIO_DEVICE_GET_PCI_HOT_RESET_INFO`: device: `PCIHotResetInfo` and the devices that a hot reset
    /// would hit.
    @inlinable public static var deviceGetPCIHotResetInfo: Request { Request(index: 12) }

    /// `VFIO_DEVICE_PCI_HOT_RESET`: device: `PCIHotReset` and the descriptors of the groups that prove
    /// ownership.
    @inlinable public static var devicePCIHotReset: Request { Request(index: 13) }

    /// `VFIO_DEVICE_QUERY_GFX_PLANE`: device: `GFXPlaneInfo`.
    @inlinable public static var deviceQueryGFXPlane: Request { Request(index: 14) }

    /// `VFIO_DEVICE_GET_GFX_DMABUF`: device: a descriptor for a plane's buffer. The argument points to the
    /// buffer's number, a `UInt32`.
    @inlinable public static var deviceGetGFXDMABuf: Request { Request(index: 15) }

    /// `VFIO_DEVICE_IOEVENTFD`: device: `DeviceIOEventFD`.
    @inlinable public static var deviceIOEventFD: Request { Request(index: 16) }

    /// `VFIO_DEVICE_FEATURE`: device: `DeviceFeature` and its payload.
    @inlinable public static var deviceFeature: Request { Request(index: 17) }

    /// `VFIO_DEVICE_BIND_IOMMUFD`: device: `DeviceBindIOMMUFD`.
    @inlinable public static var deviceBindIOMMUFD: Request { Request(index: 18) }

    /// `VFIO_DEVICE_ATTACH_IOMMUFD_PT`: device: `DeviceAttachIOMMUFDPageTable`.
    @inlinable public static var deviceAttachIOMMUFD: Request { Request(index: 19) }

    /// `VFIO_DEVICE_DETACH_IOMMUFD_PT`: device: `DeviceDetachIOMMUFDPageTable`.
    @inlinable public static var deviceDetachIOMMUFD: Request { Request(index: 20) }

    /// `VFIO_MIG_GET_PRECOPY_INFO`: migration data descriptor: `PrecopyInfo`.
    @inlinable public static var migrationGetPrecopyInfo: Request { Request(index: 21) }

    /// `VFIO_IOMMU_GET_INFO`: container, type 1: `IOMMUType1Info`.
    @inlinable public static var iommuGetInfo: Request { Request(index: 12) }

    /// `VFIO_IOMMU_MAP_DMA`: container: `DMAMap`.
    @inlinable public static var iommuMapDMA: Request { Request(index: 13) }

    /// `VFIO_IOMMU_UNMAP_DMA`: container: `DMAUnmap`, with a `Bitmap` behind it where dirty pages are asked
    /// for.
    @inlinable public static var iommuUnmapDMA: Request { Request(index: 14) }

    /// `VFIO_IOMMU_ENABLE`: container, sPAPR version 1: enable. No argument.
    @inlinable public static var iommuEnable: Request { Request(index: 15) }

    /// `VFIO_IOMMU_DISABLE`: container, sPAPR version 1: disable. No argument.
    @inlinable public static var iommuDisable: Request { Request(index: 16) }

    /// `VFIO_IOMMU_DIRTY_PAGES`: container, type 1: `DirtyBitmap`, with a `DirtyBitmapGet` behind it where
    /// the bitmap is asked for.
    @inlinable public static var iommuDirtyPages: Request { Request(index: 17) }

    /// `VFIO_IOMMU_SPAPR_TCE_GET_INFO`: container, sPAPR: `SPAPRTCEInfo`.
    @inlinable public static var spaprTCEGetInfo: Request { Request(index: 12) }

    /// `VFIO_EEH_PE_OP`: container, sPAPR: `EEHRequest`.
    @inlinable public static var eehOperation: Request { Request(index: 21) }

    /// `VFIO_IOMMU_SPAPR_REGISTER_MEMORY`: container, sPAPR version 2: `SPAPRRegisterMemory`.
    @inlinable public static var spaprRegisterMemory: Request { Request(index: 17) }

    /// `VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY`: container, sPAPR version 2: `SPAPRRegisterMemory`.
    @inlinable public static var spaprUnregisterMemory: Request { Request(index: 18) }

    /// `VFIO_IOMMU_SPAPR_TCE_CREATE`: container, sPAPR version 2: `SPAPRTCECreate`.
    @inlinable public static var spaprTCECreate: Request { Request(index: 19) }

    /// `VFIO_IOMMU_SPAPR_TCE_REMOVE`: container, sPAPR version 2: `SPAPRTCERemove`.
    @inlinable public static var spaprTCERemove: Request { Request(index: 20) }
}
