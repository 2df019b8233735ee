import DeviceModel
import LinuxSystem
import SoftwareDevices
import SoftwareHost
import Testing
import VFIO
import VFIOHost

private typealias Register = Intel82574.Register
private typealias Cause = Intel82574.Cause
private typealias Control = Intel82574.Control
private typealias Receive = Intel82574.ReceiveControl
private let own = MACAddress(local: 0xabcdef)

/// A card and its driver.
func gigabitBench(
    on wire: NetworkWire = NetworkWire(), loopsBack: Bool = false, ringCount: Int = 256
) throws -> (card: Intel82574, driver: GigabitDriver) {
    let card = Intel82574(own, on: wire, loopsBack: loopsBack)
    return (card, try GigabitDriver(0, on: try networkMachine([card]), ringCount: ringCount))
}

@Suite("Intel's 82574")
struct GigabitTests {
    @Test("says who it is, and has its address in memory with the right sum")
    func identity() throws {
        let (card, driver) = try gigabitBench()
        defer { withExtendedLifetime(card) {} }
        let configuration = driver.device.configuration
        #expect(try configuration.load32(0) == 0x10d3_8086)
        #expect(try configuration.classCode == 0x020000)
        for id in [0x01, 0x05, 0x10, 0x11] as [UInt8] { #expect(try configuration.capability(id) != nil) }
        var sum: UInt16 = 0
        for index in 0..<64 { sum &+= try driver.memoryWord(index) }
        #expect(sum == 0xbaba)
        #expect(try driver.memoryWord(0) == UInt16(own[0]) | UInt16(own[1]) << 8)
        #expect(try driver.memoryWord(13) == 0x10d3)
        #expect(try driver.read(Register.receiveAddress).littleEndian == 0xab00_5452)
        #expect(try driver.read(Register.receiveAddress + 4) == 0x8000_efcd)
        #expect(try driver.read(Register.memoryControl) & 0x300 == 0x300)
        #expect(try driver.read(Register.managementControl) & 1 << 18 != 0)
        // Whoever reads the semaphore as free has it.
        #expect(try driver.read(Register.semaphore) & 1 == 0)
        #expect(try driver.read(Register.semaphore) & 1 == 1)
        try driver.write(Register.semaphore, 0)
        #expect(try driver.read(Register.semaphore) & 1 == 0)
        // All registers are reached by ports too.
        let ports = try driver.device.region(.bar2)
        try ports.store32(0, UInt32(Register.receiveAddress))
        #expect(try ports.load32(4) == 0xab00_5452)
        #expect(try driver.device.region(.bar1).load32(0) == .max)
    }

    @Test("has a gigabit link that has negotiated, and tells of changes")
    func link() throws {
        let wire = NetworkWire()
        let (card, driver) = try gigabitBench(on: wire)
        try driver.start()
        #expect(try driver.phy(2) & 0xffff == 0x0141)
        #expect(try driver.phy(3) & 0xffff == 0x0cb1)
        #expect(try driver.phy(2, address: 2) >> 30 & 1 == 1, "there is one PHY")
        _ = try driver.phy(1)
        #expect(try driver.phy(1) & 0x24 == 0x24)
        #expect(try driver.phy(10) & 0x0c00 != 0)
        #expect(try driver.phy(17) & 0xec00 == 0xac00)
        #expect(try driver.read(Register.status) & 0xc3 == 0x83)
        _ = try driver.read(Register.interruptCause)
        wire.setUp(false)
        #expect(try driver.read(Register.interruptCause) & Cause.link != 0)
        #expect(try driver.read(Register.interruptCause) == 0, "reading clears")
        #expect(try driver.read(Register.status) & 2 == 0)
        wire.setUp(true)
        #expect(try driver.phy(1) & 4 == 0, "that it was down is shown once")
        #expect(try driver.phy(1) & 4 == 4)
        _ = try driver.read(Register.interruptCause)
        // Negotiated anew; switched off.
        _ = try driver.phy(0, writing: 0x1340)
        #expect(try driver.phy(0) & 0xffff == 0x1140)
        #expect(try driver.read(Register.interruptCause) & Cause.link != 0)
        _ = try driver.phy(0, writing: 0x1940)
        #expect(try driver.read(Register.status) & 2 == 0)
        #expect(card.port.isUp)
        _ = try driver.phy(0, writing: 0x8000)
        #expect(try driver.read(Register.status) & 2 == 2)
    }

    @Test("resets itself, keeps its address, and clears the bit")
    func reset() throws {
        let (card, driver) = try gigabitBench()
        defer { withExtendedLifetime(card) {} }
        try driver.write(Register.receiveAddress, 0x1234)
        try driver.write(Register.multicastTable, 0x1234)
        try driver.write(Register.control, Control.masterDisable)
        #expect(try driver.read(Register.status) & 1 << 19 == 0)
        try driver.write(Register.control, Control.reset)
        #expect(try driver.read(Register.control) & Control.reset == 0)
        #expect(try driver.read(Register.receiveAddress) == 0xab00_5452)
        #expect(try driver.read(Register.multicastTable) == 0)
        #expect(try driver.read(Register.status) & 1 << 19 != 0)
    }

    @Test("gives back 1000 frames that are looped back to it", arguments: [false, true])
    func loopBack(isExtended: Bool) throws {
        let (card, driver) = try gigabitBench(loopsBack: true)
        driver.isExtended = isExtended
        try driver.start(receive: Receive.stripsChecksum | Receive.allUnicast)
        try driver.provide(255)
        var random = Seeded(printing: "frames looped back")
        for round in 0..<1000 {
            let sent = frame(
                count: Int.random(in: 14...1514, using: &random), UInt8(truncatingIfNeeded: round))
            if round % 2 == 0 {
                #expect(try driver.send(sent))
            } else {
                driver.addData(sent, cuts: [1, 13])
                try driver.ring()
            }
            let padding = [UInt8](repeating: 0, count: max(0, 60 - sent.count))
            #expect(driver.receive()?.bytes == sent + padding)
            try driver.provide(1)
        }
        #expect(card.port.statistics.sentFrames == 1000)
        #expect(card.port.statistics.lostFrames == 0)
    }

    @Test("loops back inside, by the receiver or by the PHY, and the wire hears nothing")
    func innerLoop() throws {
        let wire = NetworkWire()
        let (card, driver) = try gigabitBench(on: wire)
        defer { withExtendedLifetime(card) {} }
        let listener = Listener()
        let other = wire.connect(listener)
        try driver.start(receive: Receive.stripsChecksum | Receive.loopBack)
        try driver.provide(8)
        #expect(try driver.send(frame(count: 99)))
        #expect(driver.receive()?.bytes == frame(count: 99))
        try driver.start()
        try driver.provide(8)
        _ = try driver.phy(0, writing: 0x5140)
        #expect(try driver.send(frame(count: 98)))
        #expect(driver.receive()?.bytes == frame(count: 98))
        _ = try driver.phy(0, writing: 0x1140)
        #expect(try driver.send(frame(count: 97)))
        #expect(driver.receive() == nil)
        #expect(listener.take() == [frame(count: 97)])
        #expect(other.statistics.receivedFrames == 1)
    }

    @Test("fills several buffers with a long frame, and adds the checksum unless that is taken off")
    func longFrames() throws {
        let wire = NetworkWire()
        let (card, driver) = try gigabitBench(on: wire)
        let other = wire.connect(Listener())
        try driver.start(receive: Receive.stripsChecksum | Receive.longFrames)
        try driver.provide(20)
        other.send(frame(count: 9000))
        #expect(driver.receive()?.bytes == frame(count: 9000))
        // Too long for usual frames.
        try driver.start()
        try driver.provide(20)
        other.send(frame(count: 1519))
        other.send(frame(count: 1518))
        #expect(driver.receive()?.bytes.count == 1518)
        #expect(driver.receive() == nil)
        #expect(try driver.read(0x40ac) == 1)
        // The checksum of "123456789" is known, but a frame isn't that short: 60 zeros are known too.
        try driver.start(receive: Receive.allMulticast | Receive.allUnicast)
        try driver.provide(2)
        other.send([UInt8](repeating: 0, count: 60))
        #expect(driver.receive()?.bytes.suffix(4) == [0x08, 0x89, 0x12, 0x04])
        #expect(card.port.statistics.lostFrames == 0)
    }

    @Test("receives what the driver asks for")
    func filters() throws {
        let wire = NetworkWire()
        let (card, driver) = try gigabitBench(on: wire)
        defer { withExtendedLifetime(card) {} }
        let other = wire.connect(Listener())
        let stranger: [UInt8] = [2, 1, 1, 1, 1, 1]
        let group: [UInt8] = [1, 0, 0x5e, 0, 0x12, 0x34]
        func arrives(_ destination: [UInt8]) throws -> Bool {
            other.send(frame(to: destination, count: 60))
            guard driver.receive() != nil else { return false }
            try driver.provide(1)
            return true
        }
        func set(_ bits: UInt32) throws {
            try driver.start(receive: Receive.stripsChecksum | bits)
            try driver.provide(8)
        }
        try set(0)
        #expect(try arrives(own.bytes))
        #expect(try arrives(broadcast))
        #expect(try !arrives(stranger))
        #expect(try !arrives(group))
        // A second address.
        try driver.write(Register.receiveAddress + 8, 0x0101_0102)
        try driver.write(Register.receiveAddress + 12, 0x0101)
        #expect(try !arrives(stranger), "it isn't valid yet")
        try driver.write(Register.receiveAddress + 12, 0x8000_0101)
        #expect(try arrives(stranger))
        // The table: bits 47:36 of the address are 0x341.
        try driver.write(Register.multicastTable + 4 * (0x341 / 32), 1 << (0x341 % 32))
        #expect(try arrives(group))
        #expect(try !arrives([1, 0, 0x5e, 0, 0x22, 0x34]))
        try set(Receive.allUnicast)
        #expect(try arrives(stranger))
        #expect(try !arrives(group))
        try set(Receive.allMulticast)
        #expect(try arrives(group))
        #expect(try !arrives(stranger))
    }

    @Test("puts on and takes off the tags of VLANs, and filters by them")
    func vlans() throws {
        let wire = NetworkWire()
        let (card, driver) = try gigabitBench(on: wire)
        defer { withExtendedLifetime(card) {} }
        let listener = Listener()
        let other = wire.connect(listener)
        try driver.start()
        try driver.provide(8)
        let plain = frame(count: 80)
        let tagged = Array(plain[0..<12]) + [0x81, 0x00, 0x20, 0x07] + Array(plain[12...])
        other.send(tagged)
        #expect(driver.receive()?.bytes == tagged)
        try driver.write(Register.control, try driver.read(Register.control) | Control.vlanMode)
        other.send(tagged)
        let got = try #require(driver.receive())
        #expect(got.bytes == plain)
        #expect(got.tag == 0x2007)
        #expect(got.status & 8 != 0)
        driver.addData(plain, command: 0x4b, tag: 0x2007)
        try driver.ring()
        #expect(listener.take() == [tagged])
        let control = Receive.enable | Receive.broadcast | Receive.stripsChecksum | Receive.vlanFilter
        try driver.write(Register.receiveControl, control)
        other.send(tagged)
        #expect(driver.receive() == nil)
        try driver.write(Register.vlanTable, 1 << 7)
        other.send(tagged)
        #expect(driver.receive()?.tag == 0x2007)
    }

    @Test("keeps frames while there are no buffers, loses what it has no room for, and counts both")
    func starvation() throws {
        let wire = NetworkWire()
        let (card, driver) = try gigabitBench(on: wire)
        let other = wire.connect(Listener())
        try driver.start()
        try driver.write(Register.packetBuffer, 32)
        for index in 0..<50 { other.send(frame(count: 1000, UInt8(index))) }
        let lost = Int(card.port.statistics.lostFrames)
        #expect(lost == 50 - 32, "32 KiB hold 32 frames of 1000 bytes")
        #expect(try driver.read(0x4010) == UInt32(lost))
        #expect(try driver.read(0x4010) == 0, "reading clears")
        #expect(try driver.read(0x40a0) == 1)
        #expect(try driver.read(Register.interruptCause) & Cause.receiveOverrun != 0)
        try driver.provide(100)
        for index in 0..<32 { #expect(driver.receive()?.bytes == frame(count: 1000, UInt8(index))) }
        #expect(driver.receive() == nil)
        // Without a receiver nothing is lost that anybody waits for.
        try driver.write(Register.receiveControl, 0)
        other.send(frame(count: 100))
        #expect(try driver.read(0x4010) == 0)
    }

    @Test("counts frames and bytes by size and kind")
    func statistics() throws {
        let wire = NetworkWire()
        let (card, driver) = try gigabitBench(on: wire)
        defer { withExtendedLifetime(card) {} }
        let other = wire.connect(Listener())
        try driver.start(receive: Receive.stripsChecksum | Receive.allMulticast)
        try driver.provide(100)
        let group: [UInt8] = [1, 0, 0x5e, 0, 0, 1]
        let sizes = [14, 60, 61, 123, 124, 251, 252, 507, 508, 1019, 1020, 1514]
        for size in sizes {
            #expect(try driver.send(frame(count: size)))
            other.send(frame(to: own.bytes, count: size))
        }
        other.send(frame(to: group, count: 60))
        other.send(frame(to: [2, 9, 9, 9, 9, 9], count: 60))
        #expect(try driver.send(frame(to: group, count: 60)))
        // The two shortest count as one size, as do 60 and 14 bytes, which are filled up.
        for base in [0x405c, 0x40d8] as [UInt64] {
            for (index, count) in [3, 2, 2, 2, 2, 2].enumerated() as EnumeratedSequence<[UInt32]> {
                #expect(try driver.read(base + 4 * UInt64(index)) == count, "\(base) \(index)")
            }
        }
        let bytes = UInt32(sizes.reduce(0) { $0 + max($1, 60) + 4 } + 64)
        #expect(try driver.read(0x4074) == 13)
        #expect(try driver.read(0x407c) == 1)
        #expect(try driver.read(0x4080) == 13)
        #expect(try driver.read(0x40f0) == 1)
        #expect(try driver.read(0x40f4) == 12)
        #expect(try driver.read(0x4088) == bytes)
        #expect(try driver.read(0x408c) == 0)
        #expect(try driver.read(0x4090) == bytes)
        #expect(try driver.read(0x40c0) == bytes + 64, "what was for others as well")
        #expect(try driver.read(0x40d0) == 14)
        #expect(try driver.read(0x4074) == 0)
        #expect(try driver.read(0x4088) == 0)
    }

    @Test("two of them talk over a wire, both ways at once")
    func both() async throws {
        let wire = NetworkWire()
        let cards = [0, 1].map { Intel82574(MACAddress(local: UInt32($0)), on: wire) }
        let addresses = [0, 1].map { MACAddress(local: UInt32($0)).bytes }
        let host = try networkMachine(cards)
        let listener = Listener()
        let tap = wire.connect(listener)
        try await withThrowingTaskGroup(of: [Bool].self) { group in
            for index in 0..<2 {
                let (own, peer) = (addresses[index], addresses[1 - index])
                group.addTask {
                    let driver = try GigabitDriver(index, on: host)
                    driver.isExtended = index == 1
                    try driver.start()
                    try driver.provide(255)
                    var results: [Bool] = []
                    for round in 0..<500 {
                        let sent = frame(
                            to: peer, from: own, count: 60 + round, UInt8(truncatingIfNeeded: round))
                        results.append(try driver.send(sent))
                        while let got = driver.receive() {
                            results.append(got.bytes.count >= 60 && Array(got.bytes[0..<12]) == own + peer)
                            try driver.provide(1)
                        }
                    }
                    return results
                }
            }
            for try await results in group { #expect(results.allSatisfy { $0 }) }
        }
        #expect(listener.take().count == 1000)
        #expect(tap.statistics.receivedFrames == 1000)
    }

    @Test("talks with a virtio card")
    func mixed() throws {
        let wire = NetworkWire()
        let (gigabit, virtio) = (
            Intel82574(MACAddress(local: 1), on: wire), VirtioNetworkCard(MACAddress(local: 2), on: wire)
        )
        let host = try networkMachine([gigabit, virtio])
        let first = try GigabitDriver(0, on: host)
        let second = try VirtioDriver(1, on: host)
        try first.start()
        try first.provide(4)
        try second.start()
        try second.provide(0..<4)
        let there = frame(to: MACAddress(local: 2).bytes, count: 300)
        let back = frame(to: MACAddress(local: 1).bytes, count: 42)
        #expect(try first.send(there))
        #expect(second.receive() == there)
        #expect(try second.send(back))
        #expect(first.receive()?.bytes == back + [UInt8](repeating: 0, count: 18))
    }
}
