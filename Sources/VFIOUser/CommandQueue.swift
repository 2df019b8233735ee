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
            Self.close(record)
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

    /// The command that came first, which stays there.
    var first: Message? {
        guard let record = load(front) else { return nil }
        return Message(
            header: record.header, bodyStart: front + MemoryLayout<Record>.stride,
            bodyByteCount: Int(record.byteCount), isOversized: record.isOversized, isQueued: true,
            receivedAt: record.receivedAt)
    }

    /// Takes out the command that came first. Its body stays where it is until one is added.
    mutating func next(_ descriptors: inout PassedDescriptors) -> Message? {
        guard let message = first, let record = load(front) else { return nil }
        front += Self.stride(record)
        count -= 1
        descriptorCount -= Int(record.descriptorCount)
        if !record.header.flags.contains(.noReply) { unansweredCount -= 1 }
        descriptors = PassedDescriptors()
        for index in 0..<Int(record.descriptorCount) {
            descriptors.append(Descriptor(owning: record.descriptors[index]))
        }
        return message
    }

    /// The body of the command that ``first`` or ``next(_:)`` returned last.
    ///
    /// Unsafe: as ``ByteStore/unsafeBytes(at:_:)``.
    @_lifetime(immortal)
    @unsafe func unsafeBody(of message: Message) -> RawSpan {
        unsafe store.unsafeBytes(at: message.bodyStart, message.bodyByteCount)
    }
}
