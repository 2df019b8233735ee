/// Why cells of the table are empty.
struct CoverageReason {
    /// Names of words; one that ends in "*" stands for all that begin so.
    let names: [String]
    let columns: Set<CoverageColumn>
    let text: String

    /// A reason for some columns, or for all.
    init(_ names: [String], _ columns: CoverageColumn..., because text: String) {
        self.names = names
        self.columns = columns.isEmpty ? Set(CoverageColumn.allCases) : Set(columns)
        self.text = text
    }

    func covers(_ name: String, _ column: CoverageColumn) -> Bool {
        columns.contains(column) && CoverageEvidence.matches(names, name)
    }
}

/// All reasons; of several that fit, the first is told.
enum CoverageReasons {
    static let all: [CoverageReason] =
        [
            CoverageReason(
                ["VFIO_TYPE", "VFIO_BASE", "IOMMUFD_TYPE", "IOMMUFD_CMD_BASE"],
                because: "a part of every request's number"),
            CoverageReason(
                [
                    "VFIO_IRQ_SET_DATA_TYPE_MASK", "VFIO_IRQ_SET_ACTION_TYPE_MASK",
                    "VFIO_DEVICE_IOEVENTFD_SIZE_MASK",
                ],
                .api, because: "all bits of a kind: for those who check a request"),
            CoverageReason(
                ["VFIO_REGION_TYPE_PCI_VENDOR_TYPE", "VFIO_REGION_TYPE_PCI_VENDOR_MASK"], .device, .cases,
                because: "the parts of which a vendor's type is made"),
            CoverageReason(
                ["VFIO_AP_NUM_IRQS", "VFIO_CCW_NUM_IRQS", "VFIO_CCW_NUM_REGIONS", "VFIO_DEVICE_STATE_NR"],
                because: "a count: the device tells how many, or the names end there"),
            CoverageReason(
                ["VFIO_PRECOPY_INFO_REINIT"], .device, .cases,
                because: "no device here begins its state anew while it is sent"),
            CoverageReason(
                ["VFIO_PCI_NUM_IRQS", "VFIO_PCI_NUM_REGIONS"], .api, because: "the device tells how many"),
            CoverageReason(
                ["VFIO_TYPE1_NESTING_IOMMU", "__VFIO_RESERVED_TYPE1_NESTING_IOMMU", "VFIO_PKVM_IOMMU"],
                .device,
                because: "answered as any number that is no extension: 0"),
            CoverageReason(
                [
                    "VFIO_REGION_INFO_CAP_NVLINK2_*", "VFIO_REGION_SUBTYPE_NVIDIA_NVLINK2_RAM",
                    "VFIO_REGION_SUBTYPE_IBM_NVLINK2_ATSD", "vfio_region_info_cap_nvlink2_*",
                ],
                because: "history: Linux took the driver for NVLink out in 5.13"),
            CoverageReason(
                [
                    "IOMMU_HWPT_DATA_*", "IOMMU_HWPT_ALLOC_NEST_PARENT", "IOMMU_HWPT_FAULT_ID_VALID",
                    "IOMMU_HWPT_INVALIDATE*", "IOMMUFD_CMD_HWPT_INVALIDATE", "iommu_hwpt_vtd_*",
                    "iommu_hwpt_arm_*",
                    "iommu_hwpt_amd_*", "iommu_hwpt_invalidate", "IOMMU_VTD_*", "IOMMU_VIOMMU_*",
                    "IOMMUFD_CMD_VIOMMU_ALLOC", "iommu_viommu_*", "IOMMU_VDEVICE_*",
                    "IOMMUFD_CMD_VDEVICE_ALLOC",
                    "iommu_vdevice_*", "IOMMU_VEVENTQ_*", "IOMMUFD_CMD_VEVENTQ_ALLOC", "iommu_vevent*",
                    "iommufd_vevent_header", "IOMMU_HW_QUEUE_*", "IOMMUFD_CMD_HW_QUEUE_ALLOC",
                    "iommu_hw_queue_alloc",
                    "IOMMU_HW_INFO_TYPE_*", "IOMMU_HW_INFO_VTD_*", "iommu_hw_info_*",
                    "IOMMU_HW_INFO_FLAG_INPUT_TYPE",
                ],
                because: "about virtual IOMMUs, or other IOMMUs than the VT-d that the software's is"),
            CoverageReason(
                [
                    "IOMMU_FAULT_QUEUE_*", "IOMMUFD_CMD_FAULT_QUEUE_ALLOC", "iommu_fault_alloc",
                    "IOMMU_PGFAULT_*",
                    "IOMMUFD_PAGE_RESP_*", "iommu_hwpt_pgfault", "iommu_hwpt_page_response",
                ], because: "in the faults of devices that request pages (PRI), which the software's don't"),
            CoverageReason(
                [
                    "IOMMU_HW_CAP_PCI_*", "IOMMU_HWPT_ALLOC_PASID", "VFIO_DEVICE_ATTACH_PASID",
                    "VFIO_DEVICE_DETACH_PASID",
                ],
                .api, .device, .cases, because: "about PASIDs, which the software's devices don't have"),
            CoverageReason(
                [
                    "VFIO_REGION_INFO_CAP_SPARSE_MMAP", "vfio_region_info_cap_sparse_mmap",
                    "vfio_region_sparse_mmap_area",
                ], .cases, because: "Linux's vfio-pci makes no use of it, so there is nothing to compare"),
            CoverageReason(
                [
                    "VFIO_DEVICE_API_PLATFORM_STRING", "VFIO_DEVICE_API_AMBA_STRING",
                    "VFIO_DEVICE_API_CCW_STRING", "VFIO_DEVICE_API_AP_STRING",
                ],
                .device, .cases, because: "no driver at hand makes mediated devices of this kind by type"),
        ]
}
