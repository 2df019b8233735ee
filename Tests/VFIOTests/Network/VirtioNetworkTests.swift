import DeviceModel
import LinuxSystem
import SoftwareDevices
import SoftwareHost
import Testing
import VFIO
import VFIOHost

private typealias Register = VirtioNetworkCard.Register
private typealias Feature = VirtioNetworkCard.Feature
private let own = MACAddress(local: 0x123456)

@Suite("The legacy virtio network card")
struct VirtioNetworkTests {
    /// A card and its driver.
    private func bench(
        on wire: NetworkWire = NetworkWire(), loopsBack: Bool = false
    ) throws -> (card: VirtioNetworkCard, driver: VirtioDriver) {
        let card = VirtioNetworkCard(own, on: wire, loopsBack: loopsBack)
        return (card, try VirtioDriver(0, on: try networkMachine([card])))
    }

    @Test("says who it is, what it can do, its address and whether there is a link")
    func identity() throws {
        let wire = NetworkWire()
        let (card, driver) = try bench(on: wire)
        defer { withExtendedLifetime(card) {} }
        #expect(try driver.device.configuration.load32(0) == 0x1000_1af4)
        #expect(try driver.device.configuration.load32(0x2c) == 0x0001_1af4)
        #expect(try driver.device.configuration.classCode == 0x020000)
        let ports = driver.ports
        #expect(try ports.load32(Int(Register.deviceFeatures)) == Feature.all)
        for (queue, size) in [(0, 256), (1, 256), (2, 256), (3, 0), (0xffff, 0)] as [(UInt16, UInt16)] {
            try ports.store16(Int(Register.queueSelect), queue)
            #expect(try ports.load16(Int(Register.queueSize)) == size)
        }
        var bytes: [UInt8] = []
        for index in 0..<6 { bytes.append(try ports.load8(20 + index)) }
        #expect(bytes == own.bytes)
        #expect(try ports.load16(26) == 1)
        wire.setUp(false)
        #expect(try ports.load16(26) == 0)
        // As drivers did that knew no command for it.
        for index in 0..<6 { try ports.store8(20 + index, UInt8(0x40 + index)) }
        #expect(card.address.bytes == [0x40, 0x41, 0x42, 0x43, 0x44, 0x45])
        try ports.store8(Int(Register.status), 0)
        #expect(card.address.bytes == own.bytes)
    }

    @Test(
        "gives back 1000 frames that are looped back to it, however they are laid out",
        arguments: [Feature.mac, Feature.mac | Feature.mergedBuffers | Feature.indirectDescriptors])
    func loopBack(features: UInt32) throws {
        let (card, driver) = try bench(loopsBack: true)
        try driver.start(features)
        try driver.provide(0..<256)
        var random = Seeded(printing: "frames looped back")
        for round in 0..<1000 {
            let layout = VirtioDriver.Layout.allCases[round % 4]
            let sent = frame(
                count: Int.random(in: 14...1514, using: &random), UInt8(truncatingIfNeeded: round))
            #expect(try driver.send(sent, layout))
            #expect(driver.receive() == sent)
            if !driver.isQuiet { try driver.notify(0) }
        }
        #expect(card.brokenQueueCount == 0)
        #expect(card.port.statistics.sentFrames == 1000)
        #expect(card.port.statistics.receivedFrames == 1000)
        #expect(card.port.statistics.lostFrames == 0)
    }

    @Test("spreads a long frame over several buffers if the driver allows that, and drops it otherwise")
    func mergedBuffers() throws {
        let wire = NetworkWire()
        let (card, driver) = try bench(on: wire)
        let other = wire.connect(Listener())
        let long = frame(count: 9000)
        try driver.start(Feature.mac | Feature.mergedBuffers)
        try driver.provide(0..<4)
        other.send(long)
        #expect(driver.takeUsed(0) == nil, "8 KiB don't do")
        try driver.provide(4..<5)
        #expect(driver.receive() == long)

        try driver.start()
        try driver.provide(0..<8)
        other.send(long)
        other.send(frame(count: 60))
        #expect(driver.receive() == frame(count: 60))
        #expect(card.brokenQueueCount == 0)
    }

