import LinuxSystem
import VFIOABI

/// Commands that came while something else was waited for, in the order in which they came. Fixed memory.
struct CommandQueue: ~Copyable {
    /// What precedes each command's body: its header, its length and its descriptors.
    private struct Record: BitwiseCopyable {
        var header = UserMessageHeader()
        var byteCount: UInt32 = 0
        var receivedAt: UInt64 = 0
        var isOversized = false
        /// Whether it was taken out before those that came earlier.
        var isTaken = false
        var descriptorCount: UInt8 = 0
        var descriptors = InlineArray<16, Int32>(repeating: -1)
    }

    private var store: ByteStore
    /// The records [front, end) are there.
    private var front = 0
    private var end = 0
    private var descriptorCount = 0
    /// How many commands there are.
    private(set) var count = 0
    /// How many of them want an answer.
    private(set) var unansweredCount = 0

    /// The most descriptors that all commands have together: a client can't use up the process's.
    private static let descriptorLimit = 256

    /// - Parameter byteCount: how much is kept at most.
    /// - Throws: `ENOMEM`.
    init(byteCount: Int) throws(Errno) { store = try ByteStore(byteCount: byteCount) }

    deinit {
        var at = front
        while let record = load(at) {
            if !record.isTaken { Self.close(record) }
            at += Self.stride(record)
        }
    }

    private static func close(_ record: Record) {
        for index in 0..<Int(record.descriptorCount) {
            _ = Descriptor(owning: record.descriptors[index])
        }
    }

    private static func stride(_ record: Record) -> Int {
        (MemoryLayout<Record>.stride + Int(record.byteCount) + 7) & ~7
    }

    private func load(_ at: Int) -> Record? {
        guard at < end else { return nil }
        // SAFETY: `append` has put a record there.
        return unsafe store.bytes.unsafeLoadUnaligned(fromByteOffset: at, as: Record.self)
    }

    /// Adds a command.
    /// - Returns: whether there was room for it.
    mutating func append(
        _ message: Message, _ body: RawSpan, _ descriptors: consuming PassedDescriptors
    ) -> Bool {
        var descriptors = descriptors
        var record = Record()
        record.header = message.header
        record.receivedAt = message.receivedAt
        record.byteCount = UInt32(truncatingIfNeeded: body.byteCount)
        record.isOversized = message.isOversized
        let size = Self.stride(record)
        if front == end {
            front = 0
            end = 0
        }
        if size > store.byteCount - end, front > 0 {
            store.move(end - front, from: front, to: 0)
            end -= front
            front = 0
        }
        guard size <= store.byteCount - end, descriptorCount + descriptors.count <= Self.descriptorLimit
        else { return false }
        var passed = 0
        while let descriptor = descriptors.takeFirst() {
            record.descriptors[passed] = descriptor.release()
            passed += 1
        }
        record.descriptorCount = UInt8(passed)
        let at = end
        var bytes = store.mutableBytes
        bytes.storeBytes(of: record, toByteOffset: at, as: Record.self)
        bytes.copy(body, to: at + MemoryLayout<Record>.stride)
        end += size
        count += 1
        descriptorCount += Int(record.descriptorCount)
        if !message.header.flags.contains(.noReply) { unansweredCount += 1 }
        return true
    }

    /// The place of the command that came first; nil where there is none.
    var firstPlace: Int? { place(from: front) }

    /// The place of the command that came after the one at a place; nil where there is none.
    func place(after place: Int) -> Int? {
        guard let record = load(place) else { return nil }
        return self.place(from: place + Self.stride(record))
    }

    private func place(from start: Int) -> Int? {
        var at = start
        while let record = load(at) {
            if !record.isTaken { return at }
            at += Self.stride(record)
        }
        return nil
    }

    /// The command at a place, which stays there. Places are valid until a command is added.
    func message(at place: Int) -> Message? {
        guard let record = load(place), !record.isTaken else { return nil }
        return Message(
            header: record.header, bodyStart: place + MemoryLayout<Record>.stride,
            bodyByteCount: Int(record.byteCount), isOversized: record.isOversized, isQueued: true,
            receivedAt: record.receivedAt)
    }

    /// Takes out the command that came first. Its body stays where it is until one is added.
    mutating func next(_ descriptors: inout PassedDescriptors) -> Message? {
        guard let place = firstPlace else { return nil }
        return take(at: place, &descriptors)
    }

    /// Takes out the command at a place, also before those that came earlier. Its body stays where it is until one
    /// is added.
    mutating func take(at place: Int, _ descriptors: inout PassedDescriptors) -> Message? {
        guard let message = message(at: place), var record = load(place) else { return nil }
        record.isTaken = true
        store(record, at: place)
        count -= 1
        descriptorCount -= Int(record.descriptorCount)
        if !record.header.flags.contains(.noReply) { unansweredCount -= 1 }
        descriptors = PassedDescriptors()
        for index in 0..<Int(record.descriptorCount) {
            descriptors.append(Descriptor(owning: record.descriptors[index]))
        }
        while let first = load(front), first.isTaken { front += Self.stride(first) }
        return message
    }

    /// The command at a place was answered, though it is yet to be carried out.
    mutating func setAnswered(at place: Int) {
        guard var record = load(place), !record.isTaken, !record.header.flags.contains(.noReply) else {
            return
        }
        record.header.flags.insert(.noReply)
        unansweredCount -= 1
        store(record, at: place)
    }

    private mutating func store(_ record: Record, at place: Int) {
        var bytes = store.mutableBytes
        bytes.storeBytes(of: record, toByteOffset: place, as: Record.self)
    }

    /// The body of the command that ``message(at:)``, ``next(_:)`` or ``take(at:_:)`` returned last.
    ///
    /// Unsafe: as ``ByteStore/unsafeBytes(at:_:)``.
    @_lifetime(immortal)
    @unsafe func unsafeBody(of message: Message) -> RawSpan {
        unsafe store.unsafeBytes(at: message.bodyStart, message.bodyByteCount)
    }
}
