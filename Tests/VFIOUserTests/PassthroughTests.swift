import DeviceModel
import LinuxSystem
import Testing
import VFIO
import VFIOABI
import VFIOHost

@testable import VFIOUser

/// What a client does between its user and a server's function; `vfio conform --host user:SOCKET` has the details.
@Suite("A device behind a socket is a kernel's device to its user")
struct PassthroughTests {
    private typealias Command = PCIConfiguration.Command

    private func command(_ device: Device) throws -> UInt16 { try device.configuration.load16(0x04) }

    @Test("begins without bus mastering and with its memory on, whatever the last user left")
    func opening() throws {
        let model = try TestDevice()
        let running = try RunningServer(try Server(model, at: unusedSocketPath()))
        let host = try VFIOUserHost(connecting: try #require(running.server.path))
        for _ in 0..<2 {
            let device = try Device(opening: VFIOUserHost.deviceAddress, on: host)
            #expect(try command(device) & 7 == 3)
            #expect(try device.region(.bar0).load32(0x40) == 0, "it answers")
            let address = try device.configuration.load32(0x10)
            #expect(address != 0 && address % 0x2000 == 0, "and seems to have a place on a bus")
            try device.setBusMaster(true)
            try device.configuration.store32(0x10, 0x1234_0000)
            try device.configuration.store8(0x3c, 7)
            #expect(model.function.configuration.command & Command.busMaster != 0)
            #expect(
                model.function.configuration.value(at: 0x10, width: 4) == 0, "which the server isn't told")
            #expect(try device.configuration.load8(0x3c) == 7)
        }
        #expect(model.function.configuration.command & Command.busMaster == 0, "closed")
    }

    @Test("doesn't answer while the user has its memory off, and the server isn't asked")
    func memoryOff() throws {
        let model = try TestDevice()
        let running = try RunningServer(try Server(model, at: unusedSocketPath()))
        let host = try VFIOUserHost(connecting: try #require(running.server.path))
        let device = try Device(opening: VFIOUserHost.deviceAddress, on: host)
        let registers = try device.region(.bar0)
        try registers.store32(0x40, 5)
        try device.setMemoryEnabled(false)
        let before = model.accesses.count
        #expect(throws: VFIOError.self) { _ = try registers.load32(0x40) }
        #expect(throws: VFIOError.self) { try registers.store32(0x40, 6) }
        #expect(model.accesses.count == before)
        try device.setMemoryEnabled(true)
        #expect(try registers.load32(0x40) == 5)
    }

    @Test("keeps its memory on and its line quiet when its server comes back, and masters no bus")
    func reconnecting() throws {
        let path = unusedSocketPath()
        var running: RunningServer? = try RunningServer(try Server(try TestDevice(), at: path))
        let host = try VFIOUserHost(connecting: path)
        let device = try Device(opening: VFIOUserHost.deviceAddress, on: host)
        try device.setBusMaster(true)
        try device.configuration.store16(0x04, 0x0406)
        running?.stop()
        running = nil
        let registers = try device.region(.bar0)
        #expect(throws: VFIOError.self) { _ = try registers.load32(0x40) }
        let model = try TestDevice()
        running = try RunningServer(try Server(model, at: path))
        #expect(try registers.load32(0x40) == 0)
        #expect(model.function.configuration.command == Command.memory | Command.interruptDisable)
        withExtendedLifetime(running) {}
    }

    @Test(
        "is refused if its configuration space has no length that PCI knows",
        arguments: [0, 64, 255, 4095, 8192])
    func configurationLength(_ byteCount: UInt64) throws {
        let server = try ScriptedServer { peer in
            var liar = Liar(Generator(state: byteCount))
            liar.configurationByteCount = byteCount
            while let message = try? peer.receive() { try peer.send(liar.answer(message)) }
        }
        #expect(throws: ClientFailure.malformed(.deviceGetRegionInfo)) {
            _ = try VFIOUserHost(connecting: server.path)
        }
        try server.finish()
    }

    @Test("may be anything: a server that answers at random ends in errors, and nothing else")
    func nonsense() throws {
        var generator = Generator.seeded("a server that answers at random")
        for _ in 0..<setting("VFIO_USER_LIARS", 40) {
            let seed = generator.next()
            let server = try ScriptedServer { peer in
                var liar = Liar(Generator(state: seed))
                while let message = try? peer.receive() {
                    // The client may have left.
                    guard (try? peer.send(liar.answer(message))) != nil else { return }
                }
            }
            if let host = try? VFIOUserHost(connecting: server.path) { use(host, &generator) }
            try server.finish()
        }
    }

