import DeviceModel
import LinuxSystem
import VFIOABI

/// A picture's memory: what a descriptor of `VFIO_DEVICE_GET_GFX_DMABUF` stands for, where Linux has a dma-buf. It is
/// there for as long as somebody holds it, whatever becomes of the device.
final class PlaneFile: FileObject {
    private let memory: PlaneMemory

    init(_ memory: PlaneMemory) { self.memory = memory }

    /// Maps the picture, or a part of it, for reading only.
    /// - Throws: `EACCES` for writing; `EINVAL` for more than there is.
    func map(
        at offset: UInt64, byteCount: Int, protection: Mapping.Protection
    ) throws(Errno) -> MemoryWindow {
        if protection.contains(.write) { throw .accessDenied }
        let whole = (memory.byteCount + UInt64(pageSize) - 1) & ~UInt64(pageSize - 1)
        guard offset < whole, UInt64(byteCount) <= whole - offset else { throw .invalid }
        let mapping = try Mapping(
            sharing: memory.file.descriptor, at: memory.offset + offset, byteCount: byteCount,
            protection: protection)
        return mapping.release()
    }

    override func unmap(_ window: MemoryWindow) {
        // SAFETY: `map` gave the mapping up to whoever unmaps the window, which happens once.
        _ = unsafe Mapping(owning: window)
    }
}

extension DeviceFile {
    /// `VFIO_DEVICE_GET_GFX_DMABUF`
    func givePlane(_ address: HostAddress) throws(Errno) -> Int32 {
        let id: UInt32
        do throws(Errno) {
            id = try UserMemory.load(UInt32(0), from: address)
        } catch {
            // A driver that doesn't know the request doesn't look at its argument.
            guard bus.hasPlaneMemory else { throw .noSuchRequest }
            throw error
        }
        let memory = try bus.planeMemory(id)
        return try core.files.install { .plane(PlaneFile(memory)) }
    }
}
