import DeviceModel
import LinuxSystem
import VFIOABI
import VFIOHost

/// Mapping BARs (kernel.md D.5).
extension PCIBusDriver {
    func map(
        at offset: UInt64, byteCount: Int, protection: Mapping.Protection
    ) throws(Errno) -> MemoryWindow {
        guard offset % UInt64(pageSize) == 0, byteCount > 0,
            let rounded = byteCount.roundedUp(toMultipleOf: pageSize)
        else { throw .invalid }
        let index = offset >> PCIRegionOffset.shift
        let start = offset & PCIRegionOffset.mask
        guard index < 6 else { throw .invalid }
        guard let part = mappablePart(bar: Int(index), start, UInt64(rounded)) else { throw .invalid }
        lock.lock()
        defer { lock.unlock() }
        if nothing < 0 { nothing = try MemoryFile.create("vfio-pci memory off", byteCount: 0).release() }
        let mapping = try PCIMapping(
            part.descriptor, at: part.fileOffset + (start - part.offset), byteCount: rounded,
            protection: protection)
        mapping.show(mappingsAreShown, nothing: nothing)
        if slot.faults.isSilent { mapping.showAbsence(true, nothing: nothing) }
        mappings.append(mapping)
        return mapping.mapping.window
    }

    /// The file behind a part of a BAR, and where in it the part begins.
    func shareMemory(at offset: UInt64, byteCount: Int) throws(Errno) -> (descriptor: Int32, offset: UInt64) {
        let index = offset >> PCIRegionOffset.shift
        let start = offset & PCIRegionOffset.mask
        guard offset % UInt64(pageSize) == 0, byteCount % pageSize == 0, index < 6,
            let part = mappablePart(bar: Int(index), start, UInt64(byteCount))
        else { throw .invalid }
        return (part.descriptor, part.fileOffset + (start - part.offset))
    }

    func unmap(_ window: MemoryWindow) {
        lock.lock()
        defer { lock.unlock() }
        for index in mappings.indices where mappings[index].mapping.window.address == window.address {
            mappings.remove(at: index)
            return
        }
    }

    /// The plain memory that covers a range of whole pages of a BAR.
    private func mappablePart(bar: Int, _ start: UInt64, _ byteCount: UInt64) -> BARMemory? {
        guard assigned.isMappable(bar, of: function) else { return nil }
        for part in function.memories where part.bar == bar && start >= part.offset {
            // The last page of a BAR that is shorter than a page counts as whole.
            let end = (UInt64(part.window.byteCount) + UInt64(pageSize) - 1) & ~UInt64(pageSize - 1)
            let inside = start - part.offset
            if inside < end && byteCount <= end - inside { return part }
        }
        return nil
    }

    /// Shows all mappings or takes them away, and what was exported of BARs with them.
    func showMappings(_ visible: Bool) {
        exports.setRevoked(!visible)
        for mapping in mappings { mapping.show(visible, nothing: nothing) }
    }
}
