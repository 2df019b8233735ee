import LinuxSystem

/// Reads a trace, record by record, whatever has become of the file: what is damaged is passed over and counted.
public struct TraceReader: ~Copyable {
    private let file: Descriptor
    /// What has been read of the file and not yet looked at begins at `next`.
    private var buffer: [UInt8] = []
    private var next = 0
    /// Where in the file the buffer ends.
    private var place: UInt64
    private var isAtEnd = false
    /// How many bytes could not be read as records: parts of a record at the end, and what was damaged.
    public private(set) var damagedByteCount: UInt64 = 0
    /// How many times something damaged was passed over.
    public private(set) var damageCount = 0
    /// Where the first damage is, in bytes from the beginning of the file.
    public private(set) var firstDamage: UInt64?
    private var isInDamage = false

    /// Opens a trace.
    /// - Throws: if it can't be opened, or isn't one.
    public init(_ path: String) throws(TraceError) {
        let file = try Self.open(path)
        place = UInt64(try TraceHeader(of: file).byteCount)
        self.file = file
    }

    private static func open(_ path: String) throws(TraceError) -> Descriptor {
        do throws(Errno) { return try Descriptor(opening: path, .readOnly) } catch { throw .file(error) }
    }

    /// The next record; nil at the end.
    /// - Throws: if the file can't be read.
    public mutating func record() throws(TraceError) -> TraceRecord? {
        while true {
            try fill(TraceFormat.recordHeaderByteCount)
            if buffer.count == next { return nil }
            if let record = try whole() {
                isInDamage = false
                return record
            }
            pass()
        }
    }

    /// The record that begins right here.
    private mutating func whole() throws(TraceError) -> TraceRecord? {
        var start = buffer[next...]
        guard start.count >= TraceFormat.recordHeaderByteCount,
            start.takeNumber(UInt32.self) == TraceFormat.recordMark
        else { return nil }
        let count = Int(start.takeNumber(UInt32.self))
        let checksum = start.takeNumber(UInt32.self)
        guard count >= TraceFormat.recordHeaderByteCount, count <= TraceFormat.maximumRecordByteCount else {
            return nil
        }
        start = []
        try fill(count)
        guard buffer.count - next >= count else { return nil }
        let bytes = buffer[next..<next + count]
        guard TraceFormat.checksum(bytes.dropFirst(TraceFormat.markByteCount)) == checksum,
            let record = TraceRecord(decoding: bytes)
        else { return nil }
        next += count
        return record
    }

    /// Passes over what is no record, up to where the next one may begin.
    private mutating func pass() {
        if !isInDamage {
            damageCount += 1
            if firstDamage == nil { firstDamage = place - UInt64(buffer.count - next) }
        }
        isInDamage = true
        let from = next
        next += 1
        let first = UInt8(truncatingIfNeeded: TraceFormat.recordMark)
        while next < buffer.count && buffer[next] != first { next += 1 }
        damagedByteCount += UInt64(next - from)
    }

    /// Makes sure that so many bytes are at hand, if the file has them.
    private mutating func fill(_ count: Int) throws(TraceError) {
        while buffer.count - next < count && !isAtEnd {
            buffer.removeSubrange(..<next)
            next = 0
            var chunk = [UInt8](repeating: 0, count: 1 << 17)
            let got: Int
            do throws(Errno) {
                var span = chunk.mutableSpan
                // SAFETY: the array holds plain bytes: any value written into it is one of its own.
                var raw = unsafe span.mutableBytes
                got = try file.read(at: place, into: &raw)
            } catch {
                throw .file(error)
            }
            isAtEnd = got == 0
            place += UInt64(got)
            buffer.append(contentsOf: chunk.prefix(got))
        }
    }
}
