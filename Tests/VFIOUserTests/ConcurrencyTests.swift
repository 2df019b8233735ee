import DeviceModel
import IOVASpace
import LinuxSystem
import Testing
import VFIOABI
import VFIOUser

/// A device that, once started, writes memory and raises interrupts from a thread of its own until it is stopped.
private final class BusyDevice: DeviceModel, @unchecked Sendable {
    // SAFETY: `stop` and `writes` are atomic; the rest is used by the server's thread alone.
    let function: PCIFunction
    private var thread: WorkerThread?
    private let stop = AtomicWord()
    let writes = AtomicWord()

    init() {
        function = PCIFunction(
            PCIIdentity(vendor: 0x1234, device: 0x4343, classCode: 0xff0000),
            bars: [0: BAR(.memory32, byteCount: 0x2000)])
        function.addMSIX(vectors: 4, table: (0, 0x1000), pending: (0, 0x1800))
    }

    func readRegister(bar: Int, offset: UInt64, width: Int) -> UInt64 { writes.load() }

    func writeRegister(bar: Int, offset: UInt64, width: Int, value: UInt64) {
        // Takes its time.
        if offset == 0x10 { Clock.sleep(nanoseconds: 50_000_000) }
        guard offset == 0, thread == nil else { return }
        stop.store(0)
        let dma = DMA(function)
        thread = try? WorkerThread { [stop = Flag(self)] in
            var count: UInt64 = 0
            while !stop.isSet {
                count &+= 1
                if dma.touch(count) { stop.note() }
            }
        }
    }

    /// What the thread uses of the device: the ways out of it may be used from any thread.
    private final class DMA: @unchecked Sendable {
        private let function: PCIFunction
        init(_ function: PCIFunction) { self.function = function }

        func touch(_ count: UInt64) -> Bool {
            function.signal(vector: Int(count % 4))
            function.setLine(count % 2 == 0)
            guard (try? function.dma.store(count, to: IOVA(0x1000 * (count % 8)))) != nil else {
                return false
            }
            return (try? function.dma.load(UInt64(0), from: IOVA(0x1000 * (count % 8)))) != nil
        }
    }

    private final class Flag: @unchecked Sendable {
        private unowned let device: BusyDevice
        init(_ device: BusyDevice) { self.device = device }
        var isSet: Bool { device.stop.load() != 0 }
        func note() { device.writes.add(1) }
    }

    func reset(_ kind: ResetKind) {}

    func quiesce() {
        stop.store(1)
        thread = nil
    }
}

@Suite("A device with a thread of its own")
struct ConcurrencyTests {
    @Test("works while its client maps, unmaps, changes interrupts, resets and goes")
    func churn() throws {
        let path = "/tmp/vfio-user-churn-\(Clock.now).sock"
        let device = BusyDevice()
        let server = try Server(device, at: path)
        let thread = try WorkerThread { try? server.run() }
        let file = try MemoryFile.create("churn", byteCount: 0x10000)
        var interrupts: UInt64 = 0
        for _ in 0..<setting("VFIO_USER_CHURN", 5) {
            let client = try RawClient.connect(path)
            try client.negotiate()
            try client.enable()
            try client.write32(.bar0, 0, 1)
            let event = try EventDescriptor()
            for turn in 0..<100 {
                #expect(try client.map(0, 0x8000, offset: 0, file: file.number) == nil)
                if turn % 10 == 0 {
                    try client.setInterrupts(
                        .msix, [.dataEventFD, .actionTrigger], count: 1, descriptors: [event.number])
                    _ = try event.wait(milliseconds: 10_000)
                    interrupts += 1
                    try client.setInterrupts(
                        .intx, [.dataEventFD, .actionTrigger], count: 1, descriptors: [event.number])
                    try client.setInterrupts(.intx, [.dataNone, .actionTrigger], count: 0)
                }
                if turn % 25 == 0 { try client.request(.deviceReset) }
                #expect(try client.unmap(0, 0x8000) == nil)
            }
            // Some of what it does must get through before the next turn.
            #expect(try client.map(0, 0x8000, offset: 0, file: file.number) == nil)
            let before = device.writes.load()
            while device.writes.load() < before &+ 3 { _ = try client.read32(.bar0, 0) }
        }
        server.stop()
        _ = consume thread
        #expect(interrupts > 0)
    }

    @Test(
        "works in memory that takes messages, beside requests, resets and other maps; and ends with its client"
    )
    func messages() throws {
        let path = "/tmp/vfio-user-messages-\(Clock.now).sock"
        let device = BusyDevice()
        let server = try Server(device, at: path)
        let thread = try WorkerThread { try? server.run() }
        for turn in 0..<setting("VFIO_USER_CHURN", 5) {
            let client = try RawClient.connect(path)
            let memory = RemoteMemory(at: 0, byteCount: 0x8000)
            client.memory = memory
            try client.negotiate()
            try client.enable()
            #expect(try client.map(0, 0x8000) == nil)
            try client.write32(.bar0, 0, 1)
            for _ in 0..<100 {
                let before = device.writes.load()
                while device.writes.load() < before &+ 1 { _ = try client.read32(.bar0, 0) }
                if turn % 2 == 0 { try client.request(.deviceReset) }
                try client.write32(.bar0, 8, 1)
                #expect(try client.unmap(0, 0x8000) == nil)
                #expect(try client.map(0, 0x8000) == nil)
            }
            #expect(memory.accesses.count > 100)
        }
        server.stop()
        _ = consume thread
    }

    @Test("isn't waited for by a reset: what it wants of the client has failed then")
    func reset() throws {
        let path = "/tmp/vfio-user-reset-\(Clock.now).sock"
        let device = BusyDevice()
        let server = try Server(device, at: path)
        let thread = try WorkerThread { try? server.run() }
        let client = try RawClient.connect(path)
        try client.negotiate()
        try client.enable()
        #expect(try client.map(0, 0x8000) == nil)
        try client.write32(.bar0, 0, 1)
        let question = try client.receive()
        #expect(question.header.command == .dmaWrite)
        // The client has its answer although it doesn't give one, also where the device's thread receives what comes
        // while a register write is carried out.
        let access = UserRegionAccess(offset: 0x10, region: 0, count: 4)
        try client.send(
            RawClient.message(.regionWrite, RawClient.bytes(access) + [0, 0, 0, 0], flags: .noReply))
        Clock.sleep(nanoseconds: 10_000_000)
        try client.send(RawClient.message(.deviceReset, id: 9))
        while try client.receive().header.command != .deviceReset {}
        client.hangUp()
        server.stop()
        _ = consume thread
    }
}
