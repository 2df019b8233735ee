import VFIOABI

/// What VFIOABI says for the names of iommufd.h.
func describeIOMMUFD(in table: inout ABITable) {
    table.constant("IOMMUFD_CMD_BASE", IOMMUFDCommand.base.rawValue)
    table.constant("IOMMUFD_CMD_DESTROY", IOMMUFDCommand.destroy.rawValue)
    table.constant("IOMMUFD_CMD_IOAS_ALLOC", IOMMUFDCommand.ioasAlloc.rawValue)
    table.constant("IOMMUFD_CMD_IOAS_ALLOW_IOVAS", IOMMUFDCommand.ioasAllowIOVAs.rawValue)
    table.constant("IOMMUFD_CMD_IOAS_COPY", IOMMUFDCommand.ioasCopy.rawValue)
    table.constant("IOMMUFD_CMD_IOAS_IOVA_RANGES", IOMMUFDCommand.ioasIOVARanges.rawValue)
    table.constant("IOMMUFD_CMD_IOAS_MAP", IOMMUFDCommand.ioasMap.rawValue)
    table.constant("IOMMUFD_CMD_IOAS_UNMAP", IOMMUFDCommand.ioasUnmap.rawValue)
    table.constant("IOMMUFD_CMD_OPTION", IOMMUFDCommand.option.rawValue)
    table.constant("IOMMUFD_CMD_VFIO_IOAS", IOMMUFDCommand.vfioIOAS.rawValue)
    table.constant("IOMMUFD_CMD_HWPT_ALLOC", IOMMUFDCommand.hwptAlloc.rawValue)
    table.constant("IOMMUFD_CMD_GET_HW_INFO", IOMMUFDCommand.getHWInfo.rawValue)
    table.constant("IOMMUFD_CMD_HWPT_SET_DIRTY_TRACKING", IOMMUFDCommand.hwptSetDirtyTracking.rawValue)
    table.constant("IOMMUFD_CMD_HWPT_GET_DIRTY_BITMAP", IOMMUFDCommand.hwptGetDirtyBitmap.rawValue)
    table.constant("IOMMUFD_CMD_HWPT_INVALIDATE", IOMMUFDCommand.hwptInvalidate.rawValue)
    table.constant("IOMMUFD_CMD_FAULT_QUEUE_ALLOC", IOMMUFDCommand.faultQueueAlloc.rawValue)
    table.constant("IOMMUFD_CMD_IOAS_MAP_FILE", IOMMUFDCommand.ioasMapFile.rawValue)
    table.constant("IOMMUFD_CMD_VIOMMU_ALLOC", IOMMUFDCommand.viommuAlloc.rawValue)
    table.constant("IOMMUFD_CMD_VDEVICE_ALLOC", IOMMUFDCommand.vdeviceAlloc.rawValue)
    table.constant("IOMMUFD_CMD_IOAS_CHANGE_PROCESS", IOMMUFDCommand.ioasChangeProcess.rawValue)
    table.constant("IOMMUFD_CMD_VEVENTQ_ALLOC", IOMMUFDCommand.veventQueueAlloc.rawValue)
    table.constant("IOMMUFD_CMD_HW_QUEUE_ALLOC", IOMMUFDCommand.hwQueueAlloc.rawValue)
    table.constant("IOMMU_DESTROY", Request.iommufdDestroy.rawValue)
    table.constant("IOMMU_IOAS_ALLOC", Request.ioasAlloc.rawValue)
    table.constant("IOMMU_IOAS_ALLOW_IOVAS", Request.ioasAllowIOVAs.rawValue)
    table.constant("IOMMU_IOAS_COPY", Request.ioasCopy.rawValue)
    table.constant("IOMMU_IOAS_IOVA_RANGES", Request.ioasIOVARanges.rawValue)
    table.constant("IOMMU_IOAS_MAP", Request.ioasMap.rawValue)
    table.constant("IOMMU_IOAS_UNMAP", Request.ioasUnmap.rawValue)
    table.constant("IOMMU_OPTION", Request.iommufdOption.rawValue)
    table.constant("IOMMU_VFIO_IOAS", Request.iommufdVFIOIOAS.rawValue)
    table.constant("IOMMU_HWPT_ALLOC", Request.hwptAlloc.rawValue)
    table.constant("IOMMU_GET_HW_INFO", Request.iommufdGetHWInfo.rawValue)
    table.constant("IOMMU_HWPT_SET_DIRTY_TRACKING", Request.hwptSetDirtyTracking.rawValue)
    table.constant("IOMMU_HWPT_GET_DIRTY_BITMAP", Request.hwptGetDirtyBitmap.rawValue)
    table.constant("IOMMU_HWPT_INVALIDATE", Request.hwptInvalidate.rawValue)
    table.constant("IOMMU_FAULT_QUEUE_ALLOC", Request.faultQueueAlloc.rawValue)
    table.constant("IOMMU_IOAS_MAP_FILE", Request.ioasMapFile.rawValue)
    table.constant("IOMMU_VIOMMU_ALLOC", Request.viommuAlloc.rawValue)
    table.constant("IOMMU_VDEVICE_ALLOC", Request.vdeviceAlloc.rawValue)
    table.constant("IOMMU_IOAS_CHANGE_PROCESS", Request.ioasChangeProcess.rawValue)
    table.constant("IOMMU_VEVENTQ_ALLOC", Request.veventQueueAlloc.rawValue)
    table.constant("IOMMU_HW_QUEUE_ALLOC", Request.hwQueueAlloc.rawValue)
    table.structure("iommu_destroy", IOMMUFDDestroy.self) { layout in
        layout.field("size", \.size)
        layout.field("id", \.id)
    }
    table.structure("iommu_ioas_alloc", IOASAlloc.self) { layout in
        layout.field("size", \.size)
        layout.field("flags", \.flags)
        layout.field("out_ioas_id", \.ioasID)
    }
    table.structure("iommu_iova_range", IOASIOVARange.self) { layout in
        layout.field("start", \.start)
        layout.field("last", \.last)
    }
    table.structure("iommu_ioas_iova_ranges", IOASIOVARanges.self) { layout in
        layout.field("size", \.size)
        layout.field("ioas_id", \.ioasID)
        layout.field("num_iovas", \.rangeCount)
        layout.field("__reserved", \.reserved)
        layout.field("allowed_iovas", \.ranges)
        layout.field("out_iova_alignment", \.alignment)
    }
    table.structure("iommu_ioas_allow_iovas", IOASAllowIOVAs.self) { layout in
        layout.field("size", \.size)
        layout.field("ioas_id", \.ioasID)
        layout.field("num_iovas", \.rangeCount)
        layout.field("__reserved", \.reserved)
        layout.field("allowed_iovas", \.ranges)
    }
    table.constant("IOMMU_IOAS_MAP_FIXED_IOVA", IOASMapFlags.fixedIOVA.rawValue)
    table.constant("IOMMU_IOAS_MAP_WRITEABLE", IOASMapFlags.writeable.rawValue)
    table.constant("IOMMU_IOAS_MAP_READABLE", IOASMapFlags.readable.rawValue)
    table.structure("iommu_ioas_map", IOASMap.self) { layout in
        layout.field("size", \.size)
        layout.field("flags", \.flags)
        layout.field("ioas_id", \.ioasID)
        layout.field("__reserved", \.reserved)
        layout.field("user_va", \.userVA)
        layout.field("length", \.length)
        layout.field("iova", \.iova)
    }
    table.structure("iommu_ioas_map_file", IOASMapFile.self) { layout in
        layout.field("size", \.size)
        layout.field("flags", \.flags)
        layout.field("ioas_id", \.ioasID)
        layout.field("fd", \.fd)
        layout.field("start", \.start)
        layout.field("length", \.length)
        layout.field("iova", \.iova)
    }
    table.structure("iommu_ioas_copy", IOASCopy.self) { layout in
        layout.field("size", \.size)
        layout.field("flags", \.flags)
        layout.field("dst_ioas_id", \.destinationIOASID)
        layout.field("src_ioas_id", \.sourceIOASID)
        layout.field("length", \.length)
        layout.field("dst_iova", \.destinationIOVA)
        layout.field("src_iova", \.sourceIOVA)
    }
    table.structure("iommu_ioas_unmap", IOASUnmap.self) { layout in
        layout.field("size", \.size)
        layout.field("ioas_id", \.ioasID)
        layout.field("iova", \.iova)
        layout.field("length", \.length)
    }
    table.structure("iommu_ioas_change_process", IOASChangeProcess.self) { layout in
        layout.field("size", \.size)
        layout.field("__reserved", \.reserved)
    }
    table.constant("IOMMU_OPTION_RLIMIT_MODE", IOMMUFDOptionID.rlimitMode.rawValue)
    table.constant("IOMMU_OPTION_HUGE_PAGES", IOMMUFDOptionID.hugePages.rawValue)
    table.constant("IOMMU_OPTION_OP_SET", IOMMUFDOptionOperation.set.rawValue)
    table.constant("IOMMU_OPTION_OP_GET", IOMMUFDOptionOperation.get.rawValue)
    table.structure("iommu_option", IOMMUFDOption.self) { layout in
        layout.field("size", \.size)
        layout.field("option_id", \.optionID)
        layout.field("op", \.operation)
        layout.field("__reserved", \.reserved)
        layout.field("object_id", \.objectID)
        layout.field("val64", \.value)
    }
    table.constant("IOMMU_VFIO_IOAS_GET", VFIOCompatibilityIOASOperation.get.rawValue)
    table.constant("IOMMU_VFIO_IOAS_SET", VFIOCompatibilityIOASOperation.set.rawValue)
    table.constant("IOMMU_VFIO_IOAS_CLEAR", VFIOCompatibilityIOASOperation.clear.rawValue)
    table.structure("iommu_vfio_ioas", VFIOCompatibilityIOAS.self) { layout in
        layout.field("size", \.size)
        layout.field("ioas_id", \.ioasID)
        layout.field("op", \.operation)
        layout.field("__reserved", \.reserved)
    }
    table.constant("IOMMU_HWPT_ALLOC_NEST_PARENT", HWPTAllocFlags.nestParent.rawValue)
    table.constant("IOMMU_HWPT_ALLOC_DIRTY_TRACKING", HWPTAllocFlags.dirtyTracking.rawValue)
    table.constant("IOMMU_HWPT_FAULT_ID_VALID", HWPTAllocFlags.faultIDValid.rawValue)
    table.constant("IOMMU_HWPT_ALLOC_PASID", HWPTAllocFlags.pasid.rawValue)
    table.constant("IOMMU_HWPT_DATA_NONE", HWPTDataType.none.rawValue)
    table.constant("IOMMU_HWPT_DATA_VTD_S1", HWPTDataType.vtdStage1.rawValue)
    table.constant("IOMMU_HWPT_DATA_ARM_SMMUV3", HWPTDataType.armSMMUv3.rawValue)
    table.constant("IOMMU_HWPT_DATA_AMD_GUEST", HWPTDataType.amdGuest.rawValue)
    table.structure("iommu_hwpt_alloc", HWPTAlloc.self) { layout in
        layout.field("size", \.size)
        layout.field("flags", \.flags)
        layout.field("dev_id", \.deviceID)
        layout.field("pt_id", \.pageTableID)
        layout.field("out_hwpt_id", \.hwptID)
        layout.field("__reserved", \.reserved)
        layout.field("data_type", \.dataType)
        layout.field("data_len", \.dataLength)
        layout.field("data_uptr", \.dataAddress)
        layout.field("fault_id", \.faultID)
        layout.field("__reserved2", \.reserved2)
    }
    table.constant("IOMMU_VTD_S1_SRE", HWPTVTDStage1Flags.supervisorRequests.rawValue)
    table.constant("IOMMU_VTD_S1_EAFE", HWPTVTDStage1Flags.extendedAccessFlag.rawValue)
    table.constant("IOMMU_VTD_S1_WPE", HWPTVTDStage1Flags.writeProtect.rawValue)
    table.structure("iommu_hwpt_vtd_s1", HWPTVTDStage1.self) { layout in
        layout.field("flags", \.flags)
        layout.field("pgtbl_addr", \.pageTableAddress)
        layout.field("addr_width", \.addressWidth)
        layout.field("__reserved", \.reserved)
    }
    table.structure("iommu_hwpt_arm_smmuv3", HWPTARMSMMUv3.self) { layout in
        layout.field("ste", \.streamTableEntry)
    }
    table.structure("iommu_hwpt_amd_guest", HWPTAMDGuest.self) { layout in
        layout.field("dte", \.deviceTableEntry)
    }
    table.constant("IOMMU_HWPT_DIRTY_TRACKING_ENABLE", HWPTDirtyTrackingFlags.enable.rawValue)
    table.structure("iommu_hwpt_set_dirty_tracking", HWPTSetDirtyTracking.self) { layout in
        layout.field("size", \.size)
        layout.field("flags", \.flags)
        layout.field("hwpt_id", \.hwptID)
        layout.field("__reserved", \.reserved)
    }
    table.constant("IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR", HWPTGetDirtyBitmapFlags.noClear.rawValue)
    table.structure("iommu_hwpt_get_dirty_bitmap", HWPTGetDirtyBitmap.self) { layout in
        layout.field("size", \.size)
        layout.field("hwpt_id", \.hwptID)
        layout.field("flags", \.flags)
        layout.field("__reserved", \.reserved)
        layout.field("iova", \.iova)
        layout.field("length", \.length)
        layout.field("page_size", \.pageSize)
        layout.field("data", \.data)
    }
    table.constant("IOMMU_HWPT_INVALIDATE_DATA_VTD_S1", HWPTInvalidateDataType.vtdStage1.rawValue)
    table.constant("IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3", HWPTInvalidateDataType.armSMMUv3.rawValue)
    table.structure("iommu_hwpt_invalidate", HWPTInvalidate.self) { layout in
        layout.field("size", \.size)
        layout.field("hwpt_id", \.hwptID)
        layout.field("data_uptr", \.dataAddress)
        layout.field("data_type", \.dataType)
        layout.field("entry_len", \.entryLength)
        layout.field("entry_num", \.entryCount)
        layout.field("__reserved", \.reserved)
    }
    table.constant("IOMMU_VTD_INV_FLAGS_LEAF", HWPTVTDInvalidateFlags.leaf.rawValue)
    table.structure("iommu_hwpt_vtd_s1_invalidate", HWPTVTDStage1Invalidate.self) { layout in
        layout.field("addr", \.address)
        layout.field("npages", \.pageCount)
        layout.field("flags", \.flags)
        layout.field("__reserved", \.reserved)
    }
    table.structure("iommu_viommu_arm_smmuv3_invalidate", VIOMMUARMSMMUv3Invalidate.self) { layout in
        layout.field("cmd", \.command)
    }
    table.constant("IOMMU_HW_INFO_TYPE_NONE", HWInfoType.none.rawValue)
    table.constant("IOMMU_HW_INFO_TYPE_DEFAULT", HWInfoType.default.rawValue)
    table.constant("IOMMU_HW_INFO_TYPE_INTEL_VTD", HWInfoType.intelVTD.rawValue)
    table.constant("IOMMU_HW_INFO_TYPE_ARM_SMMUV3", HWInfoType.armSMMUv3.rawValue)
    table.constant("IOMMU_HW_INFO_TYPE_TEGRA241_CMDQV", HWInfoType.tegra241CMDQV.rawValue)
    table.constant("IOMMU_HW_INFO_TYPE_AMD", HWInfoType.amd.rawValue)
    table.constant("IOMMU_HW_CAP_DIRTY_TRACKING", HWCapabilities.dirtyTracking.rawValue)
    table.constant("IOMMU_HW_CAP_PCI_PASID_EXEC", HWCapabilities.pciPASIDExecute.rawValue)
    table.constant("IOMMU_HW_CAP_PCI_PASID_PRIV", HWCapabilities.pciPASIDPrivileged.rawValue)
    table.constant("IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED", HWCapabilities.pciATSNotSupported.rawValue)
    table.constant("IOMMU_HW_INFO_FLAG_INPUT_TYPE", HWInfoFlags.inputType.rawValue)
    table.structure("iommu_hw_info", HWInfo.self) { layout in
        layout.field("size", \.size)
        layout.field("flags", \.flags)
        layout.field("dev_id", \.deviceID)
        layout.field("data_len", \.dataLength)
        layout.field("data_uptr", \.dataAddress)
        layout.field("in_data_type", \.inputType)
        layout.field("out_max_pasid_log2", \.maxPASIDLog2)
        layout.field("__reserved", \.reserved)
        layout.field("out_capabilities", \.capabilities)
        layout.field("out_data_type", \.inputType)
    }
    table.constant("IOMMU_HW_INFO_VTD_ERRATA_772415_SPR17", HWInfoVTDFlags.erratum772415SPR17.rawValue)
    table.structure("iommu_hw_info_vtd", HWInfoVTD.self) { layout in
        layout.field("flags", \.flags)
        layout.field("__reserved", \.reserved)
        layout.field("cap_reg", \.capabilityRegister)
        layout.field("ecap_reg", \.extendedCapabilityRegister)
    }
    table.structure("iommu_hw_info_arm_smmuv3", HWInfoARMSMMUv3.self) { layout in
        layout.field("flags", \.flags)
        layout.field("__reserved", \.reserved)
        layout.field("idr", \.idr)
        layout.field("iidr", \.iidr)
        layout.field("aidr", \.aidr)
    }
    table.structure("iommu_hw_info_tegra241_cmdqv", HWInfoTegra241CMDQV.self) { layout in
        layout.field("flags", \.flags)
        layout.field("version", \.version)
        layout.field("log2vcmdqs", \.log2VirtualCommandQueues)
        layout.field("log2vsids", \.log2VirtualSIDs)
        layout.field("__reserved", \.reserved)
    }
    table.structure("iommu_hw_info_amd", HWInfoAMD.self) { layout in
        layout.field("efr", \.efr)
        layout.field("efr2", \.efr2)
    }
    table.constant("IOMMU_PGFAULT_FLAGS_PASID_VALID", PageFaultFlags.pasidValid.rawValue)
    table.constant("IOMMU_PGFAULT_FLAGS_LAST_PAGE", PageFaultFlags.lastPage.rawValue)
    table.constant("IOMMU_PGFAULT_PERM_READ", PageFaultPermissions.read.rawValue)
    table.constant("IOMMU_PGFAULT_PERM_WRITE", PageFaultPermissions.write.rawValue)
    table.constant("IOMMU_PGFAULT_PERM_EXEC", PageFaultPermissions.execute.rawValue)
    table.constant("IOMMU_PGFAULT_PERM_PRIV", PageFaultPermissions.privileged.rawValue)
    table.structure("iommu_hwpt_pgfault", PageFault.self) { layout in
        layout.field("flags", \.flags)
        layout.field("dev_id", \.deviceID)
        layout.field("pasid", \.pasid)
        layout.field("grpid", \.groupIndex)
        layout.field("perm", \.permissions)
        layout.field("__reserved", \.reserved)
        layout.field("addr", \.address)
        layout.field("length", \.length)
        layout.field("cookie", \.cookie)
    }
    table.constant("IOMMUFD_PAGE_RESP_SUCCESS", PageResponseCode.success.rawValue)
    table.constant("IOMMUFD_PAGE_RESP_INVALID", PageResponseCode.invalid.rawValue)
    table.structure("iommu_hwpt_page_response", PageResponse.self) { layout in
        layout.field("cookie", \.cookie)
        layout.field("code", \.code)
    }
    table.structure("iommu_fault_alloc", FaultQueueAlloc.self) { layout in
        layout.field("size", \.size)
        layout.field("flags", \.flags)
        layout.field("out_fault_id", \.faultID)
        layout.field("out_fault_fd", \.faultFD)
    }
    table.constant("IOMMU_VIOMMU_TYPE_DEFAULT", VIOMMUType.default.rawValue)
    table.constant("IOMMU_VIOMMU_TYPE_ARM_SMMUV3", VIOMMUType.armSMMUv3.rawValue)
    table.constant("IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV", VIOMMUType.tegra241CMDQV.rawValue)
    table.structure("iommu_viommu_alloc", VIOMMUAlloc.self) { layout in
        layout.field("size", \.size)
        layout.field("flags", \.flags)
        layout.field("type", \.type)
        layout.field("dev_id", \.deviceID)
        layout.field("hwpt_id", \.hwptID)
        layout.field("out_viommu_id", \.viommuID)
        layout.field("data_len", \.dataLength)
        layout.field("__reserved", \.reserved)
        layout.field("data_uptr", \.dataAddress)
    }
    table.structure("iommu_viommu_tegra241_cmdqv", VIOMMUTegra241CMDQV.self) { layout in
        layout.field("out_vintf_mmap_offset", \.mmapOffset)
        layout.field("out_vintf_mmap_length", \.mmapLength)
    }
    table.structure("iommu_vdevice_alloc", VDeviceAlloc.self) { layout in
        layout.field("size", \.size)
        layout.field("viommu_id", \.viommuID)
        layout.field("dev_id", \.deviceID)
        layout.field("out_vdevice_id", \.vdeviceID)
        layout.field("virt_id", \.virtualID)
    }
    table.constant("IOMMU_VEVENTQ_FLAG_LOST_EVENTS", VEventFlags.lostEvents.rawValue)
    table.structure("iommufd_vevent_header", VEventHeader.self) { layout in
        layout.field("flags", \.flags)
        layout.field("sequence", \.sequence)
    }
    table.constant("IOMMU_VEVENTQ_TYPE_DEFAULT", VEventQueueType.default.rawValue)
    table.constant("IOMMU_VEVENTQ_TYPE_ARM_SMMUV3", VEventQueueType.armSMMUv3.rawValue)
    table.constant("IOMMU_VEVENTQ_TYPE_TEGRA241_CMDQV", VEventQueueType.tegra241CMDQV.rawValue)
    table.structure("iommu_vevent_arm_smmuv3", VEventARMSMMUv3.self) { layout in
        layout.field("evt", \.event)
    }
    table.structure("iommu_vevent_tegra241_cmdqv", VEventTegra241CMDQV.self) { layout in
        layout.field("lvcmdq_err_map", \.errorMap)
    }
    table.structure("iommu_veventq_alloc", VEventQueueAlloc.self) { layout in
        layout.field("size", \.size)
        layout.field("flags", \.flags)
        layout.field("viommu_id", \.viommuID)
        layout.field("type", \.type)
        layout.field("veventq_depth", \.depth)
        layout.field("out_veventq_id", \.queueID)
        layout.field("out_veventq_fd", \.queueFD)
        layout.field("__reserved", \.reserved)
    }
    table.constant("IOMMU_HW_QUEUE_TYPE_DEFAULT", HWQueueType.default.rawValue)
    table.constant("IOMMU_HW_QUEUE_TYPE_TEGRA241_CMDQV", HWQueueType.tegra241CMDQV.rawValue)
    table.structure("iommu_hw_queue_alloc", HWQueueAlloc.self) { layout in
        layout.field("size", \.size)
        layout.field("flags", \.flags)
        layout.field("viommu_id", \.viommuID)
        layout.field("type", \.type)
        layout.field("index", \.index)
        layout.field("out_hw_queue_id", \.hwQueueID)
        layout.field("nesting_parent_iova", \.nestingParentIOVA)
        layout.field("length", \.length)
    }
}
