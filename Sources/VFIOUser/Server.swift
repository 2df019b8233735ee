import DeviceModel
import LinuxSystem

/// Offers a device to clients that speak vfio-user, such as QEMU, one at a time.
///
/// ```swift
/// try Server(Educational(), at: "/run/edu.sock").run()
/// ```
///
/// QEMU 10.1 and later use it as a PCI device of their guest; the guest's memory must be shareable:
///
/// ```sh
/// qemu-system-x86_64 -machine q35,memory-backend=m -object memory-backend-memfd,id=m,size=1G,share=on \
///     -device '{"driver":"vfio-user-pci","socket":{"type":"unix","path":"/run/edu.sock"}}' …
/// ```
///
/// The device works on the thread that calls ``run(_:)`` (and on threads of its own, if it has any). When a client
/// goes, in whatever way, its memory is unmapped, its eventfds are closed and the device is reset; then the next
/// client is served. Several servers, with a thread each, live side by side in a process.
///
/// A client is not trusted: what it sends is checked, memory is bounded by ``Limits``, and the device reaches what
/// the client mapped and nothing else.
@safe public final class Server: @unchecked Sendable {
    // SAFETY: `device` is used by the one thread that runs the server; `connection` and `isStopped` are guarded by
    // `lock`, everything else is constant.
    private let device: ServedDevice
    private let listener: ListeningSocket?
    private let polls: Int
    private let wake: EventDescriptor
    private let lock = Lock()
    /// The client's socket, as long as there is one; to be shut down by `stop`.
    private var connection: Int32 = -1
    private var isStopped = false

    /// What is to be known of this server at work: counters, and a line for every message.
    public var monitor: ServerMonitor { device.monitor }

    /// Why a server can't serve.
    public struct Failure: Error, Equatable, Sendable, CustomStringConvertible {
        /// What was tried.
        public enum Operation: String, Sendable {
            /// Making the socket that clients connect to.
            case listen
            /// Taking a client's connection.
            case accept
            /// Getting memory for messages.
            case allocate
        }

        /// What was tried.
        public let operation: Operation
        /// The socket's path, where it has one.
        public let path: String?
        /// What the system said.
        public let errno: Errno

        /// Describes a failure.
        public init(operation: Operation, path: String?, errno: Errno) {
            self.operation = operation
            self.path = path
            self.errno = errno
        }

        /// "listen at /run/edu.sock: EADDRINUSE (98): address in use"
        public var description: String {
            let remedy =
                switch errno {
                case .addressInUse: "; another server runs there: stop it or choose another path"
                case .exists: "; something that is no socket has this name: choose another path"
                default: ""
                }
            return "\(operation.rawValue)\(path.map { " at \($0)" } ?? ""): \(errno)\(remedy)"
        }
    }

    /// Listens at a path. The name appears when clients can connect; it goes with the server.
    /// - Parameters:
    ///   - model: the device; nobody else may use it as long as the server lives.
    ///   - path: at most 80 bytes or so; a socket that a server left there which doesn't run any more is replaced.
    ///   - limits: what a client may ask for at most.
    ///   - polls: how often to look for a request before waiting for one. Costs a processor and saves the time
    ///     that waking takes; 0 always waits.
    /// - Throws: ``Failure``; `EADDRINUSE` where another server runs.
    public init(
        _ model: any DeviceModel, at path: String, limits: Limits = Limits(), polls: Int = 0
    ) throws(Failure) {
        do throws(Errno) {
            listener = try ListeningSocket(at: path)
            wake = try EventDescriptor()
        } catch {
            throw Failure(operation: .listen, path: path, errno: error)
        }
        device = ServedDevice(model, limits)
        self.polls = polls
    }

    /// Takes over a socket that listens already: one that was inherited, from systemd for instance.
    /// - Throws: ``Failure``; `ENOTSOCK`-like errors show when a client is awaited.
    public init(
        _ model: any DeviceModel, listening descriptor: consuming Descriptor, limits: Limits = Limits(),
        polls: Int = 0
    ) throws(Failure) {
        listener = ListeningSocket(descriptor)
        do throws(Errno) {
            wake = try EventDescriptor()
        } catch {
            throw Failure(operation: .listen, path: nil, errno: error)
        }
        device = ServedDevice(model, limits)
        self.polls = polls
    }

    /// A server without a socket to listen on, for ``serve(_:)``.
    /// - Throws: ``Failure``, where descriptors are lacking.
    public init(
        connected model: any DeviceModel, limits: Limits = Limits(), polls: Int = 0
    ) throws(Failure) {
        listener = nil
        do throws(Errno) {
            wake = try EventDescriptor()
        } catch {
            throw Failure(operation: .listen, path: nil, errno: error)
        }
        device = ServedDevice(model, limits)
        self.polls = polls
    }

    /// Serves clients, one after the other, until ``stop()`` is called. One thread at a time.
    /// - Parameter ended: is told how each connection ended; return false to serve no further client.
    /// - Throws: ``Failure`` where no connection can be taken any more.
    public func run(_ ended: (ConnectionEnd) -> Bool = { _ in true }) throws(Failure) {
        while true {
            let client: UnixSocket?
            do throws(Errno) {
                client = try nextClient()
            } catch {
                throw Failure(operation: .accept, path: path, errno: error)
            }
            guard let client else { return }
            if !ended(try serve(client)) { return }
        }
    }

    /// The path that clients connect to; nil for a socket that was handed over.
    public var path: String? { listener?.path }

    /// Waits for a client.
    /// - Returns: nil when the server is to stop.
    private func nextClient() throws(Errno) -> UnixSocket? {
        guard listener != nil else { return nil }
        let poller = try Poller()
        try poller.add(wake.number, .readable, tag: 0)
        try poller.add(listenerNumber, .readable, tag: 1)
        var events: [Poller.Event] = []
        while true {
            events.removeAll(keepingCapacity: true)
            _ = try poller.wait(into: &events)
            if lock.withLock({ isStopped }) { return nil }
            guard events.contains(where: { $0.tag == 1 }) else { continue }
            do throws(Errno) {
                return try UnixSocket.accept(on: listenerNumber)
            } catch .connectionAborted {
                continue
            }
        }
    }

    private var listenerNumber: Int32 {
        listener?.socket.descriptor.number ?? -1
    }

    /// Serves one client over a socket that is connected already, until it goes or ``stop()`` is called.
    /// - Throws: ``Failure`` where memory is lacking.
    public func serve(_ socket: consuming UnixSocket) throws(Failure) -> ConnectionEnd {
        let number = socket.descriptor.number
        var connection: Connection
        do throws(Errno) {
            connection = try Connection(socket, device, polls: polls)
        } catch {
            throw Failure(operation: .allocate, path: path, errno: error)
        }
        let starts = lock.withLock {
            if !isStopped { self.connection = number }
            return !isStopped
        }
        guard starts else { return .closed }
        monitor.noteConnection()
        let end = connection.run()
        // From here on the number may be closed and stand for something else.
        lock.withLock { self.connection = -1 }
        device.release()
        monitor.noteEnd(end)
        return end
    }

    /// Ends ``run(_:)`` and ``serve(_:)`` soon, from any thread: requests that have come are carried out, and the
    /// client's connection is closed. For good: a server that was stopped serves nobody any more.
    public func stop() {
        lock.withLock {
            isStopped = true
            if connection >= 0 { UnixSocket.shutDown(connection) }
        }
        // The device may be waiting for the client on a socket of its own.
        device.slot.hangUp()
        wake.signal()
    }
}
