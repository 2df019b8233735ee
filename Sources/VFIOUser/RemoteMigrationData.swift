import LinuxSystem
import VFIOABI

/// The state of a device on its way out of a server or into one: what a descriptor stands for that setting a
/// migration state gave (kernel.md E.3). Guarded by the device's lock.
final class RemoteMigrationData: @unchecked Sendable {
    // SAFETY: what changes is only touched with the device's lock held.
    enum Direction { case out, `in` }

    let direction: Direction
    /// Whether it is over: the device has left the states in which the state goes out, or comes in.
    var hasEnded = false
    /// Whether the device works still: that nothing is left may change then.
    var isPreCopy = false

    init(_ direction: Direction) { self.direction = direction }
}

extension MigrationState {
    /// Which way a device's state goes in this state; nil for none.
    fileprivate var direction: RemoteMigrationData.Direction? {
        switch self {
        case .preCopy, .preCopyP2P, .stopCopy: .out
        case .resuming: .in
        default: nil
        }
    }

    fileprivate var isPreCopy: Bool { self == .preCopy || self == .preCopyP2P }
}

extension RemoteDevice {
    /// Brings the device to another state.
    /// - Returns: the data of a way that has begun with this; nil where none has.
    /// - Throws: `EINVAL` where there is no such way. Where it ends midway, the state has to be asked for.
    func setMigrationState(_ state: MigrationState) throws(Errno) -> RemoteMigrationData? {
        try lock.withLock { () throws(Errno) -> RemoteMigrationData? in
            do throws(Errno) {
                follow(try change { (client) throws(ClientFailure) in try client.migrationState() })
                try change { (client) throws(ClientFailure) in try client.setMigrationState(state) }
            } catch {
                // It may be anywhere on the way.
                if let client, let now = try? client.migrationState() { follow(now) }
                throw error
            }
            follow(state)
            guard let direction = state.direction, migrationData == nil else { return nil }
            let data = RemoteMigrationData(direction)
            data.isPreCopy = state.isPreCopy
            migrationData = data
            return data
        }
    }

    /// The device is in a state.
    private func follow(_ state: MigrationState) {
        if migrationData?.direction != state.direction { endMigrationData() }
        migrationData?.isPreCopy = state.isPreCopy
    }

    /// Nothing goes out or comes in any more. The lock is held.
    func endMigrationData() {
        migrationData?.hasEnded = true
        migrationData = nil
    }

    /// Nobody has got this data after all.
    func endMigrationData(_ data: RemoteMigrationData) {
        lock.withLock {
            data.hasEnded = true
            if migrationData === data { migrationData = nil }
        }
    }

    /// Reads what comes next.
    /// - Returns: how many bytes; 0 when all has gone out.
    /// - Throws: `ENODEV` when it is over; `ENOMSG` where nothing is left while the device works.
    func readMigrationData(
        _ data: RemoteMigrationData, into bytes: inout MutableRawSpan
    ) throws(Errno) -> Int {
        if bytes.byteCount == 0 { return 0 }
        lock.lock()
        defer { lock.unlock() }
        if data.hasEnded { throw .noDevice }
        let count: Int
        do throws(Errno) {
            count = try change { (client) throws(ClientFailure) in
                try client.readMigrationData(into: &bytes)
            }
        } catch {
            throw explain(error, data)
        }
        if count == 0 && data.isPreCopy { throw .noMessage }
        return count
    }

    /// Writes what comes next, all of it.
    /// - Throws: `ENODEV` when it is over; what the server answers.
    func writeMigrationData(_ data: RemoteMigrationData, _ bytes: RawSpan) throws(Errno) -> Int {
        lock.lock()
        defer { lock.unlock() }
        if data.hasEnded { throw .noDevice }
        var done = 0
        while done < bytes.byteCount {
            let part = bytes.extracting(done..<bytes.byteCount)
            do throws(Errno) {
                done += try change { (client) throws(ClientFailure) in
                    try client.writeMigrationData(part)
                }
            } catch {
                // What the device took is told; why it took no more, by the next call.
                if done > 0 { return done }
                throw explain(error, data)
            }
        }
        return done
    }

    /// A reset by whatever way ends a migration; the server then refuses what doesn't go with the state.
    private func explain(_ error: Errno, _ data: RemoteMigrationData) -> Errno {
        if let client, let now = try? client.migrationState() { follow(now) }
        return data.hasEnded && error == .invalid ? .noDevice : error
    }
}
