import Testing

@testable import LinuxSystem

@Suite("Descriptors have one owner")
struct DescriptorTests {
    @Test("The owner's end closes the descriptor")
    func closing() throws {
        var number: Int32 = -1
        do {
            let file = try MemoryFile.create("closed with its owner", byteCount: 1)
            number = file.number
            #expect(try FileSystem.linkTarget("/proc/self/fd/\(number)").contains("closed with its owner"))
        }
        // Other tests may be given the number again at once; this file is nobody else's.
        let link = try? FileSystem.linkTarget("/proc/self/fd/\(number)")
        #expect(link?.contains("closed with its owner") != true)
    }

    @Test("A missing file, a bad number and an unknown request keep their errnos")
    func errnos() throws {
        #expect(throws: Errno.noSuchEntry) { _ = try Descriptor(opening: "/nowhere/at/all") }
        #expect(throws: Errno.badDescriptor) { try Descriptor.control(987_654, 0x3b64, 0) }
        let null = try Descriptor(opening: "/dev/null", .readWrite)
        #expect(throws: Errno.noSuchRequest) { try null.control(0x3b64, 0) }
        #expect(Errno.noSuchRequest.description == "ENOTTY (25): the request isn't known there")
    }

    @Test("A file reads back what was written, and a hole reads as zeros")
    func files() throws {
        let file = try MemoryFile.create("holes", byteCount: 8192)
        let mapping = try Mapping(anonymous: 8192)
        for offset in stride(from: 0, to: 8192, by: 8) { mapping.window.store64(offset, UInt64(offset) | 1) }
        try file.write(at: 0, from: mapping.window)
        try file.makeHole(.punched, at: 4096, byteCount: 4096)
        let back = try Mapping(anonymous: 8192)
        #expect(try file.read(at: 0, into: back.window) == 8192)
        #expect(back.window.load64(4088) == 4089)
        #expect(back.window.load64(4096) == 0)
        #expect(try file.status().byteCount == 8192)
        #expect(try file.read(at: 8192, into: back.window) == 0)
    }

    @Test("An eventfd counts, wakes and times out")
    func events() throws {
        let event = try EventDescriptor()
        #expect(try event.take() == 0)
        event.signal()
        event.signal(2)
        #expect(try event.wait(milliseconds: 0) == 3)
        #expect(try event.wait(milliseconds: 1) == nil)
    }

    @Test("A second descriptor of an eventfd outlives the first; other files are refused as the kernel does")
    func duplicates() throws {
        let first = try EventDescriptor()
        let second = try EventDescriptor(duplicating: first.number)
        second.signal(5)
        #expect(try first.take() == 5)
        let null = try Descriptor(opening: "/dev/null")
        let number = null.number
        #expect(throws: Errno.invalid) { _ = try EventDescriptor(duplicating: number) }
        #expect(throws: Errno.badDescriptor) { _ = try EventDescriptor(duplicating: 987_654) }
    }

    @Test("A poller tells how many descriptors it has: one leaves when all who had it open have closed it")
    func watchedCount() throws {
        let poller = try Poller()
        #expect(poller.watchedCount == 0)
        let event = try EventDescriptor()
        try poller.add(event.number, .readable, tag: 1)
        do {
            let other = try EventDescriptor()
            try poller.add(other.number, .readable, tag: 2)
            let copy = try Descriptor(duplicating: other.number)
            #expect(poller.watchedCount == 2)
            try copy.close()
            #expect(poller.watchedCount == 2)
        }
        #expect(poller.watchedCount == 1)
        #expect(Descriptor.information("pos", of: event.number).count == 1)
        #expect(Descriptor.information("po", of: event.number) == [])
        #expect(Descriptor.information("pos", of: -1) == [])
    }

    @Test("A poller reports who is ready, by tag")
    func polling() throws {
        let poller = try Poller()
        let one = try EventDescriptor()
        let two = try EventDescriptor()
        try poller.add(one.number, .readable, tag: 11)
        try poller.add(two.number, .readable, tag: 22)
        var events: [Poller.Event] = []
        #expect(try poller.wait(into: &events, milliseconds: 0) == 0)
        two.signal()
        #expect(try poller.wait(into: &events, milliseconds: 1000) == 1)
        #expect(events == [Poller.Event(tag: 22, interest: .readable)])
        try poller.remove(two.number)
        events = []
        #expect(try poller.wait(into: &events, milliseconds: 0) == 0)
    }

    @Test("A socket carries bytes together with descriptors")
    func passing() throws {
        try UnixSocket.withPair { (left, right) throws(Errno) in
            let event = try EventDescriptor()
            let text: [UInt8] = [1, 2, 3, 4]
            let sent = try left.send(text.span.bytes, descriptors: [event.number])
            #expect(sent == 4)
            var bytes = [UInt8](repeating: 0, count: 16)
            var numbers: [Int32] = []
            var span = bytes.mutableSpan
            // SAFETY: plain bytes.
            var raw = unsafe span.mutableBytes
            let count = try right.receive(into: &raw, descriptors: &numbers)
            #expect(count == 4)
            #expect(numbers.count == 1)
            let received = Descriptor(owning: numbers[0])
            let again = try EventDescriptor(duplicating: received.number)
            again.signal(9)
            #expect(try event.take() == 9)
            #expect(throws: Errno.invalid) {
                _ = try left.send(text.span.bytes, descriptors: [Int32](repeating: 0, count: 17))
            }
        }
    }

    @Test("A closed peer reads as an end")
    func peerGone() throws {
        try UnixSocket.withPair { (left, right) throws(Errno) in
            try left.descriptorClosed()
            var bytes = [UInt8](repeating: 0, count: 4)
            var numbers: [Int32] = []
            var span = bytes.mutableSpan
            // SAFETY: plain bytes.
            var raw = unsafe span.mutableBytes
            let count = try right.receive(into: &raw, descriptors: &numbers)
            #expect(count == 0)
            #expect(throws: Errno.brokenPipe) { _ = try right.send([UInt8(1)].span.bytes) }
        }
    }

    @Test("A lock lets one thread in at a time")
    func locking() async {
        final class Counter: @unchecked Sendable {
            let lock = Lock()
            var value = 0
        }
        let counter = Counter()
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<4 {
                group.addTask { for _ in 0..<10_000 { counter.lock.withLock { counter.value += 1 } } }
            }
        }
        #expect(counter.lock.withLock { counter.value } == 40_000)
        #expect(counter.lock.tryLock())
        #expect(!counter.lock.tryLock())
        counter.lock.unlock()
    }
}

extension UnixSocket {
    /// Ends this side now.
    consuming func descriptorClosed() throws(Errno) {}
}
