import IOVASpace
import LinuxSystem
import VFIOABI
import VFIOHost

// A program that is replaced by a newer one of itself (exec) keeps its container and its mappings, but loses its
// addresses: it tells the host to forget them before, and what they are after. Devices go on with the memory
// meanwhile, since the host has its pages; only type 1 containers can do it (kernel.md B.6).

extension Container {
    /// Tells the host that the addresses of a range's mappings are about to change: `VFIO_IOMMU_UNMAP_DMA` with
    /// `VFIO_DMA_UNMAP_FLAG_VADDR`. The mappings stay.
    /// - Returns: the bytes of the mappings in the range.
    /// - Throws: `EINVAL` where addresses can't be updated (`VFIO_UPDATE_VADDR`), or have been forgotten already.
    public func forgetAddresses(of range: IOVARange) throws(Errno) -> UInt64 {
        var request = DMAUnmap(flags: .vaddr, iova: range.first.rawValue, size: range.byteCount)
        try handle.borrowed.send(.iommuUnmapDMA, &request)
        return request.size
    }

    /// Tells the host where a mapping's memory is now: `VFIO_IOMMU_MAP_DMA` with `VFIO_DMA_MAP_FLAG_VADDR`.
    /// - Parameters:
    ///   - range: of one mapping, whole.
    ///   - memory: the same memory at its new address.
    /// - Throws: `EINVAL` for a mapping whose address wasn't forgotten; `ENOENT` for none.
    public func updateAddress(of range: IOVARange, to memory: HostAddress) throws(Errno) {
        var request = DMAMap(
            flags: .vaddr, vaddr: UInt64(memory.rawValue), iova: range.first.rawValue, size: range.byteCount)
        try handle.borrowed.send(.iommuMapDMA, &request)
    }
}
