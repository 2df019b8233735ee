import LinuxSystem

extension AddressSpace {
    /// How many more mappings the IOMMU takes, asked for now; nil where there is no limit
    /// (`VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL`; a module parameter of type 1, `dma_entry_limit`, sets it).
    /// - Throws: ``VFIOError/Code/noDeviceYet``, or what the host answers.
    public func mappingsLeft() throws(VFIOError) -> UInt32? {
        let operation = "ask how many mappings are left"
        return try lock.withLock { () throws(VFIOError) -> UInt32? in
            guard let backend else { throw Diagnosis.noDevice(operation) }
            if backend.route.kind == .unprotected { throw Diagnosis.noTranslation(operation) }
            do throws(Errno) {
                return try backend.info().mappingsLeft
            } catch {
                throw VFIOError(operation: operation, object: Self.object, errno: error)
            }
        }
    }
}
