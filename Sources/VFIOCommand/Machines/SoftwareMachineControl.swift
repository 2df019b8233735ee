import DeviceModel
import LinuxSystem
import SoftwareHost
import VFIOConformance
import VFIOHost

/// The levers of a machine that is software.
final class SoftwareMachineControl: MachineControl {
    private let host: SoftwareHost
    private let rights: ProcessRights
    private let descriptors = ProcessLimits.descriptors
    private let isAlone: Bool

    /// - Parameter isAlone: whether nobody else in this process would notice that it has no descriptors left.
    init(_ host: SoftwareHost, isAlone: Bool = true) {
        self.host = host
        self.isAlone = isAlone
        rights = host.rights
    }

    func bind(_ device: PCIAddress, to driver: String?) throws(Errno) { try host.bind(device, to: driver) }

    func driver(of device: PCIAddress) -> String? {
        (try? host.inventory())?.device(at: device)?.driver?.name
    }

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

    func setDescriptorLimit(_ count: UInt64?) throws(Errno) {
        guard isAlone else { throw .notSupported }
        try ProcessLimits.setDescriptors(count ?? descriptors)
    }

    func makeVirtualMachineFiles() throws(Errno) -> any VirtualMachineFiles { Files(host) }

    private final class Files: VirtualMachineFiles {
        private let host: SoftwareHost
        private var set: VFIODeviceFiles

        init(_ host: SoftwareHost) {
            self.host = host
            set = VFIODeviceFiles(of: host)
        }

        func add(_ handle: Int32) throws(Errno) { try set.add(handle) }
        func remove(_ handle: Int32) throws(Errno) { try set.remove(handle) }
        func close() { set = VFIODeviceFiles(of: host) }
    }

    func resetMethods(of device: PCIAddress) throws(Errno) -> String {
        try host.resetMethods(of: device).map(\.name).joined(separator: " ")
    }

    func setResetMethods(_ text: String, of device: PCIAddress) throws(Errno) {
        try host.setResetMethods(text: text, of: device)
    }

    func reset(_ device: PCIAddress) throws(Errno) { try host.reset(device) }

    func setVirtualFunctionCount(_ count: Int, of device: PCIAddress) throws(Errno) {
        try host.setVirtualFunctionCount(count, of: device)
    }

    func failNextMove(of device: PCIAddress, entering state: UInt32, isFatal: Bool) throws(Errno) {
        guard let phase = MigrationPhase(rawValue: state) else { throw .invalid }
        try host.failNextMove(of: device, entering: phase, isFatal: isFatal)
    }

    /// The machine's own emulated group, if it has one.
    func addEmulatedGroup() throws(Errno) -> Int {
        guard let number = host.emulatedGroups.first else { throw .noSuchEntry }
        return number
    }

    func removeEmulatedGroup() {}

    func mediatedDevices() throws(Errno) -> any MediatedDeviceMaker { host }
}
