/// What reading the sources can't find: a number that stands as a number, a word that goes through another.
///
/// Each says a public declaration, a type of the software host, or a case, which must be there.
struct CoverageEvidence {
    let names: [String]
    let column: CoverageColumn
    /// "Type.member(_:)", "Type", or the section and the name of a case.
    let shown: [String]

    func covers(_ name: String, _ column: CoverageColumn) -> Bool {
        column == self.column && Self.matches(names, name)
    }

    /// Whether a name is one of a list, where "*" at the end stands for anything.
    static func matches(_ names: [String], _ name: String) -> Bool {
        names.contains { $0.hasSuffix("*") ? name.hasPrefix($0.dropLast()) : name == $0 }
    }

    static let all: [CoverageEvidence] = [
        // Kinds of IOMMU and extensions, which cases ask for by number.
        CoverageEvidence(
            names: ["VFIO_TYPE1_IOMMU", "VFIO_TYPE1v2_IOMMU", "VFIO_UNMAP_ALL", "VFIO_SPAPR_TCE_IOMMU"],
            column: .cases, shown: ["B.2 with an IOMMU, only its driver answers for extensions"]),
        CoverageEvidence(
            names: [
                "VFIO_DMA_CC_IOMMU", "VFIO_EEH", "VFIO_SPAPR_TCE_v2_IOMMU", "VFIO_NOIOMMU_IOMMU",
                "VFIO_TYPE1_NESTING_IOMMU", "__VFIO_RESERVED_TYPE1_NESTING_IOMMU",
            ],
            column: .cases, shown: ["B.2 with an IOMMU, only its driver answers for extensions"]),
        CoverageEvidence(
            names: ["VFIO_UPDATE_VADDR"], column: .cases,
            shown: [
                "B.2 addresses can be updated as long as no group is emulated, which is known once there is an IOMMU"
            ]),
        CoverageEvidence(
            names: ["VFIO_API_VERSION"], column: .cases,
            shown: ["A.3 the version is 0, whatever the argument and the state"]),
        // Flags that cases compare as whole numbers.
        CoverageEvidence(
            names: ["VFIO_GROUP_FLAGS_*"], column: .cases, shown: ["A.1 GET_STATUS follows the group's life"]),
        CoverageEvidence(
            names: ["VFIO_IRQ_INFO_EVENTFD", "VFIO_IRQ_INFO_MASKABLE", "VFIO_IRQ_INFO_AUTOMASKED"],
            column: .cases, shown: ["D.7 INTx signals eventfds, can be masked and masks itself"]),
        CoverageEvidence(
            names: ["VFIO_IRQ_INFO_NORESIZE"], column: .cases,
            shown: ["D.7 MSI has as many vectors as its capability, and can't grow while it is in use"]),
        CoverageEvidence(
            names: ["VFIO_IRQ_SET_DATA_TYPE_MASK"], column: .cases,
            shown: ["A.7 SET_IRQS wants exactly one kind of data"]),
        CoverageEvidence(
            names: ["VFIO_IRQ_SET_ACTION_TYPE_MASK"], column: .cases,
            shown: ["A.7 SET_IRQS refuses flags that it doesn't know"]),
        CoverageEvidence(
            names: ["VFIO_PCI_NUM_IRQS", "VFIO_PCI_NUM_REGIONS"], column: .cases,
            shown: ["D.2 a PCI device has nine regions and five interrupts"]),
        CoverageEvidence(
            names: ["VFIO_PCI_BAR*"], column: .cases,
            shown: [
                "D.3 a region's offset is its number shifted left by 40, even where there is nothing"
            ]),
        CoverageEvidence(
            names: ["VFIO_PCI_ROM_REGION_INDEX"], column: .cases,
            shown: ["D.3 without an expansion ROM, its region is empty"]),
        CoverageEvidence(
            names: ["VFIO_PCI_VGA_REGION_INDEX"], column: .cases,
            shown: ["D.3 what is no VGA device has no VGA region, though it counts"]),
        CoverageEvidence(
            names: ["VFIO_IOMMU_TYPE1_INFO_*", "vfio_iommu_type1_info_*", "vfio_info_cap_header"],
            column: .cases,
            shown: [
                "B.3 the chain holds migration, available mappings and address ranges, in this order"
            ]),
        CoverageEvidence(
            names: ["vfio_iova_range"], column: .cases,
            shown: ["B.3 the addresses that can be mapped are told in order, without what is reserved"]),
        CoverageEvidence(
            names: ["VFIO_IOMMU_INFO_PGSIZES", "VFIO_IOMMU_INFO_CAPS"], column: .cases,
            shown: [
                "B.3 GET_INFO tells how much room the chain needs, and where it begins only if it is there"
            ]),
        CoverageEvidence(
            names: ["VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP"], column: .cases,
            shown: ["B.5 unmapping with dirty bits tells those of what it unmaps"]),
        CoverageEvidence(
            names: ["vfio_iommu_type1_dirty_bitmap_get"], column: .cases,
            shown: ["B.7 GET_BITMAP wants 48 bytes, all of them readable"]),
        CoverageEvidence(
            names: ["VFIO_IOMMU_SPAPR_INFO_DDW"], column: .cases,
            shown: ["C.1 GET_INFO: sizes, faults, and dynamic windows where there is room"]),
        CoverageEvidence(
            names: ["VFIO_DEVICE_FEATURE_MASK"], column: .cases,
            shown: [
                "A.7 FEATURE refuses flags that it doesn't know, also with PROBE and for unknown features"
            ]),
        CoverageEvidence(
            names: ["VFIO_DEVICE_IOEVENTFD_SIZE_MASK"], column: .cases,
            shown: ["D.10 an ioeventfd has one width, of 1, 2 or 4 bytes"]),
        CoverageEvidence(
            names: ["vfio_device_low_power_entry_with_wakeup"], column: .cases,
            shown: ["D.11 the eventfd of ENTRY_WITH_WAKEUP is checked before the state"]),
        CoverageEvidence(
            names: ["VFIO_EEH_PE_STATE_*"], column: .cases,
            shown: ["C.2 a load that fails reads ones and freezes the device until it is thawed"]),
        CoverageEvidence(
            names: ["VFIO_REGION_INFO_FLAG_READ", "VFIO_REGION_INFO_FLAG_WRITE"], column: .cases,
            shown: ["D.3 a BAR of memory is as long as it is, and can be read, written and mapped"]),
        // What goes through a structure that holds it.
        CoverageEvidence(
            names: ["VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP"], column: .api,
            shown: ["Container.unmap(_:pageSize:dirtyBits:)"]),
        CoverageEvidence(
            names: ["VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP", "vfio_iommu_type1_dirty_bitmap_get"],
            column: .api,
            shown: ["Container.dirtyBits(of:pageSize:into:)"]),
        CoverageEvidence(
            names: ["VFIO_IOMMU_INFO_CAPS"], column: .api, shown: ["Container.info()"]),
        CoverageEvidence(names: ["vfio_info_cap_header"], column: .api, shown: ["Container.info()"]),
        CoverageEvidence(
            names: ["VFIO_DEVICE_API_*"], column: .api, shown: ["MediatedTypeRecord.interface"]),
        CoverageEvidence(
            names: [
                "VFIO_REGION_TYPE_MIGRATION_DEPRECATED", "VFIO_REGION_SUBTYPE_MIGRATION_DEPRECATED",
            ], column: .cases,
            shown: ["E.7 a region of a type of its own has the registers, behind those of every PCI device"]),
        CoverageEvidence(names: ["vfio_region_gfx_edid"], column: .api, shown: ["Monitor.plugIn(_:)"]),
        CoverageEvidence(
            names: ["vfio_region_gfx_edid"], column: .cases,
            shown: ["G.9 the EDID region tells the guest of a monitor"]),
        CoverageEvidence(
            names: ["VFIO_DEVICE_GFX_LINK_STATE_DOWN"], column: .device, shown: ["BochsDisplay"]),
        CoverageEvidence(names: ["VFIO_MIGRATION_P2P"], column: .device, shown: ["PCIBusDriver"]),
        CoverageEvidence(
            names: ["VFIO_CCW_CONFIG_REGION_INDEX"], column: .device, shown: ["CCWRegionKind"]),
        CoverageEvidence(
            names: ["VFIO_IOMMU_INFO_CAPS", "vfio_info_cap_header"], column: .device, shown: ["Type1"]),
        CoverageEvidence(
            names: [
                "VFIO_DEVICE_IOEVENTFD_8", "VFIO_DEVICE_IOEVENTFD_16", "VFIO_DEVICE_IOEVENTFD_32",
                "VFIO_DEVICE_IOEVENTFD_64",
            ], column: .device, shown: ["PCIEventWrites"]),
        CoverageEvidence(
            names: ["VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED"], column: .api, shown: ["Device.hotResetScope()"]),
    ]
}
