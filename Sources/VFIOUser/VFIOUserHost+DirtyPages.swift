import IOVASpace
import LinuxSystem
import VFIOABI

/// Dirty pages of a container (kernel.md B.7), from the server's log of what its device writes: exactly those pages,
/// where a kernel whose IOMMU can't tell says all of them. Without such a log it is the answer of a kernel that
/// doesn't know the request.
extension VFIOUserHost {
    /// `VFIO_IOMMU_DIRTY_PAGES`; the tests are in the kernel's order.
    func dirtyPages(_ address: HostAddress, isVersion2: Bool) throws(Errno) {
        guard isVersion2 else { throw .accessDenied }
        guard try device.canLog() else { throw .noSuchRequest }
        let request = try UserMemory.load(VFIOABI.DirtyBitmap(), from: address)
        guard request.argsz >= 8 else { throw .invalid }
        switch request.flags {
        case .start:
            guard !device.isLogging(by: .container) else { return }
            _ = try device.startLogging(by: .container, pageSize: unit, [])
        case .stop: try device.stopLogging(by: .container)
        case .getBitmap: try takeDirty(address, argsz: request.argsz)
        default: throw .invalid
        }
    }

    private func takeDirty(_ address: HostAddress, argsz: UInt32) throws(Errno) {
        guard argsz >= 48 else { throw .invalid }
        let get = try UserMemory.load(DirtyBitmapGet(), from: address + 8)
        guard get.size != 0 else { throw .invalid }
        guard let range = IOVARange(IOVA(get.iova), byteCount: get.size) else { throw .overflow }
        let bits = try dirtyBits(get.bitmap, of: range, size: get.size)
        try mappingLock.withLock { () throws(Errno) in
            guard bits.pageSize == unit, (get.iova | get.size) & (unit - 1) == 0,
                device.isLogging(by: .container), device.mappings.bisected(by: range) == nil
            else { throw .invalid }
            try device.reportDirty(range, by: .container, into: bits)
        }
    }

    /// The bitmap that comes with `VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP`.
    func dirtyBits(of request: DMAUnmap, _ address: HostAddress) throws(Errno) -> UserDirtyBits {
        guard !request.flags.contains(.all), request.argsz >= 48 else { throw .invalid }
        let bitmap = try UserMemory.load(VFIOABI.Bitmap(), from: address + 24)
        // What is wrong with the range itself is found later, with the kernel's errno.
        let range = IOVARange(IOVA(request.iova), byteCount: max(request.size, 1)) ?? .all
        return try dirtyBits(bitmap, of: range, size: request.size)
    }

    private func dirtyBits(
        _ bitmap: VFIOABI.Bitmap, of range: IOVARange, size: UInt64
    ) throws(Errno) -> UserDirtyBits {
        guard bitmap.holds(rangeSize: size), bitmap.pageSize.nonzeroBitCount == 1 else { throw .invalid }
        return UserDirtyBits(HostAddress(bitmap.data), of: range, pageSize: bitmap.pageSize)
    }
}
