extension StructureLayout {
    /// The structures that requests take, by the request's word.
    static let structures: [(request: String, name: String)] = [
        ("VFIO_GROUP_GET_STATUS", "vfio_group_status"),
        ("VFIO_DEVICE_GET_INFO", "vfio_device_info"),
        ("VFIO_DEVICE_GET_REGION_INFO", "vfio_region_info"),
        ("VFIO_DEVICE_GET_IRQ_INFO", "vfio_irq_info"),
        ("VFIO_DEVICE_SET_IRQS", "vfio_irq_set"),
        ("VFIO_DEVICE_GET_PCI_HOT_RESET_INFO", "vfio_pci_hot_reset_info"),
        ("VFIO_DEVICE_PCI_HOT_RESET", "vfio_pci_hot_reset"),
        ("VFIO_DEVICE_QUERY_GFX_PLANE", "vfio_device_gfx_plane_info"),
        ("VFIO_DEVICE_IOEVENTFD", "vfio_device_ioeventfd"),
        ("VFIO_DEVICE_FEATURE", "vfio_device_feature"),
        ("VFIO_DEVICE_BIND_IOMMUFD", "vfio_device_bind_iommufd"),
        ("VFIO_DEVICE_ATTACH_IOMMUFD_PT", "vfio_device_attach_iommufd_pt"),
        ("VFIO_DEVICE_DETACH_IOMMUFD_PT", "vfio_device_detach_iommufd_pt"),
        ("VFIO_MIG_GET_PRECOPY_INFO", "vfio_precopy_info"),
        ("VFIO_IOMMU_GET_INFO", "vfio_iommu_type1_info"),
        ("VFIO_IOMMU_MAP_DMA", "vfio_iommu_type1_dma_map"),
        ("VFIO_IOMMU_UNMAP_DMA", "vfio_iommu_type1_dma_unmap"),
        ("VFIO_IOMMU_DIRTY_PAGES", "vfio_iommu_type1_dirty_bitmap"),
        ("VFIO_IOMMU_SPAPR_TCE_GET_INFO", "vfio_iommu_spapr_tce_info"),
        ("VFIO_EEH_PE_OP", "vfio_eeh_pe_op"),
        ("VFIO_IOMMU_SPAPR_REGISTER_MEMORY", "vfio_iommu_spapr_register_memory"),
        ("VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY", "vfio_iommu_spapr_register_memory"),
        ("VFIO_IOMMU_SPAPR_TCE_CREATE", "vfio_iommu_spapr_tce_create"),
        ("VFIO_IOMMU_SPAPR_TCE_REMOVE", "vfio_iommu_spapr_tce_remove"),
        ("IOMMU_DESTROY", "iommu_destroy"),
        ("IOMMU_IOAS_ALLOC", "iommu_ioas_alloc"),
        ("IOMMU_IOAS_ALLOW_IOVAS", "iommu_ioas_allow_iovas"),
        ("IOMMU_IOAS_COPY", "iommu_ioas_copy"),
        ("IOMMU_IOAS_IOVA_RANGES", "iommu_ioas_iova_ranges"),
        ("IOMMU_IOAS_MAP", "iommu_ioas_map"),
        ("IOMMU_IOAS_MAP_FILE", "iommu_ioas_map_file"),
        ("IOMMU_IOAS_UNMAP", "iommu_ioas_unmap"),
        ("IOMMU_OPTION", "iommu_option"),
        ("IOMMU_VFIO_IOAS", "iommu_vfio_ioas"),
        ("IOMMU_HWPT_ALLOC", "iommu_hwpt_alloc"),
        ("IOMMU_GET_HW_INFO", "iommu_hw_info"),
        ("IOMMU_HWPT_SET_DIRTY_TRACKING", "iommu_hwpt_set_dirty_tracking"),
        ("IOMMU_HWPT_GET_DIRTY_BITMAP", "iommu_hwpt_get_dirty_bitmap"),
        ("IOMMU_HWPT_INVALIDATE", "iommu_hwpt_invalidate"),
        ("IOMMU_FAULT_QUEUE_ALLOC", "iommu_fault_alloc"),
        ("IOMMU_VIOMMU_ALLOC", "iommu_viommu_alloc"),
        ("IOMMU_VDEVICE_ALLOC", "iommu_vdevice_alloc"),
        ("IOMMU_IOAS_CHANGE_PROCESS", "iommu_ioas_change_process"),
        ("IOMMU_VEVENTQ_ALLOC", "iommu_veventq_alloc"),
        ("IOMMU_HW_QUEUE_ALLOC", "iommu_hw_queue_alloc"),
    ]

