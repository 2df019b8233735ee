/// The numbers that belong to the uAPI as a whole.
public enum UAPI {
    /// `VFIO_API_VERSION`: what `Request.getAPIVersion` answers.
    @inlinable public static var version: Int32 { 0 }

    /// `VFIO_TYPE`: the type character of every request number, `;`.
    @inlinable public static var requestType: UInt32 { 0x3B }

    /// `VFIO_BASE`: the first sequence number of vfio.h's requests.
    @inlinable public static var requestBase: UInt32 { 100 }

    /// `IOMMUFD_TYPE`: the type character of iommufd.h's requests, the same `;`.
    @inlinable public static var iommufdRequestType: UInt32 { 0x3B }
}

/// What a container may be asked for with `Request.checkExtension`. The first eight numbers that name an
/// IOMMU model are `IOMMUType` too.
public struct Extension: RawRepresentable, Hashable, ABIValue {
    /// The number as the uAPI has it; unknown ones are kept.
    public var rawValue: UInt

    /// Takes any number, known or not.
    @inlinable public init(rawValue: UInt) { self.rawValue = rawValue }

    /// `VFIO_TYPE1_IOMMU`: the type 1 model, version 1.
    @inlinable public static var type1: Extension { Extension(rawValue: 1) }

    /// `VFIO_SPAPR_TCE_IOMMU`: POWER's translation tables, version 1.
    @inlinable public static var spaprTCE: Extension { Extension(rawValue: 2) }

    /// `VFIO_TYPE1v2_IOMMU`: the type 1 model, version 2: unmapping never cuts or widens a mapping.
    @inlinable public static var type1v2: Extension { Extension(rawValue: 3) }

    /// `VFIO_DMA_CC_IOMMU`: every domain of the container enforces snooping.
    @inlinable public static var dmaCacheCoherent: Extension { Extension(rawValue: 4) }

    /// `VFIO_EEH`: extended error handling is there.
    @inlinable public static var eeh: Extension { Extension(rawValue: 5) }

    /// `VFIO_TYPE1_NESTING_IOMMU` and `__VFIO_RESERVED_TYPE1_NESTING_IOMMU`: two-stage translation; removed
    /// from Linux, the number stays reserved.
    @inlinable public static var type1Nesting: Extension { Extension(rawValue: 6) }

    /// `VFIO_SPAPR_TCE_v2_IOMMU`: POWER's translation tables with preregistered memory and dynamic windows.
    @inlinable public static var spaprTCEv2: Extension { Extension(rawValue: 7) }

    /// `VFIO_NOIOMMU_IOMMU`: no IOMMU at all.
    @inlinable public static var noIOMMU: Extension { Extension(rawValue: 8) }

    /// `VFIO_UNMAP_ALL`: `DMAUnmapFlags.all` is understood.
    @inlinable public static var unmapAll: Extension { Extension(rawValue: 9) }

    /// `VFIO_UPDATE_VADDR`: the `vaddr` flags of map and unmap are understood.
    @inlinable public static var updateVaddr: Extension { Extension(rawValue: 10) }

    /// `VFIO_PKVM_IOMMU`: a downstream model of protected KVM; Linux answers 0.
    @inlinable public static var pkvm: Extension { Extension(rawValue: 30) }

    /// The extension that says whether an IOMMU model is supported.
    @inlinable public init(_ type: IOMMUType) { self.init(rawValue: type.rawValue) }
}

/// An IOMMU model, the argument of `Request.setIOMMU`. The numbers are those of `Extension`.
public struct IOMMUType: RawRepresentable, Hashable, ABIValue {
    /// The number as the uAPI has it; unknown ones are kept.
    public var rawValue: UInt

    /// Takes any number, known or not.
    @inlinable public init(rawValue: UInt) { self.rawValue = rawValue }

    /// `VFIO_TYPE1_IOMMU`.
    @inlinable public static var type1: IOMMUType { IOMMUType(rawValue: 1) }

    /// `VFIO_SPAPR_TCE_IOMMU`.
    @inlinable public static var spaprTCE: IOMMUType { IOMMUType(rawValue: 2) }

    /// `VFIO_TYPE1v2_IOMMU`.
    @inlinable public static var type1v2: IOMMUType { IOMMUType(rawValue: 3) }

    /// `VFIO_TYPE1_NESTING_IOMMU`: reserved, no kernel of today takes it.
    @inlinable public static var type1Nesting: IOMMUType { IOMMUType(rawValue: 6) }

    /// `VFIO_SPAPR_TCE_v2_IOMMU`.
    @inlinable public static var spaprTCEv2: IOMMUType { IOMMUType(rawValue: 7) }

    /// `VFIO_NOIOMMU_IOMMU`.
    @inlinable public static var noIOMMU: IOMMUType { IOMMUType(rawValue: 8) }

    /// `VFIO_PKVM_IOMMU`: downstream only.
    @inlinable public static var pkvm: IOMMUType { IOMMUType(rawValue: 30) }
}

/// The words of sysfs `device_api` for mediated devices.
public enum DeviceAPI {
    /// `VFIO_DEVICE_API_PCI_STRING`: a PCI device.
    @inlinable public static var pci: String { "vfio-pci" }

    /// `VFIO_DEVICE_API_PLATFORM_STRING`: a platform device.
    @inlinable public static var platform: String { "vfio-platform" }

    /// `VFIO_DEVICE_API_AMBA_STRING`: an AMBA device.
    @inlinable public static var amba: String { "vfio-amba" }

    /// `VFIO_DEVICE_API_CCW_STRING`: an s390 channel device.
    @inlinable public static var ccw: String { "vfio-ccw" }

    /// `VFIO_DEVICE_API_AP_STRING`: an s390 cryptographic adapter.
    @inlinable public static var ap: String { "vfio-ap" }
}
