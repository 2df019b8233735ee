import IOVASpace
import LinuxSystem
import VFIOABI
import VFIOHost

// The requests of sPAPR TCE containers, versions 1 and 2, and of EEH (kernel.md C): one each, with the host's errno.

extension Container {
    /// What windows there can be: `VFIO_IOMMU_SPAPR_TCE_GET_INFO`.
    public func windowInfo() throws(Errno) -> SPAPRTCEInfo { try handle.borrowed.windowInfo() }

    /// Lets memory be mapped, and counts all of the default window as locked (version 1): `VFIO_IOMMU_ENABLE`.
    public func enable() throws(Errno) { try handle.borrowed.send(.iommuEnable) }

    /// Ends that; what is mapped stays (version 1): `VFIO_IOMMU_DISABLE`.
    public func disable() throws(Errno) { try handle.borrowed.send(.iommuDisable) }

    /// Makes a window (version 2): `VFIO_IOMMU_SPAPR_TCE_CREATE`.
    /// - Parameters:
    ///   - pageSize: a power of two.
    ///   - byteCount: a power of two.
    ///   - levels: how many levels its table has.
    /// - Returns: where it begins.
    public func createWindow(pageSize: UInt64, byteCount: UInt64, levels: Int) throws(Errno) -> IOVA {
        try handle.borrowed.createWindow(pageSize: pageSize, byteCount: byteCount, levels: levels)
    }

    /// Removes a window with all that is mapped there (version 2): `VFIO_IOMMU_SPAPR_TCE_REMOVE`.
    public func removeWindow(at start: IOVA) throws(Errno) { try handle.borrowed.removeWindow(at: start) }

    /// Registers memory so that it can be mapped (version 2): `VFIO_IOMMU_SPAPR_REGISTER_MEMORY`.
    public func registerMemory(_ memory: HostAddress, byteCount: UInt64) throws(Errno) {
        try handle.borrowed.sendMemory(.spaprRegisterMemory, memory, byteCount)
    }

    /// Ends a registration, which must be of exactly this memory (version 2):
    /// `VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY`.
    public func unregisterMemory(_ memory: HostAddress, byteCount: UInt64) throws(Errno) {
        try handle.borrowed.sendMemory(.spaprUnregisterMemory, memory, byteCount)
    }

    /// Does something to the partitionable endpoints of the groups: `VFIO_EEH_PE_OP`.
    /// - Returns: an ``/VFIOABI/EEHState`` for ``/VFIOABI/EEHOperation/getState``, otherwise 0.
    public func handleErrors(
        _ operation: EEHOperation, _ error: EEHError = EEHError()
    ) throws(Errno) -> UInt32 {
        try handle.borrowed.handleErrors(operation, error)
    }
}

extension OpenHandle {
    func windowInfo() throws(Errno) -> SPAPRTCEInfo {
        var info = SPAPRTCEInfo()
        try send(.spaprTCEGetInfo, &info)
        return info
    }

    func createWindow(pageSize: UInt64, byteCount: UInt64, levels: Int) throws(Errno) -> IOVA {
        guard pageSize.nonzeroBitCount == 1, let levels = UInt32(exactly: levels) else { throw .invalid }
        var request = SPAPRTCECreate(
            pageShift: UInt32(pageSize.trailingZeroBitCount), windowSize: byteCount, levels: levels)
        try send(.spaprTCECreate, &request)
        return IOVA(request.startAddress)
    }

    func removeWindow(at start: IOVA) throws(Errno) {
        var request = SPAPRTCERemove(startAddress: start.rawValue)
        try send(.spaprTCERemove, &request)
    }

    func sendMemory(_ request: Request, _ memory: HostAddress, _ byteCount: UInt64) throws(Errno) {
        var region = SPAPRRegisterMemory(vaddr: UInt64(memory.rawValue), size: byteCount)
        // Where Linux can pin a part of the memory only, it answers with how many pages that was.
        if try send(request, &region) > 0 { throw .badAddress }
    }

    func handleErrors(_ operation: EEHOperation, _ error: EEHError) throws(Errno) -> UInt32 {
        var request = EEHRequest(operation: operation, error: error)
        return UInt32(try send(.eehOperation, &request))
    }

    /// Maps or unmaps in a window. Linux answers 1 for a range that the window can't have.
    func sendWindowed<T: ABIValue>(_ request: Request, _ structure: inout T) throws(Errno) {
        if try send(request, &structure) > 0 { throw .invalid }
    }
}
