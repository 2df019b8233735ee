import IOVASpace
import LinuxSystem
import VFIOABI

/// The device at the other end of a socket, over one connection after the other.
///
/// Everything that a program has set up is remembered here and set up again in a server that has come back: memory
/// for DMA, interrupts, mappings of regions. Whoever used the device when the connection was lost is told once
/// (`ECONNRESET`); the next request then looks for a server at the same path. The device itself begins anew.
final class RemoteDevice: @unchecked Sendable {
    // SAFETY: everything that changes is used with `lock` held.
    let lock = Lock()
    private let path: String?
    private let limits: Limits
    private let milliseconds: Int
    private(set) var client: Client?
    private var regions: [RemoteRegion]
    private var interrupts = RemoteInterrupts()
    private var windows: [RemoteWindow] = []
    /// How pages that the device writes are being logged; nil while they aren't.
    var logging: RemoteLogging?
    /// The migration data that goes out or comes in; nil while none does.
    var migrationData: RemoteMigrationData?
    /// Tells the program when its server has gone.
    private let notice = LossNotice()
    /// What the device is; a server that comes back must have the same.
    let description: RemoteDescription
    /// What the server's device may reach.
    let mappings = ClientMappings()
    /// The memory of this process that a server can map.
    let shared = SharedMemory()

    init(_ socket: consuming UnixSocket, path: String?, _ limits: Limits, milliseconds: Int)
        throws(ClientFailure)
    {
        let client = try Client(socket, mappings, limits, notice: notice, milliseconds: milliseconds)
        description = try RemoteDescription(client)
        regions = try RemoteRegion.all(of: client, description)
        self.client = client
        self.path = path
        self.limits = limits
        self.milliseconds = milliseconds
    }

    // MARK: the connection

    /// Runs commands. Whatever goes wrong is told as an errno.
    @inline(__always)
    func perform<R>(_ body: (Client) throws(ClientFailure) -> R) throws(Errno) -> R {
        let client = try lock.withLock { () throws(Errno) -> Client in try connection() }
        do throws(ClientFailure) {
            return try body(client)
        } catch {
            if case .lost = error { lock.withLock { forget(client) } }
            throw error.errno
        }
    }

    /// Runs commands that change what must be set up again: nobody connects meanwhile.
    func change<R>(_ body: (Client) throws(ClientFailure) -> R) throws(Errno) -> R {
        let client = try connection()
        do throws(ClientFailure) {
            return try body(client)
        } catch {
            if case .lost = error { forget(client) }
            throw error.errno
        }
    }

    func forget(_ lost: Client) {
        guard client === lost else { return }
        client = nil
        // The device begins anew: what was under way is nobody's, and what it wrote nobody knows.
        endMigrationData()
        mappings.suspectAll()
    }

    /// The connection; a new one where the last is known to be lost.
    /// - Throws: the errno of connect(2); `ENODEV` where the server at the path has another device now.
    func connection() throws(Errno) -> Client {
        if let client { return client }
        guard let path else { throw .connectionReset }
        do throws(ClientFailure) {
            let socket: UnixSocket
            do throws(Errno) { socket = try UnixSocket(connecting: path) } catch { throw .unreachable(error) }
            let new = try Client(socket, mappings, limits, notice: notice, milliseconds: milliseconds)
            guard try RemoteDescription(new) == description else { throw .refused(.noDevice) }
            let found = try RemoteRegion.all(of: new, description)
            for mapping in mappings.all { try send(mapping, to: new) }
            try logging?.restore(new)
            try interrupts.restore(new)
            if interrupts.errorEvent != nil { new.watch() }
            for window in windows { try window.show(found[window.region]) }
            regions = found
            client = new
            return new
        } catch {
            throw error.errno
        }
    }

    // MARK: memory

    /// Lets the device reach memory of this process.
    /// - Throws: `EEXIST` where something is mapped; what the server answers.
    func map(_ mapping: IOVAMapping) throws(Errno) {
        try lock.withLock { () throws(Errno) in
            _ = try connection()
            // From here on the server may ask for it.
            try mappings.add(mapping)
            do throws(Errno) {
                try change { (client) throws(ClientFailure) in try send(mapping, to: client) }
            } catch {
                mappings.remove(mapping)
                throw error
            }
        }
    }

