import LinuxSystem
import SoftwareHost
import VFIOHost

/// Serves other processes of the run from the process in which the kernel lives.
///
/// One thread notices handles that have gone and takes connections; each connection has a thread of its own, because
/// a call may wait for others.
final class KernelService: @unchecked Sendable {
    /// A process that has connections.
    private struct Client {
        let process: RemoteProcess
        let image: UInt64
        var connections: Int
    }

    let places: KernelPlaces
    /// What calls go to. Those who call write them down themselves, where that is wanted.
    let kernel: SoftwareHost
    // SAFETY: `clients` and `connections` are only touched with `lock` held.
    private let lock = Lock()
    private var clients: [Client] = []
    private var connections: [ClientConnection] = []
    private let listener: UnixSocket
    private let path: String

    /// Begins to serve.
    /// - Parameter path: of the socket, in the run's folder.
    /// - Throws: the errno of socket(2), bind(2) or clone(2).
    init(_ kernel: SoftwareHost, _ places: KernelPlaces, at path: String) throws(Errno) {
        self.kernel = kernel
        self.places = places
        self.path = path
        let socket = try UnixSocket(listening: path, backlog: 64)
        listener = UnixSocket(owning: Descriptor(owning: KernelPlaces.raise(socket.release())))
        try places.watch(listener.descriptor.number)
    }

    func start() throws(Errno) { try WorkerThread.startDetached { self.watch() } }

    private func watch() {
        while true {
            guard places.collect(waits: true, { self.kernel.release($0) }) else { continue }
            ForkGate.passing { accept() }
        }
    }

    private func accept() {
        // Only looked for: in a copy of the process another may have been faster.
        guard Poller.readiness(of: listener.descriptor.number, .readable).contains(.readable) else { return }
        do throws(Errno) {
            let number = KernelPlaces.raise(try listener.accept().release())
            let connection = ClientConnection(UnixSocket(owning: Descriptor(owning: number)), of: self)
            lock.withLock { connections.append(connection) }
            try begin(connection)
        } catch {
            // A caller that gave up, or no thread: whoever calls is told by the connection's end.
        }
    }

    private func begin(_ connection: ClientConnection) throws(Errno) {
        do throws(Errno) {
            try WorkerThread.startDetached {
                connection.serve()
                self.remove(connection)
            }
        } catch {
            remove(connection)
            throw error
        }
    }

    private func remove(_ connection: ClientConnection) {
        // Out of the table before the number is free.
        Handles.remove(connection.number)
        lock.withLock { connections.removeAll { $0 === connection } }
    }

    /// Notices what was closed in other processes, so that what comes next finds it closed.
    func collect() { _ = places.collect(waits: false) { kernel.release($0) } }

    /// The process at the other end of a connection, counted once more.
    func enter(_ number: Int32, image: UInt64) throws(Errno) -> RemoteProcess {
        lock.lock()
        defer { lock.unlock() }
        for index in clients.indices
        where clients[index].process.number == number && clients[index].image == image {
            clients[index].connections += 1
            return clients[index].process
        }
        let process = try RemoteProcess(number)
        clients.append(Client(process: process, image: image, connections: 1))
        return process
    }

    /// A connection has ended: with the last one, the process, or the program that it ran.
    func leave(_ process: RemoteProcess) {
        lock.lock()
        defer { lock.unlock() }
        guard let index = clients.firstIndex(where: { $0.process === process }) else { return }
        clients[index].connections -= 1
        if clients[index].connections == 0 {
            clients.remove(at: index)
            process.end()
        }
    }

    // MARK: fork

    func lockForFork() {
        lock.lock()
        places.lockForFork()
    }

    func unlockAfterFork() {
        places.unlockAfterFork()
        lock.unlock()
    }

    /// In a child of fork(2): gives up its copies of the descriptors. The object is never used again, nor dropped.
    func forget() {
        for number in connections.map({ $0.number }) + [listener.descriptor.number] {
            Handles.remove(number)
            _ = Descriptor(owning: number)
        }
        places.forget()
        lock.unlock()
    }

    // MARK: keeping

    /// Serves on in a copy of the process, in which the threads aren't; see ``Keeper``.
    func goOn() {
        for connection in lock.withLock({ connections }) { try? begin(connection) }
        try? start()
    }

    /// Nobody will find this kernel any more.
    func end() { try? FileSystem.unlink(path) }
}
