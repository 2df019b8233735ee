import LinuxSystem
import SoftwareDevices
import Testing
import VFIOABI

@testable import VFIOUser

@Suite("Reading a server's metrics")
struct MetricsReaderTests {
    private func traffic(_ text: String) throws(MetricsFailure) -> [ServerTraffic] {
        try MetricsText.traffic(in: Array(text.utf8))
    }

    @Test("What a server writes is read again, over its port")
    func roundTrip() throws {
        let rig = try Rig()
        let client = rig.connected
        rig.server.monitor.isCounting = true
        for _ in 0..<3 { _ = try client.read32(.config, 0) }
        #expect(try client.map(0x1000, 0x2000) == nil)
        #expect(try client.map(0x1000, 0x1000) == .exists)
        // What was counted before it has been counted when this is answered.
        _ = try client.read32(.config, 0)
        let metrics = rig.server.monitor.metrics
        let endpoint = try MetricsEndpoint(port: 0) { PrometheusText.text([("a \"b\\\n", metrics)]) }
        let devices = try MetricsReader(port: endpoint.port).read()
        try #require(devices.count == 1)
        let device = devices[0]
        #expect(device.name == "a \"b\\\n")
        #expect(device.commands >= 5 && device.reads >= 3 && device.writes == 0)
        #expect(device.errors == 1 && device.mappedByteCount == 0x2000 && device.mappings == 1)
        #expect(device.connections == 1 && device.isConnected)
    }

    @Test("Metrics of a newer server are passed over, and each device is one")
    func unknown() throws {
        let text = """
            # HELP vfio_user_new_total Something new.
            vfio_user_new_total{device="a",colour="blue"} 12.75
            go_goroutines 12
            vfio_user_interrupts_total{device="b",type="msi"} 3
            vfio_user_interrupts_total{device="b",type="msix"} 4 1700000000000
            vfio_user_interrupts_total{device="a",type="msix"} 5

            """
        let devices = try traffic(text)
        #expect(devices.map(\.name) == ["a", "b"])
        #expect(devices.map(\.interrupts) == [5, 7])
    }

    @Test(
        "Lines that aren't in the format are refused",
        arguments: [
            "vfio_user_connected", "vfio_user_connected{", "vfio_user_connected{device}",
            "vfio_user_connected{device=\"a\" 1", "vfio_user_connected{device=\"a\"}1",
            "vfio_user_connected{device=\"a\"} ", "vfio_user_connected{device=\"a\"} -1",
            "vfio_user_connected{device=\"a\"} 1e3", "vfio_user_connected{device=\"a\"} 99999999999999999999",
            "vfio_user_connected{device=\"a\\",
            "vfio_user_connected{device=\"\(String(repeating: "x", count: 5000))\"} 1",
            "vfio_user_connected{\(String(repeating: "a=\"\",", count: 17))device=\"a\"} 1",
        ])
    func malformed(_ line: String) {
        #expect(throws: MetricsFailure.malformed(line: 2)) { try traffic("# first\n" + line + "\n") }
    }

    @Test("Too many devices, and a text of something else, are refused")
    func limits() {
        let text = (0...MetricsText.mostDevices).map { "vfio_user_connected{device=\"\($0)\"} 1\n" }.joined()
        #expect(throws: MetricsFailure.tooManyDevices) { try traffic(text) }
        for text in ["", "go_goroutines 12\n", "vfio_user_connected 1\n"] {
            #expect(throws: MetricsFailure.noServer) { try traffic(text) }
        }
    }

    @Test(
        "Answers that aren't HTTP, or not a good one",
        arguments: [
            ("", .notHTTP), ("SSH-2.0-OpenSSH_9.2\r\n", .notHTTP), ("HTTP/1.1 200 OK\r\nA: b\r\n", .notHTTP),
            ("HTTP/1.1 404 Not Found\r\n\r\n", .refused(status: "404")),
            ("HTTP/1.1 200 OK\r\n\r\nhello\n", .noServer),
        ] as [(String, MetricsFailure)])
    func wrongPeers(_ answer: String, _ failure: MetricsFailure) throws {
        let peer = try Peer { socket in
            // SAFETY: a UInt8 has no padding.
            _ = try? socket.send(Array(answer.utf8).span.bytes)
        }
        #expect(throws: failure) { try MetricsReader(port: peer.port).read() }
    }

    @Test("Whoever says nothing, or never stops, is given up")
    func patience() throws {
        let silent = try Peer { socket in Clock.sleep(nanoseconds: 300_000_000) }
        #expect(throws: MetricsFailure.silent(port: silent.port, milliseconds: 50)) {
            try MetricsReader(port: silent.port, milliseconds: 50).read()
        }
        let endless = try Peer { socket in
            let piece = [UInt8](repeating: 0x61, count: 1 << 16)
            while true {
                do throws(Errno) {
                    _ = try socket.send(piece.span.bytes)
                } catch {
                    guard error == .again else { return }
                    Clock.sleep(nanoseconds: 100_000)
                }
            }
        }
        #expect(throws: MetricsFailure.tooLong(port: endless.port)) {
            try MetricsReader(port: endless.port, milliseconds: 20_000).read()
        }
        let free = try LoopbackSocket(listening: 0).port()
        #expect(throws: MetricsFailure.unreachable(port: free, .connectionRefused)) {
            try MetricsReader(port: free).read()
        }
    }

    /// Somebody who takes one connection.
    private final class Peer {
        let port: UInt16
        private let thread: WorkerThread

        init(_ body: @escaping @Sendable (borrowing LoopbackSocket) -> Void) throws {
            let listener = try LoopbackSocket(listening: 0)
            port = try listener.port()
            let box = Box(listener)
            thread = try WorkerThread {
                _ = Poller.readiness(of: box.listener.descriptor.number, .readable)
                for _ in 0..<2000 {
                    if let socket = try? box.listener.accept() {
                        // Who closes with something unread resets the connection.
                        var request = [UInt8](repeating: 0, count: 1024)
                        var span = request.mutableSpan
                        var bytes = span.mutableBytes
                        _ = try? socket.receive(into: &bytes, waits: true)
                        return body(socket)
                    }
                    Clock.sleep(nanoseconds: 1_000_000)
                }
            }
        }

        private final class Box: Sendable {
            let listener: LoopbackSocket
            init(_ listener: consuming LoopbackSocket) { self.listener = listener }
        }
    }
}