    private func send(_ mapping: IOVAMapping, to client: Client) throws(ClientFailure) {
        var request = UserDMAMap(
            flags: UserDMAMapFlags(rawValue: UInt32(mapping.permissions.rawValue)),
            address: mapping.range.first.rawValue, size: mapping.range.byteCount)
        let place = shared.place(of: mapping.backing, byteCount: mapping.range.byteCount)
        request.offset = place?.offset ?? 0
        try client.map(request, descriptor: place?.descriptor ?? -1)
    }

    /// Takes memory from the device. A server that is lost doesn't reach it any more.
    func unmap(_ mapping: IOVAMapping) throws(Errno) {
        try lock.withLock { () throws(Errno) in
            try release(mapping)
            mappings.remove(mapping)
        }
    }

    /// Tells the server that it doesn't reach memory any more. The lock is held.
    func release(_ mapping: IOVAMapping) throws(Errno) {
        guard let client else { return }
        do throws(ClientFailure) {
            try client.unmap(
                UserDMAUnmap(address: mapping.range.first.rawValue, size: mapping.range.byteCount))
        } catch .lost {
            forget(client)
        } catch {
            throw error.errno
        }
    }

    /// Whether the server maps the memory itself.
    func isShared(_ mapping: IOVAMapping) -> Bool {
        shared.place(of: mapping.backing, byteCount: mapping.range.byteCount) != nil
    }

    /// Takes all memory from the device. One that doesn't let go of it loses its connection.
    func unmapAll() {
        for mapping in mappings.all where (try? unmap(mapping)) == nil {
            lock.withLock {
                client?.close()
                if let client { forget(client) }
            }
            mappings.remove(mapping)
        }
    }

    // MARK: reset, interrupts and the end of a use

    /// Resets the device. It isn't migrated any more.
    func reset() throws(Errno) {
        try lock.withLock { () throws(Errno) in
            try change { (client) throws(ClientFailure) in try client.reset() }
            endMigrationData()
        }
    }

    /// Carries out a checked SET_IRQS.
    func setInterrupts(_ request: RemoteInterruptRequest) throws(Errno) {
        try lock.withLock { () throws(Errno) in
            var changed = interrupts
            try changed.check(request)
            try change { (client) throws(ClientFailure) in try changed.carryOut(request, client) }
            interrupts = changed
            notice.set(changed.errorEvent)
            if changed.errorEvent != nil { client?.watch() }
        }
    }

    /// Nobody uses the device any more: its interrupts end, and it is reset. There is nobody to hear of a failure.
    func endUse() {
        lock.withLock {
            let old = interrupts
            interrupts = RemoteInterrupts()
            notice.set(nil)
            endMigrationData()
            if logging?.user == .device { try? endLogging() }
            guard let client else { return }
            for index in old.indicesInUse {
                try? client.setInterrupts(
                    IRQSet(flags: [.dataNone, .actionTrigger], index: index))
            }
            if description.info.flags.contains(.reset) { try? client.reset() }
        }
    }

    // MARK: mapping regions

    /// Maps a part of a region that the server shares.
    /// - Throws: `EINVAL` for a part that isn't shared.
    func map(
        region index: Int, at offset: UInt64, byteCount: Int, protection: Mapping.Protection
    ) throws(Errno) -> MemoryWindow {
        try lock.withLock { () throws(Errno) -> MemoryWindow in
            _ = try connection()
            let window = try RemoteWindow(
                regions[index], index, at: offset, byteCount: byteCount, protection: protection)
            windows.append(window)
            return window.mapping.window
        }
    }

    /// Ends a mapping; false where there is none.
    func unmap(_ window: MemoryWindow) -> Bool {
        let found = lock.withLock { () -> RemoteWindow? in
            let index = windows.firstIndex {
                $0.mapping.window.address == window.address
                    && $0.mapping.window.byteCount == window.byteCount
            }
            return index.map { windows.remove(at: $0) }
        }
        return found != nil
    }

    /// The parts of a region that can be mapped.
    func areas(region index: Int) -> [SparseMmapArea] { lock.withLock { regions[index].areas } }
}
