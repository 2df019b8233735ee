import DeviceModel
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
    /// What the program has set up of interrupts.
    let interrupts = PCIInterrupts()
    /// The eventfd that unmasks INTx. Used with `lock` held.
    var unmask: PCITrigger?
    private var windows: [RemoteWindow] = []
    /// Whether windows show their regions.
    private var areWindowsShown = false
    /// The empty file that windows show while memory is off, owned; -1 before it is needed.
    private var nothing: Int32 = -1
    /// Whether BARs of memory and of ports answer.
    private var isMemoryOn = false
    private var arePortsOn = false
    /// What was last written to COMMAND.
    private var command: UInt16 = 0
    /// How many connections there have been.
    private var connectionCount = 1
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

    deinit { if nothing >= 0 { _ = Descriptor(owning: nothing) } }

    // MARK: the connection

    /// Whether the server is there, as far as is known.
    var isConnected: Bool { lock.withLock { client.map { !$0.isLost } ?? false } }

    /// Tells one connection from the one before.
    var connectionNumber: Int { lock.withLock { connectionCount } }

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
            try restoreCommand(new)
            try logging?.restore(new)
            try new.restore(interrupts, unmask: unmask)
            if interrupts.hasTrigger(.error) { new.watch() }
            for window in windows { try window.move(to: found[window.region]) }
            regions = found
            client = new
            connectionCount += 1
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

    /// Sends commands that set something up, and notes that it was.
    func setUp(
        _ send: (Client) throws(ClientFailure) -> Void, _ note: (RemoteDevice) -> Void
    ) throws(Errno) {
        try lock.withLock { () throws(Errno) in
            try change(send)
            note(self)
        }
    }

    /// The eventfd that unmasks INTx.
    var unmaskEvent: PCITrigger? { lock.withLock { unmask } }

    /// The eventfd for errors has been set up or taken away: it also tells of a lost connection. The lock is held.
    func noteErrorEvent() {
        notice.set(interrupts.event(of: .error))
        if interrupts.hasTrigger(.error) { client?.watch() }
    }

    /// Nobody uses the device any more: nothing is set up in a server, and nothing is under way.
    func endUse() {
        lock.withLock {
            unmask = nil
            notice.set(nil)
            endMigrationData()
            // There is nobody to hear of a failure.
            if logging?.user == .device { try? endLogging() }
        }
    }

    // MARK: configuration space

    /// Reads configuration space as the function has it.
    func registers(_ range: Range<Int>) throws(Errno) -> PCIRegisterSnapshot {
        var bytes = [UInt8](repeating: 0, count: range.count)
        var span = bytes.mutableSpan
        // SAFETY: any bytes are UInt8s.
        var raw = unsafe span.mutableBytes
        try perform { (client) throws(ClientFailure) in
            try client.read(region: PCIRegion.config.rawValue, at: UInt64(range.lowerBound), into: &raw)
        }
        return PCIRegisterSnapshot(bytes, from: range.lowerBound)
    }

    /// Writes 1, 2 or 4 bytes of configuration space.
    func setRegisters(_ value: UInt32, at offset: Int, width: Int) throws(Errno) {
        let value = value.littleEndian
        try perform { (client) throws(ClientFailure) in
            // SAFETY: the number's own bytes, of which there are four.
            try unsafe withUnsafeBytes(of: value) { (bytes) throws(ClientFailure) in
                let span = unsafe RawSpan(_unsafeBytes: bytes)
                try client.write(
                    region: PCIRegion.config.rawValue, at: UInt64(offset), span.extracting(0..<width))
            }
        }
        if offset == PCIConfiguration.Register.command && width >= 2 {
            lock.withLock { command = UInt16(truncatingIfNeeded: value) }
        }
    }

    /// A function that has just come answers and keeps its line quiet as the former one did. It masters no bus: its
    /// driver has to start it anew.
    private func restoreCommand(_ client: Client) throws(ClientFailure) {
        let kept = command & ~PCIConfiguration.Command.busMaster
        guard kept != 0 else { return }
        // SAFETY: the number's own bytes.
        try unsafe withUnsafeBytes(of: kept.littleEndian) { (bytes) throws(ClientFailure) in
            let span = unsafe RawSpan(_unsafeBytes: bytes)
            try client.write(
                region: PCIRegion.config.rawValue, at: UInt64(PCIConfiguration.Register.command), span)
        }
    }

    // MARK: accesses to BARs

    /// Says which BARs answer.
    func setSpaces(memory: Bool, ports: Bool) {
        lock.withLock {
            isMemoryOn = memory
            arePortsOn = ports
        }
    }

    /// Runs an access to a BAR.
    /// - Returns: nil for ports that are off: nobody answers.
    /// - Throws: `EIO` for memory that is off.
    @inline(__always)
    func perform<R>(
        onMemory isMemory: Bool, _ body: (Client) throws(ClientFailure) -> R
    ) throws(Errno) -> R? {
        let client = try lock.withLock { () throws(Errno) -> Client? in
            guard isMemory ? isMemoryOn : arePortsOn else {
                if isMemory { throw .inputOutput }
                return nil
            }
            return try connection()
        }
        guard let client else { return nil }
        do throws(ClientFailure) {
            return try body(client)
        } catch {
            if case .lost = error { lock.withLock { forget(client) } }
            throw error.errno
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
            if nothing < 0 { nothing = try MemoryFile.create("vfio-user memory off", byteCount: 0).release() }
            window.mapping.show(areWindowsShown, nothing: nothing)
            windows.append(window)
            return window.window
        }
    }

    /// Ends a mapping; false where there is none.
    func unmap(_ window: MemoryWindow) -> Bool {
        let found = lock.withLock { () -> RemoteWindow? in
            let index = windows.firstIndex {
                $0.window.address == window.address && $0.window.byteCount == window.byteCount
            }
            return index.map { windows.remove(at: $0) }
        }
        return found != nil
    }

    /// Shows the regions in all windows, or takes them away: a touch then raises SIGBUS.
    func showWindows(_ visible: Bool) {
        lock.withLock {
            areWindowsShown = visible
            for window in windows { window.mapping.show(visible, nothing: nothing) }
        }
    }

    /// The parts of a region that can be mapped.
    func areas(region index: Int) -> [SparseMmapArea] { lock.withLock { regions[index].areas } }
}
