import DeviceModel
import LinuxSystem
import Testing

@testable import SoftwareDevices

/// Ports and cards, registers first.
struct SerialCardTests {
    typealias Register = SerialPort.Register

    /// A port and how often it raised its interrupt.
    struct Bench {
        var port = SerialPort()
        var raised = 0
        mutating func read(_ register: UInt64) -> UInt8 {
            var count = 0
            defer { raised += count }
            return port.read(register) { count += 1 }
        }
        mutating func write(_ register: UInt64, _ value: UInt8) {
            var count = 0
            port.write(register, value) { count += 1 }
            raised += count
        }
    }

    @Test func `What is sent is received, in its order`() {
        var bench = Bench()
        let text = Array("Hello, serial".utf8)
        for byte in text { bench.write(Register.data, byte) }
        var received: [UInt8] = []
        while bench.read(Register.lineStatus) & SerialPort.LineStatus.ready != 0 {
            received.append(bench.read(Register.data))
        }
        #expect(received == text)
        #expect(bench.read(Register.lineStatus) == SerialPort.LineStatus.empty)
        #expect(bench.raised == 0)
    }

    @Test func `A full FIFO keeps its sixteen bytes and says that one was lost`() {
        var bench = Bench()
        for byte in UInt8(0)..<17 { bench.write(Register.data, byte) }
        #expect(
            bench.read(Register.lineStatus)
                == SerialPort.LineStatus.ready | SerialPort.LineStatus.overrun)
        for byte in UInt8(0)..<16 { #expect(bench.read(Register.data) == byte) }
        bench.write(Register.data, 1)
        #expect(bench.read(Register.lineStatus) == SerialPort.LineStatus.ready)
    }

    @Test func `Without FIFOs one byte waits`() {
        var bench = Bench()
        bench.write(Register.fifoControl, 0)
        bench.write(Register.data, 1)
        bench.write(Register.data, 2)
        #expect(bench.read(Register.lineStatus) & SerialPort.LineStatus.overrun != 0)
        #expect(bench.read(Register.data) == 1)
        #expect(bench.read(Register.lineStatus) & SerialPort.LineStatus.ready == 0)
    }

    @Test func `Clearing the FIFO forgets what waits`() {
        var bench = Bench()
        bench.write(Register.data, 1)
        bench.write(
            Register.fifoControl, SerialPort.FIFOControl.enable | SerialPort.FIFOControl.clearReceived)
        #expect(bench.read(Register.lineStatus) == SerialPort.LineStatus.empty)
    }

    @Test func `The interrupt is raised for each enabled cause, which is told`() {
        var bench = Bench()
        bench.write(Register.fifoControl, SerialPort.FIFOControl.enable)
        #expect(bench.read(Register.identification) == 0xc1)
        bench.write(Register.interruptEnable, SerialPort.InterruptEnable.received)
        bench.write(Register.data, 7)
        #expect(bench.raised == 1)
        #expect(bench.read(Register.identification) == 0xc4)
        bench.write(Register.data, 8)
        #expect(bench.raised == 1)
        bench.write(Register.interruptEnable, SerialPort.InterruptEnable.sent)
        #expect(bench.raised == 1)
        _ = bench.read(Register.data)
        _ = bench.read(Register.data)
        #expect(bench.raised == 2)
        #expect(bench.read(Register.identification) == 0xc2)
        bench.write(Register.interruptEnable, SerialPort.InterruptEnable.sent)
        #expect(bench.raised == 3)
    }

    @Test func `A change of the modem's lines interrupts once for each group`() {
        var bench = Bench()
        bench.write(Register.interruptEnable, SerialPort.InterruptEnable.modemStatus)
        bench.write(
            Register.modemControl, SerialPort.ModemControl.output2 | SerialPort.ModemControl.requestToSend)
        #expect(bench.raised == 2)
        #expect(bench.read(Register.modemControl) == 0x0a)
        #expect(bench.read(Register.modemStatus) == 0xb3)
    }

