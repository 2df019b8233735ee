import DeviceModel
import SoftwareDevices
import Testing

/// A device in a slot, and the accesses that a driver makes.
private final class Bench {
    let device: Educational
    let slot: TestSlot

    init(dmaMask: UInt64 = Educational.defaultDMAMask, memoryAt base: UInt64 = 0x10_0000) {
        device = Educational(dmaMask: dmaMask)
        slot = TestSlot(base: base, byteCount: 8192)
        device.function.plug(into: slot)
        command = PCIConfiguration.Command.memory | PCIConfiguration.Command.busMaster
    }

    var command: UInt16 {
        get { device.function.configuration.command }
        set {
            _ = device.function.configuration.write(
                UInt32(newValue), at: PCIConfiguration.Register.command, width: 2)
        }
    }

    func read(_ register: UInt64, width: Int = 4) -> UInt64 {
        device.loadBAR(0, offset: register, width: width)
    }

    func write(_ register: UInt64, _ value: UInt64, width: Int = 4) {
        device.storeBAR(0, offset: register, width: width, value: value)
    }

    func enableMSI() throws {
        let capability = try #require(device.function.configuration.capability(0x05))
        _ = device.function.configuration.write(1, at: capability + 2, width: 2)
    }

    func transfer(from source: UInt64, to destination: UInt64, count: UInt64, _ bits: UInt64 = 0) {
        write(Educational.Register.source, source, width: 8)
        write(Educational.Register.destination, destination, width: 8)
        write(Educational.Register.count, count, width: 8)
        write(Educational.Register.command, Educational.Command.start | bits)
    }
}

private let buffer = Educational.bufferAddress
private let toMemory = Educational.Command.toMemory

@Suite struct EducationalTests {
    @Test("It is QEMU's edu: identity, BAR, one MSI vector, an interrupt pin")
    func identity() {
        let bench = Bench()
        let configuration = bench.device.function.configuration
        #expect(configuration.value(at: 0, width: 4) == 0x11e8_1234)
        #expect(configuration.value(at: PCIConfiguration.Register.revision, width: 4) == 0x00ff_0010)
        #expect(configuration.value(at: PCIConfiguration.Register.interruptPin, width: 1) == 1)
        #expect(bench.device.function.msi?.vectorCount == 1)
        #expect(bench.device.function.bars[0]?.byteCount == 1 << 20)
        #expect(bench.read(Educational.Register.identification) == 0x0100_00ed)
    }

    @Test("The liveness register answers with the complement", arguments: [0, 1, 0x1234_5678, 0xffff_ffff])
    func liveness(value: UInt64) {
        let bench = Bench()
        bench.write(Educational.Register.liveness, value)
        #expect(bench.read(Educational.Register.liveness) == ~value & 0xffff_ffff)
    }

    @Test(
        "The factorial is computed modulo 2^32, and any number takes a short time",
        arguments: [
            (0, 1), (1, 1), (5, 120), (10, 3_628_800), (12, 479_001_600), (13, 1_932_053_504),
            (20, 2_192_834_560), (33, 0x8000_0000), (34, 0), (0xffff_ffff, 0),
        ] as [(UInt64, UInt64)])
    func factorial(number: UInt64, expected: UInt64) {
        let bench = Bench()
        bench.write(Educational.Register.factorial, number)
        #expect(bench.read(Educational.Register.status) & Educational.Status.computing == 0)
        #expect(bench.read(Educational.Register.factorial) == expected)
    }

    @Test("The factorial raises an interrupt only when asked")
    func factorialInterrupt() {
        let bench = Bench()
        bench.write(Educational.Register.factorial, 3)
        #expect(!bench.slot.line)
        bench.write(Educational.Register.status, 0xff)
        #expect(bench.read(Educational.Register.status) == Educational.Status.interruptWhenComputed)
        bench.write(Educational.Register.factorial, 4)
        #expect(bench.slot.line)
        #expect(bench.read(Educational.Register.interruptStatus) == Educational.Cause.factorial)
    }

    @Test("The line stays up until every raised bit is acknowledged")
    func line() {
        let bench = Bench()
        bench.write(Educational.Register.interruptRaise, 0b101)
        bench.write(Educational.Register.interruptRaise, 0b010)
        #expect(bench.read(Educational.Register.interruptStatus) == 0b111)
        bench.write(Educational.Register.interruptAcknowledge, 0b011)
        #expect(bench.slot.line)
        bench.write(Educational.Register.interruptAcknowledge, 0b100)
        #expect(!bench.slot.line)
        #expect(bench.read(Educational.Register.interruptStatus) == 0)
        #expect(bench.slot.messages.isEmpty)
    }

