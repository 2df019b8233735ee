import VFIOABI

/// What VFIOABI says for the names of vfio_ccw.h and vfio_zdev.h.
func describeS390(in table: inout ABITable) {
    table.constant("ORB_AREA_SIZE", CCWAreaSize.orb)
    table.constant("SCSW_AREA_SIZE", CCWAreaSize.scsw)
    table.constant("IRB_AREA_SIZE", CCWAreaSize.irb)
    table.constant("SCHIB_AREA_SIZE", CCWAreaSize.schib)
    table.structure("ccw_io_region", CCWIORegion.self) { layout in
        layout.field("orb_area", \.orbArea)
        layout.field("scsw_area", \.scswArea)
        layout.field("irb_area", \.irbArea)
        layout.field("ret_code", \.returnCode)
    }
    table.constant("VFIO_CCW_ASYNC_CMD_HSCH", CCWAsyncCommand.haltSubchannel.rawValue)
    table.constant("VFIO_CCW_ASYNC_CMD_CSCH", CCWAsyncCommand.clearSubchannel.rawValue)
    table.structure("ccw_cmd_region", CCWCommandRegion.self) { layout in
        layout.field("command", \.command)
        layout.field("ret_code", \.returnCode)
    }
    table.structure("ccw_schib_region", CCWSCHIBRegion.self) { layout in
        layout.field("schib_area", \.schibArea)
    }
    table.structure("ccw_crw_region", CCWCRWRegion.self) { layout in
        layout.field("crw", \.crw)
        layout.field("pad", \.padding)
    }
    table.structure("vfio_device_info_cap_zpci_base", ZPCIBaseCapability.self) { layout in
        layout.field("header", \.header)
        layout.field("start_dma", \.startDMA)
        layout.field("end_dma", \.endDMA)
        layout.field("pchid", \.pchid)
        layout.field("vfn", \.virtualFunction)
        layout.field("fmb_length", \.fmbLength)
        layout.field("pft", \.functionType)
        layout.field("gid", \.groupID)
        layout.field("fh", \.functionHandle)
    }
    table.constant("VFIO_DEVICE_INFO_ZPCI_FLAG_REFRESH", ZPCIGroupFlags.refresh.rawValue)
    table.structure("vfio_device_info_cap_zpci_group", ZPCIGroupCapability.self) { layout in
        layout.field("header", \.header)
        layout.field("dasm", \.dasm)
        layout.field("msi_addr", \.msiAddress)
        layout.field("flags", \.flags)
        layout.field("mui", \.measurementInterval)
        layout.field("noi", \.interruptCount)
        layout.field("maxstbl", \.maxStoreBlock)
        layout.field("version", \.version)
        layout.field("reserved", \.reserved)
        layout.field("imaxstbl", \.maxInterpretedStoreBlock)
    }
    table.structure("vfio_device_info_cap_zpci_util", ZPCIUtilityCapability.self) { layout in
        layout.field("header", \.header)
        layout.field("size", \.size)
        layout.trailing("util_str")
    }
    table.structure("vfio_device_info_cap_zpci_pfip", ZPCIPFIPCapability.self) { layout in
        layout.field("header", \.header)
        layout.field("size", \.size)
        layout.trailing("pfip")
    }
}