    /// Does what a user can do, in any order.
    private func use(_ host: VFIOUserHost, _ generator: inout Generator) {
        guard let container = try? Container(on: host), let group = try? Group(0, on: host),
            (try? group.setContainer(container)) != nil, (try? container.setIOMMU(.type1v2)) != nil,
            let device = try? group.openDevice("0000:00:00.0")
        else { return }
        for _ in 0..<60 {
            switch generator.below(6) {
            case 0:
                _ = try? device.control(UInt32(Request.deviceReset.rawValue))
            case 1:
                let flags: FeatureFlags = generator.below(2) == 0 ? [.set] : [.set, .probe]
                let feature = Feature(rawValue: UInt16(3 + generator.below(3)))
                var request = DeviceFeature(argsz: 8, flags: FeatureFlags(feature, flags))
                _ = try? device.control(UInt32(Request.deviceFeature.rawValue), &request)
            case 2:
                let kinds: [IRQSetFlags] = [.dataNone, .dataBool, .dataEventFD]
                let actions: [IRQSetFlags] = [.actionTrigger, .actionMask, .actionUnmask]
                let count = generator.below(4)
                var bytes = RawClient.bytes(
                    IRQSet(
                        argsz: UInt32(20 + 4 * count),
                        flags: [kinds[generator.below(3)], actions[generator.below(3)]],
                        index: UInt32(generator.below(5)), start: UInt32(generator.below(3)),
                        count: UInt32(count)))
                bytes += [UInt8](repeating: 0xff, count: 4 * count)
                _ = try? device.control(UInt32(Request.deviceSetIRQs.rawValue), bytes: &bytes)
            case 3:
                var bytes = [UInt8](repeating: 0, count: 1 + generator.below(300))
                var span = bytes.mutableSpan
                var room = span.mutableBytes
                _ = try? device.read(at: place(&generator), into: &room)
            default:
                var bytes = [UInt8](repeating: 0, count: 1 + generator.below(12))
                for index in bytes.indices { bytes[index] = UInt8(truncatingIfNeeded: generator.next()) }
                _ = try? device.write(at: place(&generator), bytes.span.bytes)
            }
        }
    }

    private func place(_ generator: inout Generator) -> UInt64 {
        let region = [7, 7, 7, UInt64(generator.below(10))][generator.below(4)]
        return region << PCIRegionOffset.shift | UInt64(generator.below(generator.below(2) == 0 ? 256 : 4096))
    }
}

/// A server whose answers have the right form, and anything in it.
private struct Liar {
    var generator: Generator
    var configurationByteCount: UInt64
    private var registers: [UInt8]

    init(_ generator: Generator) {
        self.generator = generator
        configurationByteCount = self.generator.below(2) == 0 ? 256 : 4096
        registers = (0..<4096).map { _ in 0 }
        for index in registers.indices { registers[index] = UInt8(truncatingIfNeeded: self.generator.next()) }
        // Often enough there is a chain of capabilities that looks like one.
        registers[6] |= 0x10
        registers[0x34] = UInt8(0x40 + 4 * self.generator.below(48))
        for at in stride(from: 0x40, to: 0x100, by: 4) {
            registers[at] = UInt8(self.generator.below(0x16))
            registers[at + 1] = UInt8(0x40 + 4 * self.generator.below(48))
        }
    }

    mutating func answer(_ message: RawClient.Reply) -> [UInt8] {
        let header = message.header
        var body: [UInt8] = []
        switch header.command {
        case .deviceGetInfo:
            body = RawClient.bytes(UserDeviceInfo(flags: [.pci, .reset], regionCount: 9, irqCount: 5))
        case .deviceGetRegionInfo:
            let index = message.value(RegionInfo.self)?.index ?? 0
            let sizes: [UInt64] = [0, 1, 24, 4096, 0x10001, 1 << 40]
            let size = index == 7 ? configurationByteCount : sizes[generator.below(sizes.count)]
            body = RawClient.bytes(RegionInfo(flags: [.read, .write], index: index, size: size))
        case .deviceGetIRQInfo:
            let index = message.value(IRQInfo.self)?.index ?? 0
            let counts: [UInt32] = [0, 1, 5, 33, 4096, .max]
            body = RawClient.bytes(
                IRQInfo(flags: .eventFD, index: index, count: counts[generator.below(counts.count)]))
        case .regionRead:
            guard let access = message.value(UserRegionAccess.self) else { break }
            body = RawClient.bytes(access)
            for index in 0..<Int(access.count) {
                let at = Int(truncatingIfNeeded: access.offset) + index
                let isKnown = access.region == 7 && at < registers.count && generator.below(64) != 0
                body.append(isKnown ? registers[at] : UInt8(truncatingIfNeeded: generator.next()))
            }
        case .regionWrite: body = Array(message.body.prefix(UserRegionAccess.byteCount))
        default: break
        }
        let refuses = header.command != .deviceGetInfo && generator.below(40) == 0
        guard refuses else { return RawClient.message(header.command, body, id: header.id, flags: .reply) }
        return RawClient.bytes(
            UserMessageHeader(
                id: header.id, command: header.command, messageSize: 16, flags: [.reply, .error],
                error: UInt32(1 + generator.below(200))))
    }
}
