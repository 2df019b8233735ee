import DeviceModel
import LinuxSystem
import VFIOABI

/// The state of a device on its way out or in: what a descriptor stands for that setting a migration state gave
/// (kernel.md E.3).
final class MigrationFile: FileObject {
    /// The driver of the device.
    let mover: any DeviceMover
    /// The device, for faults on demand.
    let device: MachineDevice
    /// Whether the state comes in.
    let isIncoming: Bool

    init(_ mover: any DeviceMover, _ device: MachineDevice, isIncoming: Bool) {
        self.mover = mover
        self.device = device
        self.isIncoming = isIncoming
    }

    /// `VFIO_MIG_GET_PRECOPY_INFO` is all that can be asked for.
    func control(_ request: Request, _ argument: UInt) throws(Errno) -> Int32 {
        guard request == .migrationGetPrecopyInfo, !isIncoming else { throw .noSuchRequest }
        let address = HostAddress(rawValue: argument)
        var info = try UserMemory.load(PrecopyInfo(), from: address, count: PrecopyInfo.minimumSize)
        guard info.argsz >= UInt32(PrecopyInfo.minimumSize) else { throw .invalid }
        try mover.describePrecopy(of: self, &info)
        try UserMemory.store(info, to: address, count: PrecopyInfo.minimumSize)
        return 0
    }

    func read(into bytes: inout MutableRawSpan) throws(Errno) -> Int {
        guard !isIncoming else { throw .badDescriptor }
        return try mover.readState(through: self, into: &bytes)
    }

    func write(_ bytes: RawSpan) throws(Errno) -> Int {
        guard isIncoming else { throw .badDescriptor }
        return try mover.writeState(through: self, bytes)
    }
}

extension DeviceFile {
    /// `VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE` (kernel.md E.3).
    func migrationState(
        _ mover: any DeviceMover, _ operation: FeatureOperation, isProbe: Bool, payload: HostAddress,
        room: UInt32
    ) throws(Errno) -> Int32 {
        let byteCount = UInt32(MigrationStateFeature.byteCount)
        guard try operation.isWanted(of: [.get, .set], isProbe, room, needs: byteCount) else { return 0 }
        var state = try UserMemory.load(MigrationStateFeature(), from: payload)
        state.dataFD = -1
        if operation == .get {
            state.deviceState = MigrationState(rawValue: mover.migrationPhase.rawValue)
            try UserMemory.store(state, to: payload)
            return 0
        }
        let session: MigrationFile?
        do throws(Errno) {
            session = try mover.setMigrationState(state.deviceState, of: device)
        } catch {
            // Linux answers with the structure also where it fails.
            try UserMemory.store(state, to: payload)
            throw error
        }
        if let session {
            do throws(Errno) {
                state.dataFD = try core.files.install { .migration(session) }
            } catch {
                mover.endSession(session)
                throw error
            }
        }
        do throws(Errno) {
            try UserMemory.store(state, to: payload)
        } catch {
            if state.dataFD >= 0 { core.files.close(state.dataFD) }
            throw error
        }
        return 0
    }
}
