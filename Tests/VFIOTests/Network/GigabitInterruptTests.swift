import LinuxSystem
import SoftwareDevices
import SoftwareHost
import Testing
import VFIO
import VFIOHost

private typealias Register = Intel82574.Register
private typealias Cause = Intel82574.Cause
private typealias Extended = Intel82574.ExtendedControl

@Suite("Interrupts of Intel's 82574")
struct GigabitInterruptTests {
    /// A card that is looped back, with buffers.
    private func bench() throws -> (card: Intel82574, driver: GigabitDriver) {
        let (card, driver) = try gigabitBench(loopsBack: true)
        try driver.start()
        try driver.provide(200)
        return (card, driver)
    }

    @Test("causes are set, masked and cleared, and reading clears them")
    func causes() throws {
        let (card, driver) = try bench()
        defer { withExtendedLifetime(card) {} }
        #expect(try driver.read(Register.interruptMaskSet) == 0)
        try driver.write(Register.interruptSet, Cause.link)
        #expect(try driver.read(Register.interruptCause) == Cause.link | Cause.other, "all of it is masked")
        #expect(try driver.read(Register.interruptCause) == 0)
        try driver.write(Register.interruptMaskSet, Cause.received)
        #expect(try driver.read(Register.interruptMaskSet) == Cause.received)
        try driver.write(Register.interruptSet, Cause.transmitted)
        #expect(try driver.read(Register.interruptCause) == Cause.transmitted)
        #expect(
            try driver.read(Register.interruptCause) == Cause.transmitted,
            "nothing is cleared for a driver that doesn't wait for it")
        try driver.write(Register.interruptCause, Cause.transmitted)
        #expect(try driver.read(Register.interruptCause) == 0)
        try driver.write(Register.interruptSet, Cause.received)
        #expect(try driver.read(Register.interruptCause) == Cause.received | Cause.asserted)
        #expect(try driver.read(Register.interruptCause) == 0)
        try driver.write(Register.interruptMaskClear, .max)
        #expect(try driver.read(Register.interruptMaskSet) == 0)
    }

    @Test("the line is high while a cause isn't masked, and reading can mask")
    func line() throws {
        let (card, driver) = try bench()
        defer { withExtendedLifetime(card) {} }
        let line = try driver.device.enableInterrupts(.intx, count: 1)
        #expect(try driver.send(frame(count: 64)))
        #expect(try line.take(0) == 0)
        try driver.write(Register.interruptMaskSet, Cause.received | Cause.transmitted)
        #expect(try line.take(0) == 1)
        try line.unmask()
        #expect(try line.take(0) == 1, "it is still high")
        let causes = try driver.read(Register.interruptCause)
        #expect(
            causes & (Cause.asserted | Cause.received | Cause.transmitted | Cause.transmitEmpty) == causes
                & 0x8000_0083)
        #expect(causes & 0x8000_0083 == 0x8000_0083)
        try line.unmask()
        #expect(try line.take(0) == 0)
        // As Linux does it: reading masks everything.
        try driver.write(Register.automaticMask, .max)
        try driver.write(Register.extendedControl, Extended.masksByReading)
        try driver.write(Register.interruptSet, Cause.received)
        #expect(try line.take(0) == 1)
        #expect(try driver.read(Register.interruptCause) == Cause.received | Cause.asserted)
        #expect(try driver.read(Register.interruptMaskSet) == 0)
        try line.unmask()
        try driver.write(Register.interruptSet, Cause.received)
        #expect(try line.take(0) == 0)
        try driver.write(Register.interruptMaskSet, Cause.received)
        #expect(try line.take(0) == 1, "what came meanwhile isn't lost")
    }

    @Test("MSI sends one message until the causes are read")
    func message() throws {
        let (card, driver) = try bench()
        defer { withExtendedLifetime(card) {} }
        let message = try driver.device.enableInterrupts(.msi, count: 1)
        try driver.write(Register.interruptMaskSet, Cause.received | Cause.link)
        _ = try message.take(0)
        for _ in 0..<3 { #expect(try driver.send(frame(count: 64))) }
        #expect(try message.take(0) == 1)
        #expect(try driver.read(Register.interruptCause) & Cause.asserted != 0)
        #expect(try driver.send(frame(count: 64)))
        #expect(try message.take(0) == 1)
        card.port.setPlugged(false)
        #expect(try message.take(0) == 0, "one is under way")
        #expect(try driver.read(Register.interruptCause) & Cause.link != 0)
        card.port.setPlugged(true)
        #expect(try message.take(0) == 1)
    }

    @Test("MSI-X has a vector for each queue and one for the rest, which masks itself")
    func messages() throws {
        let (card, driver) = try bench()
        let messages = try driver.device.enableInterrupts(.msix, count: 5)
        // As Linux does it: vectors 0, 1 and 2, cleared and masked by the message.
        try driver.write(Register.vectors, 8 | (8 | 1) << 8 | (8 | 2) << 16 | 1 << 31)
        let queues = Cause.receiveQueue | Cause.transmitQueue
        try driver.write(Register.automaticClear, queues)
        try driver.write(Register.automaticMask, .max)
        try driver.write(Register.extendedControl, Extended.masksByMessage)
        try driver.write(Register.interruptMaskSet, queues | Cause.other | Cause.link)
        _ = try driver.read(Register.interruptCause)
        for vector in 0..<5 { _ = try messages.take(vector) }
        try driver.write(Register.interruptMaskSet, queues | Cause.other | Cause.link)
        #expect(try driver.send(frame(count: 64)))
        #expect(try messages.take(0) == 1)
        #expect(try messages.take(1) == 1)
        #expect(try messages.take(2) == 0)
        #expect(try driver.read(Register.interruptMaskSet) == Cause.other | Cause.link)
        #expect(try driver.send(frame(count: 64)))
        #expect(try messages.take(0) == 0, "it is masked")
        try driver.write(Register.interruptMaskSet, Cause.receiveQueue)
        #expect(try messages.take(0) == 1, "what came meanwhile isn't lost")
        #expect(try messages.take(1) == 0)
        card.port.setPlugged(false)
        #expect(try messages.take(2) == 1)
        let causes = try driver.read(Register.interruptCause)
        #expect(causes & (Cause.link | Cause.other) == Cause.link | Cause.other)
        try driver.write(Register.interruptMaskSet, Cause.other)
        #expect(try messages.take(2) == 0)
        card.port.setPlugged(true)
        #expect(try messages.take(2) == 1)
        for vector in 3..<5 { #expect(try messages.take(vector) == 0) }
    }

    @Test("few buffers are told of")
    func low() throws {
        let (card, driver) = try gigabitBench(loopsBack: true)
        defer { withExtendedLifetime(card) {} }
        try driver.start()
        try driver.provide(130)
        _ = try driver.read(Register.interruptCause)
        #expect(try driver.send(frame(count: 64)))
        #expect(try driver.read(Register.interruptCause) & Cause.receiveLow == 0)
        #expect(try driver.send(frame(count: 64)))
        #expect(try driver.read(Register.interruptCause) & Cause.receiveLow != 0, "half of 256")
    }
}