    /// The layouts, by what C calls them; a test compares them with the compiler's facts.
    static let texts: [(name: String, text: String)] = [
        ("vfio_group_status", "argsz/4 flags/4f=VIABLE,CONTAINER_SET"),
        (
            "vfio_device_info",
            "argsz/4 flags/4f=RESET,PCI,PLATFORM,AMBA,CCW,AP,FSL_MC,CAPS,CDX num_regions/4 num_irqs/4 "
                + "cap_offset/4 pad/4r"
        ),
        (
            "vfio_region_info",
            "argsz/4 flags/4f=READ,WRITE,MMAP,CAPS index/4 cap_offset/4 size/8x offset/8x"
        ),
        ("vfio_irq_info", "argsz/4 flags/4f=EVENTFD,MASKABLE,AUTOMASKED,NORESIZE index/4 count/4"),
        (
            "vfio_irq_set",
            "argsz/4 flags/4f=DATA_NONE,DATA_BOOL,DATA_EVENTFD,ACTION_MASK,ACTION_UNMASK,ACTION_TRIGGER "
                + "index/4 start/4 count/4"
        ),
        ("vfio_pci_hot_reset_info", "argsz/4 flags/4f=DEV_ID,DEV_ID_OWNED count/4"),
        ("vfio_pci_hot_reset", "argsz/4 flags/4f count/4"),
        (
            "vfio_device_gfx_plane_info",
            "argsz/4 flags/4f=PROBE,DMABUF,REGION drm_plane_type/4 drm_format/4x drm_format_mod/8x width/4 "
                + "height/4 stride/4 size/4 x_pos/4 y_pos/4 x_hot/4 y_hot/4 region_index/4 reserved/4r"
        ),
        ("vfio_device_ioeventfd", "argsz/4 flags/4f=8,16,32,64 offset/8x data/8x fd/4d reserved/4r"),
        ("vfio_device_feature", "argsz/4 flags/4x"),
        ("vfio_device_bind_iommufd", "argsz/4 flags/4f=TOKEN iommufd/4d out_devid/4O token_uuid_ptr/8p"),
        ("vfio_device_attach_iommufd_pt", "argsz/4 flags/4f=PASID pt_id/4o pasid/4"),
        ("vfio_device_detach_iommufd_pt", "argsz/4 flags/4f=PASID pasid/4"),
        ("vfio_precopy_info", "argsz/4 flags/4f initial_bytes/8 dirty_bytes/8"),
        ("vfio_iommu_type1_info", "argsz/4 flags/4f=PGSIZES,CAPS iova_pgsizes/8x cap_offset/4 pad/4r"),
        ("vfio_iommu_type1_dma_map", "argsz/4 flags/4f=READ,WRITE,VADDR vaddr/8a iova/8x size/8x"),
        ("vfio_iommu_type1_dma_unmap", "argsz/4 flags/4f=GET_DIRTY_BITMAP,ALL,VADDR iova/8x size/8x"),
        ("vfio_iommu_type1_dirty_bitmap", "argsz/4 flags/4f=START,STOP,GET_BITMAP"),
        (
            "vfio_iommu_type1_dirty_bitmap_get",
            "iova/8x size/8x bitmap.pgsize/8x bitmap.size/8 bitmap.data/8p"
        ),
        ("vfio_bitmap", "pgsize/8x size/8 data/8p"),
        (
            "vfio_iommu_spapr_tce_info",
            "argsz/4 flags/4f=DDW dma32_window_start/4x dma32_window_size/4x ddw.pgsizes/8x "
                + "ddw.max_dynamic_windows_supported/4 ddw.levels/4"
        ),
        (
            "vfio_eeh_pe_op",
            "argsz/4 flags/4f op/4 pad/4r err.type/4 err.func/4 err.addr/8x err.mask/8x"
        ),
        ("vfio_iommu_spapr_register_memory", "argsz/4 flags/4f vaddr/8a size/8x"),
        (
            "vfio_iommu_spapr_tce_create",
            "argsz/4 flags/4f page_shift/4 __resv1/4r window_size/8x levels/4 __resv2/4r start_addr/8x"
        ),
        ("vfio_iommu_spapr_tce_remove", "argsz/4 flags/4f start_addr/8x"),
        ("vfio_device_feature_migration", "flags/8f=STOP_COPY,P2P,PRE_COPY"),
        ("vfio_device_feature_mig_state", "device_state/4 data_fd/4D"),
        ("vfio_device_low_power_entry_with_wakeup", "wakeup_eventfd/4d reserved/4r"),
        ("vfio_device_feature_dma_logging_control", "page_size/8x num_ranges/4 __reserved/4r ranges/8p"),
        ("vfio_device_feature_dma_logging_report", "iova/8x length/8x page_size/8x bitmap/8p"),
        ("vfio_device_feature_mig_data_size", "stop_copy_length/8"),
        ("vfio_device_feature_bus_master", "op/4"),
        ("vfio_device_feature_dma_buf", "region_index/4 open_flags/4x flags/4f nr_ranges/4"),
        ("iommu_destroy", "size/4 id/4o"),
        ("iommu_ioas_alloc", "size/4 flags/4f out_ioas_id/4O"),
        (
            "iommu_ioas_iova_ranges",
            "size/4 ioas_id/4o num_iovas/4 __reserved/4r allowed_iovas/8p out_iova_alignment/8x"
        ),
        ("iommu_ioas_allow_iovas", "size/4 ioas_id/4o num_iovas/4 __reserved/4r allowed_iovas/8p"),
        (
            "iommu_ioas_map",
            "size/4 flags/4f=FIXED_IOVA,WRITEABLE,READABLE ioas_id/4o __reserved/4r user_va/8a length/8x iova/8x"
        ),
        (
            "iommu_ioas_map_file",
            "size/4 flags/4f=FIXED_IOVA,WRITEABLE,READABLE ioas_id/4o fd/4d start/8x length/8x iova/8x"
        ),
        (
            "iommu_ioas_copy",
            "size/4 flags/4f=FIXED_IOVA,WRITEABLE,READABLE dst_ioas_id/4o src_ioas_id/4o length/8x "
                + "dst_iova/8x src_iova/8x"
        ),
        ("iommu_ioas_unmap", "size/4 ioas_id/4o iova/8x length/8x"),
        ("iommu_option", "size/4 option_id/4 op/2 __reserved/2r object_id/4o val64/8"),
        ("iommu_vfio_ioas", "size/4 ioas_id/4o op/2 __reserved/2r"),
        (
            "iommu_hwpt_alloc",
            "size/4 flags/4f=NEST_PARENT,DIRTY_TRACKING,FAULT_ID_VALID,PASID dev_id/4o pt_id/4o "
                + "out_hwpt_id/4O __reserved/4r data_type/4 data_len/4 data_uptr/8p fault_id/4o __reserved2/4r"
        ),
        (
            "iommu_hw_info",
            "size/4 flags/4f=INPUT_TYPE dev_id/4o data_len/4 data_uptr/8p out_data_type/4 "
                + "out_max_pasid_log2/1 __reserved/1r __reserved1/1r __reserved2/1r "
                + "out_capabilities/8f=DIRTY_TRACKING,PASID_EXEC,PASID_PRIV"
        ),
        ("iommu_hwpt_set_dirty_tracking", "size/4 flags/4f=ENABLE hwpt_id/4o __reserved/4r"),
        (
            "iommu_hwpt_get_dirty_bitmap",
            "size/4 hwpt_id/4o flags/4f=NO_CLEAR __reserved/4r iova/8x length/8x page_size/8x data/8p"
        ),
        (
            "iommu_hwpt_invalidate",
            "size/4 hwpt_id/4o data_uptr/8p data_type/4 entry_len/4 entry_num/4 __reserved/4r"
        ),
        ("iommu_fault_alloc", "size/4 flags/4f out_fault_id/4O out_fault_fd/4D"),
        (
            "iommu_viommu_alloc",
            "size/4 flags/4f type/4 dev_id/4o hwpt_id/4o out_viommu_id/4O data_len/4 __reserved/4r data_uptr/8p"
        ),
        ("iommu_vdevice_alloc", "size/4 viommu_id/4o dev_id/4o out_vdevice_id/4O virt_id/8x"),
        ("iommu_ioas_change_process", "size/4 __reserved/4r"),
        (
            "iommu_veventq_alloc",
            "size/4 flags/4f viommu_id/4o type/4 veventq_depth/4 out_veventq_id/4O out_veventq_fd/4D __reserved/4r"
        ),
        (
            "iommu_hw_queue_alloc",
            "size/4 flags/4f viommu_id/4o type/4 index/4 out_hw_queue_id/4O nesting_parent_iova/8x length/8x"
        ),
    ]
}
