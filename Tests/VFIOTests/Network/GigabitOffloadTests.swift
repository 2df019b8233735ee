import LinuxSystem
import SoftwareDevices
import SoftwareHost
import Testing
import VFIO
import VFIOHost

private typealias Register = Intel82574.Register
private typealias Receive = Intel82574.ReceiveControl

/// Bytes from hexadecimal digits.
private func hex(_ text: String) -> [UInt8] {
    let digits = text.filter { $0 != " " && $0 != "\n" }
    var bytes: [UInt8] = []
    var index = digits.startIndex
    while index < digits.endIndex {
        let next = digits.index(index, offsetBy: 2)
        bytes.append(UInt8(digits[index..<next], radix: 16) ?? 0)
        index = next
    }
    return bytes
}

private let ethernet = "020000000002 020000000001"

@Suite("Work that Intel's 82574 spares its driver")
struct GigabitOffloadTests {
    private func bench() throws -> (
        card: Intel82574, driver: GigabitDriver, listener: Listener, other: WirePort
    ) {
        let wire = NetworkWire()
        let (card, driver) = try gigabitBench(on: wire)
        let listener = Listener()
        let other = wire.connect(listener)
        try driver.start(receive: Receive.stripsChecksum | Receive.allUnicast)
        // Frames as they are made, without filling up.
        try driver.write(Register.transmitControl, Intel82574.TransmitControl.enable)
        try driver.provide(100)
        return (card, driver, listener, other)
    }

    @Test("puts in the checksum of IPv4, as in a header that is known")
    func header() throws {
        let (card, driver, listener, _) = try bench()
        defer { withExtendedLifetime(card) {} }
        let rest = String(repeating: "5a", count: 0x73 - 20)
        let packet = hex(ethernet + "0800 45000073000040004011 0000 c0a80001c0a800c7" + rest)
        let right = hex(ethernet + "0800 45000073000040004011 b861 c0a80001c0a800c7" + rest)
        driver.addContext(network: (14, 24, 33), transport: (0, 0, 0), command: 0x02)
        driver.addData(packet, cuts: [7, 30], options: 1)
        try driver.ring()
        #expect(listener.take() == [right])
        // The same by a legacy descriptor, which sums up to the end: of the header alone.
        driver.addLegacy(
            hex(ethernet + "0800 45000073000040004011 0000 c0a80001c0a800c7"), command: 0x0f, sum: (14, 24))
        try driver.ring()
        #expect(listener.take() == [hex(ethernet + "0800 45000073000040004011 b861 c0a80001c0a800c7")])
        // Without the option nothing is put in.
        driver.addData(packet, options: 0)
        try driver.ring()
        #expect(listener.take() == [packet])
    }

    @Test("puts in the checksum of TCP and UDP behind the pseudo header's sum")
    func transport() throws {
        let (card, driver, listener, _) = try bench()
        defer { withExtendedLifetime(card) {} }
        // The first segment of those below; its pseudo header is 0x1409 and 24 bytes.
        let start =
            ethernet + "0800 4500002c00ff4000400625cb0a0000010a000002 12340050fffffffe0102030450102000"
        driver.addContext(network: (14, 24, 33), transport: (34, 50, 0), command: 0x03)
        driver.addData(hex(start + "14210000 01020304"), options: 2)
        try driver.ring()
        #expect(listener.take() == [hex(start + "613f0000 01020304")])
        // UDP whose sum comes to 0 says 0xffff: 0 would mean that there is none.
        let datagram = ethernet + "0800 4500001e0000400040110000 0a0000010a000002 00010002000a"
        driver.addContext(network: (14, 24, 33), transport: (34, 40, 0), command: 0x02)
        driver.addData(hex(datagram + "141e ebd4"), options: 2)
        try driver.ring()
        #expect(listener.take() == [hex(datagram + "ffff ebd4")])
    }

    @Test("cuts a packet of TCP, worked out by hand: numbers, flags, lengths and sums")
    func segments() throws {
        let (card, driver, listener, _) = try bench()
        defer { withExtendedLifetime(card) {} }
        // Ten bytes in pieces of four; the sequence number and the identification's low byte overflow on the way.
        let packet =
            ethernet + "0800 4500000000ff4000400600000a0000010a000002"
            + "12340050fffffffe0102030450192000 14090000 0102030405060708090a"
        let pieces = [
            "4500002c00ff4000400625cb0a0000010a000002 12340050fffffffe0102030450102000613f0000 01020304",
            "4500002c01004000400625ca0a0000010a000002 123400500000000201020304501020005934 0000 05060708",
            "4500002a01014000400625cb0a0000010a000002 1234005000000006010203045019 20005c2d0000 090a",
        ]
        driver.addContext(
            network: (14, 24, 33), transport: (34, 50, 0), payload: 10, header: 54, segment: 4, command: 0x07)
        driver.addData(hex(packet), cuts: [54, 57], command: 0x0f, options: 3)
        try driver.ring()
        #expect(listener.take() == pieces.map { hex(ethernet + "0800" + $0) })
        #expect(try driver.read(0x40f8) == 1)
        #expect(try driver.read(0x4080) == 3)
    }

