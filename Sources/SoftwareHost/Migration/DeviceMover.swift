import DeviceModel
import LinuxSystem
import VFIOABI

/// What a driver does that moves its device to another host (kernel.md E): Linux's `vfio_migration_ops`.
protocol DeviceMover: AnyObject {
    /// The state that the device is in.
    var migrationPhase: MigrationPhase { get }

    /// Brings the device to another state.
    /// - Returns: the way for its state, if one has opened.
    /// - Throws: `EINVAL` where there is no way, and what is wrong with a state that came in; the device is then in
    ///   one of the states on the way.
    func setMigrationState(_ state: MigrationState, of device: MachineDevice) throws(Errno) -> MigrationFile?

    /// Nobody has got this way.
    func endSession(_ file: MigrationFile)

    /// Reads the state.
    /// - Throws: `ENODEV` for a way that has closed.
    func readState(through file: MigrationFile, into bytes: inout MutableRawSpan) throws(Errno) -> Int

    /// Writes a state.
    /// - Throws: `ENODEV` for a way that has closed; what is wrong with the bytes.
    func writeState(through file: MigrationFile, _ bytes: RawSpan) throws(Errno) -> Int

    /// `VFIO_MIG_GET_PRECOPY_INFO`, after `argsz` was checked.
    /// - Throws: `EINVAL` in other states than those of pre-copy; `ENODEV` for a way that has closed.
    func describePrecopy(of file: MigrationFile, _ info: inout PrecopyInfo) throws(Errno)
}

extension PCIBusDriver: DeviceMover {
    var mover: (any DeviceMover)? { canMove ? self : nil }
}
