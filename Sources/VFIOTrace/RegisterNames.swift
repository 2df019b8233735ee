import NVMe

/// What registers are called, for those who know their specifications.
package enum RegisterNames {
    /// A register of the NVMe controller's first BAR.
    /// - Parameter stride: CAP.DSTRD.
    package static func nvme(_ offset: UInt64, stride: UInt8) -> String? {
        switch offset {
        case RegisterOffset.capabilities: return "CAP"
        case RegisterOffset.capabilities + 4: return "CAP.high"
        case RegisterOffset.version: return "VS"
        case RegisterOffset.interruptMaskSet: return "INTMS"
        case RegisterOffset.interruptMaskClear: return "INTMC"
        case RegisterOffset.configuration: return "CC"
        case RegisterOffset.status: return "CSTS"
        case RegisterOffset.subsystemReset: return "NSSR"
        case RegisterOffset.adminQueueAttributes: return "AQA"
        case RegisterOffset.adminSubmissionQueue: return "ASQ"
        case RegisterOffset.adminSubmissionQueue + 4: return "ASQ.high"
        case RegisterOffset.adminCompletionQueue: return "ACQ"
        case RegisterOffset.adminCompletionQueue + 4: return "ACQ.high"
        case RegisterOffset.memoryBufferLocation: return "CMBLOC"
        case RegisterOffset.memoryBufferSize: return "CMBSZ"
        case RegisterOffset.bootPartitionInformation: return "BPINFO"
        case RegisterOffset.memoryBufferSpaceControl: return "CMBMSC"
        case RegisterOffset.memoryBufferStatus: return "CMBSTS"
        case RegisterOffset.readyTimeouts: return "CRTO"
        case RegisterOffset.persistentMemoryCapabilities: return "PMRCAP"
        default: break
        }
        switch Doorbell(stride: stride).target(at: offset) {
        case .submissionTail(let queue): return "SQ\(queue)TDBL"
        case .completionHead(let queue): return "CQ\(queue)HDBL"
        case nil: return nil
        }
    }

    /// A register of the header of PCI configuration space (PCI 3.0, 6.1, type 0).
    package static func pciHeader(_ offset: Int) -> String? {
        switch offset {
        case 0x00: "VENDOR_ID"
        case 0x02: "DEVICE_ID"
        case 0x04: "COMMAND"
        case 0x06: "STATUS"
        case 0x08: "REVISION_ID"
        case 0x09: "CLASS"
        case 0x0a: "CLASS_DEVICE"
        case 0x0b: "BASE_CLASS"
        case 0x0c: "CACHE_LINE_SIZE"
        case 0x0d: "LATENCY_TIMER"
        case 0x0e: "HEADER_TYPE"
        case 0x0f: "BIST"
        case 0x10, 0x14, 0x18, 0x1c, 0x20, 0x24: "BAR\((offset - 0x10) / 4)"
        case 0x28: "CARDBUS_CIS"
        case 0x2c: "SUBSYSTEM_VENDOR_ID"
        case 0x2e: "SUBSYSTEM_ID"
        case 0x30: "ROM_ADDRESS"
        case 0x34: "CAPABILITIES"
        case 0x3c: "INTERRUPT_LINE"
        case 0x3d: "INTERRUPT_PIN"
        case 0x3e: "MIN_GNT"
        case 0x3f: "MAX_LAT"
        default: nil
        }
    }

    /// A register of a capability.
    /// - Parameters:
    ///   - id: the capability's ID.
    ///   - offset: from the capability's beginning.
    ///   - is64Bit: whether an MSI capability has an address of 64 bits.
    package static func pciCapability(_ id: UInt8, _ offset: Int, is64Bit: Bool) -> String? {
        switch (id, offset) {
        case (0x01, 0): "PM"
        case (0x01, 2): "PM.PMC"
        case (0x01, 4): "PM.PMCSR"
        case (0x05, 0): "MSI"
        case (0x05, 2): "MSI.CONTROL"
        case (0x05, 4): "MSI.ADDRESS"
        case (0x05, 8): is64Bit ? "MSI.ADDRESS.high" : "MSI.DATA"
        case (0x05, 12): is64Bit ? "MSI.DATA" : "MSI.MASK"
        case (0x05, 16): is64Bit ? "MSI.MASK" : "MSI.PENDING"
        case (0x05, 20): is64Bit ? "MSI.PENDING" : nil
        case (0x10, 0): "PCIE"
        case (0x10, 2): "PCIE.FLAGS"
        case (0x10, 4): "PCIE.DEVCAP"
        case (0x10, 8): "PCIE.DEVCTL"
        case (0x10, 10): "PCIE.DEVSTA"
        case (0x10, 12): "PCIE.LNKCAP"
        case (0x10, 16): "PCIE.LNKCTL"
        case (0x10, 18): "PCIE.LNKSTA"
        case (0x10, 0x14): "PCIE.SLTCAP"
        case (0x10, 0x18): "PCIE.SLTCTL"
        case (0x10, 0x1a): "PCIE.SLTSTA"
        case (0x10, 0x1c): "PCIE.RTCTL"
        case (0x10, 0x1e): "PCIE.RTCAP"
        case (0x10, 0x20): "PCIE.RTSTA"
        case (0x10, 0x24): "PCIE.DEVCAP2"
        case (0x10, 0x28): "PCIE.DEVCTL2"
        case (0x10, 0x2a): "PCIE.DEVSTA2"
        case (0x10, 0x2c): "PCIE.LNKCAP2"
        case (0x10, 0x30): "PCIE.LNKCTL2"
        case (0x10, 0x32): "PCIE.LNKSTA2"
        case (0x11, 0): "MSIX"
        case (0x11, 2): "MSIX.CONTROL"
        case (0x11, 4): "MSIX.TABLE"
        case (0x11, 8): "MSIX.PBA"
        case (0x13, 0): "AF"
        case (0x13, 4): "AF.CONTROL"
        case (0x13, 5): "AF.STATUS"
        case (0x09, 0): "VENDOR"
        case (0x03, 0): "VPD"
        case (0x03, 2): "VPD.ADDRESS"
        case (0x03, 4): "VPD.DATA"
        default: nil
        }
    }
}
