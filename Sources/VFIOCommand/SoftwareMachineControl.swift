import LinuxSystem
import SoftwareHost
import VFIOConformance
import VFIOHost

/// The levers of a machine that is software.
final class SoftwareMachineControl: MachineControl {
    private let host: SoftwareHost
    private let rights: ProcessRights

    init(_ host: SoftwareHost) {
        self.host = host
        rights = host.rights
    }

    func bind(_ device: PCIAddress, to driver: String?) throws(Errno) { try host.bind(device, to: driver) }

    func setLockedMemoryLimit(_ byteCount: UInt64?) throws(Errno) {
        host.rights.lockedMemoryLimit = byteCount ?? rights.lockedMemoryLimit
    }

    func setCapability(_ capability: ProcessCapability, _ isHeld: Bool) throws(Errno) {
        switch capability {
        case .lockMemory: host.rights.mayExceedLockedMemory = isHeld
        case .rawIO: host.rights.mayUseUnprotectedGroups = isHeld
        }
    }

    func parameter(_ name: String) throws(Errno) -> String {
        guard let text = host.parameters.text(of: name) else { throw .noSuchEntry }
        return text
    }

    func setParameter(_ name: String, to text: String) throws(Errno) {
        try host.parameters.set(name, to: text)
    }

    func resetMethods(of device: PCIAddress) throws(Errno) -> String {
        try host.resetMethods(of: device).map(\.name).joined(separator: " ")
    }

    func setResetMethods(_ text: String, of device: PCIAddress) throws(Errno) {
        try host.setResetMethods(text: text, of: device)
    }

    func reset(_ device: PCIAddress) throws(Errno) { try host.reset(device) }

    func setVirtualFunctionCount(_ count: Int, of device: PCIAddress) throws(Errno) {
        throw .notSupported
    }

    /// The machine's own emulated group, if it has one.
    func addEmulatedGroup() throws(Errno) -> Int {
        guard let number = host.emulatedGroups.first else { throw .noSuchEntry }
        return number
    }

    func removeEmulatedGroup() {}
}
