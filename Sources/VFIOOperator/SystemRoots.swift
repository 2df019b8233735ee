import VFIOHost

/// Where a machine's facts are read: the folders that a kernel fills.
///
/// Those of this machine by default; others for a container that sees them elsewhere, and for machines that are
/// nothing but folders.
public struct SystemRoots: Sendable {
    /// Where sysfs is mounted: "/sys".
    public var sysfs: String
    /// The folder of device nodes: "/dev".
    public var devices: String
    /// Where procfs is mounted: "/proc".
    public var processes: String

    /// Names the folders, each without a slash at its end.
    public init(sysfs: String = "/sys", devices: String = "/dev", processes: String = "/proc") {
        self.sysfs = sysfs
        self.devices = devices
        self.processes = processes
    }

    /// The kernel that these folders belong to, as a host.
    public var host: LinuxHost { LinuxHost(devices: devices, sysfs: sysfs) }
}