    @Test("keeps frames while there are no buffers, loses what it has no room for, and counts that")
    func starvation() throws {
        let wire = NetworkWire()
        let (card, driver) = try bench(on: wire)
        let other = wire.connect(Listener())
        try driver.start()
        for index in 0..<100 { other.send(frame(count: 1000, UInt8(index))) }
        let lost = card.port.statistics.lostFrames
        #expect(lost > 30 && lost < 40, "64 KiB hold 65 frames of 1000 bytes")
        #expect(!driver.isQuiet, "it wants to hear of buffers")
        try driver.provide(0..<200)
        for index in 0..<(100 - Int(lost)) { #expect(driver.receive() == frame(count: 1000, UInt8(index))) }
        #expect(driver.receive() == nil)
        #expect(driver.isQuiet)
        // Buffers of which it wasn't told are found.
        other.send(frame(count: 64))
        #expect(driver.receive() == frame(count: 64))
    }

    @Test("raises its line for a queue and lowers it when the cause is read")
    func line() throws {
        let (card, driver) = try bench(loopsBack: true)
        defer { withExtendedLifetime(card) {} }
        try driver.start()
        try driver.provide(0..<4)
        let line = try driver.device.enableInterrupts(.intx, count: 1)
        #expect(try driver.send(frame(count: 64)))
        #expect(try line.wait(0, milliseconds: 10_000) == 1)
        #expect(try driver.ports.load8(Int(Register.interruptStatus)) == 1)
        #expect(try driver.ports.load8(Int(Register.interruptStatus)) == 0)
        try line.unmask()
        #expect(try line.take(0) == 0, "it is low again")
        // The driver doesn't want any.
        driver.memory.store(UInt16(1), at: driver.available(0))
        driver.memory.store(UInt16(1), at: driver.available(1))
        #expect(try driver.send(frame(count: 64)))
        #expect(try line.take(0) == 0)
        #expect(try driver.ports.load8(Int(Register.interruptStatus)) == 0)
        card.port.wire.setUp(false)
        #expect(try line.take(0) == 1)
        #expect(try driver.ports.load8(Int(Register.interruptStatus)) == 2)
    }

    @Test("sends a message for each queue with MSI-X, which moves the configuration")
    func messages() throws {
        let (card, driver) = try bench(loopsBack: true)
        let messages = try driver.device.enableInterrupts(.msix, count: 3)
        try driver.start()
        let ports = driver.ports
        #expect(try ports.load16(Int(Register.configurationVector)) == 0xffff)
        #expect(try ports.load8(24) == own[0])
        #expect(try ports.load16(30) == 1)
        for queue in 0..<2 {
            try ports.store16(Int(Register.queueSelect), UInt16(queue))
            try ports.store16(Int(Register.queueVector), UInt16(queue + 1))
            #expect(try ports.load16(Int(Register.queueVector)) == UInt16(queue + 1))
            try ports.store16(Int(Register.queueSelect), UInt16(queue))
        }
        try ports.store16(Int(Register.configurationVector), 3)
        #expect(try ports.load16(Int(Register.configurationVector)) == 0xffff, "there are three")
        try ports.store16(Int(Register.configurationVector), 0)
        try driver.provide(0..<4)
        #expect(try driver.send(frame(count: 64)))
        #expect(try messages.take(1) == 1)
        #expect(try messages.take(2) == 1)
        #expect(try messages.take(0) == 0)
        card.port.setPlugged(false)
        #expect(try messages.take(0) == 1)
        #expect(try ports.load16(30) == 0)
    }

    @Test("receives what the driver asks for")
    func filter() throws {
        let wire = NetworkWire()
        let (card, driver) = try bench(on: wire)
        let other = wire.connect(Listener())
        try driver.start(Feature.mac | Feature.controlQueue | Feature.receiveModes | Feature.setAddress)
        try driver.provide(0..<64)
        let stranger: [UInt8] = [2, 1, 1, 1, 1, 1]
        let group: [UInt8] = [1, 0, 0x5e, 0, 0, 1]
        func arrives(_ destination: [UInt8]) -> Bool {
            other.send(frame(to: destination, count: 60))
            return driver.receive() != nil
        }
        #expect(arrives(stranger), "all of them at first")
        #expect(try driver.command([0, 0, 0]) == 0)
        #expect(!arrives(stranger))
        #expect(arrives(own.bytes))
        #expect(arrives(broadcast))
        #expect(!arrives(group))
        #expect(try driver.command([0, 1, 1]) == 0)
        #expect(arrives(group))
        #expect(try driver.command([0, 1, 0]) == 0)
        #expect(try driver.command([1, 0, 1, 0, 0, 0] + stranger + [1, 0, 0, 0] + group) == 0)
        #expect(arrives(stranger))
        #expect(arrives(group))
        #expect(!arrives([1, 0, 0x5e, 0, 0, 2]))
        #expect(try driver.command([0, 5, 1]) == 0)
        #expect(!arrives(broadcast))
        #expect(try driver.command([1, 1] + stranger) == 0)
        #expect(card.address.bytes == stranger)
        #expect(!arrives(own.bytes))
        // What it doesn't know, or isn't whole.
        #expect(try driver.command([7, 0, 0]) == 1)
        #expect(try driver.command([0, 9, 1]) == 1)
        #expect(try driver.command([1, 0, 200, 0, 0, 0, 1]) == 1)
        #expect(try driver.command([1, 1, 2]) == 1)
        #expect(card.brokenQueueCount == 0)
    }

    @Test("two of them talk over a wire, both ways at once")
    func both() async throws {
        let wire = NetworkWire()
        let cards = [0, 1].map { VirtioNetworkCard(MACAddress(local: UInt32($0)), on: wire) }
        let host = try networkMachine(cards)
        // A third one listens.
        let listener = Listener()
        let tap = wire.connect(listener)
        try await withThrowingTaskGroup(of: [Bool].self) { group in
            for index in 0..<2 {
                let (own, peer) = (cards[index].address.bytes, cards[1 - index].address.bytes)
                group.addTask {
                    let driver = try VirtioDriver(index, on: host)
                    try driver.start(Feature.mac | Feature.mergedBuffers)
                    try driver.provide(0..<256)
                    var results: [Bool] = []
                    var received = 0
                    for round in 0..<500 {
                        let sent = frame(
                            to: peer, from: own, count: 60 + round, UInt8(truncatingIfNeeded: round))
                        results.append(try driver.send(sent))
                        while let got = driver.receive() {
                            results.append(got.count >= 60 && Array(got[0..<12]) == own + peer)
                            received += 1
                        }
                        try driver.notify(0)
                    }
                    return results
                }
            }
            for try await results in group { #expect(results.allSatisfy { $0 }) }
        }
        #expect(listener.take().count == 1000)
        #expect(tap.statistics.receivedFrames == 1000)
        #expect(cards[0].port.statistics.sentFrames == 500)
    }

    @Test("a queue that breaks the rules is dead until a reset")
    func broken() throws {
        let (card, driver) = try bench(loopsBack: true)
        let faults: [(String, (VirtioDriver) -> Void)] = [
            ("a loop", { $0.describe(1, 0, at: 0x90000, count: 64, flags: 1, next: 0) }),
            ("a head out of range", { $0.add(1, 256) }),
            ("a next out of range", { $0.describe(1, 0, at: 0x90000, count: 64, flags: 1, next: 999) }),
            ("an index too far ahead", { $0.setAvailableIndex(1, 257) }),
            ("memory that isn't there", { $0.describe(1, 0, at: 1 << 40, count: 64, flags: 0) }),
            ("an odd table", { $0.describe(1, 0, at: 0x90000, count: 17, flags: 4) }),
            (
                "a table in a table",
                {
                    $0.memory.put([UInt8](repeating: 4, count: 64), at: 0x90000)
                    $0.describe(1, 0, at: 0x90000, count: 64, flags: 4)
                }
            ),
            ("a table with a sequel", { $0.describe(1, 0, at: 0x90000, count: 64, flags: 5, next: 1) }),
        ]
        for (title, fault) in faults {
            try driver.start()
            fault(driver)
            driver.add(1, 0)
            try driver.notify(1)
            #expect(card.brokenQueueCount == 1, "\(title)")
            #expect(driver.takeUsed(1) == nil, "\(title)")
            try driver.start()
            try driver.provide(0..<2)
            #expect(try driver.send(frame(count: 99)), "\(title)")
            #expect(driver.receive() == frame(count: 99), "\(title)")
        }
        // Rings that aren't in memory.
        try driver.start()
        try driver.ports.store16(Int(Register.queueSelect), 1)
        try driver.ports.store32(Int(Register.queueAddress), .max)
        try driver.notify(1)
        #expect(card.brokenQueueCount == 1)
    }

    @Test("no rings, however wild, stop it")
    func wildRings() throws {
        let wire = NetworkWire()
        let (card, driver) = try bench(on: wire)
        let other = wire.connect(Listener())
        var random = Seeded(printing: "wild rings")
        for _ in 0..<60 {
            try driver.start(Feature.all & UInt32.random(in: 0...UInt32.max, using: &random))
            for _ in 0..<60 {
                let queue = Int.random(in: 0..<3, using: &random)
                switch Int.random(in: 0..<8, using: &random) {
                case 0...3:
                    let wide = Int.random(in: 0..<20, using: &random) == 0
                    driver.describe(
                        queue, Int.random(in: 0..<16, using: &random),
                        at: Int.random(in: 0..<(wide ? 1 << 33 : 0x13f000), using: &random),
                        count: Int.random(in: 0...(wide ? 0xffff_ffff : 3000), using: &random),
                        flags: UInt16.random(in: 0..<(wide ? 8 : 4), using: &random),
                        next: Int.random(in: 0..<(wide ? 65536 : 16), using: &random))
                case 4, 5: driver.add(queue, Int.random(in: 0..<16, using: &random))
                case 6: other.send(frame(count: Int.random(in: 1...4000, using: &random)))
                default: try driver.notify(Int.random(in: 0..<5, using: &random))
                }
            }
            if Int.random(in: 0..<4, using: &random) == 0 {
                try driver.ports.store32(
                    Int(Register.queueAddress), UInt32.random(in: 0...0x140, using: &random))
            }
        }
        try driver.start()
        try driver.provide(0..<4)
        other.send(frame(count: 77))
        #expect(driver.receive() == frame(count: 77))
        #expect(card.brokenQueueCount == 0)
    }

    @Test("a reset, and the end of its user, stop it")
    func reset() throws {
        let wire = NetworkWire()
        let (card, driver) = try bench(on: wire)
        let other = wire.connect(Listener())
        try driver.start()
        try driver.provide(0..<4)
        try driver.ports.store8(Int(Register.status), 0)
        other.send(frame(count: 60))
        #expect(driver.receive() == nil)
        #expect(try driver.ports.load32(Int(Register.driverFeatures)) == 0)
        #expect(card.port.statistics.lostFrames == 0, "it isn't for a card that nobody uses")
        if driver.device.canReset {
            try driver.start()
            try driver.device.reset()
            #expect(try driver.ports.load8(Int(Register.status)) == 0)
        }
    }
}