    @Test func `Flow control says when there is no more room`() {
        var bench = Bench()
        bench.write(Register.modemControl, SerialPort.ModemControl.flowControl)
        for byte in UInt8(0)..<16 { bench.write(Register.data, byte) }
        #expect(bench.read(Register.modemStatus) == SerialPort.ModemStatus.ready)
        _ = bench.read(Register.data)
        #expect(
            bench.read(Register.modemStatus)
                == SerialPort.ModemStatus.ready | SerialPort.ModemStatus.clearToSend)
    }

    @Test func `The divisor is set and read behind its latch`() {
        var bench = Bench()
        bench.write(Register.interruptEnable, 5)
        bench.write(Register.lineControl, SerialPort.LineControl.divisorLatch | 3)
        bench.write(0, 0x0c)
        bench.write(1, 0x01)
        #expect(bench.read(0) == 0x0c)
        #expect(bench.read(1) == 0x01)
        bench.write(Register.lineControl, 3)
        #expect(bench.read(Register.interruptEnable) == 5)
        #expect(bench.read(Register.lineControl) == 3)
        bench.write(Register.scratch, 0xa5)
        #expect(bench.read(Register.scratch) == 0xa5)
    }

    @Test func `Configuration space is that of Linux's sample`() {
        let card = SerialCard(portCount: 1)
        #expect(card.read(region: 7, at: 0, width: 4) == 0x3253_4348)
        #expect(card.read(region: 7, at: 4, width: 4) == 0x0200_0001)
        #expect(card.read(region: 7, at: 8, width: 4) == 0x0700_0210)
        #expect(card.read(region: 7, at: 0x3d, width: 1) == 1)
        #expect(card.read(region: 7, at: 0x60, width: 4) == 0x2049_4350)
        for offset: UInt64 in [0x10, 0x14, 0x18] {
            card.write(region: 7, at: offset, width: 4, value: .max)
        }
        #expect(card.read(region: 7, at: 0x10, width: 4) == 0xffff_fff9)
        #expect(card.read(region: 7, at: 0x14, width: 4) == 0)
        #expect(card.read(region: 7, at: 0x18, width: 4) == 0)
        card.write(region: 7, at: 0x10, width: 4, value: 0xc000)
        #expect(card.read(region: 7, at: 0x10, width: 4) == 0xc001)
        card.write(region: 7, at: 0, width: 4, value: 0)
        card.write(region: 7, at: 0x3c, width: 1, value: 9)
        #expect(card.read(region: 7, at: 0, width: 4) == 0x3253_4348)
        #expect(card.read(region: 7, at: 0x3c, width: 1) == 9)
    }

    @Test func `A state goes from one card to another, with what waits in its ports`() throws {
        let here = SerialCard(portCount: 2)
        here.write(region: 0, at: 0, width: 1, value: 0x41)
        here.write(region: 1, at: 0, width: 1, value: 0x42)
        here.write(region: 1, at: 7, width: 1, value: 0x43)
        #expect(here.stateHeader.count == 24)
        #expect(here.stateByteCount == 96)
        let state = here.saveState()
        #expect(state.count == 72)
        let there = SerialCard(portCount: 2)
        #expect(there.accepts(header: here.stateHeader))
        #expect(!SerialCard(portCount: 1).accepts(header: here.stateHeader))
        try there.loadState(state)
        #expect(there.ports == here.ports)
        #expect(there.read(region: 0, at: 0, width: 1) == 0x41)
        #expect(there.read(region: 1, at: 0, width: 1) == 0x42)
        #expect(there.read(region: 1, at: 7, width: 1) == 0x43)
    }

    @Test func `A state that no port can have is refused, and changes nothing`() {
        let card = SerialCard(portCount: 1)
        card.write(region: 0, at: 0, width: 1, value: 0x41)
        let before = card.ports
        let state = card.saveState()
        // Head, tail, count, the two flags, the room.
        for place in [24, 25, 26, 27, 28, 33] {
            var damaged = state
            damaged[place] = 200
            #expect(throws: MigrationError.malformed) { try card.loadState(damaged) }
        }
        for count in 0..<state.count {
            #expect(throws: MigrationError.truncated) { try card.loadState(Array(state[..<count])) }
        }
        #expect(throws: MigrationError.malformed) { try card.loadState(state + [0]) }
        #expect(card.ports == before)
    }

    @Test func `Cards are made of the ports that are left`() throws {
        let parent = SerialCardParent(portCount: 3)
        #expect(parent.availableInstances(of: 0) == 3)
        #expect(parent.availableInstances(of: 1) == 1)
        _ = try parent.makeDevice(of: 1)
        #expect(throws: Errno.noSpace) { try parent.makeDevice(of: 1) }
        _ = try parent.makeDevice(of: 0)
        #expect(parent.availableInstances(of: 0) == 0)
        parent.reclaimDevice(of: 1)
        #expect(parent.availableInstances(of: 1) == 1)
    }
}
