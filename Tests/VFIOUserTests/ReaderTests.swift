import LinuxSystem
import Testing
import VFIOABI
import VFIOUser

@Suite("Messages out of bytes")
struct ReaderTests {
    /// Feeds bytes in pieces and collects what comes out.
    private func messages(
        _ bytes: [UInt8], cuts: [Int], limit: Int = 4096
    ) throws -> [(header: UserMessageHeader, body: [UInt8], isOversized: Bool)] {
        var reader = try MessageReader(limit: limit)
        var all: [(header: UserMessageHeader, body: [UInt8], isOversized: Bool)] = []
        var start = 0
        for end in cuts + [bytes.count] where end > start {
            while start < end {
                start += reader.feed(
                    bytes.span.bytes.extracting(start..<end), descriptors: PassedDescriptors())
                while let message = try reader.next() {
                    let body = reader.body(of: message)
                    all.append(
                        (
                            message.header,
                            (0..<body.byteCount).map {
                                unsafe body.unsafeLoad(fromByteOffset: $0, as: UInt8.self)
                            },
                            message.isOversized
                        ))
                }
            }
        }
        return all
    }

    private let stream =
        RawClient.message(.deviceReset, id: 1) + RawClient.message(.regionRead, [1, 2, 3], id: 2)
        + RawClient.message(.regionWrite, [UInt8](repeating: 9, count: 40), id: 3)

    @Test("are the same wherever the stream is cut")
    func everyCut() throws {
        for first in 0...stream.count {
            for second in first...stream.count {
                let found = try messages(stream, cuts: [first, second])
                #expect(found.map(\.header.id) == [1, 2, 3])
                #expect(found.map(\.body.count) == [0, 3, 40])
                #expect(found[1].body == [1, 2, 3])
            }
        }
        #expect(try messages(stream, cuts: Array(0...stream.count)).count == 3)
    }

    @Test("that are too long are passed over, and the stream goes on")
    func oversized() throws {
        let long = RawClient.message(.regionWrite, [UInt8](repeating: 7, count: 100_000), id: 5)
        let bytes = stream + long + stream
        for step in [1, 7, 4096, bytes.count] {
            let cuts = Array(stride(from: 0, to: bytes.count, by: step))
            let found = try messages(bytes, cuts: cuts, limit: 64)
            #expect(found.map(\.header.id) == [1, 2, 3, 5, 1, 2, 3])
            #expect(found.map(\.isOversized) == [false, false, false, true, false, false, false])
            #expect(found[3].body.isEmpty)
        }
    }

