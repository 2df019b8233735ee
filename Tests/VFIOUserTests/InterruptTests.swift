import DeviceModel
import LinuxSystem
import Testing
import VFIOABI
import VFIOUser

@Suite("Interrupts over a socket")
struct InterruptTests {
    private let eventFDs: IRQSetFlags = [.dataEventFD, .actionTrigger]
    private let disable: IRQSetFlags = [.dataNone, .actionTrigger]

    /// Raises a vector in the device.
    private func raise(_ client: RawClient, _ vector: Int) throws {
        try client.write32(.bar0, TestDevice.Trigger.vector, UInt32(vector))
    }

    private func setLine(_ client: RawClient, _ asserted: Bool) throws {
        try client.write32(.bar0, TestDevice.Trigger.line, asserted ? 1 : 0)
    }

    /// The pending bits of the first 64 vectors.
    private func pending(_ client: RawClient) throws -> UInt64 { try client.read64(.bar2, 0x1000) }

    @Test("are described: the line can be masked, vectors may be added while others are in use")
    func description() throws {
        let rig = try Rig()
        let expected: [(IRQFlags, UInt32)] = [
            ([.eventFD, .maskable, .automasked], 1), (.eventFD, 8), (.eventFD, 70), (.eventFD, 1),
            (.eventFD, 1),
        ]
        for (index, interrupt) in expected.enumerated() {
            let reply = try rig.connected.request(.deviceGetIRQInfo, IRQInfo(index: UInt32(index)))
            #expect(
                reply.value(IRQInfo.self)
                    == IRQInfo(flags: interrupt.0, index: UInt32(index), count: interrupt.1))
        }
        #expect(try rig.connected.request(.deviceGetIRQInfo, IRQInfo(index: 5)).errno == .invalid)
    }

    @Test("of the line come once, until it is unmasked; while it is asserted they come again")
    func line() throws {
        let rig = try Rig()
        let client = rig.connected
        let event = try EventDescriptor()
        #expect(try client.setInterrupts(.intx, eventFDs, count: 1, descriptors: [event.number]) == nil)
        try setLine(client, true)
        #expect(try event.take() == 1)
        try setLine(client, false)
        try setLine(client, true)
        #expect(try event.take() == 0, "it is masked")
        #expect(try client.setInterrupts(.intx, [.dataNone, .actionUnmask], count: 1) == nil)
        #expect(try event.take() == 1, "it is still asserted")
        try setLine(client, false)
        #expect(try client.setInterrupts(.intx, [.dataBool, .actionUnmask], count: 1, [1]) == nil)
        #expect(try event.take() == 0)
        #expect(try client.setInterrupts(.intx, [.dataNone, .actionMask], count: 1) == nil)
        try setLine(client, true)
        #expect(try event.take() == 0)
        #expect(try client.setInterrupts(.intx, disable, count: 0) == nil)
        #expect(try client.setInterrupts(.intx, [.dataNone, .actionUnmask], count: 1) == .invalid)
        #expect(try event.take() == 0)
    }

    @Test("of the line are unmasked by the eventfd that KVM signals")
    func resample() throws {
        let rig = try Rig()
        let client = rig.connected
        let event = try EventDescriptor()
        let unmask = try EventDescriptor()
        try client.setInterrupts(.intx, eventFDs, count: 1, descriptors: [event.number])
        #expect(
            try client.setInterrupts(
                .intx, [.dataEventFD, .actionUnmask], count: 1, descriptors: [unmask.number]) == nil)
        try setLine(client, true)
        #expect(try event.take() == 1)
        unmask.signal()
        #expect(try event.wait(milliseconds: 10_000) == 1, "asserted still: signalled again")
        try setLine(client, false)
        unmask.signal()
        // The line must become unmasked; only a new assertion shows it.
        for _ in 0..<1000 {
            try setLine(client, true)
            if try event.take() > 0 { break }
            try setLine(client, false)
            Clock.sleep(nanoseconds: 1_000_000)
        }
        try setLine(client, false)
        #expect(try client.setInterrupts(.intx, [.dataEventFD, .actionUnmask], count: 1) == nil)
    }

    @Test("of MSI-X go to their vector's eventfd; SET_IRQS enables them")
    func messages() throws {
        let rig = try Rig()
        let client = rig.connected
        try client.enable()
        let events = try (0..<3).map { _ in try Event() }
        #expect(
            try client.setInterrupts(
                .msix, eventFDs, start: 1, count: 3, descriptors: events.map(\.number)) == nil)
        let control = try client.read(
            .config, UInt64(rig.device.function.configuration.capability(0x11) ?? 0) + 2, 2)
        #expect(control[1] & 0x80 != 0)
        for vector in 0..<5 { try raise(client, vector) }
        #expect(try events.map { try $0.take() } == [1, 1, 1])
        #expect(try pending(client) == 0b10001, "vectors without eventfds are masked: what they raise waits")
        let late = try Event()
        try client.setInterrupts(.msix, eventFDs, start: 4, count: 1, descriptors: [late.number])
        #expect(try late.take() == 1)
        #expect(try pending(client) == 1)
        // Replaced: only the new one is signalled.
        let other = try Event()
        try client.setInterrupts(.msix, eventFDs, start: 1, count: 1, descriptors: [other.number])
        try raise(client, 1)
        #expect(try events[0].take() == 0)
        #expect(try other.take() == 1)
        // A run of vectors without descriptors is detached, wherever it begins.
        #expect(try client.setInterrupts(.msix, eventFDs, start: 2, count: 2) == nil)
        try raise(client, 2)
        try raise(client, 3)
        #expect(try events.map { try $0.take() } == [0, 0, 0])
        #expect(try pending(client) == 0b1101)
        try client.setInterrupts(.msix, disable, count: 0)
        try raise(client, 1)
        #expect(try other.take() == 0)
        #expect(
            try client.read(.config, UInt64(rig.device.function.configuration.capability(0x11) ?? 0) + 3, 1)[
                0] & 0x80
                == 0)
    }

    /// An eventfd that can be kept in an array.
    private final class Event {
        private let event: EventDescriptor
        init() throws { event = try EventDescriptor() }
        var number: Int32 { event.number }
        func take() throws -> UInt64 { try event.take() }
    }

    @Test("of MSI-X are held back by the mask on the whole function, which the client writes itself")
    func functionMask() throws {
        let rig = try Rig()
        let client = rig.connected
        try client.enable()
        let at = UInt64(try #require(rig.device.function.configuration.capability(0x11)))
        // As a guest's kernel does through QEMU: on with all masked, then the vectors, then unmasked.
        try client.write(.config, at + 2, [0, 0xc0])
        let event = try EventDescriptor()
        try client.setInterrupts(.msix, eventFDs, count: 1)
        try client.setInterrupts(.msix, eventFDs, count: 1, descriptors: [event.number])
        try raise(client, 0)
        #expect(try event.take() == 0)
        #expect(try pending(client) == 1)
        try client.write(.config, at + 2, [0, 0x80])
        #expect(try event.take() == 1)
        #expect(try pending(client) == 0)
    }

    @Test("of MSI go to their vector's eventfd, as many as were asked for")
    func msi() throws {
        let rig = try Rig()
        let client = rig.connected
        try client.enable()
        let events = try (0..<4).map { _ in try Event() }
        try client.setInterrupts(.msi, eventFDs, count: 4, descriptors: events.map(\.number))
        for vector in 0..<4 { try raise(client, vector) }
        #expect(try events.map { try $0.take() } == [1, 1, 1, 1])
        try client.setInterrupts(.msi, disable, count: 0)
        try raise(client, 0)
        #expect(try events[0].take() == 0)
    }

    @Test("of another kind take the place of those in use")
    func switching() throws {
        let rig = try Rig()
        let client = rig.connected
        try client.enable()
        let line = try EventDescriptor()
        let message = try EventDescriptor()
        try client.setInterrupts(.intx, eventFDs, count: 1, descriptors: [line.number])
        try client.setInterrupts(.msix, eventFDs, count: 1, descriptors: [message.number])
        try raise(client, 0)
        try setLine(client, true)
        #expect(try message.take() == 1)
        #expect(try line.take() == 0)
        try client.setInterrupts(.intx, eventFDs, count: 1, descriptors: [line.number])
        #expect(try line.take() == 1, "the line is asserted")
        try raise(client, 0)
        #expect(try message.take() == 0)
    }

    @Test("can be triggered by the client, to try its own handlers")
    func loopback() throws {
        let rig = try Rig()
        let client = rig.connected
        let first = try EventDescriptor()
        let second = try EventDescriptor()
        let request = try EventDescriptor()
        try client.setInterrupts(.msix, eventFDs, count: 2, descriptors: [first.number, second.number])
        try client.setInterrupts(.msix, [.dataBool, .actionTrigger], count: 2, [0, 1])
        #expect(try first.take() == 0)
        #expect(try second.take() == 1)
        try client.setInterrupts(.msix, [.dataNone, .actionTrigger], count: 2)
        #expect(try first.take() == 1)
        #expect(try second.take() == 1)
        #expect(try client.setInterrupts(.msi, [.dataNone, .actionTrigger], count: 1) == .invalid)
        try client.setInterrupts(.req, eventFDs, count: 1, descriptors: [request.number])
        try client.setInterrupts(.req, [.dataNone, .actionTrigger], count: 1)
        #expect(try request.take() == 1)
        try client.setInterrupts(.req, disable, count: 0)
        try client.setInterrupts(.req, [.dataNone, .actionTrigger], count: 1)
        #expect(try request.take() == 0)
    }

    @Test("that make no sense are refused, and nothing changes")
    func refused() throws {
        let rig = try Rig()
        let client = rig.connected
        let event = try EventDescriptor()
        let bad = try MemoryFile.create("no eventfd", byteCount: 0)
        func refuses(
            _ index: UInt32, _ flags: UInt32, _ start: Int, _ count: UInt32, _ data: [UInt8] = [],
            _ descriptors: [Int32] = []
        ) throws -> Bool {
            let head = IRQSet(
                flags: IRQSetFlags(rawValue: flags), index: index, start: UInt32(start), count: count)
            return try client.request(.deviceSetIRQs, head, data, descriptors: descriptors).errno == .invalid
        }
        let number = event.number
        #expect(try refuses(5, 0x24, 0, 1, [], [number]))
        #expect(try refuses(2, 0x24, 70, 1, [], [number]))
        #expect(try refuses(2, 0x24, 69, 2, [], [number, number]))
        #expect(try refuses(2, 0x24, 1, .max))
        #expect(try refuses(2, 0x20, 0, 1))
        #expect(try refuses(2, 0x04, 0, 1, [], [number]))
        #expect(try refuses(2, 0x26, 0, 1))
        #expect(try refuses(2, 0x34, 0, 1))
        #expect(try refuses(2, 0x64, 0, 1))
        #expect(try refuses(2, 0x24, 0, 2, [], [number]))
        #expect(try refuses(2, 0x24, 0, 1, [], [number, number]))
        #expect(try refuses(2, 0x24, 0, 0))
        #expect(try refuses(2, 0x22, 0, 4, [1, 1, 1]))
        #expect(try refuses(2, 0x0c, 0, 1, [], [number]))
        #expect(try refuses(2, 0x09, 0, 1))
        #expect(try refuses(0, 0x0c, 0, 1, [], [number]))
        #expect(try refuses(2, 0x24, 0, 2, [], [number, bad.number]))
        #expect(try refuses(0, 0x24, 0, 1, [], [bad.number]))
        // Nothing has been enabled on the way.
        #expect(try refuses(2, 0x21, 0, 1))
        try client.enable()
        try raise(client, 0)
        #expect(try event.take() == 0)
    }

    @Test("are masked by more vectors than the table has in one message, in as many messages as it takes")
    func manyVectors() throws {
        let rig = try Rig()
        let client = rig.connected
        try client.enable()
        let events = try (0..<70).map { _ in try Event() }
        for start in stride(from: 0, to: 70, by: 16) {
            let part = events[start..<min(start + 16, 70)]
            #expect(
                try client.setInterrupts(
                    .msix, eventFDs, start: start, count: part.count, descriptors: part.map(\.number)) == nil)
        }
        for vector in 0..<70 { try raise(client, vector) }
        #expect(try events.allSatisfy { try $0.take() == 1 })
    }
}
