import LinuxSystem
import VFIOHost

/// The levers of a machine that runs Linux: sysfs and system calls. Most of them need root.
public final class LinuxMachineControl: MachineControl {
    private let sysfs = "/sys"
    private let lockedMemory = ProcessLimits.lockedMemory
    private let descriptors = ProcessLimits.descriptors

    /// This machine's levers.
    public init() {}

    /// Writes `driver_override`, takes the device from its driver, and has drivers look at it again.
    public func bind(_ device: PCIAddress, to driver: String?) throws(Errno) {
        let folder = "\(sysfs)/bus/pci/devices/\(device)"
        if FileSystem.exists("\(folder)/driver") {
            try FileSystem.write("\(device)", to: "\(folder)/driver/unbind")
        }
        try FileSystem.write("\(driver ?? "")\n", to: "\(folder)/driver_override")
        guard driver != nil else { return }
        try FileSystem.write("\(device)", to: "\(sysfs)/bus/pci/drivers_probe")
        // A driver that refuses a device is told in the kernel's log only.
        guard FileSystem.exists("\(folder)/driver") else { throw .noDevice }
    }

    /// Reads the link `driver`.
    public func driver(of device: PCIAddress) -> String? {
        guard let target = try? FileSystem.linkTarget("\(sysfs)/bus/pci/devices/\(device)/driver") else {
            return nil
        }
        return target.split(separator: "/").last.map(String.init)
    }

    /// Sets the soft limit; nil is the limit that there was.
    public func setLockedMemoryLimit(_ byteCount: UInt64?) throws(Errno) {
        try ProcessLimits.setLockedMemory(byteCount ?? lockedMemory)
    }

    /// Changes the calling thread's effective capabilities.
    public func setCapability(_ capability: ProcessCapability, _ isHeld: Bool) throws(Errno) {
        switch capability {
        case .lockMemory: try ProcessLimits.setCapability(.lockMemory, isHeld)
        case .rawIO: try ProcessLimits.setCapability(.rawIO, isHeld)
        }
    }

    /// Reads `/sys/module/<module>/parameters/<name>`.
    public func parameter(_ name: String) throws(Errno) -> String {
        try FileSystem.text(of: try path(of: name))
    }

    /// Writes `/sys/module/<module>/parameters/<name>`.
    public func setParameter(_ name: String, to text: String) throws(Errno) {
        try FileSystem.write(text, to: try path(of: name))
    }

    private func path(of name: String) throws(Errno) -> String {
        let parts = name.split(separator: ".")
        guard parts.count == 2 else { throw .noSuchEntry }
        return "\(sysfs)/module/\(parts[0])/parameters/\(parts[1])"
    }

    /// Sets the soft limit; nil is the limit that there was.
    public func setDescriptorLimit(_ count: UInt64?) throws(Errno) {
        try ProcessLimits.setDescriptors(count ?? descriptors)
    }

    /// Makes a virtual machine of KVM without processors.
    public func makeVirtualMachineFiles() throws(Errno) -> any VirtualMachineFiles { try KVMFiles() }

    /// Reads `reset_method`.
    public func resetMethods(of device: PCIAddress) throws(Errno) -> String {
        try FileSystem.text(of: "\(sysfs)/bus/pci/devices/\(device)/reset_method")
    }

    /// Writes `reset_method`.
    public func setResetMethods(_ text: String, of device: PCIAddress) throws(Errno) {
        // A write of nothing never gets to the kernel's driver.
        try FileSystem.write(
            text.isEmpty ? "\n" : text, to: "\(sysfs)/bus/pci/devices/\(device)/reset_method")
    }

    /// Writes `reset`.
    public func reset(_ device: PCIAddress) throws(Errno) {
        try FileSystem.write("1", to: "\(sysfs)/bus/pci/devices/\(device)/reset")
    }

    /// Writes `sriov_numvfs`.
    public func setVirtualFunctionCount(_ count: Int, of device: PCIAddress) throws(Errno) {
        try FileSystem.write("\(count)", to: "\(sysfs)/bus/pci/devices/\(device)/sriov_numvfs")
    }

    /// Hardware fails when it likes.
    public func failNextMove(of device: PCIAddress, entering state: UInt32, isFatal: Bool) throws(Errno) {
        throw .notSupported
    }

    /// The name of the mediated device.
    private static let mediated = "5f0c3b1e-8a3d-4c53-9d1e-7b9f7f7e1a01"

    /// Writes to the `create` of `mtty`'s first type.
    public func addEmulatedGroup() throws(Errno) -> Int {
        try FileSystem.write(
            Self.mediated, to: "\(sysfs)/class/mdev_bus/mtty/mdev_supported_types/mtty-1/create")
        let link = try FileSystem.linkTarget("\(sysfs)/bus/mdev/devices/\(Self.mediated)/iommu_group")
        guard let number = link.split(separator: "/").last.flatMap({ Int($0) }) else { throw .noSuchEntry }
        return number
    }

    /// Writes to the device's `remove`.
    public func removeEmulatedGroup() {
        try? FileSystem.write("1", to: "\(sysfs)/bus/mdev/devices/\(Self.mediated)/remove")
    }

    /// sysfs's `mdev_bus`.
    public func mediatedDevices() throws(Errno) -> any MediatedDeviceMaker { LinuxHost() }
}
