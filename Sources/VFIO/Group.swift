import LinuxSystem
import VFIOABI
import VFIOHost

/// An open IOMMU group, `/dev/vfio/<number>`.
///
/// The thin layer: every method is one request and throws the host's errno (kernel.md A.4). Closed when it goes;
/// it leaves its container then, unless devices of it are still open.
public struct Group: ~Copyable, Sendable {
    /// The open node.
    public let handle: Handle
    /// The group's number.
    public let number: Int

    /// Opens a group; only one user can have it open.
    /// - Parameter unprotected: whether to open the node of a group that has no IOMMU.
    public init(_ number: Int, unprotected: Bool = false, on host: any Host) throws(Errno) {
        handle = try Handle(opening: unprotected ? .unprotectedGroup(number) : .group(number), on: host)
        self.number = number
    }

    init(_ number: Int, _ handle: consuming Handle) {
        self.handle = handle
        self.number = number
    }

    /// Whether it can be used, and whether it is in a container: `VFIO_GROUP_GET_STATUS`.
    public func status() throws(Errno) -> GroupFlags {
        var status = GroupStatus()
        try handle.borrowed.send(.groupGetStatus, &status)
        return status.flags
    }

    /// Joins a container: `VFIO_GROUP_SET_CONTAINER`.
    public func setContainer(_ container: borrowing Container) throws(Errno) {
        var number = container.handle.number
        try handle.borrowed.send(.groupSetContainer, &number)
    }

    /// Leaves its container: `VFIO_GROUP_UNSET_CONTAINER`.
    public func unsetContainer() throws(Errno) { try handle.borrowed.send(.groupUnsetContainer) }

    /// Opens a device of the group: `VFIO_GROUP_GET_DEVICE_FD`.
    /// - Parameters:
    ///   - name: the device's name, e.g. "0000:01:00.0".
    ///   - token: what is shown to its driver (`vf_token`).
    public func openDevice(_ name: String, showing token: DeviceUUID? = nil) throws(Errno) -> Handle {
        var bytes = Array(name.utf8) + (token.map { Array(" vf_token=\($0)".utf8) } ?? []) + [0]
        let host = handle.host
        return Handle(owning: try handle.borrowed.send(.groupGetDeviceFD, bytes: &bytes), on: host)
    }
}
