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
    // SAFETY: `clients` and `sockets` are only touched with `lock` held.
    private let lock = Lock()
    private var clients: [Client] = []
    private var sockets: [Int32] = []
    private let listener: UnixSocket

    /// Begins to serve.
    /// - Parameter path: of the socket, in the run's folder.
    /// - Throws: the errno of socket(2), bind(2) or clone(2).
    init(_ kernel: SoftwareHost, _ places: KernelPlaces, at path: String) throws(Errno) {
        self.kernel = kernel
        self.places = places
        let socket = try UnixSocket(listening: path, backlog: 64)
        listener = UnixSocket(owning: Descriptor(owning: KernelPlaces.raise(socket.release())))
        try places.watch(listener.descriptor.number)
    }

    func start() throws(Errno) { try WorkerThread.startDetached { self.watch() } }

    private func watch() {
        while true {
            guard places.collect(waits: true, { self.kernel.release($0) }) else { continue }
            do throws(Errno) {
                let socket = try listener.accept()
                let number = KernelPlaces.raise(socket.release())
                lock.withLock { sockets.append(number) }
                try WorkerThread.startDetached { self.serve(number) }
            } catch {
                // A caller that gave up, or no thread: whoever calls is told by the connection's end.
                continue
            }
        }
    }

    /// Notices what was closed in other processes, so that what comes next finds it closed.
    func collect() { _ = places.collect(waits: false) { kernel.release($0) } }

    private func serve(_ number: Int32) {
        let connection = ClientConnection(
            UnixSocket(owning: Descriptor(owning: number)), of: self)
        connection.serve()
        lock.withLock { sockets.removeAll { $0 == number } }
    }

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
        for number in sockets + [listener.descriptor.number] {
            Handles.remove(number)
            _ = Descriptor(owning: number)
        }
        places.forget()
        lock.unlock()
    }
}
