import LinuxSystem
import VFIOABI

// For hosts that are no kernel.
extension CapabilityBuilder {
    /// Copies an answer and its capabilities to the user, as far as there is room.
    /// - Throws: `EINVAL` for a declared size that is too small, `EFAULT`
    package func copyOut(_ info: Structure, to address: HostAddress) throws(Errno) {
        guard let bytes = answer(info) else { throw .invalid }
        // SAFETY: bytes are plain integers, all of them initialised.
        try unsafe UserMemory.write(bytes.span.bytes, to: address)
    }
}