    @Test("Raising nothing raises no interrupt")
    func raiseNothing() {
        let bench = Bench()
        bench.write(Educational.Register.interruptRaise, 0)
        #expect(!bench.slot.line)
    }

    @Test("With MSI enabled each raise is one message and the line is quiet")
    func messages() throws {
        let bench = Bench()
        try bench.enableMSI()
        bench.write(Educational.Register.interruptRaise, 1)
        bench.write(Educational.Register.interruptRaise, 1)
        #expect(bench.slot.messages == [0, 0])
        #expect(!bench.slot.line)
    }

    @Test("Interrupt Disable silences the line but not the status register")
    func interruptDisable() {
        let bench = Bench()
        bench.command |= PCIConfiguration.Command.interruptDisable
        bench.write(Educational.Register.interruptRaise, 1)
        #expect(!bench.slot.line)
        #expect(bench.read(Educational.Register.interruptStatus) == 1)
    }

    @Test(
        "Data goes through the buffer and back",
        arguments: [(0, 4096), (0, 1), (17, 100), (4095, 1), (96, 4000)])
    func roundTrip(offset: Int, count: Int) {
        let bench = Bench()
        let pattern = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ 3) }
        bench.slot.memory.replaceSubrange(0..<count, with: pattern)
        let inside = buffer + UInt64(offset)
        bench.transfer(from: bench.slot.base, to: inside, count: UInt64(count))
        bench.transfer(from: inside, to: bench.slot.base + 4096, count: UInt64(count), toMemory)
        #expect(Array(bench.slot.memory[4096..<4096 + count]) == pattern)
        #expect(bench.slot.memory[(4096 + count)...].allSatisfy { $0 == 0 })
        #expect(bench.read(Educational.Register.command) & Educational.Command.start == 0)
        #expect(bench.device.refusedTransferCount == 0)
    }

    @Test("A transfer raises its interrupt only when asked")
    func transferInterrupt() {
        let bench = Bench()
        bench.transfer(from: bench.slot.base, to: buffer, count: 8)
        #expect(!bench.slot.line)
        bench.transfer(from: bench.slot.base, to: buffer, count: 8, Educational.Command.interruptWhenDone)
        #expect(bench.slot.line)
        #expect(bench.read(Educational.Register.interruptStatus) == Educational.Cause.transfer)
    }

    @Test(
        "A transfer outside the buffer moves nothing, is counted and completes",
        arguments: [
            (buffer - 1, 1), (buffer, 4097), (buffer + 4096, 1), (buffer + 4000, 97), (0, 16),
            (UInt64.max, 1), (buffer, UInt64.max), (buffer + 8, UInt64.max - 7),
        ] as [(UInt64, UInt64)])
    func outsideTheBuffer(address: UInt64, count: UInt64) {
        let bench = Bench()
        bench.slot.memory[0] = 0xaa
        let done = Educational.Command.interruptWhenDone
        bench.transfer(from: address, to: bench.slot.base, count: count, toMemory | done)
        bench.transfer(from: bench.slot.base, to: address, count: count)
        #expect(bench.slot.memory[0] == 0xaa)
        #expect(bench.slot.memory.dropFirst().allSatisfy { $0 == 0 })
        #expect(bench.device.refusedTransferCount == 2)
        #expect(bench.slot.line)
        #expect(bench.read(Educational.Register.command) & Educational.Command.start == 0)
    }

    @Test("A transfer of no bytes is done at once")
    func nothing() {
        let bench = Bench()
        bench.transfer(from: 0, to: buffer + 4096, count: 0)
        #expect(bench.device.refusedTransferCount == 0)
        #expect(bench.device.function.dma.refusedCount == 0)
    }

    @Test("DMA that the host refuses changes nothing, is reported, and the device goes on")
    func refused() {
        let bench = Bench()
        bench.slot.memory[0] = 0x55
        bench.transfer(from: bench.slot.base, to: buffer, count: 1)
        bench.transfer(from: 0x20_0000, to: buffer, count: 1)
        #expect(bench.device.refusedTransferCount == 1)
        #expect(bench.device.function.dma.lastFault?.reason == .notMapped)

        bench.slot.isWritable = false
        bench.transfer(from: buffer, to: bench.slot.base + 1, count: 1, toMemory)
        #expect(bench.device.function.dma.lastFault?.reason == .notPermitted)
        #expect(bench.slot.memory[1] == 0)

        bench.slot.isWritable = true
        bench.transfer(from: buffer, to: bench.slot.base + 1, count: 1, toMemory)
        #expect(bench.slot.memory[1] == 0x55)
        #expect(bench.device.refusedTransferCount == 2)
    }

    @Test("Without Bus Master Enable no memory is reached")
    func busMaster() {
        let bench = Bench()
        bench.command &= ~PCIConfiguration.Command.busMaster
        bench.transfer(from: buffer, to: bench.slot.base, count: 4, toMemory)
        #expect(bench.device.function.dma.lastFault?.reason == .busMasterDisabled)
        #expect(bench.device.refusedTransferCount == 1)
    }

    @Test("Address bits beyond the DMA mask are lost; a wider mask keeps them")
    func mask() {
        let narrow = Bench()
        narrow.slot.memory[0] = 0x77
        narrow.transfer(from: 1 << 28 | narrow.slot.base, to: buffer, count: 1)
        narrow.transfer(from: buffer, to: narrow.slot.base + 1, count: 1, toMemory)
        #expect(narrow.slot.memory[1] == 0x77)

        let wide = Bench(dmaMask: .max, memoryAt: 1 << 40)
        wide.slot.memory[0] = 0x77
        wide.transfer(from: 1 << 40, to: buffer, count: 1)
        wide.transfer(from: buffer, to: 1 << 40 | 1, count: 1, toMemory)
        #expect(wide.slot.memory[1] == 0x77)
    }

    @Test("A 32-bit write sets a whole 64-bit register; narrow and unknown accesses do nothing")
    func widths() {
        let bench = Bench()
        bench.write(Educational.Register.source, UInt64.max, width: 8)
        bench.write(Educational.Register.source, 0x1234)
        #expect(bench.read(Educational.Register.source, width: 8) == 0x1234)

        bench.write(Educational.Register.liveness, 0)
        bench.write(Educational.Register.liveness, 0xff, width: 1)
        #expect(bench.read(Educational.Register.liveness) == 0xffff_ffff)
        #expect(bench.read(Educational.Register.liveness, width: 2) == 0xffff)
        #expect(bench.read(Educational.Register.identification, width: 8) == UInt64.max)
        #expect(bench.read(0x40) == 0xffff_ffff)
        #expect(bench.read(buffer) == 0xffff_ffff)
    }

    @Test("A reset clears registers, buffer and interrupt")
    func reset() {
        let bench = Bench()
        bench.slot.memory[0] = 0x99
        bench.transfer(from: bench.slot.base, to: buffer, count: 1, Educational.Command.interruptWhenDone)
        bench.write(Educational.Register.factorial, 5)
        bench.device.performReset(.bus)
        #expect(!bench.slot.line)
        #expect(bench.read(Educational.Register.interruptStatus) == 0)
        #expect(bench.read(Educational.Register.factorial) == 0)
        bench.command = PCIConfiguration.Command.memory | PCIConfiguration.Command.busMaster
        bench.transfer(from: buffer, to: bench.slot.base + 1, count: 1, toMemory)
        #expect(bench.slot.memory[1] == 0)
    }

    @Test("No sequence of wild writes stops the device")
    func wildWrites() {
        var random = SystemRandomNumberGenerator()
        let seed = random.next()
        print("wild writes: seed \(seed)")
        var state = seed
        func next() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return state >> 11 ^ state << 40
        }
        let bench = Bench()
        let offsets: [UInt64] = [0, 4, 8, 0x20, 0x24, 0x60, 0x64, 0x80, 0x88, 0x90, 0x98, 0xa0, 0x40000]
        for _ in 0..<200_000 {
            let width = 1 << Int(next() % 4)
            let offset = offsets[Int(next() % UInt64(offsets.count))]
            let near = [buffer, bench.slot.base, 0, next()][Int(next() % 4)]
            bench.write(offset, near &+ next() % 5000, width: width)
            _ = bench.read(offset, width: width)
        }
        bench.write(Educational.Register.liveness, 0)
        #expect(bench.read(Educational.Register.liveness) == 0xffff_ffff)
    }
}
