import DeviceModel
import LinuxSystem
import VFIOABI
import VFIOUser

/// A device behind a server on a thread of its own, and a client that is connected to it.
final class Rig {
    let device: TestDevice
    let server: Server
    private(set) var client: RawClient?
    private var thread: WorkerThread?
    private let result = Result()

    /// What the server's thread leaves.
    private final class Result: @unchecked Sendable {
        let lock = Lock()
        var end: ConnectionEnd?
    }

    init(_ device: TestDevice? = nil, limits: Limits = Limits(), negotiates: Bool = true) throws {
        let device = if let device { device } else { try TestDevice() }
        self.device = device
        let server = try Server(connected: device, limits: limits)
        self.server = server
        var numbers: (Int32, Int32) = (-1, -1)
        try UnixSocket.withPair { (a, b) throws(Errno) in
            numbers.0 = try Descriptor(duplicating: a.descriptor.number).release()
            numbers.1 = try Descriptor(duplicating: b.descriptor.number).release()
        }
        client = RawClient(UnixSocket(owning: Descriptor(owning: numbers.0)))
        let number = numbers.1
        let result = result
        thread = try WorkerThread {
            let socket = UnixSocket(owning: Descriptor(owning: number))
            let end = try? server.serve(socket)
            result.lock.withLock { result.end = end }
        }
        if negotiates { try client?.negotiate() }
    }

    /// Closes the client's side and waits for the server to notice.
    /// - Returns: how the connection ended.
    @discardableResult
    func finish() -> ConnectionEnd? {
        // A test may still hold the client.
        client?.hangUp()
        client = nil
        thread = nil
        return result.lock.withLock { result.end }
    }

    deinit { finish() }

    /// The connected client.
    var connected: RawClient {
        guard let client else { fatalError("the rig was finished") }
        return client
    }
}

/// Any device behind a server on a thread of its own, and a client that is connected to it.
final class Served {
    let client: RawClient
    private var thread: WorkerThread?

    deinit {
        client.hangUp()
        thread = nil
    }

    init(_ device: any DeviceModel, limits: Limits = Limits()) throws {
        let server = try Server(connected: device, limits: limits)
        var numbers: (Int32, Int32) = (-1, -1)
        try UnixSocket.withPair { (a, b) throws(Errno) in
            numbers.0 = try Descriptor(duplicating: a.descriptor.number).release()
            numbers.1 = try Descriptor(duplicating: b.descriptor.number).release()
        }
        client = RawClient(UnixSocket(owning: Descriptor(owning: numbers.0)))
        let number = numbers.1
        thread = try WorkerThread {
            _ = try? server.serve(UnixSocket(owning: Descriptor(owning: number)))
        }
    }
}

/// A descriptor to be sent, of which it shows whether all copies are closed again.
final class Canary {
    private let here: Descriptor
    private var there: Descriptor?

    init() throws {
        var numbers: (Int32, Int32) = (-1, -1)
        try UnixSocket.withPair { (a, b) throws(Errno) in
            numbers.0 = try Descriptor(duplicating: a.descriptor.number).release()
            numbers.1 = try Descriptor(duplicating: b.descriptor.number).release()
        }
        here = Descriptor(owning: numbers.0)
        there = Descriptor(owning: numbers.1)
    }

    /// The number to send.
    var number: Int32 { there?.number ?? -1 }

    /// Closes our own copy and looks whether it was the last one.
    func isClosedEverywhere() -> Bool {
        there = nil
        guard let poller = try? Poller() else { return false }
        var events: [Poller.Event] = []
        try? poller.add(here.number, .readable, tag: 0)
        _ = try? poller.wait(into: &events, milliseconds: 0)
        return events.first?.interest.contains(.hungUp) == true
    }
}
