import IOVASpace
import LinuxSystem
import VFIOABI

// IOMMU_GET_HW_INFO (kernel.md F.6): what the IOMMU tells of itself.

extension IOMMUFD {
    /// IOMMU_GET_HW_INFO
    func getHardwareInfo(_ user: UserCommand) throws(Errno) {
        var request = try user.load(HWInfo())
        guard request.flags.isSubset(of: .inputType) else { throw .notSupported }
        for index in 0..<3 where request.reserved[index] != 0 { throw .notSupported }
        let wanted = request.flags.contains(.inputType) ? request.inputType : .default
        let group = try core.lock.withLock { () throws(Errno) in try device(request.deviceID).group }
        guard wanted == .default || wanted == .intelVTD else { throw .notSupported }
        let room = Int(request.dataLength)
        let known = MemoryLayout<HWInfoVTD>.size
        let target = HostAddress(request.dataAddress)
        if room > 0 {
            try UserMemory.store(HWInfoVTD(core.iommu, group), to: target, count: min(room, known))
        }
        if room > known { try UserMemory.clear(target + known, byteCount: room - known) }
        request.dataLength = UInt32(known)
        request.outputType = .intelVTD
        request.maxPASIDLog2 = 0
        request.capabilities = .pciATSNotSupported
        if group.tracksDirtyPages { request.capabilities.insert(.dirtyTracking) }
        try user.store(request)
    }
}

extension HWInfoVTD {
    /// The registers of a VT-d IOMMU that is as described: those bits of them that say something of the description.
    fileprivate init(_ iommu: IOMMU, _ group: MachineGroup) {
        let width = 64 - (iommu.apertures.map { $0.last.rawValue }.max() ?? 0).leadingZeroBitCount
        let bits = UInt64(max(1, min(width, 64)))
        // ND: 16 bits for the number of an address space.
        var capability: UInt64 = 6
        // SAGAW: the depths of page table that addresses of this length need.
        capability |= (bits <= 39 ? 1 << 1 : bits <= 48 ? 1 << 2 : 1 << 3) << 8
        // MGAW: the length of addresses.
        capability |= (bits - 1) << 16
        // SLLPS: pages of 2 MiB and 1 GiB.
        if iommu.pageSizes.contains(.mib2) { capability |= 1 << 34 }
        if iommu.pageSizes.contains(.gib1) { capability |= 1 << 35 }
        // C: the IOMMU sees page tables as the processor does.
        var extended: UInt64 = 1
        // IR: interrupts are translated, so that no device can send another's.
        if iommu.hasIsolatedMSI { extended |= 1 << 3 }
        // SC: what devices do is seen by the processor even if they ask for it not to be.
        if iommu.enforcesCoherency { extended |= 1 << 7 }
        // SMTS, SLADS, SLTS: entries of the second stage can say that a page was written.
        if group.tracksDirtyPages { extended |= 1 << 43 | 1 << 45 | 1 << 46 }
        // SMTS, NEST, SLTS, FLTS: a first stage in front of a second.
        if group.nestsPageTables { extended |= 1 << 43 | 1 << 26 | 1 << 46 | 1 << 47 }
        self.init(capabilityRegister: capability, extendedCapabilityRegister: extended)
    }
}
