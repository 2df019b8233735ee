import DeviceModel
import IOVASpace
import LinuxSystem
import VFIOABI
import VFIOHost

/// What a variant of vfio-pci adds (Linux has one for each kind of device, such as `mlx5_vfio_pci`): it can move
/// its device to another host, and logs what the device writes (kernel.md E). Here one does for all models that can
/// be moved.
///
/// **The device's state** has nothing of what a kernel's driver keeps: BARs, COMMAND, the controls of interrupts stay
/// those of the machine that the state came to. A VMM carries them over by configuration space, as on Linux.
struct PCIMigration {
    /// Where the device is on its way.
    var progress: DeviceMigration
    /// The open way for its state.
    var session: MigrationFile?
    /// Whether the user knows the flags of `VFIO_MIG_GET_PRECOPY_INFO`.
    var tellsPrecopyFlags = false

    init(_ model: any DeviceModel) { progress = DeviceMigration(model) }
}

extension DriverRecord {
    /// Whether it is a variant of vfio-pci that is made for the device.
    var isVariant: Bool { isVFIO && !name.utf8.elementsEqual("vfio-pci".utf8) }

    /// Whether it is a variant that moves devices as Linux did before 5.18.
    var isHistoric: Bool { name.utf8.elementsEqual("historic-vfio-pci".utf8) }
}

extension PCIBusDriver {
    /// The driver is a variant that moves devices which can be moved.
    /// - Parameter isHistoric: whether by version 1 of the protocol.
    func becomeVariant(isHistoric: Bool = false) {
        lock.withLock {
            guard model.migratable != nil else { return }
            migration = PCIMigration(model)
            if isHistoric { historicMigration = HistoricMigration() }
        }
    }

    /// Lets the device fail on its way, once.
    /// - Returns: whether it can be moved at all.
    func failMove(_ failure: MigrationFailure) -> Bool {
        lock.withLock {
            guard migration != nil else { return false }
            migration?.progress.nextFailure = failure
            return true
        }
    }

    /// Whether the device can be moved by version 2 of the protocol.
    var canMove: Bool { lock.withLock { migration != nil && historicMigration == nil } }

    /// The state that it is in.
    var migrationPhase: MigrationPhase { lock.withLock { migration?.progress.phase ?? .running } }

    /// What the kernel says of it.
    static func errno(_ error: MigrationError) -> Errno {
        switch error {
        case .notMigratable: .noSuchRequest
        case .tooLong: .noMemory
        case .deviceFailed: .inputOutput
        case .noWay, .wrongPhase, .truncated, .malformed, .version, .differentDevice: .invalid
        }
    }

    /// Brings the device to another state.
    /// - Returns: the way for its state, if one has opened.
    /// - Throws: `EINVAL` where there is no way, `EIO` where the device failed; the device is then in one of the
    ///   states on the way, or in the one that only a reset leads out of.
    func setMigrationState(
        _ state: MigrationState, of device: MachineDevice
    ) throws(Errno) -> MigrationFile? {
        lock.lock()
        defer { lock.unlock() }
        guard let before = migration?.progress.phase else { throw .noSuchRequest }
        guard let target = MigrationPhase(rawValue: state.rawValue) else { throw .invalid }
        if before == target { return nil }
        var failure: Errno?
        do throws(Errno) { try go(to: target) } catch { failure = error }
        let now = migration?.progress.phase ?? .running
        var isOpening = false
        if !now.isSaving || !before.isSaving, now != before {
            migration?.session = nil
            isOpening = now.isSaving || now == .resuming
        }
        if let failure { throw failure }
        guard isOpening else { return nil }
        let session = MigrationFile(self, device, isIncoming: now == .resuming)
        migration?.session = session
        return session
    }

    /// Brings the device to another state, with all that a driver does about it. With the lock held.
    /// - Throws: as ``setMigrationState(_:of:)``.
    func go(to target: MigrationPhase) throws(Errno) {
        let before = migration?.progress.phase ?? .running
        let own = configuration.savedBytes
        var failure: MigrationError?
        do throws(MigrationError) { try migration?.progress.move(to: target) } catch { failure = error }
        let now = migration?.progress.phase ?? .running
        if before == .resuming && now != .resuming { keepOwnRegisters(own) }
        isStopped = !now.isWorking
        // What was under way when the device was told to stop.
        if isStopped { slot.waitForAccesses() }
        if let failure { throw Self.errno(failure) }
    }

    /// A state came in: what belongs to the machine is as it was, and a vector is masked where nobody waits for it.
    private func keepOwnRegisters(_ own: [UInt8]) {
        configuration.load(own)
        switch interrupts.kind {
        case .msi, .msix: restoreMessages()
        case .none, .line:
            for vector in 0..<(function.msix?.vectorCount ?? 0) { function.msix?.setMask(vector, true) }
        }
    }

