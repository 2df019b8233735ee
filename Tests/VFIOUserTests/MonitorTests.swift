import DeviceModel
import LinuxSystem
import Testing
import VFIOABI
import VFIOUser

/// A pipe's reading end, and lines that go into the other.
private final class Lines {
    private let reader: Descriptor
    let output: LineOutput

    init() throws {
        let pair = try Pipe.make()
        reader = Descriptor(owning: pair.0)
        output = LineOutput(owning: Descriptor(owning: pair.1))
    }

    /// The lines that have come, without waiting, and without the time that each begins with.
    func take() throws -> [String] {
        var bytes: [UInt8] = []
        while true {
            let piece = try Pipe.read(reader.number)
            if piece.isEmpty { break }
            bytes += piece
        }
        return String(decoding: bytes, as: UTF8.self).split(separator: "\n").map { line in
            String(line.drop { $0 != " " }.dropFirst())
        }
    }

    /// As ``take()``, and without the times that replies took.
    func takeWithoutTimes() throws -> [String] {
        try take().map { line in
            guard line.hasSuffix("s)"), let end = line.lastIndex(of: "(") else { return line }
            return String(line[..<end].dropLast())
        }
    }
}

@Suite("A server that is watched")
struct MonitorTests {
    @Test("writes a line for every message both ways, as long as it is told to")
    func trace() throws {
        let rig = try Rig()
        let client = rig.connected
        let lines = try Lines()
        _ = try client.read32(.config, 0)
        #expect(try lines.take() == [])
        rig.server.monitor.trace(to: lines.output, as: "test")
        #expect(rig.server.monitor.isTracing)
        #expect(try client.read32(.config, 0) == 0x4242_1234)
        #expect(try client.map(0x1000, 0x1000) == nil)
        #expect(try client.map(0x1000, 0x1000) == .exists)
        let file = try MemoryFile.create("memory", byteCount: 8192)
        #expect(try client.map(0x2000, 0x1000, file: file.number) == nil)
        _ = try client.request(.deviceReset)
        let access = RawClient.bytes(UserRegionAccess(offset: 0x40, region: 0, count: 1))
        try client.send(RawClient.message(.regionWrite, access + [7], id: 9, flags: .noReply))
        try client.send(RawClient.message(.regionWrite, [1], id: 10))
        _ = try client.receive()
        // An answer's line is written once it was sent, and before the next command is looked at.
        _ = try client.read32(.config, 0)
        rig.server.monitor.trace(to: nil)
        // The version and a read had the first two ids.
        let ids = (2...6).map { UInt16(0xfff0 + $0) }
        #expect(
            try lines.takeWithoutTimes().prefix(13) == [
                "test <- REGION_READ #\(ids[1]) region=CONFIG offset=0x0 count=4",
                "test -> REGION_READ #\(ids[1]) reply region=CONFIG offset=0x0 count=4 data=0x42421234",
                "test <- DMA_MAP #\(ids[2]) argsz=32 flags=READ|WRITE iova=0x1000-0x1fff offset=0x0",
                "test -> DMA_MAP #\(ids[2]) reply",
                "test <- DMA_MAP #\(ids[3]) argsz=32 flags=READ|WRITE iova=0x1000-0x1fff offset=0x0",
                "test -> DMA_MAP #\(ids[3]) error=EEXIST(17)",
                "test <- DMA_MAP #\(ids[4]) argsz=32 flags=READ|WRITE iova=0x2000-0x2fff offset=0x0 fds=1",
                "test -> DMA_MAP #\(ids[4]) reply",
                "test <- DEVICE_RESET #\(ids[4] + 1)",
                "test -> DEVICE_RESET #\(ids[4] + 1) reply",
                "test <- REGION_WRITE #9 region=BAR0 offset=0x40 count=1 data=0x07 noreply",
                "test <- REGION_WRITE #10 short=1/16 body=01 bytes=1",
                "test -> REGION_WRITE #10 error=EINVAL(22)",
            ])
        _ = try client.read32(.config, 0)
        _ = try lines.take()
        _ = try client.read32(.config, 0)
        #expect(try lines.take() == [])
        // Switched on again it goes on, and tells when the client goes.
        rig.server.monitor.trace(to: lines.output)
        rig.finish()
        #expect(try lines.take() == ["-- the client has gone"])
    }

    @Test("shows how long each answer took, and none of what a client doesn't wait for")
    func times() throws {
        let rig = try Rig()
        let lines = try Lines()
        rig.server.monitor.trace(to: lines.output)
        _ = try rig.connected.read32(.config, 0)
        rig.finish()
        let taken = try lines.take()
        try #require(taken.count == 3, "\(taken)")
        #expect(!taken[0].contains("("))
        #expect(taken[1].hasSuffix("s)"), "\(taken)")
    }

    @Test("shows what it asks of the client, and the answers, in the order in which they went")
    func remoteMemory() throws {
        let rig = try Rig()
        let client = rig.connected
        let memory = RemoteMemory(at: 0x10000, byteCount: 0x1000)
        client.memory = memory
        try client.enable()
        #expect(try client.map(0x10000, 0x1000) == nil)
        try client.write64(.bar0, TestDevice.Trigger.address, 0x10000)
        let lines = try Lines()
        rig.server.monitor.trace(to: lines.output)
        rig.server.monitor.isCounting = true
        try client.write32(.bar0, TestDevice.Trigger.store, 5)
        try client.serve()
        memory.refusal = .badAddress
        try client.write32(.bar0, TestDevice.Trigger.load, 1)
        try client.serve()
        memory.refusal = nil
        try client.write32(.bar0, TestDevice.Trigger.load, 1)
        try client.serve()
        // Behind its answer everything before it has been written.
        _ = try client.read32(.config, 0)
        rig.server.monitor.trace(to: nil)
        let taken = try lines.takeWithoutTimes()
        let short = taken.map { $0.split(separator: " ").filter { !$0.hasPrefix("#") } }
        let told = short.map { $0.prefix(3).joined(separator: " ") }
        #expect(
            told.prefix(12) == [
                "<- REGION_WRITE region=BAR0", "-> REGION_WRITE reply", "-> DMA_WRITE iova=0x10000",
                "<- DMA_WRITE reply",
                "<- REGION_WRITE region=BAR0", "-> REGION_WRITE reply", "-> DMA_READ iova=0x10000",
                "<- DMA_READ error=EFAULT(14)",
                "<- REGION_WRITE region=BAR0", "-> REGION_WRITE reply", "-> DMA_READ iova=0x10000",
                "<- DMA_READ reply",
            ], "\(taken)")
        #expect(taken[2].hasSuffix("iova=0x10000 count=8 data=0x0000000000000005"), "\(taken)")
        let metrics = rig.server.monitor.metrics
        #expect(metrics.dmaWrittenByteCount == 8)
        #expect(metrics.dmaReadByteCount == 8)
        #expect(metrics.count(.dmaRead, .sent, isReply: false) == 2)
        #expect(metrics.count(.dmaRead, .received, isReply: true) == 2)
        let errors = metrics.errors.map { "\($0.count) \($0.errno.name) \($0.direction)" }
        #expect(errors == ["1 EFAULT received"])
        let times = metrics.latencies.first { $0.command == .dmaRead }?.times
        #expect(times?.count == 2)
    }

    @Test("counts messages, bytes, errors and times while it is told to, and mappings and interrupts always")
    func counters() throws {
        let rig = try Rig()
        let client = rig.connected
        let monitor = rig.server.monitor
        try client.enable()
        #expect(monitor.metrics.nanoseconds == nil)
        #expect(monitor.metrics.messages.allSatisfy { $0.count == 0 })
        monitor.isCounting = true
        for _ in 0..<10 { _ = try client.read32(.config, 0) }
        #expect(try client.map(0x1000, 0x1000) == nil)
        #expect(try client.map(0x8000, 0x3000) == nil)
        #expect(try client.map(0x8000, 0x3000) == .exists)
        #expect(try client.unmap(0x1000, 0x1000) == nil)
        #expect(try client.unmap(0x1000, 0x1000) == .noSuchEntry)
        #expect(try client.request(UserCommand(rawValue: 99), [1, 2]).errno == .notSupported)
        let event = try EventDescriptor()
        #expect(
            try client.setInterrupts(
                .msix, [.dataEventFD, .actionTrigger], count: 1, descriptors: [event.number]) == nil)
        for _ in 0..<3 { try client.write32(.bar0, TestDevice.Trigger.vector, 0) }
        // Without an eventfd nothing is delivered.
        try client.write32(.bar0, TestDevice.Trigger.vector, 1)
        let metrics = monitor.metrics
        #expect(metrics.count(.regionRead, .received, isReply: false) == 10)
        #expect(metrics.bytes(.regionRead, .received, isReply: false) == 10 * 32)
        #expect(metrics.bytes(.regionRead, .sent, isReply: true) == 10 * 36)
        #expect(metrics.count(.dmaMap, .received, isReply: false) == 3)
        #expect(metrics.count(UserCommand(rawValue: 0), .sent, isReply: true) == 1)
        #expect(metrics.mappingCount == 1)
        #expect(metrics.mappedByteCount == 0x3000)
        let errors = metrics.errors.map { "\($0.count) \($0.errno.name) \($0.direction)" }.sorted()
        #expect(errors == ["1 EEXIST sent", "1 ENOENT sent", "1 EOPNOTSUPP sent"])
        #expect(metrics.interrupts.msix == 3)
        #expect(metrics.interrupts.msi == 0 && metrics.interrupts.line == 0)
        #expect(metrics.connectionCount == 1 && metrics.isConnected)
        let times = try #require(metrics.latencies.first { $0.command == .regionRead }?.times)
        #expect(times.count == 10 && times.sum > 0)
        #expect(times.longest <= times.sum && times.quantile(0.5) <= times.longest)
        monitor.isCounting = false
        _ = try client.read32(.config, 0)
        #expect(monitor.metrics.count(.regionRead, .received, isReply: false) == 10)
        rig.finish()
        let end = monitor.metrics
        #expect(!end.isConnected && end.mappingCount == 0)
        #expect(end.ends.first { $0.reason == "closed" }?.count == 1)
    }

    @Test("can be switched from other threads while messages come and go")
    func switching() throws {
        let rig = try Rig()
        let monitor = rig.server.monitor
        let lines = LineOutput(owning: try Descriptor(opening: "/dev/null", .writeOnly))
        let switcher = Switcher(monitor, lines)
        let thread = try WorkerThread { switcher.run() }
        for value in 0..<3000 {
            try rig.connected.write32(.bar0, 0x40, UInt32(value))
            #expect(try rig.connected.read32(.bar0, 0x40) == UInt32(value))
        }
        switcher.isStopped.store(1)
        _ = consume thread
        #expect(lines.droppedCount == 0)
    }

    private final class Switcher: Sendable {
        let monitor: ServerMonitor
        let lines: LineOutput
        let isStopped = AtomicWord()

        init(_ monitor: ServerMonitor, _ lines: LineOutput) {
            self.monitor = monitor
            self.lines = lines
        }

        func run() {
            var round = 0
            while isStopped.load() == 0 {
                round += 1
                monitor.trace(to: round % 2 == 0 ? lines : nil, as: "\(round)")
                monitor.isCounting = round % 3 == 0
                _ = monitor.metrics.description
            }
        }
    }

    @Test("doesn't wait for anybody to read its lines")
    func stalledReader() throws {
        let rig = try Rig()
        let pair = try Pipe.make()
        let reader = Descriptor(owning: pair.0)
        let lines = LineOutput(owning: Descriptor(owning: pair.1))
        rig.server.monitor.trace(to: lines)
        // More than a pipe holds.
        for _ in 0..<2000 { _ = try rig.connected.read32(.config, 0) }
        #expect(lines.droppedCount > 0)
        while try !Pipe.read(reader.number).isEmpty {}
        _ = try rig.connected.read32(.config, 0)
        _ = try rig.connected.read32(.config, 0)
        let text = String(decoding: try Pipe.read(reader.number), as: UTF8.self)
        #expect(text.contains("lines dropped"), "\(text)")
        #expect(text.contains("REGION_READ"), "\(text)")
        // Nor does it mind when there is nobody any more.
        _ = consume reader
        _ = try rig.connected.read32(.config, 0)
        #expect(try rig.connected.read32(.config, 0) == 0x4242_1234)
    }
}

extension ServerMetrics {
    /// How many messages of a kind there were.
    func count(_ command: UserCommand, _ direction: MessageDirection, isReply: Bool) -> UInt64 {
        entry(command, direction, isReply)?.count ?? 0
    }

    /// How many bytes they had.
    func bytes(_ command: UserCommand, _ direction: MessageDirection, isReply: Bool) -> UInt64 {
        entry(command, direction, isReply)?.byteCount ?? 0
    }

    private func entry(
        _ command: UserCommand, _ direction: MessageDirection, _ isReply: Bool
    ) -> Messages? {
        messages.first { $0.command == command && $0.direction == direction && $0.isReply == isReply }
    }
}
