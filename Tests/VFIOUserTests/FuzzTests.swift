import JSONText
import DeviceModel
import LinuxSystem
import Testing
import VFIOABI
import VFIOUser

/// Random and mutated bytes. `VFIO_FUZZ_COUNT` says how many messages, texts or conversations each test has,
/// `VFIO_FUZZ_SECONDS` how long each lasts instead, `VFIO_USER_SEED` repeats a run.
@Suite("A hostile client")
struct FuzzTests {
    private let commands: [UserCommand] = (0...20).map { UserCommand(rawValue: $0) }

    /// A message whose fields are near what makes sense.
    private func message(_ random: inout Generator) -> [UInt8] {
        let command = commands[random.below(commands.count)]
        var body: [UInt8] = []
        switch command {
        case .version:
            let texts = [
                "{}", #"{"capabilities":{"max_msg_fds":8}}"#, #"{"capabilities":[{"a":{"b":[1,2e5,null]}}]}"#,
                "",
            ]
            body =
                RawClient.bytes(
                    UserVersion(major: UInt16(random.below(16) / 15), minor: UInt16(random.below(3))))
                + Array(texts[random.below(4)].utf8) + (random.below(4) > 0 ? [0] : [])
        case .dmaMap:
            body = RawClient.bytes(
                UserDMAMap(
                    argsz: random.below(8) == 0 ? UInt32(random.below(64)) : 32,
                    flags: UserDMAMapFlags(rawValue: UInt32(random.below(20))), offset: number(&random),
                    address: number(&random), size: number(&random)))
        case .dmaUnmap:
            body = RawClient.bytes(
                UserDMAUnmap(
                    argsz: 24, flags: UserDMAUnmapFlags(rawValue: random.below(4) == 0 ? 2 : 0),
                    address: number(&random), size: number(&random)))
        case .deviceGetInfo: body = RawClient.bytes(UserDeviceInfo(argsz: UInt32(random.below(40))))
        case .deviceGetRegionInfo:
            body = RawClient.bytes(
                RegionInfo(argsz: UInt32(random.below(100)), index: UInt32(random.below(11))))
        case .deviceGetIRQInfo: body = RawClient.bytes(IRQInfo(index: UInt32(random.below(7))))
        case .deviceSetIRQs:
            let count = UInt32(truncatingIfNeeded: random.below(8) == 0 ? Int.max : random.below(10))
            body = RawClient.bytes(
                IRQSet(
                    flags: IRQSetFlags(
                        rawValue: UInt32([0x24, 0x21, 0x22, 0x14, 0x11, 0x09, 0x3f][random.below(7)])),
                    index: UInt32(random.below(6)), start: UInt32(random.below(80)), count: count))
            body += [UInt8](repeating: 1, count: random.below(12))
        case .regionRead, .regionWrite:
            let count = [0, 1, 2, 4, 8, 3, 100, 5000][random.below(8)]
            body = RawClient.bytes(
                UserRegionAccess(
                    offset: number(&random), region: UInt32(random.below(10)), count: UInt32(count)))
            if command == .regionWrite {
                body += (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next()) }
            }
        case .regionWriteMulti:
            let count = random.below(20)
            body = RawClient.bytes(UserRegionWriteMulti(writeCount: UInt64(count)))
            for _ in 0..<count {
                let access = UserRegionAccess(
                    offset: number(&random), region: UInt32(random.below(9)), count: UInt32(random.below(10)))
                body += RawClient.bytes(UserRegionWrite(access: access, data: random.next()))
            }
        default: body = (0..<random.below(64)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        }
        let flags: UserMessageFlags = [[], [], [], .noReply, .reply, UserMessageFlags(rawValue: 3)][
            random.below(6)]
        var bytes = RawClient.message(
            command, body, id: UInt16(truncatingIfNeeded: random.next()), flags: flags)
        // Then something is changed in it.
        switch random.below(8) {
        case 0: bytes[random.below(bytes.count)] ^= UInt8(1 << random.below(8))
        case 1: bytes[random.below(bytes.count)] = UInt8(truncatingIfNeeded: random.next())
        case 2: bytes.removeLast(random.below(bytes.count))
        case 3: bytes += (0..<random.below(40)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        default: break
        }
        return bytes
    }

    private func number(_ random: inout Generator) -> UInt64 {
        switch random.below(8) {
        case 0: random.next()
        case 1: .max - UInt64(random.below(5000))
        case 2: 0
        case 3: UInt64(random.below(0x12000))
        case 4: UInt64(random.below(0x200))
        default: UInt64(random.below(16)) << 12
        }
    }

    @Test("finds no bytes that the decoders can't take, wherever they are cut")
    func decoders() throws {
        var random = Generator.seeded("decoders")
        let limits = Limits(transferByteCount: 4096)
        var budget = FuzzBudget("messages", 20_000)
        while budget.goes {
            var reader = try MessageReader(limit: limits.messageByteCount)
            var bytes: [UInt8] = []
            let count = 1 + random.below(50)
            for _ in 0..<count { bytes += message(&random) }
            if random.below(20) == 0 {
                bytes = (0..<500).map { _ in UInt8(truncatingIfNeeded: random.next()) }
            }
            budget.spend(count)
            var taken = 0
            // What comes out is counted against what went in: nothing is invented.
            var given = 0
            feeding: while taken < bytes.count {
                let end = taken + 1 + random.below(min(bytes.count - taken, 300))
                let piece = bytes.span.bytes.extracting(taken..<end)
                taken += reader.feed(piece, descriptors: PassedDescriptors())
                while true {
                    do throws(FramingError) {
                        guard let message = try reader.next() else { break }
                        let body = reader.body(of: message)
                        given += 16 + body.byteCount
                        let fits =
                            message.isOversized || body.byteCount + 16 == Int(message.header.messageSize)
                        if given > taken || !fits { Issue.record("a message that wasn't sent") }
                        guard let request = try? ClientRequest(message.header.command, body, limits) else {
                            continue
                        }
                        if request != .deviceReset && request.payloadOffset > body.byteCount {
                            Issue.record("\(request) has no room for itself")
                        }
                    } catch {
                        break feeding
                    }
                }
            }
        }
    }

    @Test("finds no text that the JSON reader can't take; what it takes, it writes and takes again")
    func json() throws {
        var random = Generator.seeded("json")
        let words: [String] = [
            "{", "}", "[", "]", ":", ",", "\"a\"", "\"", "\\", "\\u12", "1", "-", "0", ".5", "e9", "true",
            "nul", "null", " ",
            "\u{0}", "é", "\"capabilities\"", "\"max_msg_fds\"", "99999999999999999999",
        ]
        var budget = FuzzBudget("texts", 20_000)
        while budget.goes {
            budget.spend(1)
            var text: [UInt8] = Array(#"{"capabilities":{"max_msg_fds":8,"x":[1,2,{"y":null}]}}"#.utf8)
            if random.below(2) == 0 {
                text = []
                for _ in 0..<random.below(30) { text += Array(words[random.below(words.count)].utf8) }
            }
            for _ in 0..<random.below(4) where !text.isEmpty {
                text[random.below(text.count)] = UInt8(truncatingIfNeeded: random.next())
            }
            if let value = try? JSON(text) { #expect(try JSON(Array(value.text.utf8)) == value) }
            _ = try? Capabilities(text: text + [0])
        }
    }

    /// Says whatever comes to mind and leaves, sometimes in the middle of a word.
    private func talk(_ random: inout Generator, _ path: String, _ file: Int32, _ event: Int32) throws {
        let socket = try UnixSocket(connecting: path)
        var bytes: [UInt8] = []
        if random.below(16) > 0 {
            bytes = RawClient.message(
                .version, RawClient.bytes(UserVersion()) + hellos[random.below(hellos.count)])
        }
        // Mostly the device may reach memory, of which a part takes messages.
        if random.below(4) > 0 {
            let access = UserRegionAccess(offset: 4, region: PCIRegion.config.rawValue, count: 2)
            bytes += RawClient.message(.regionWrite, RawClient.bytes(access) + [7, 0], flags: .noReply)
            bytes += RawClient.message(
                .dmaMap, RawClient.bytes(UserDMAMap(flags: [.read, .write], address: 0, size: 0x4000)),
                flags: .noReply)
        }
        var descriptors: [Int32] = []
        var peer = Peer()
        for _ in 0..<random.below(40) {
            bytes += random.below(3) == 0 ? trigger(&random) : message(&random)
            switch random.below(6) {
            case 0: descriptors = [Int32](repeating: event, count: 1 + random.below(12))
            case 1: descriptors = [file]
            default: break
            }
            if random.below(3) == 0 {
                // A server that has hung up is fine.
                guard (try? send(socket, bytes, descriptors)) != nil else { return }
                bytes = peer.answers(socket, &random)
                descriptors = []
            }
        }
        _ = try? send(socket, bytes, descriptors)
    }

    private let hellos: [[UInt8]] = [
        RawClient.hello, RawClient.hello, Array(#"{"capabilities":{"max_data_xfer_size":5}}"#.utf8) + [0],
        Array(#"{"capabilities":{"twin_socket":{"supported":true}}}"#.utf8) + [0],
    ]

    /// A write that has the device do something.
    private func trigger(_ random: inout Generator) -> [UInt8] {
        let offset = 0x100 + UInt64(random.below(8)) * 8
        let access = UserRegionAccess(offset: offset, region: 0, count: 8)
        return RawClient.message(
            .regionWrite, RawClient.bytes(access) + RawClient.bytes(UInt64(random.below(0x3000))),
            id: UInt16(random.below(4)), flags: random.below(2) == 0 ? .noReply : [])
    }

    /// The side of a client that listens: carries commands of the server out, more or less.
    private struct Peer {
        private var pending: [UInt8] = []

        /// Reads what is there, so that the server never waits for room.
        /// - Returns: what is said to it.
        mutating func answers(_ socket: borrowing UnixSocket, _ random: inout Generator) -> [UInt8] {
            var room = [UInt8](repeating: 0, count: 65_536)
            var passed = PassedDescriptors()
            while true {
                var span = room.mutableSpan
                var bytes = span.mutableBytes
                guard
                    let got = try? socket.receiveMessage(into: &bytes, waits: false, descriptors: &passed)
                        .byteCount, got > 0
                else { break }
                pending += room[..<got]
            }
            var answers: [UInt8] = []
            while let header = UserMessageHeader(pending.span.bytes), header.messageSize >= 16,
                pending.count >= Int(header.messageSize)
            {
                let message = Array(pending[..<Int(header.messageSize)])
                pending.removeFirst(message.count)
                guard header.isCommand, random.below(8) > 0 else { continue }
                var answer = Array(message[..<min(message.count, 32)])
                answer[8] = random.below(8) == 0 ? 0x21 : 1
                let access = UserDMAAccess(message.span.bytes, at: 16)
                if header.command == .dmaRead, let access, access.count < 1 << 20 {
                    answer += [UInt8](repeating: 0x5a, count: Int(access.count))
                }
                answer.replaceSubrange(4..<8, with: RawClient.bytes(UInt32(answer.count)))
                if random.below(8) == 0 { answer[random.below(answer.count)] ^= 1 << UInt8(random.below(8)) }
                answers += answer
            }
            return answers
        }
    }

    private func send(_ socket: borrowing UnixSocket, _ bytes: [UInt8], _ descriptors: [Int32]) throws {
        var done = 0
        while done < bytes.count {
            done += try socket.send(
                bytes.span.bytes.extracting(done..<bytes.count), descriptors: done == 0 ? descriptors : [])
        }
    }

    @Test("has conversations that end no server, and leave nothing behind")
    func conversations() throws {
        var random = Generator.seeded("conversations")
        let path = "/tmp/vfio-user-fuzz-\(Clock.now).sock"
        let device = try TestDevice(
            answersReadsDuringDMA: random.below(2) == 0,
            doorbells: [DoorbellRegister(bar: 0, offset: 0x40, width: 4, value: .latest)])
        let patience = Patience(
            handshakeMilliseconds: 1000, answerMilliseconds: 50, stalledMilliseconds: 2)
        let server = try Server(device, at: path, limits: Limits(patience: patience))
        let thread = try WorkerThread { try? server.run() }
        let canary = try Canary()
        let file = try MemoryFile.create("fuzz", byteCount: 1 << 20)
        var budget = FuzzBudget("conversations", 200)
        var turn = 0
        while budget.goes {
            budget.spend(1)
            turn += 1
            try talk(&random, path, turn % 3 == 0 ? canary.number : file.number, canary.number)
        }
        // It still works.
        let client = try RawClient.connect(path)
        try client.negotiate()
        #expect(try client.read(.config, 0, 2) == [0x34, 0x12])
        server.stop()
        _ = consume thread
        #expect(canary.isClosedEverywhere())
        #expect(device.quiesceCount > 0)
    }
}