    /// The device was reset, or closed: it is running, nothing is logged. With the lock held.
    func endMigration() {
        guard migration != nil else { return }
        migration?.progress.reset()
        migration?.session = nil
        if historicMigration != nil { historicMigration = HistoricMigration() }
        isStopped = false
        slot.stopLog()
    }

    /// Nobody has got this way.
    func endSession(_ file: MigrationFile) {
        lock.withLock { if migration?.session === file { migration?.session = nil } }
    }

    // MARK: the way for the state

    /// Reads the state.
    /// - Throws: `ENODEV` for a way that has closed; `ENOMSG` where nothing is left while the device works.
    func readState(through file: MigrationFile, into bytes: inout MutableRawSpan) throws(Errno) -> Int {
        lock.lock()
        defer { lock.unlock() }
        guard let migration, migration.session === file else { throw .noDevice }
        if bytes.byteCount == 0 { return 0 }
        let isWorking = migration.progress.phase.isWorking
        var count: Int?
        do throws(MigrationError) {
            count = try self.migration?.progress.read(into: &bytes)
        } catch {
            throw Self.errno(error)
        }
        guard let count, count > 0 else {
            if isWorking { throw .noMessage }
            return 0
        }
        return count
    }

    /// Writes a state.
    /// - Throws: `ENODEV` for a way that has closed; what is wrong with the bytes.
    func writeState(through file: MigrationFile, _ bytes: RawSpan) throws(Errno) -> Int {
        lock.lock()
        defer { lock.unlock() }
        guard let migration, migration.session === file else { throw .noDevice }
        do throws(MigrationError) {
            try self.migration?.progress.write(bytes)
        } catch {
            throw Self.errno(error)
        }
        return bytes.byteCount
    }

    /// `VFIO_MIG_GET_PRECOPY_INFO`: what goes out before the device stops is its description, which is to be there
    /// first and doesn't change.
    func describePrecopy(of file: MigrationFile, _ info: inout PrecopyInfo) throws(Errno) {
        try lock.withLock { () throws(Errno) in
            guard let migration else { throw .noDevice }
            // The drivers look at the device's state before they look whether the way is still open.
            let phase = migration.progress.phase
            guard phase.isSaving && phase.isWorking else { throw .invalid }
            guard migration.session === file else { throw .noDevice }
            info.initialBytes = UInt64(migration.progress.readableCount)
            info.dirtyBytes = 0
            if migration.tellsPrecopyFlags { info.flags = [] }
        }
    }

    // MARK: features

    /// Carries out a feature of migration or logging but the setting of states.
    /// - Returns: nil if it is none of them.
    func migrationFeature(
        _ feature: Feature, _ operation: FeatureOperation, isProbe: Bool, payload: HostAddress, room: UInt32
    ) throws(Errno) -> Int32? {
        guard canMove else { return nil }
        func isWanted(_ possible: FeatureOperation, _ byteCount: Int) throws(Errno) -> Bool {
            try operation.isWanted(of: possible, isProbe, room, needs: UInt32(byteCount))
        }
        switch feature {
        case .migration:
            guard try isWanted(.get, MigrationFeature.byteCount) else { break }
            let flags = lock.withLock { migration?.progress.capabilities.rawValue ?? 0 }
            try UserMemory.store(MigrationFeature(flags: MigrationFlags(rawValue: flags)), to: payload)
        case .migrationDataSize:
            guard try isWanted(.get, MigrationDataSize.byteCount) else { break }
            let count = lock.withLock { migration?.progress.streamByteLimit ?? 0 }
            try UserMemory.store(MigrationDataSize(stopCopyLength: UInt64(count)), to: payload)
        case .migrationPrecopyInfoV2:
            let hasPrecopy = lock.withLock {
                migration?.progress.capabilities.contains(.preCopy) ?? false
            }
            guard hasPrecopy else { throw .invalid }
            guard try isWanted(.set, 0) else { break }
            lock.withLock { migration?.tellsPrecopyFlags = true }
        case .dmaLoggingStart:
            guard try isWanted(.set, DMALoggingControl.byteCount) else { break }
            try startLogging(payload)
        case .dmaLoggingStop:
            guard try isWanted(.set, 0) else { break }
            slot.stopLog()
        case .dmaLoggingReport:
            guard try isWanted(.get, DMALoggingReport.byteCount) else { break }
            try reportLogged(payload)
        default: return nil
        }
        return 0
    }

    /// `VFIO_DEVICE_FEATURE_DMA_LOGGING_START`
    private func startLogging(_ address: HostAddress) throws(Errno) {
        var request = try DMALoggingRequest(from: address)
        request.control.pageSize = try slot.startLog(request.ranges, pageSize: request.control.pageSize)
        try UserMemory.store(request.control, to: address)
    }

    /// `VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT`
    private func reportLogged(_ address: HostAddress) throws(Errno) {
        let question = try DMALoggingQuestion(from: address)
        try slot.reportLog(question.range, pageSize: question.pageSize, into: question.bitmap)
    }
}
