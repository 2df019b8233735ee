import VFIOABI

/// What VFIOABI says for the names of vfio.h: hot reset, graphics, features, migration, sPAPR, EEH.
func describeVFIOFeature(in table: inout ABITable) {
    table.constant("VFIO_PCI_DEVID_OWNED", PCIDependentDeviceID.owned.rawValue)
    table.constant("VFIO_PCI_DEVID_NOT_OWNED", PCIDependentDeviceID.notOwned.rawValue)
    table.structure("vfio_pci_dependent_device", PCIDependentDevice.self) { layout in
        layout.field("group_id", \.groupID)
        layout.field("segment", \.segment)
        layout.field("bus", \.bus)
        layout.field("devfn", \.deviceFunction)
        layout.field("devid", \.groupID)
    }
    table.constant("VFIO_PCI_HOT_RESET_FLAG_DEV_ID", PCIHotResetFlags.deviceID.rawValue)
    table.constant("VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED", PCIHotResetFlags.deviceIDOwned.rawValue)
    table.structure("vfio_pci_hot_reset_info", PCIHotResetInfo.self) { layout in
        layout.field("argsz", \.argsz)
        layout.field("flags", \.flags)
        layout.field("count", \.count)
        layout.trailing("devices")
    }
    table.structure("vfio_pci_hot_reset", PCIHotReset.self) { layout in
        layout.field("argsz", \.argsz)
        layout.field("flags", \.flags)
        layout.field("count", \.count)
        layout.trailing("group_fds")
    }
    table.constant("VFIO_GFX_PLANE_TYPE_PROBE", GFXPlaneFlags.probe.rawValue)
    table.constant("VFIO_GFX_PLANE_TYPE_DMABUF", GFXPlaneFlags.dmabuf.rawValue)
    table.constant("VFIO_GFX_PLANE_TYPE_REGION", GFXPlaneFlags.region.rawValue)
    table.structure("vfio_device_gfx_plane_info", GFXPlaneInfo.self) { layout in
        layout.field("argsz", \.argsz)
        layout.field("flags", \.flags)
        layout.field("drm_plane_type", \.drmPlaneType)
        layout.field("drm_format", \.drmFormat)
        layout.field("drm_format_mod", \.drmFormatModifier)
        layout.field("width", \.width)
        layout.field("height", \.height)
        layout.field("stride", \.stride)
        layout.field("size", \.size)
        layout.field("x_pos", \.x)
        layout.field("y_pos", \.y)
        layout.field("x_hot", \.hotX)
        layout.field("y_hot", \.hotY)
        layout.field("region_index", \.regionIndex)
        layout.field("reserved", \.reserved)
        layout.field("dmabuf_id", \.regionIndex)
    }
    table.constant("VFIO_DEVICE_IOEVENTFD_8", DeviceIOEventFDFlags.bits8.rawValue)
    table.constant("VFIO_DEVICE_IOEVENTFD_16", DeviceIOEventFDFlags.bits16.rawValue)
    table.constant("VFIO_DEVICE_IOEVENTFD_32", DeviceIOEventFDFlags.bits32.rawValue)
    table.constant("VFIO_DEVICE_IOEVENTFD_64", DeviceIOEventFDFlags.bits64.rawValue)
    table.constant("VFIO_DEVICE_IOEVENTFD_SIZE_MASK", DeviceIOEventFDFlags.sizeMask.rawValue)
    table.structure("vfio_device_ioeventfd", DeviceIOEventFD.self) { layout in
        layout.field("argsz", \.argsz)
        layout.field("flags", \.flags)
        layout.field("offset", \.offset)
        layout.field("data", \.data)
        layout.field("fd", \.fd)
        layout.field("reserved", \.reserved)
    }
    table.constant("VFIO_DEVICE_FEATURE_PCI_VF_TOKEN", Feature.pciVFToken.rawValue)
    table.constant("VFIO_DEVICE_FEATURE_MIGRATION", Feature.migration.rawValue)
    table.constant("VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE", Feature.migrationDeviceState.rawValue)
    table.constant("VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY", Feature.lowPowerEntry.rawValue)
    table.constant(
        "VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP", Feature.lowPowerEntryWithWakeup.rawValue)
    table.constant("VFIO_DEVICE_FEATURE_LOW_POWER_EXIT", Feature.lowPowerExit.rawValue)
    table.constant("VFIO_DEVICE_FEATURE_DMA_LOGGING_START", Feature.dmaLoggingStart.rawValue)
    table.constant("VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP", Feature.dmaLoggingStop.rawValue)
    table.constant("VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT", Feature.dmaLoggingReport.rawValue)
    table.constant("VFIO_DEVICE_FEATURE_MIG_DATA_SIZE", Feature.migrationDataSize.rawValue)
    table.constant("VFIO_DEVICE_FEATURE_BUS_MASTER", Feature.busMaster.rawValue)
    table.constant("VFIO_DEVICE_FEATURE_DMA_BUF", Feature.dmaBuf.rawValue)
    table.constant("VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2", Feature.migrationPrecopyInfoV2.rawValue)
    table.constant("VFIO_DEVICE_FEATURE_MASK", FeatureFlags.featureMask.rawValue)
    table.constant("VFIO_DEVICE_FEATURE_GET", FeatureFlags.get.rawValue)
    table.constant("VFIO_DEVICE_FEATURE_SET", FeatureFlags.set.rawValue)
    table.constant("VFIO_DEVICE_FEATURE_PROBE", FeatureFlags.probe.rawValue)
    table.structure("vfio_device_feature", DeviceFeature.self) { layout in
        layout.field("argsz", \.argsz)
        layout.field("flags", \.flags)
        layout.trailing("data")
    }
    table.structure("vfio_device_low_power_entry_with_wakeup", LowPowerEntryWithWakeup.self) { layout in
        layout.field("wakeup_eventfd", \.wakeupEventFD)
        layout.field("reserved", \.reserved)
    }
    table.constant("VFIO_DEVICE_FEATURE_CLEAR_MASTER", BusMasterOperation.clear.rawValue)
    table.constant("VFIO_DEVICE_FEATURE_SET_MASTER", BusMasterOperation.set.rawValue)
    table.structure("vfio_device_feature_bus_master", BusMasterFeature.self) { layout in
        layout.field("op", \.operation)
    }
    table.structure("vfio_region_dma_range", RegionDMARange.self) { layout in
        layout.field("offset", \.offset)
        layout.field("length", \.length)
    }
    table.structure("vfio_device_feature_dma_buf", DMABufFeature.self) { layout in
        layout.field("region_index", \.regionIndex)
        layout.field("open_flags", \.openFlags)
        layout.field("flags", \.flags)
        layout.field("nr_ranges", \.rangeCount)
        layout.trailing("dma_ranges")
    }
    table.constant("VFIO_MIGRATION_STOP_COPY", MigrationFlags.stopCopy.rawValue)
    table.constant("VFIO_MIGRATION_P2P", MigrationFlags.p2p.rawValue)
    table.constant("VFIO_MIGRATION_PRE_COPY", MigrationFlags.preCopy.rawValue)
    table.structure("vfio_device_feature_migration", MigrationFeature.self) { layout in
        layout.field("flags", \.flags)
    }
    table.constant("VFIO_DEVICE_STATE_ERROR", MigrationState.error.rawValue)
    table.constant("VFIO_DEVICE_STATE_STOP", MigrationState.stop.rawValue)
    table.constant("VFIO_DEVICE_STATE_RUNNING", MigrationState.running.rawValue)
    table.constant("VFIO_DEVICE_STATE_STOP_COPY", MigrationState.stopCopy.rawValue)
    table.constant("VFIO_DEVICE_STATE_RESUMING", MigrationState.resuming.rawValue)
    table.constant("VFIO_DEVICE_STATE_RUNNING_P2P", MigrationState.runningP2P.rawValue)
    table.constant("VFIO_DEVICE_STATE_PRE_COPY", MigrationState.preCopy.rawValue)
    table.constant("VFIO_DEVICE_STATE_PRE_COPY_P2P", MigrationState.preCopyP2P.rawValue)
    table.constant("VFIO_DEVICE_STATE_NR", MigrationState.count)
    table.structure("vfio_device_feature_mig_state", MigrationStateFeature.self) { layout in
        layout.field("device_state", \.deviceState)
        layout.field("data_fd", \.dataFD)
    }
    table.structure("vfio_device_feature_mig_data_size", MigrationDataSize.self) { layout in
        layout.field("stop_copy_length", \.stopCopyLength)
    }
    table.constant("VFIO_PRECOPY_INFO_REINIT", PrecopyInfoFlags.reinit.rawValue)
    table.structure("vfio_precopy_info", PrecopyInfo.self) { layout in
        layout.field("argsz", \.argsz)
        layout.field("flags", \.flags)
        layout.field("initial_bytes", \.initialBytes)
        layout.field("dirty_bytes", \.dirtyBytes)
    }
    table.constant("VFIO_DEVICE_STATE_V1_STOP", LegacyMigrationState.stop.rawValue)
    table.constant("VFIO_DEVICE_STATE_V1_RUNNING", LegacyMigrationState.running.rawValue)
    table.constant("VFIO_DEVICE_STATE_V1_SAVING", LegacyMigrationState.saving.rawValue)
    table.constant("VFIO_DEVICE_STATE_V1_RESUMING", LegacyMigrationState.resuming.rawValue)
    table.constant("VFIO_DEVICE_STATE_MASK", LegacyMigrationState.mask.rawValue)
    table.structure("vfio_device_migration_info", LegacyMigrationInfo.self) { layout in
        layout.field("device_state", \.deviceState)
        layout.field("reserved", \.reserved)
        layout.field("pending_bytes", \.pendingBytes)
        layout.field("data_offset", \.dataOffset)
        layout.field("data_size", \.dataSize)
    }
    table.structure("vfio_device_feature_dma_logging_range", DMALoggingRange.self) { layout in
        layout.field("iova", \.iova)
        layout.field("length", \.length)
    }
    table.structure("vfio_device_feature_dma_logging_control", DMALoggingControl.self) { layout in
        layout.field("page_size", \.pageSize)
        layout.field("num_ranges", \.rangeCount)
        layout.field("__reserved", \.reserved)
        layout.field("ranges", \.ranges)
    }
    table.structure("vfio_device_feature_dma_logging_report", DMALoggingReport.self) { layout in
        layout.field("iova", \.iova)
        layout.field("length", \.length)
        layout.field("page_size", \.pageSize)
        layout.field("bitmap", \.bitmap)
    }
    table.constant("VFIO_IOMMU_SPAPR_INFO_DDW", SPAPRTCEInfoFlags.ddw.rawValue)
    table.structure("vfio_iommu_spapr_tce_ddw_info", SPAPRTCEDDWInfo.self) { layout in
        layout.field("pgsizes", \.pageSizes)
        layout.field("max_dynamic_windows_supported", \.maxDynamicWindows)
        layout.field("levels", \.levels)
    }
    table.structure("vfio_iommu_spapr_tce_info", SPAPRTCEInfo.self) { layout in
        layout.field("argsz", \.argsz)
        layout.field("flags", \.flags)
        layout.field("dma32_window_start", \.dma32WindowStart)
        layout.field("dma32_window_size", \.dma32WindowSize)
        layout.field("ddw", \.ddw)
    }
    table.structure("vfio_iommu_spapr_register_memory", SPAPRRegisterMemory.self) { layout in
        layout.field("argsz", \.argsz)
        layout.field("flags", \.flags)
        layout.field("vaddr", \.vaddr)
        layout.field("size", \.size)
    }
    table.structure("vfio_iommu_spapr_tce_create", SPAPRTCECreate.self) { layout in
        layout.field("argsz", \.argsz)
        layout.field("flags", \.flags)
        layout.field("page_shift", \.pageShift)
        layout.field("__resv1", \.reserved1)
        layout.field("window_size", \.windowSize)
        layout.field("levels", \.levels)
        layout.field("__resv2", \.reserved2)
        layout.field("start_addr", \.startAddress)
    }
    table.structure("vfio_iommu_spapr_tce_remove", SPAPRTCERemove.self) { layout in
        layout.field("argsz", \.argsz)
        layout.field("flags", \.flags)
        layout.field("start_addr", \.startAddress)
    }
    table.constant("VFIO_EEH_PE_DISABLE", EEHOperation.disable.rawValue)
    table.constant("VFIO_EEH_PE_ENABLE", EEHOperation.enable.rawValue)
    table.constant("VFIO_EEH_PE_UNFREEZE_IO", EEHOperation.unfreezeIO.rawValue)
    table.constant("VFIO_EEH_PE_UNFREEZE_DMA", EEHOperation.unfreezeDMA.rawValue)
    table.constant("VFIO_EEH_PE_GET_STATE", EEHOperation.getState.rawValue)
    table.constant("VFIO_EEH_PE_RESET_DEACTIVATE", EEHOperation.resetDeactivate.rawValue)
    table.constant("VFIO_EEH_PE_RESET_HOT", EEHOperation.resetHot.rawValue)
    table.constant("VFIO_EEH_PE_RESET_FUNDAMENTAL", EEHOperation.resetFundamental.rawValue)
    table.constant("VFIO_EEH_PE_CONFIGURE", EEHOperation.configure.rawValue)
    table.constant("VFIO_EEH_PE_INJECT_ERR", EEHOperation.injectError.rawValue)
    table.constant("VFIO_EEH_PE_STATE_NORMAL", EEHState.normal.rawValue)
    table.constant("VFIO_EEH_PE_STATE_RESET", EEHState.reset.rawValue)
    table.constant("VFIO_EEH_PE_STATE_STOPPED", EEHState.stopped.rawValue)
    table.constant("VFIO_EEH_PE_STATE_STOPPED_DMA", EEHState.stoppedDMA.rawValue)
    table.constant("VFIO_EEH_PE_STATE_UNAVAIL", EEHState.unavailable.rawValue)
    table.structure("vfio_eeh_pe_err", EEHError.self) { layout in
        layout.field("type", \.type)
        layout.field("func", \.function)
        layout.field("addr", \.address)
        layout.field("mask", \.mask)
    }
    table.structure("vfio_eeh_pe_op", EEHRequest.self) { layout in
        layout.field("argsz", \.argsz)
        layout.field("flags", \.flags)
        layout.field("op", \.operation)
        layout.field("err", \.error)
    }
}
