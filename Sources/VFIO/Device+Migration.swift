import LinuxSystem
import VFIOABI
import VFIOHost

/// The device's way to another host: migration version 2.
///
/// ```swift
/// guard try device.migrationCapabilities().contains(.stopCopy) else { … }
/// let out = try device.setMigrationState(.stopCopy)      // it is stopped, and its state goes out
/// let state = try out?.readAll() ?? []
/// let into = try twin.setMigrationState(.resuming)       // another device of the kind, stopped
/// try into?.write(state)
/// try twin.setMigrationState(.running)                   // goes on where the first one stopped
/// ```
extension Device {
    /// How the device can be moved: `VFIO_DEVICE_FEATURE_MIGRATION`. Empty for not at all.
    public func migrationCapabilities() throws(VFIOError) -> MigrationFlags {
        var answer = MigrationFeature()
        do throws(Errno) {
            try carryOut(.migration, .get, &answer)
            return answer.flags
        } catch {
            if error == .noSuchRequest { return [] }
            throw migrationError("ask how it can be moved", error)
        }
    }

    /// The state that it is in.
    /// - Throws: ``VFIOError/Code/notSupported`` for a device that can't be moved.
    public func migrationState() throws(VFIOError) -> MigrationState {
        var answer = MigrationStateFeature()
        do throws(Errno) {
            try carryOut(.migrationDeviceState, .get, &answer)
            return answer.deviceState
        } catch {
            throw migrationError("ask for its migration state", error)
        }
    }

    /// Brings it to another state, by way of those in between: `VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE`.
    ///
    /// Where that fails midway the device may be in any state on the way, or in ``/VFIOABI/MigrationState/error``, out
    /// of which only ``resetOutOfMigration()`` leads: ask for ``migrationState()``.
    /// - Returns: the data of a transfer that has begun with this: to be read on the way to the states pre-copy and
    ///   stop-copy, to be written in resuming. From pre-copy to stop-copy it goes on by the one that is there already,
    ///   and nil is returned.
    /// - Throws: ``VFIOError/Code/notSupported`` for a device that can't be moved or hasn't got the state.
    @discardableResult
    public func setMigrationState(_ state: MigrationState) throws(VFIOError) -> MigrationData? {
        var request = MigrationStateFeature(deviceState: state)
        do throws(Errno) {
            try carryOut(.migrationDeviceState, .set, &request)
        } catch {
            throw migrationError("bring it to migration state \(state.rawValue)", error)
        }
        guard request.dataFD >= 0 else { return nil }
        return MigrationData(Handle(owning: request.dataFD, on: handle.host), name)
    }

    /// Resets it to end a move that failed: whatever state it was in, it is running, and every transfer is over.
    ///
    /// Unlike ``reset()`` this is tried on devices that offer no reset too. Who can be moved has one, and the kernel's
    /// sample serial port doesn't say so; closing that one wouldn't help.
    /// - Throws: what ``reset()`` throws; ``VFIOError/Code/refused`` if it isn't running even then.
    public func resetOutOfMigration() throws(VFIOError) {
        let operation = "reset it out of its move"
        try sendReset(operation)
        let state = try migrationState()
        guard state == .running else {
            throw VFIOError(
                operation: operation, object: name,
                cause: "it is in migration state \(state.rawValue) even then")
        }
    }

    private func migrationError(_ operation: String, _ errno: Errno) -> VFIOError {
        var error = VFIOError(operation: operation, object: name, errno: errno)
        switch errno {
        case .noSuchRequest:
            error.code = .notSupported
            error.cause = "the device's driver can't move it to another host"
        case .invalid:
            error.cause = "there is no way to that state, or what was written isn't a state of such a device"
        case .tooManyDescriptors:
            error.cause = "this process has as many open descriptors as it may; the device's state needs one"
            error.remedy = "raise the limit (ulimit -n)"
        default: break
        }
        return error
    }
}

/// The state of a device on its way: a stream of bytes whose meaning is the device's own. Closed when it goes.
public final class MigrationData: Sendable {
    private let handle: Handle
    private let name: String

    init(_ handle: consuming Handle, _ name: String) {
        self.handle = handle
        self.name = name
    }

    /// What reading has come to.
    public enum Progress: Equatable, Sendable {
        /// So many bytes came.
        case bytes(Int)
        /// Nothing is left for now; the device works still, and there may be more later.
        case nothingYet
        /// All has come.
        case end
    }

    /// Reads what comes next.
    /// - Parameter bytes: not empty.
    /// - Throws: an error with `ENODEV` when the device has left the states in which its state goes out.
    public func read(into bytes: inout MutableRawSpan) throws(VFIOError) -> Progress {
        do throws(Errno) {
            let count = try handle.read(into: &bytes)
            return count == 0 ? .end : .bytes(count)
        } catch {
            if error == .noMessage { return .nothingYet }
            throw VFIOError(operation: "read its state", object: name, errno: error)
        }
    }

    /// Reads all that is there: up to the end, or in the pre-copy states up to where nothing is left for now.
    /// - Parameter limit: the most bytes; a state may be of any length.
    /// - Throws: as ``read(into:)``; ``VFIOError/Code/outOfBounds`` beyond the limit.
    public func readAll(limit: Int = 1 << 30) throws(VFIOError) -> [UInt8] {
        var all: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            var span = chunk.mutableSpan
            // SAFETY: any byte is a value of UInt8.
            var bytes = unsafe span.mutableBytes
            guard case .bytes(let count) = try read(into: &bytes) else { return all }
            guard count <= limit - all.count else {
                throw VFIOError(
                    operation: "read its state", object: name, code: .outOfBounds,
                    cause: "it has more than \(limit) bytes")
            }
            all += chunk[..<count]
        }
    }

    /// Writes what comes next, all of it.
    /// - Throws: an error with `ENODEV` when the device has left the state of resuming, or with what the device has
    ///   against the bytes.
    public func write(_ bytes: [UInt8]) throws(VFIOError) {
        var done = 0
        while done < bytes.count {
            do throws(Errno) {
                // SAFETY: a UInt8 has no padding.
                let rest = unsafe bytes.span.bytes.extracting(done..<bytes.count)
                let count = try handle.write(rest)
                if count == 0 { throw .inputOutput }
                done += count
            } catch {
                throw VFIOError(operation: "write its state", object: name, errno: error)
            }
        }
    }

    /// How much is left before the device is stopped: `VFIO_MIG_GET_PRECOPY_INFO`.
    /// - Returns: nil where the host can't tell.
    /// - Throws: an error with `EINVAL` in other states than pre-copy.
    public func precopyInfo() throws(VFIOError) -> PrecopyInfo? {
        var info = PrecopyInfo()
        do throws(Errno) {
            try handle.control(UInt32(truncatingIfNeeded: Request.migrationGetPrecopyInfo.rawValue), &info)
            return info
        } catch {
            if error == .noSuchRequest { return nil }
            throw VFIOError(operation: "ask how much of its state is left", object: name, errno: error)
        }
    }
}
