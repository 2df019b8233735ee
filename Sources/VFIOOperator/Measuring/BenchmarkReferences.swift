import LinuxSystem

/// What numbers are compared with: things that everybody knows, measured in the same run and the same way.
final class BenchmarkReferences {
    /// Something that was measured to be compared with.
    typealias Reference = DeviceBenchmark.Reference

    private let sampler: Sampler
    private var known: [String: Reference] = [:]

    init(_ sampler: Sampler) { self.sampler = sampler }

    private func measured(_ name: String, _ body: (Int) -> Void) -> Reference {
        if let reference = known[name] { return reference }
        let samples = sampler.measure(body)
        let reference = Reference(name: name, nanoseconds: samples.median)
        known[name] = reference
        return reference
    }

    /// A system call that does nothing.
    var systemCall: Reference {
        measured("getpid system call") { count in
            for _ in 0..<count { Sampler.keep(UInt64(truncatingIfNeeded: ProcessLimits.processID)) }
        }
    }

    /// A word of memory.
    func memory(isWritten: Bool) -> Reference? {
        guard let mapping = try? Mapping(anonymous: 4096) else { return nil }
        let window = mapping.window
        window.store32(0, 1)
        return measured(isWritten ? "store to memory" : "load from memory") { count in
            if isWritten {
                for index in 0..<count { window.store32(0, UInt32(truncatingIfNeeded: index)) }
            } else {
                var sum: UInt32 = 0
                for _ in 0..<count { sum &+= window.load32(0) }
                Sampler.keep(UInt64(sum))
            }
        }
    }

    /// Copying within the processor's caches.
    func copy(byteCount: Int) -> Reference? {
        guard let mapping = try? Mapping(anonymous: 2 * byteCount) else { return nil }
        let source = mapping.window.window(at: 0, byteCount: byteCount)
        let target = mapping.window.window(at: byteCount, byteCount: byteCount)
        source.store32(0, 1)
        return measured("copy of \(ByteText.of(byteCount))") { count in
            for _ in 0..<count { target.copy(from: source, at: 0, to: 0, byteCount: byteCount) }
        }
    }

    /// Making memory of a length and giving it back, without touching it.
    func mapping(byteCount: Int) -> Reference {
        measured("mmap and munmap of \(ByteText.of(byteCount))") { count in
            for _ in 0..<count {
                guard let mapping = try? Mapping(anonymous: byteCount) else { return }
                Sampler.keep(UInt64(mapping.window.address.rawValue))
            }
        }
    }

    /// A message of 32 bytes to another thread and one back.
    var socket: Reference? {
        guard let echo = try? SocketEcho() else { return nil }
        return measured("message over a socket and back") { count in
            for _ in 0..<count { echo.trip() }
        }
    }
}

/// Another thread that sends back what it gets.
private final class SocketEcho {
    /// A socket that two threads know.
    private final class End: Sendable {
        let number: Int32
        init(_ number: Int32) { self.number = number }
        deinit { _ = Descriptor(owning: number) }
    }

    private let near: End
    private let thread: WorkerThread

    init() throws(Errno) {
        let numbers = try UnixSocket.makePair()
        let far = End(numbers.1)
        near = End(numbers.0)
        thread = try WorkerThread {
            while SocketEcho.receive(far.number) { SocketEcho.send(far.number) }
        }
    }

    /// A message there and back.
    func trip() {
        Self.send(near.number)
        _ = Self.receive(near.number)
    }

    // The other thread ends when this side says that nothing more comes.
    deinit { UnixSocket.shutDown(near.number) }

    private static func send(_ number: Int32) {
        let message = InlineArray<32, UInt8>(repeating: 1)
        // SAFETY: a UInt8 has no padding.
        _ = try? Descriptor.write(number, unsafe message.span.bytes)
    }

    private static func receive(_ number: Int32) -> Bool {
        var message = InlineArray<32, UInt8>(repeating: 0)
        var span = message.mutableSpan
        // SAFETY: a UInt8 has no padding.
        var bytes = unsafe span.mutableBytes
        let count = (try? Descriptor.read(number, into: &bytes)) ?? 0
        return count == 32
    }
}

/// A number of bytes as people read it: "4 KiB".
enum ByteText {
    static func of(_ count: Int) -> String {
        for (shift, unit) in [(30, "GiB"), (20, "MiB"), (10, "KiB")]
        where count >= 1 << shift && count % (1 << shift) == 0 {
            return "\(count >> shift) \(unit)"
        }
        return "\(count) bytes"
    }
}
