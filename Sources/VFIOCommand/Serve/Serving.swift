import DeviceModel
import LinuxSystem
import NVMeController
import VFIOUser

/// A device that is to be served.
struct OfferedDevice {
    /// What people call it.
    let name: String
    /// The device.
    let model: any DeviceModel
    /// Where clients connect; nil for a socket that was inherited.
    let socket: String?
}

/// Servers at work, a thread each, until a signal ends them.
struct Serving {
    private let devices: [OfferedDevice]
    private var servers: [Server] = []

    /// Listens; when it returns, clients can connect.
    /// - Parameter inherited: a socket that listens already, for the one device that has no path.
    init(_ devices: [OfferedDevice], _ inherited: Int32?, polls: Int) throws(CommandFailure) {
        self.devices = devices
        for device in devices {
            guard device.socket != nil || inherited.map({ Descriptor.isOpen($0) }) == true else {
                throw .wrongUsage(
                    "--listen-fd: descriptor \(inherited ?? -1) isn't open",
                    remedy: "have a socket inherited, or use --socket")
            }
            do throws(Server.Failure) {
                if let path = device.socket {
                    servers.append(try Server(device.model, at: path, polls: polls))
                } else {
                    let socket = Descriptor(owning: inherited ?? -1)
                    servers.append(try Server(device.model, listening: socket, polls: polls))
                }
            } catch {
                throw .refused("\(device.name): \(error)", remedy: "choose another place with --socket")
            }
        }
    }

    /// What is to be known of each server, by the names of their devices.
    var observed: [(name: String, monitor: ServerMonitor)] {
        zip(devices, servers).map { ($0.name, $1.monitor) }
    }

    /// How a server's thread ended; written by it, read when it has ended.
    private final class Outcome: @unchecked Sendable {
        var failure: Server.Failure?
    }

    /// Serves until SIGTERM or SIGINT comes, or a server can't go on; then ends all of them, flushes the disks and
    /// removes the sockets.
    mutating func run(
        until signals: SignalDescriptor, _ observation: Observation
    ) throws(CommandFailure) {
        let outcomes = servers.map { _ in Outcome() }
        var threads: [WorkerThread] = []
        do throws(Errno) {
            let ended = try SharedEvent()
            for (index, server) in servers.enumerated() {
                let outcome = outcomes[index]
                let name = devices[index].name
                threads.append(
                    try WorkerThread {
                        do throws(Server.Failure) {
                            try server.run { end in
                                Console.complain("\(name): \(end)")
                                return true
                            }
                        } catch {
                            outcome.failure = error
                        }
                        ended.signal()
                    })
            }
            try Self.wait(signals, ended, observation)
        } catch {
            Self.stop(servers, &threads)
            throw .refused("\(error)")
        }
        Self.stop(servers, &threads)
        // The sockets go with their servers.
        servers.removeAll()
        try flush()
        for (index, outcome) in outcomes.enumerated() {
            if let failure = outcome.failure { throw .refused("\(devices[index].name): \(failure)") }
        }
    }

    /// An eventfd that threads share.
    private final class SharedEvent: Sendable {
        private let descriptor: EventDescriptor
        init() throws(Errno) { descriptor = try EventDescriptor() }
        var number: Int32 { descriptor.number }
        func signal() { descriptor.signal() }
    }

    private static func wait(
        _ signals: SignalDescriptor, _ ended: SharedEvent, _ observation: Observation
    ) throws(Errno) {
        let poller = try Poller()
        try poller.add(signals.number, .readable, tag: 0)
        try poller.add(ended.number, .readable, tag: 1)
        var events: [Poller.Event] = []
        while true {
            events.removeAll(keepingCapacity: true)
            _ = try poller.wait(into: &events)
            if events.contains(where: { $0.tag == 1 }) { return }
            switch try signals.take() {
            case .user1: observation.toggleTrace()
            case .user2: observation.printMetrics()
            case .terminate, .interrupt, .hangUp: return
            case .resized, nil: break
            }
        }
    }

    /// Tells every server to end and waits until all have.
    private static func stop(_ servers: [Server], _ threads: inout [WorkerThread]) {
        for server in servers { server.stop() }
        threads.removeAll()
    }

    /// Puts what was written to disks on stable storage.
    private func flush() throws(CommandFailure) {
        for device in devices {
            guard let disk = device.model as? NVMeController else { continue }
            do throws(Errno) {
                try disk.synchronize()
            } catch {
                throw .refused("\(device.name): what was written can't be flushed: \(error)")
            }
        }
    }
}
