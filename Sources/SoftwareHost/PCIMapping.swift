import DeviceModel
import LinuxSystem
import VFIOHost

/// A part of a BAR that a user has mapped.
///
/// While the device's memory is off, the mapping shows a part of an empty file instead, so that a touch
/// raises SIGBUS just as on Linux; when memory is on again, the same addresses show the BAR again.
final class PCIMapping {
    let mapping: Mapping
    private let descriptor: Int32
    private let offset: UInt64
    private let protection: Mapping.Protection
    private var isShown = true
    /// A file of ones in place of the BAR, while the device doesn't answer; owned.
    private var ones: Int32 = -1

    init(
        _ descriptor: Int32, at offset: UInt64, byteCount: Int, protection: Mapping.Protection
    ) throws(Errno) {
        self.descriptor = descriptor
        self.offset = offset
        self.protection = protection
        mapping = try Mapping(sharing: descriptor, at: offset, byteCount: byteCount, protection: protection)
    }

    deinit { if ones >= 0 { _ = Descriptor(owning: ones) } }

    /// Shows all ones in place of the BAR, or the BAR again; nothing changes as long as memory is off.
    ///
    /// What is written to a mapping can't be lost here: it stays until the BAR is shown again. Without memory
    /// for the ones, a touch raises SIGBUS.
    func showAbsence(_ isAbsent: Bool, nothing: Int32) {
        guard isAbsent != (ones >= 0) else { return }
        let wasShown = isShown
        show(false, nothing: nothing)
        if isAbsent {
            guard let file = try? Self.makeOnes(byteCount: mapping.window.byteCount) else { return }
            ones = file.release()
        } else {
            _ = Descriptor(owning: ones)
            ones = -1
        }
        show(wasShown, nothing: nothing)
    }

    private static func makeOnes(byteCount: Int) throws(Errno) -> Descriptor {
        let file = try MemoryFile.create("vfio-pci absent", byteCount: UInt64(byteCount))
        let memory = try Mapping(sharing: file.number, at: 0, byteCount: byteCount)
        for offset in stride(from: 0, to: byteCount, by: 8) { memory.window.store64(offset, .max) }
        return file
    }

    /// Shows the BAR or `nothing`, an empty file.
    ///
    /// Replacing pages can fail for lack of kernel memory only. Memory that can't be taken away by one means is
    /// by the other; memory that can't be given back stays away.
    func show(_ visible: Bool, nothing: Int32) {
        guard visible != isShown else { return }
        do throws(Errno) {
            if visible {
                try mapping.replaceContents(
                    sharing: ones >= 0 ? ones : descriptor, at: ones >= 0 ? 0 : offset, protection: protection
                )
            } else {
                try mapping.replaceContents(sharing: nothing, at: 0, protection: protection)
            }
            isShown = visible
        } catch {
            guard !visible else { return }
            isShown = (try? mapping.protect([])) == nil
        }
    }
}

/// Mapping BARs (kernel.md D.5).
extension PCIBusDriver {
    func map(
        at offset: UInt64, byteCount: Int, protection: Mapping.Protection
    ) throws(Errno) -> MemoryWindow {
        guard offset % UInt64(pageSize) == 0, byteCount > 0,
            let rounded = byteCount.roundedUp(toMultipleOf: pageSize)
        else { throw .invalid }
        let index = offset >> RegionOffset.shift
        let start = offset & RegionOffset.mask
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

    /// Whether a touch of a mapping reaches the BAR.
    var mappingsAreShown: Bool { isMemoryOn && !lowPower.isAllowed }

    /// Finds out anew whether BARs answer, and shows or hides their mappings accordingly.
    func updateMemory() {
        let command = view.value(at: PCIConfiguration.Register.command, width: 2)
        isMemoryOn =
            command & UInt32(PCIConfiguration.Command.memory) != 0 && configuration.powerState < 3
        showMappings(mappingsAreShown)
    }

    /// Shows all mappings or takes them away.
    func showMappings(_ visible: Bool) {
        for mapping in mappings { mapping.show(visible, nothing: nothing) }
    }
}
