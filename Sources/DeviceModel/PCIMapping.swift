import LinuxSystem

/// A part of a BAR that a user has mapped.
///
/// While the device's memory is off, the mapping shows a part of an empty file instead, so that a touch
/// raises SIGBUS just as on Linux; when memory is on again, the same addresses show the BAR again.
package final class PCIMapping {
    package let mapping: Mapping
    private var descriptor: Int32
    private var offset: UInt64
    private let protection: Mapping.Protection
    private var isShown = true
    /// A file of ones in place of the BAR, while the device doesn't answer; owned.
    private var ones: Int32 = -1

    package init(
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
    package func showAbsence(_ isAbsent: Bool, nothing: Int32) {
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

    /// The BAR is in another file from now on, at another place.
    /// - Throws: the errno of mmap(2); what the mapping shows is as before then.
    package func move(to descriptor: Int32, at offset: UInt64) throws(Errno) {
        if isShown && ones < 0 {
            try mapping.replaceContents(sharing: descriptor, at: offset, protection: protection)
        }
        self.descriptor = descriptor
        self.offset = offset
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
    package func show(_ visible: Bool, nothing: Int32) {
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