    @Test("end where a header says that its message is shorter than itself")
    func shortSize() throws {
        for size: UInt32 in [0, 1, 15] {
            let header = UserMessageHeader(id: 4, command: .deviceReset, messageSize: size)
            #expect(throws: FramingError.messageSize(header)) {
                _ = try messages(stream + RawClient.bytes(header), cuts: [])
            }
        }
    }

    /// Sends pieces with an eventfd each where told, reads the way Linux hands them over, and says which message
    /// got how many descriptors.
    private func descriptors(_ pieces: [(bytes: [UInt8], has: Bool)], limit: Int = 4096) throws -> [UInt16:
        Int]
    {
        var found: [UInt16: Int] = [:]
        let canary = try Canary()
        do {
            try UnixSocket.withPair { (a, b) throws(Errno) in
                var reader = try MessageReader(limit: limit)
                for piece in pieces {
                    _ = try a.send(piece.bytes.span.bytes, descriptors: piece.has ? [canary.number] : [])
                }
                let total = pieces.map(\.bytes.count).reduce(0, +)
                var count = 0
                while count < total {
                    count += try reader.receive(from: b)
                    while let message = try? reader.next() {
                        found[message.header.id] = reader.descriptorCount
                    }
                }
            }
        }
        #expect(canary.isClosedEverywhere(), "descriptors were left open")
        return found
    }

    @Test("get the descriptors that were sent with their first byte, and no others")
    func attribution() throws {
        let one = RawClient.message(.dmaMap, [UInt8](repeating: 1, count: 32), id: 1)
        let two = RawClient.message(.dmaMap, [UInt8](repeating: 2, count: 32), id: 2)
        let three = RawClient.message(.dmaMap, [UInt8](repeating: 3, count: 32), id: 3)
        // Many in the socket at once.
        #expect(try descriptors([(one, false), (two, true), (three, false)]) == [1: 0, 2: 1, 3: 0])
        #expect(try descriptors([(one, true), (two, true), (three, true)]) == [1: 1, 2: 1, 3: 1])
        #expect(try descriptors([(one + two, false), (three, true)]) == [1: 0, 2: 0, 3: 1])
        // A header of its own, then the body.
        #expect(
            try descriptors([(Array(one[..<16]), true), (Array(one[16...]), false), (two, false)])
                == [1: 1, 2: 0])
        #expect(try descriptors([(Array(one[..<3]), true), (Array(one[3...]), false)]) == [1: 1])
        // Sent with something else than a message's first byte, but taken by the same read.
        #expect(
            try descriptors([(Array(one[..<20]), false), (Array(one[20...]), true), (two, false)])
                == [1: 1, 2: 0])
        // The end of one and the beginning of the next.
        #expect(
            try descriptors([(Array(one[..<20]), false), (one[20...] + two, true), (three, false)])
                == [1: 0, 2: 1, 3: 0])
    }

    @Test("that are too long lose their descriptors")
    func oversizedDescriptors() throws {
        let long = RawClient.message(.dmaMap, [UInt8](repeating: 1, count: 5000), id: 1)
        let next = RawClient.message(.dmaMap, [UInt8](repeating: 2, count: 32), id: 2)
        #expect(try descriptors([(long, true), (next, true)], limit: 64) == [1: 0, 2: 1])
        #expect(
            try descriptors(
                [(Array(long[..<100]), false), (Array(long[100...]), true), (next, false)], limit: 64)
                == [1: 0, 2: 0])
    }

    /// How many reads it takes to have all messages that were sent in one go.
    private func readCount(_ messages: [[UInt8]], _ reader: inout MessageReader) throws -> Int {
        var count = 0
        var ids: [UInt16] = []
        try UnixSocket.withPair { (a, b) throws(Errno) in
            for message in messages { try a.sendAll(message.span.bytes) }
            while ids.count < messages.count {
                count += 1
                guard try reader.receive(from: b, waits: false) > 0 else { return }
                while let message = try? reader.next() { ids.append(message.header.id) }
            }
        }
        #expect(ids == messages.indices.map { UInt16($0) })
        return count
    }

    @Test("take one read each where the other side waits for answers, and few where it doesn't")
    func reads() throws {
        func request(_ id: Int, _ byteCount: Int, flags: UserMessageFlags = []) -> [UInt8] {
            RawClient.message(
                .regionWrite, [UInt8](repeating: 1, count: byteCount), id: UInt16(id), flags: flags)
        }
        var reader = try MessageReader(limit: 4096)
        for _ in 0..<3 { #expect(try readCount([request(0, 20)], &reader) == 1) }
        // A longer one is a surprise once.
        #expect(try readCount([request(0, 24)], &reader) == 2)
        for byteCount in [24, 20, 0, 24, 16, 20, 24] {
            #expect(try readCount([request(0, byteCount)], &reader) == 1)
        }
        // Many that want no answer come as fast as they can.
        let posted = (0..<200).map { request($0, 20, flags: .noReply) }
        #expect(try readCount(posted, &reader) < 5)
        #expect(try readCount(posted + [request(200, 16)], &reader) < 5)
        // Many that do want one come all the same.
        #expect(try readCount((0..<50).map { request($0, $0 * 3 % 40) }, &reader) <= 100)
    }
}
