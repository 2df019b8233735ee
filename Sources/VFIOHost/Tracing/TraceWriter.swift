import LinuxSystem

/// A file that traces are written to, from any thread and from several processes; and whoever is told of calls as they
/// end.
///
/// Each record is written at once and whole, without a lock: there is nothing to flush, not even when the process
/// forks or is killed. What can't be written (no space left) is counted and forgotten; the program goes on.
public final class TraceWriter: Sendable {
    private let file: Descriptor?
    /// The file's descriptor in this process, always above those that programs count, where that is allowed; -1 where
    /// nothing is written.
    public let number: Int32
    private let observer: Observer?
    /// When the trace began, on the monotonic clock.
    let start: UInt64
    private let lost = AtomicWord()
    /// The process that has said who it is; another one is a fork of it.
    private let announced = AtomicWord()

    /// Descriptors of ours stay away from the numbers that programs use, count and close.
    private static var lowestNumber: Int32 { 1000 }

    /// Takes a record when its call has ended, on the thread that called. Calls of several threads may come at once.
    public typealias Observer = @Sendable (TraceRecord) -> Void

    /// Tells of calls and writes nothing down.
    public init(telling observer: @escaping Observer) {
        file = nil
        number = -1
        self.observer = observer
        start = Clock.now
    }

    /// Begins a trace in a new file, or in the place of an old one.
    /// - Parameter observer: who is told of each record besides.
    public init(creating path: String, telling observer: Observer? = nil) throws(TraceError) {
        let file = try Self.open(path, [.readWrite, .create, .truncate, .append])
        start = Clock.now
        var header: [UInt8] = []
        header.append(number: TraceFormat.magic)
        header.append(number: TraceFormat.version)
        header.append(number: UInt32(TraceFormat.headerByteCount))
        header.append(number: start)
        // SAFETY: the array's bytes are all initialised.
        let bytes = unsafe header.span.bytes
        do throws(Errno) {
            guard try Descriptor.write(file.number, bytes) == header.count else { throw .noSpace }
        } catch {
            throw .file(error)
        }
        number = file.number
        self.file = consume file
        self.observer = observer
    }

    /// Goes on with a trace that ``init(creating:telling:)`` began, here or in another process.
    public init(appendingTo path: String) throws(TraceError) {
        let file = try Self.open(path, [.readWrite, .append])
        start = try TraceHeader(of: file).start
        number = file.number
        self.file = consume file
        observer = nil
    }

    private static func open(
        _ path: String, _ options: Descriptor.OpenOptions
    ) throws(TraceError) -> Descriptor {
        do throws(Errno) {
            let file = try Descriptor(opening: path, options)
            if let high = try? Descriptor(duplicating: file.number, from: lowestNumber) { return high }
            return file
        } catch {
            throw .file(error)
        }
    }

    /// How many records of this process couldn't be written.
    public var lostCount: UInt64 { lost.load() }

    /// Nanoseconds since the trace began.
    var now: UInt64 { Clock.now &- start }

    /// Whether a process still has to say who it is; only the first that asks is told so.
    func takesAnnouncement(of process: Int32) -> Bool {
        let process = UInt64(UInt32(bitPattern: process))
        guard announced.load() != process else { return false }
        // Two threads at the same moment both announce: readers don't mind.
        announced.store(process)
        return true
    }

    /// Writes a record.
    func write(_ record: TraceRecord) {
        observer?(record)
        guard number >= 0 else { return }
        let bytes = record.encoded()
        // SAFETY: the array's bytes are all initialised.
        let span = unsafe bytes.span.bytes
        // A part of a record is no use, and more of it can't follow: another process may have written meanwhile.
        if (try? Descriptor.write(number, span)) != bytes.count { lost.add(1) }
    }
}

/// What a trace begins with.
struct TraceHeader {
    /// When the trace began, on the monotonic clock.
    let start: UInt64
    /// How long the header is.
    let byteCount: Int

    init(of file: borrowing Descriptor) throws(TraceError) {
        var bytes = [UInt8](repeating: 0, count: TraceFormat.headerByteCount)
        let count: Int
        do throws(Errno) {
            var span = bytes.mutableSpan
            // SAFETY: the array holds plain bytes: any value written into it is one of its own.
            var raw = unsafe span.mutableBytes
            count = try file.read(at: 0, into: &raw)
        } catch {
            throw .file(error)
        }
        guard count == bytes.count else { throw .noTrace }
        var rest = bytes[...]
        guard rest.takeNumber(UInt64.self) == TraceFormat.magic else { throw .noTrace }
        let version = rest.takeNumber(UInt32.self)
        guard version == TraceFormat.version else { throw .version(version) }
        byteCount = Int(rest.takeNumber(UInt32.self))
        guard byteCount >= TraceFormat.headerByteCount, byteCount <= 4096 else { throw .noTrace }
        start = rest.takeNumber(UInt64.self)
    }
}
