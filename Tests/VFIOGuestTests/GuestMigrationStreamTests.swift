import Glibc
import IOVASpace
import LinuxSystem
import MovedMachine
import SoftwareHost
import Testing
import VFIO
import VFIOABI

@testable import VFIOGuest

@Suite("The stream of a guest that moves", .serialized)
struct GuestMigrationStreamTests {
    private static var small: SmallMachine.Shape {
        var shape = SmallMachine.Shape()
        shape.pages = 16
        shape.highPages = 2
        shape.devices = 2
        return shape
    }

    private func refusal(
        _ change: (inout SmallMachine.Shape) -> Void
    ) throws -> (source: GuestMigrationError, target: GuestMigrationError) {
        var other = Self.small
        change(&other)
        let move = try Move(seed: 3, Self.small, to: other)
        defer { move.end() }
        move.source.resume()
        let outcome = try move.run()
        #expect(move.complaintAboutSource() == nil)
        #expect(move.target.paused)
        return (try #require(outcome.source), try #require(outcome.target))
    }

    @Test(
        "2.4 what doesn't fit the guest at the destination is refused with its name, and both sides know it")
    func unsuitable() throws {
        for (text, change): (String, (inout SmallMachine.Shape) -> Void) in [
            ("ram", { $0.pages = 17 }), ("high", { $0.highPages = 3 }),
            ("device1", { $0.names = ["device0", "disk"] }), ("devices", { $0.devices = 1 }),
        ] {
            let errors = try refusal(change)
            #expect(errors.target.cause.code == .unsuitableStream)
            #expect(errors.target.description.contains(text), "\(errors.target)")
            #expect(errors.source.phase == .settingUp)
            #expect(errors.source.description.contains(text), "\(errors.source)")
        }
    }

    @Test("2.4 the state of another kind of device is refused with the device's name")
    func otherDevice() throws {
        // Its DMA engine is another's: only its own description tells.
        let narrow = try refusal { $0.mask = 0xff_ffff }
        #expect(narrow.target.description.contains("device0"), "\(narrow.target)")
        #expect(narrow.target.cause.code == .unsuitableStream)
        let plain = try refusal { $0.canReset = false }
        #expect(plain.target.description.contains("device0"), "\(plain.target)")
    }

    @Test("2.4 a configuration space of another device is refused before anything is written")
    func configuration() throws {
        let machine = try SmallMachine(seed: 1, Self.small)
        defer { machine.end() }
        let device = machine.devices[0].device
        let state = try DeviceConfigurationState(of: device)
        #expect(state.bytes.count == 4096)
        for (offset, what) in [(0, "vendor"), (9, "class"), (0x2e, "subsystem"), (0x34, "capabilities")] {
            var bytes = state.bytes
            bytes[offset] ^= 4
            bytes[4] = 0
            var writer = MigrationWriter()
            writer.append(UInt16(1))
            writer.append(UInt16(bytes.count))
            writer.append(bytes: bytes)
            var reader = MigrationReader(writer.bytes)
            let other = try DeviceConfigurationState(&reader)
            let error = #expect(throws: VFIOGuestError.self) { try other.load(into: device) }
            #expect(error?.cause?.contains(what) == true, "\(String(describing: error))")
            #expect(try DeviceConfigurationState(of: device) == state)
        }
        for (version, count) in [(2, 4), (1, 8), (1, 3)] {
            var writer = MigrationWriter()
            writer.append(UInt16(version))
            writer.append(UInt16(count))
            writer.append(bytes: [0, 0, 0, 0])
            var reader = MigrationReader(writer.bytes)
            #expect(throws: VFIOGuestError.self) { _ = try DeviceConfigurationState(&reader) }
        }
        // What a guest's driver has set comes along.
        try device.configuration.store8(0x3c, 0x0b)
        try device.setBusMaster(false)
        let changed = try DeviceConfigurationState(of: device)
        try state.load(into: device)
        #expect(try DeviceConfigurationState(of: device) == state)
        try changed.load(into: device)
        #expect(try DeviceConfigurationState(of: device) == changed)
    }

    /// The sections of a stream.
    private static func sections(_ bytes: [UInt8]) throws -> [MigrationFrame] {
        var frames: [MigrationFrame] = []
        var position = MigrationFrame.prologueByteCount
        while position + MigrationFrame.headerByteCount <= bytes.count {
            var header = MigrationReader(Array(bytes[position..<position + MigrationFrame.headerByteCount]))
            _ = try header.next(UInt32.self)
            let kind = try #require(MigrationFrameKind(rawValue: try header.next(UInt16.self)))
            _ = try header.next(UInt16.self)
            let count = Int(try header.next(UInt32.self))
            position += MigrationFrame.headerByteCount
            frames.append(MigrationFrame(kind: kind, payload: Array(bytes[position..<position + count])))
            position += count
        }
        return frames
    }

    /// Plays a stream to a destination.
    private func play(
        _ target: SmallMachine, before noise: [UInt8] = [],
        _ body: @escaping @Sendable (MigrationChannel) throws -> Void
    ) throws -> GuestMigrationError? {
        let ends = try Move.pair()
        let sender = try WorkerThread {
            let socket = UnixSocket(owning: Descriptor(owning: ends.1))
            if !noise.isEmpty { try? socket.sendAll(noise.span.bytes) }
            guard let channel = try? MigrationChannel(socket, milliseconds: 5000) else { return }
            try? body(channel)
            // Says no more, and listens until the other side has ended.
            shutdown(ends.1, 1)
            while (try? channel.receive()) != nil {}
        }
        defer { withExtendedLifetime(sender) {} }
        do throws(GuestMigrationError) {
            var options = GuestMigrationDestination.Options()
            options.patienceMilliseconds = 5000
            try GuestMigrationDestination(target.movable, options)
                .run(over: UnixSocket(owning: Descriptor(owning: ends.0)))
            return nil
        } catch {
            return error
        }
    }

    @Test("2.4 whatever a stranger sends ends in an error that says so, and never harms the destination")
    func fuzz() throws {
        var random = randomSeed("a stranger's stream")
        let move = try Move(seed: random.next(), Self.small)
        move.source.resume()
        let relay = Relay()
        #expect(try move.run({ relay.run($0, $1) }).source == nil)
        move.end()
        let recorded = relay.recorded.value
        let sections = try Self.sections(recorded)
        #expect(sections.last?.kind == .handOver)
        let target = try SmallMachine(seed: 0, Self.small)
        defer { target.end() }
        for turn in 0..<60 {
            var changed = sections
            var noise: [UInt8] = []
            switch turn % 6 {
            case 0:  // No stream at all.
                noise = (0...random.below(300)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
            case 1:  // One too few.
                let gone = changed.remove(at: random.below(changed.count - 1))
                // Pages may have come twice.
                if [.pages, .zeroPages].contains(gone.kind) { changed.removeLast() }
            case 2:  // One twice.
                let index = random.below(changed.count - 1)
                changed.insert(changed[index], at: index)
                if [.pages, .zeroPages, .deviceData, .initialDataSent, .mayStop].contains(changed[index].kind)
                {
                    changed.removeLast()
                }
            case 3:  // In another order.
                changed.swapAt(0, 1 + random.below(changed.count - 2))
            default:  // Another content, with a checksum that is right.
                let index = random.below(changed.count - 1)
                var payload = changed[index].payload
                if changed[index].kind == .pages { payload = Array(payload.prefix(24 + random.below(64))) }
                if payload.isEmpty || random.below(4) == 0 {
                    payload.append(UInt8(truncatingIfNeeded: random.next()))
                } else {
                    // Mostly at the beginning, where the numbers are.
                    let place = random.below(min(payload.count, 24))
                    payload[place] ^= UInt8(1 << random.below(8))
                }
                changed[index].payload = payload
                changed.removeLast()
            }
            let (stream, bytes) = (changed, noise)
            let error = try play(target, before: bytes) { channel in
                if !bytes.isEmpty { return }
                try channel.sendPrologue()
                for section in stream where section.payload.count <= section.kind.byteLimit {
                    try channel.send(section.kind, section.payload)
                }
            }
            let text = try #require(error, "turn \(turn)")
            #expect(!text.description.isEmpty)
            #expect(text.lostDevices == [], "turn \(turn): \(text)")
            #expect(target.paused)
            for device in target.devices { #expect(try device.device.migrationState() == .running) }
        }
        // After all that it takes the real one.
        let whole = sections
        let error = try play(target) { channel in
            try channel.sendPrologue()
            for section in whole { try channel.send(section.kind, section.payload) }
        }
        #expect(error == nil, "\(String(describing: error))")
        #expect(target.runs(20), "\(target.complaint ?? "")")
    }

    @Test("1.3, 2.4 what keeps a guest from moving is found before anything happens, and named")
    func blockers() throws {
        var shape = Self.small
        shape.driver = "vfio-pci"
        let plain = try SmallMachine(seed: 1, shape)
        defer { plain.end() }
        let blockers = plain.movable.blockers()
        #expect(blockers.map(\.object) == ["device0", "device1"])
        #expect(blockers.allSatisfy { $0.code == .notMovable && $0.remedy != nil })
        let ends = try Move.pair()
        _ = Descriptor(owning: ends.1)
        let error = #expect(throws: GuestMigrationError.self) {
            try GuestMigrationSource(plain.movable).run(over: UnixSocket(owning: Descriptor(owning: ends.0)))
        }
        #expect(error?.cause == blockers.first)

        let nodes = try SmallMachine(seed: 1, shape, route: .cdev)
        defer { nodes.end() }
        #expect(nodes.movable.blockers().contains { $0.cause?.contains("which pages were written") == true })

        let good = try SmallMachine(seed: 1, Self.small)
        defer { good.end() }
        #expect(good.movable.blockers() == [])
        let twice = MovableGuest(
            good.memory, blocks: good.blocks + good.blocks,
            devices: [
                MovableDevice(good.devices[0], named: "disk"),
                MovableDevice(good.devices[1], named: "disk", isMovable: false),
            ], processors: good)
        let found = twice.blockers()
        #expect(found.filter { $0.object == "disk" }.count == 2)
        #expect(found.contains { $0.object == "ram" } && found.contains { $0.object == "high" })
        // A device that somebody moves already.
        try good.devices[0].device.setMigrationState(.preCopy)
        #expect(good.movable.blockers().map(\.object) == ["device0"])
        try good.devices[0].device.setMigrationState(.running)

        // A guest's own IOMMU doesn't go together with the logs of devices.
        let translated = try MemoryRegion(
            "iommu", .iommu(try VIOMMU(to: good.space)), byteCount: 1 << 20, in: good.memory)
        try good.space.root.add(translated, at: 1 << 40)
        #expect(good.movable.blockers().contains { $0.cause?.contains("IOMMU of the guest's") == true })
        try good.space.root.remove(translated)
    }
}
