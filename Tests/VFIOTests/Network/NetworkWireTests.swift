import Glibc
import LinuxSystem
import SoftwareDevices
import Testing

@Suite("A wire in software")
struct NetworkWireTests {
    @Test("carries a frame to all ports but the sender's, and counts it")
    func hub() {
        let wire = NetworkWire()
        let ends = (0..<3).map { _ in Listener() }
        let ports = ends.map { wire.connect($0) }
        ports[0].send([1, 2, 3])
        #expect(ends[0].take() == [])
        #expect(ends[1].take() == [[1, 2, 3]])
        #expect(ends[2].take() == [[1, 2, 3]])
        let (sender, receiver) = (ports[0].statistics, ports[1].statistics)
        #expect(sender.sentFrames == 1 && sender.sentBytes == 3 && sender.receivedFrames == 0)
        #expect(receiver.receivedFrames == 1 && receiver.receivedBytes == 3 && receiver.sentFrames == 0)
        ports[1].disconnect()
        ports[0].send([4])
        #expect(ends[1].take() == [])
        #expect(ends[2].take() == [[4]])
        #expect(wire.portCount == 2)
        ports[1].send([5])
        #expect(ports[1].statistics.unsentFrames == 1)
    }

    @Test("without a link nothing goes through, and ends are told of changes")
    func link() {
        let wire = NetworkWire()
        let ends = (0..<2).map { _ in Listener() }
        let ports = ends.map { wire.connect($0) }
        wire.setUp(false)
        wire.setUp(false)
        #expect(!ports[0].isUp)
        ports[0].send([1])
        wire.setUp(true)
        ports[1].setPlugged(false)
        #expect(ports[0].isUp)
        #expect(!ports[1].isUp)
        ports[0].send([2])
        ports[1].send([3])
        #expect(ends[1].take() == [])
        #expect(ends[0].take() == [])
        #expect(ends[0].linkChanges == 2)
        #expect(ends[1].linkChanges == 3)
        #expect(ports[0].statistics.unsentFrames == 1)
    }

    @Test("a looped port talks to itself; frames that are empty or too long go nowhere")
    func loop() {
        let wire = NetworkWire()
        let (own, other) = (Listener(), Listener())
        let port = wire.connect(own, loopsBack: true)
        let second = wire.connect(other)
        port.send([1])
        second.send([2])
        port.send([])
        port.send([UInt8](repeating: 0, count: NetworkWire.longestFrame + 1))
        #expect(own.take() == [[1]])
        #expect(other.take() == [])
        #expect(port.statistics.unsentFrames == 2)
    }

    @Test("hardware addresses are read from text")
    func addresses() {
        #expect(MACAddress("52:54:00:12:Ab:fF")?.bytes == [0x52, 0x54, 0, 0x12, 0xab, 0xff])
        for text in [
            "", "52:54:00:12:ab", "52:54:00:12:ab:ff:", "52-54-00-12-ab-ff", "5:54:00:12:ab:ff1",
            "52:54:00:12:ab:fg",
        ] {
            #expect(MACAddress(text) == nil, "\(text)")
        }
        #expect(MACAddress(rawValue: .max).isBroadcast)
        #expect(MACAddress(local: 0x0100_0001).bytes == [0x52, 0x54, 0, 0, 0, 1])
    }

    /// Two sockets that are connected; each write is a datagram.
    private func sockets() throws -> (near: Int32, far: Int32) {
        var numbers: [Int32] = [-1, -1]
        try #require(socketpair(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0, &numbers) == 0)
        return (numbers[0], numbers[1])
    }

    @Test("another program takes part by way of a socket, and loses what it doesn't read")
    func socket() throws {
        let wire = NetworkWire()
        let (near, far) = try sockets()
        defer { close(far) }
        let listener = Listener()
        let port = wire.connect(listener)
        var end: DescriptorEnd? = try DescriptorEnd(Descriptor(owning: near), on: wire)
        func send(_ bytes: [UInt8]) throws {
            #expect(
                try bytes.withUnsafeBytes { try Descriptor.write(far, RawSpan(_unsafeBytes: $0)) }
                    == bytes.count)
        }
        func arrived() -> [UInt8]? {
            for _ in 0..<10_000 {
                if let frame = listener.take().first { return frame }
                usleep(1000)
            }
            return nil
        }
        try send([1, 2, 3])
        #expect(arrived() == [1, 2, 3])
        port.send([4, 5])
        var got = [UInt8](repeating: 0, count: 10)
        let count = try got.withUnsafeMutableBytes {
            var span = MutableRawSpan(_unsafeBytes: $0)
            return try Descriptor.read(far, into: &span)
        }
        #expect(got.prefix(count) == [4, 5])
        // Nobody reads: the sender isn't held up.
        for _ in 0..<2000 { port.send([UInt8](repeating: 7, count: 1500)) }
        let statistics = try #require(end?.port.statistics)
        #expect(statistics.lostFrames > 0)
        #expect(statistics.lostFrames + statistics.receivedFrames == 2001)
        try send([6])
        #expect(arrived() == [6])
        end = nil
        #expect(wire.portCount == 1)
    }

    @Test("a TAP is made where the user may, and otherwise the system says why not")
    func tap() throws {
        let wire = NetworkWire()
        do throws(Errno) {
            let end = try DescriptorEnd(tap: "vfiotest0", on: wire)
            #expect(FileSystem.exists("/sys/class/net/vfiotest0"))
            #expect(wire.portCount == 1)
            withExtendedLifetime(end) {}
        } catch {
            #expect(
                [.notPermitted, .noSuchEntry, .accessDenied, .noDevice, .busy].contains(error), "\(error)")
        }
        #expect(throws: Errno.nameTooLong) { try DescriptorEnd(tap: "a name that is too long", on: wire) }
        #expect(throws: Errno.nameTooLong) { try DescriptorEnd(tap: "", on: wire) }
        #expect(wire.portCount == 0)
    }
}
