import DeviceModel
import LinuxSystem
import VFIOABI

/// The device's way to another host: states, and the bytes of its state.
///
/// **While the device is stopped** everything but its registers can be reached: a client may describe it, map
/// memory, set interrupts up and write configuration space before it lets the device go on. (libvfio-user refuses
/// most commands then, even those that a new client begins with.)
///
/// **A reset** brings it back to running, as for a kernel's device, and so does the client's going.
extension ServedDevice {
    /// Whether the device can be moved at all.
    var canMove: Bool { !migration.capabilities.isEmpty }

    /// What a client is told about a failure.
    private func errno(_ error: MigrationError) -> Errno {
        switch error {
        case .notMigratable: .noSuchRequest
        case .tooLong: .noMemory
        case .deviceFailed: .inputOutput
        case .noWay, .wrongPhase, .truncated, .malformed, .version, .differentDevice: .invalid
        }
    }

    /// Sets `Feature.migrationDeviceState`.
    func setState(
        _ request: DeviceFeature, _ payload: RawSpan, _ reply: inout MessageWriter
    ) throws(Errno) {
        guard Int(request.argsz) >= DeviceFeature.byteCount + MigrationStateFeature.byteCount,
            let asked = MigrationStateFeature(payload),
            let target = MigrationPhase(rawValue: asked.deviceState.rawValue)
        else { throw .invalid }
        let before = migration.phase
        var failure: MigrationError?
        do throws(MigrationError) { try migration.move(to: target) } catch { failure = error }
        isFrozen = !migration.phase.isWorking
        // A state was loaded: the masks in it are those that the other client's eventfds called for.
        if before == .resuming && migration.phase != .resuming { adoptMessages() }
        if let failure { throw errno(failure) }
        reply.append(request)
        reply.append(asked)
    }

    /// Brings the masks of messages into agreement with this client's eventfds. What is raised for a vector that
    /// has none yet waits as pending.
    private func adoptMessages() {
        switch slot.interrupts.kind {
        case .msi, .msix: restoreMessages()
        case .none, .line:
            for vector in 0..<(function.msix?.vectorCount ?? 0) { function.msix?.setMask(vector, true) }
        }
    }

    /// The device was reset.
    func endMigration() {
        migration.reset()
        isFrozen = false
    }

    /// `VFIO_USER_MIG_DATA_READ`: the answer has as many bytes as were asked for, zeros where `size` says that there
    /// is less: clients of libvfio-user count on it.
    /// - Parameter limit: the most data that the client takes.
    func readState(
        _ request: UserMigrationData, limit: Int, _ reply: inout MessageWriter
    ) throws(Errno) {
        let fixed = UserMigrationData.byteCount
        let asked = Int(request.size)
        guard asked <= limit, asked <= limits.transferByteCount, Int(request.argsz) >= fixed + asked
        else { throw .invalid }
        // Room for the fixed part, which says how much there is.
        let count = min(asked, migration.readableCount)
        reply.append(UserMigrationData(argsz: UInt32(fixed + count), size: UInt32(count)))
        var failure: MigrationError?
        reply.append(asked) { bytes in
            var done = 0
            do throws(MigrationError) { done = try migration.read(into: &bytes) } catch { failure = error }
            for index in done..<asked { bytes.storeBytes(of: 0, toByteOffset: index, as: UInt8.self) }
        }
        if let failure { throw errno(failure) }
    }

    /// `VFIO_USER_MIG_DATA_WRITE`.
    func writeState(_ request: UserMigrationData, _ payload: RawSpan) throws(Errno) {
        do throws(MigrationError) {
            try migration.write(payload.extracting(0..<Int(request.size)))
        } catch {
            throw errno(error)
        }
    }
}
