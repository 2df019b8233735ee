import LinuxSystem

extension SoftwareHost {
    /// The file behind a part of a device that can be mapped, for a process that maps it itself.
    ///
    /// Unlike ``map(_:at:byteCount:protection:)`` the host doesn't know of such a mapping: it neither keeps the device
    /// open nor is taken away while the device's memory is off.
    /// - Parameters:
    ///   - offset: where the part begins, as for ``map(_:at:byteCount:protection:)``.
    ///   - byteCount: whole pages.
    /// - Returns: a descriptor of the file, which stays the host's, and where in it the part begins.
    /// - Throws: `EBADF`; `EINVAL` for what isn't a part of a PCI function that can be mapped.
    public func shareMemory(
        _ handle: Int32, at offset: UInt64, byteCount: Int
    ) throws(Errno) -> (descriptor: Int32, offset: UInt64) {
        let file = try core.files.hold(handle)
        defer { file.object.letGo() }
        guard byteCount > 0, case .device(let device) = file, device.hasAccess, let pci = device.bus.pci
        else { throw .invalid }
        return try pci.shareMemory(at: offset, byteCount: byteCount)
    }
}