    @Test("cuts a packet of TCP over IPv6 into what a receiver finds right")
    func segments6() throws {
        let (card, driver, listener, other) = try bench()
        defer { withExtendedLifetime(card) {} }
        let payload = (0..<50_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        let addresses = "20010db8000000000000000000000001 20010db8000000000000000000000002"
        // The pseudo header's sum without the length: twice 2001:0db8 and 1 and 2 and the protocol.
        let sum = String(2 * (0x2001 + 0x0db8) + 1 + 2 + 6, radix: 16)
        let packet = hex(
            ethernet + "86dd 6000000000000640" + addresses + "1234005000000100000000005018ffff" + sum + "0000"
        )
        driver.addContext(
            network: (14, 0, 0), transport: (54, 70, 0), payload: payload.count, header: 74, segment: 1440,
            command: 0x05)
        let place = driver.buffer(1, 1, 0)
        driver.memory.put(packet + payload, at: place)
        let total = packet.count + payload.count
        driver.add(
            driver.memory.base + UInt64(place), UInt64(total) | 1 << 20 | 0x2f << 24 | 2 << 40)
        try driver.ring()
        let frames = listener.take()
        #expect(frames.count == 35)
        #expect(frames.flatMap { $0[74...] } == payload)
        for frame in frames { other.send(frame) }
        for frame in frames {
            let got = try #require(driver.receive())
            #expect(got.bytes == frame)
            #expect(got.status & 0x20 != 0, "TCP was checked")
            #expect(got.errors == 0)
        }
    }

    @Test("checks sums of what it receives", arguments: [false, true])
    func checks(isExtended: Bool) throws {
        let wire = NetworkWire()
        let (card, driver) = try gigabitBench(on: wire)
        defer { withExtendedLifetime(card) {} }
        driver.isExtended = isExtended
        let other = wire.connect(Listener())
        try driver.start(receive: Receive.stripsChecksum | Receive.allUnicast)
        try driver.provide(50)
        func report(_ text: String) throws -> [UInt32] {
            other.send(hex(ethernet + text))
            let got = try #require(driver.receive())
            return [got.status & 0x74, got.errors]
        }
        let tcp = "0800 4500002c00ff4000400625cb0a0000010a000002 12340050fffffffe0102030450102000"
        #expect(try report(tcp + "613f0000 01020304") == [0x60, 0])
        #expect(try report(tcp + "613f0000 01020305") == [0x60, 0x20])
        let worse = tcp.replacing("25cb", with: "25cc")
        #expect(try report(worse + "613f0000 01020304") == [0x60, 0x40])
        let udp = "0800 4500001e00004000401126cd 0a0000010a000002 00010002000a"
        #expect(try report(udp + "ffff ebd4") == [0x70, 0])
        #expect(try report(udp + "fffe ebd4") == [0x70, 0x20])
        #expect(try report(udp + "0000 ebd4") == [0x40, 0], "there is none")
        // A fragment's sum can't be checked alone; what isn't IP has none.
        #expect(
            try report("0800 4500001e00002000401146cd 0a0000010a000002 00010002000a 1234 ebd4") == [0x40, 0])
        #expect(
            try report("88b5 4500001e00002000401146cd 0a0000010a000002 00010002000a 1234 ebd4") == [0x04, 0])
        try driver.write(Register.receiveChecksum, 0)
        #expect(try report(tcp + "613f0000 01020305") == [0x04, 0])
    }

    @Test("hashes addresses as its documentation's examples, and chooses the queue by that")
    func hashes() throws {
        let (card, driver, _, other) = try bench()
        defer { withExtendedLifetime(card) {} }
        driver.isExtended = true
        try driver.start(receive: Receive.stripsChecksum | Receive.allUnicast)
        try driver.provide(50)
        try driver.provide(50, 1)
        let key = hex(
            "6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa")
        for index in 0..<10 {
            let word = (0..<4).reduce(UInt32(0)) { $0 | UInt32(key[4 * index + $1]) << UInt32(8 * $1) }
            try driver.write(Register.hashKey + 4 * UInt64(index), word)
        }
        try driver.write(
            Register.receiveChecksum,
            try driver.read(Register.receiveChecksum) | Intel82574.ReceiveChecksum.replacesSum)
        // TCP and IP of both versions.
        try driver.write(Register.multipleQueues, 0x0037_0001)
        let tcp = "0aea06e6 00000000000000005000000000000000"
        let ip = "0800 450000280000000040060000 420995bba18e6450"
        other.send(hex(ethernet + ip + tcp))
        var got = try #require(driver.receive())
        #expect(got.hash == 0x51cc_c178)
        #expect(got.hashType == 1)
        other.send(hex(ethernet + ip.replacing("4006", with: "4001") + tcp))
        got = try #require(driver.receive())
        #expect(got.hash == 0x323e_8fc2)
        #expect(got.hashType == 2)
        let ip6 = "86dd 6000000000140640 3ffe2501020000030000000000000001 3ffe2501020000030000000000000007"
        other.send(hex(ethernet + ip6 + tcp))
        got = try #require(driver.receive())
        #expect(got.hashType == 3)
        // Entry 0x78 of the table: the second queue.
        try driver.write(Register.redirection + 0x78, 0x80)
        other.send(hex(ethernet + ip + tcp))
        #expect(driver.receive() == nil)
        #expect(driver.receive(1)?.hash == 0x51cc_c178)
    }

    @Test("no descriptors or registers, however wild, stop it")
    func wild() throws {
        let (card, driver, listener, other) = try bench()
        var random = Seeded(printing: "wild descriptors")
        for _ in 0..<150 {
            driver.isExtended = Bool.random(using: &random)
            try driver.start(
                receive: UInt32.random(in: 0...UInt32.max, using: &random) & ~(3 << 10) & ~Receive.loopBack)
            try driver.provide(40)
            for _ in 0..<40 {
                switch Int.random(in: 0..<10, using: &random) {
                case 0, 1:
                    driver.addContext(
                        network: (
                            Int.random(in: 0..<80, using: &random), Int.random(in: 0..<80, using: &random),
                            Int.random(in: 0..<200, using: &random)
                        ),
                        transport: (
                            Int.random(in: 0..<80, using: &random), Int.random(in: 0..<80, using: &random),
                            Int.random(in: 0..<200, using: &random)
                        ),
                        payload: Int.random(in: 0..<4000, using: &random),
                        header: Int.random(in: 0..<256, using: &random),
                        segment: Int.random(in: 0..<2000, using: &random),
                        command: UInt8.random(in: 0...255, using: &random))
                case 2...5:
                    let count = Int.random(in: 1...2000, using: &random)
                    driver.addData(
                        frame(count: count), command: UInt8.random(in: 0...255, using: &random),
                        options: UInt8.random(in: 0...3, using: &random))
                case 6:
                    driver.add(random.next(), random.next(), Int.random(in: 0..<2, using: &random))
                case 7: other.send(frame(count: Int.random(in: 1...20_000, using: &random)))
                case 8:
                    let rings: [UInt64] = [0x2800, 0x2900, 0x3800, 0x3900]
                    let register = rings.randomElement(using: &random) ?? 0
                    try driver.write(
                        register + 4 * UInt64.random(in: 0..<8, using: &random),
                        UInt32.random(in: 0...UInt32.max, using: &random))
                default: try driver.ring(Int.random(in: 0..<2, using: &random))
                }
            }
            try driver.ring()
            try driver.ring(1)
            _ = listener.take()
        }
        // Any register with any value.
        for _ in 0..<20_000 {
            let register = 4 * UInt64.random(in: 0..<0x8000, using: &random)
            if Bool.random(using: &random) {
                try driver.write(register, UInt32.random(in: 0...UInt32.max, using: &random))
            } else {
                _ = try driver.read(register)
            }
        }
        driver.isExtended = false
        try driver.write(Register.control, Intel82574.Control.reset | Intel82574.Control.phyReset)
        try driver.start(receive: Receive.stripsChecksum | Receive.allUnicast)
        try driver.provide(4)
        _ = listener.take()
        #expect(try driver.send(frame(count: 77)))
        #expect(listener.take() == [frame(count: 77)])
        other.send(frame(count: 78))
        #expect(driver.receive()?.bytes == frame(count: 78))
        #expect(card.port.isUp)
    }
}
