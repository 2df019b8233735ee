import LinuxSystem
import VFIO
import VFIOABI

/// A guest's device on its way to another host: its migration states, with a way back from each failure, and its
/// data (kernel.md E).
///
/// Used by one migration at a time.
public final class MovableDevice: @unchecked Sendable {
    // SAFETY: what changes belongs to the thread that carries the migration out, or is guarded by the lock.
    /// What both sides call it: at most 255 bytes.
    public let name: String
    /// The device.
    public let guestDevice: GuestDevice
    /// Whether its owner lets it be moved.
    public let isMovable: Bool

    private let lock = Lock()
    private var current = MigrationState.running
    private var loss: VFIOGuestError?
    private var reset = false
    /// The way for its state, as long as there is one.
    private(set) var data: MigrationData?
    /// How it can be moved, once that was asked.
    private(set) var capabilities: MigrationFlags = []
    /// What of it has been sent before it stops.
    var isInitialDataSent = false
    private var tellsNewStart = false

    /// Describes a device that is to be moved.
    /// - Parameters:
    ///   - name: what both sides call it; nil for its address on this host.
    ///   - isMovable: false makes it a blocker.
    public init(_ device: GuestDevice, named name: String? = nil, isMovable: Bool = true) {
        guestDevice = device
        self.name = name ?? "\(device.id)"
        self.isMovable = isMovable
    }

    var device: Device { guestDevice.device }

    /// The state that it is in, as far as this side knows.
    public var state: MigrationState { lock.withLock { current } }

    /// Why it can't be used any more; nil if it can.
    public var lossReason: VFIOGuestError? { lock.withLock { loss } }

    /// Whether it had to be reset in the course of this migration: what it was about is lost.
    public var wasReset: Bool { lock.withLock { reset } }

    private func note(_ state: MigrationState) {
        lock.withLock { current = state }
        switch state {
        case .preCopy, .preCopyP2P, .stopCopy, .resuming: break
        default: data = nil
        }
    }

    /// Asks how it can be moved and where it stands.
    func prepare() throws(VFIOGuestError) {
        capabilities = try device.migrationCapabilities()
        lock.withLock {
            loss = nil
            reset = false
        }
        isInitialDataSent = false
        guard !capabilities.isEmpty else { return }
        note(try device.migrationState())
    }

    /// Whether it can be kept from DMA to other devices.
    var sparesPeers: Bool { capabilities.contains(.p2p) }

    // MARK: states

    /// Brings the device to a state.
    /// - Parameter recovery: where it goes if that fails; nil, or where that fails too: it is reset, and runs. If it
    ///   can't be reset it is lost (``lossReason``).
    /// - Throws: why it isn't in the state.
    public func go(
        to target: MigrationState, orElse recovery: MigrationState? = nil
    ) throws(VFIOGuestError) {
        if state == target { return }
        do throws(VFIOGuestError) {
            if let new = try device.setMigrationState(target) {
                guard data == nil else {
                    throw VFIOGuestError(
                        operation: "bring it to migration state \(target.rawValue)", object: name,
                        errno: .badDescriptor, code: .malformed,
                        cause: "the host opened a second way for the device's state")
                }
                data = new
            }
            note(target)
        } catch {
            recover(to: recovery)
            throw error
        }
    }

    private func recover(to recovery: MigrationState?) {
        if let recovery {
            do throws(VFIOGuestError) {
                try device.setMigrationState(recovery)
                note(recovery)
                return
            } catch {}
        }
        resetToRunning()
    }

    /// Resets the device: it runs, and has forgotten everything.
    func resetToRunning() {
        do throws(VFIOGuestError) {
            try device.resetOutOfMigration()
            lock.withLock { reset = true }
            note(.running)
        } catch {
            lock.withLock { loss = error }
            note(.error)
        }
    }

    // MARK: data that goes out

    /// Lets what is known already of its state go out, where it can.
    func startPrecopy() throws(VFIOGuestError) {
        guard capabilities.contains(.preCopy) else { return }
        tellsNewStart = try device.enablePrecopyFlags()
        try go(to: .preCopy, orElse: .running)
    }

    /// How many bytes are left: before it stops and, where `isExact`, afterwards.
    /// - Parameter unknown: what counts for a device that can't tell its size.
    func estimate(isExact: Bool, unknown: UInt64) throws(VFIOGuestError) -> UInt64 {
        var count: UInt64 = 0
        if state == .preCopy, let info = try data?.precopyInfo() {
            if tellsNewStart && info.flags.contains(.reinit) { isInitialDataSent = false }
            count = info.initialBytes.addingReportingOverflow(info.dirtyBytes).partialValue
        }
        if isExact {
            let rest = try device.migrationDataSize() ?? unknown
            let (sum, overflow) = count.addingReportingOverflow(rest)
            count = overflow ? .max : sum
        }
        return count
    }

    /// Whether all that it wants to have sent first has gone out.
    /// - Parameter isEmptied: whether nothing is left to be read for now.
    func hasSentInitialData(isEmptied: Bool) throws(VFIOGuestError) -> Bool {
        guard state == .preCopy, let data else { return true }
        guard let info = try data.precopyInfo() else { return isEmptied }
        return info.initialBytes == 0
    }

    /// Reads what comes next.
    func read(into bytes: inout MutableRawSpan) throws(VFIOGuestError) -> MigrationData.Progress {
        guard let data else {
            throw VFIOGuestError(
                operation: "read its state", object: name, errno: .badDescriptor,
                cause: "there is no way for it")
        }
        return try data.read(into: &bytes)
    }

    // MARK: data that comes in

    /// Writes what comes next.
    func write(_ bytes: [UInt8]) throws(VFIOGuestError) {
        guard let data else {
            throw VFIOGuestError(
                operation: "write its state", object: name, errno: .badDescriptor,
                cause: "there is no way for it")
        }
        do throws(VFIOGuestError) {
            try data.write(bytes)
        } catch {
            var error = error
            error.object = name
            if error.errno == .invalid {
                error.cause = "what came isn't the state of such a device"
                error.code = .unsuitableStream
            }
            throw error
        }
    }
}
