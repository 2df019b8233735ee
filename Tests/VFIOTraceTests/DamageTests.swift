import LinuxSystem
import Testing
@testable import VFIOHost
@testable import VFIOTrace

@Suite("Traces that are damaged or were never any")
struct DamageTests {
    /// A small trace, and how many records it has.
    private func sample() throws -> (bytes: [UInt8], count: Int) {
        let file = TemporaryTrace()
        let host = TracingHost(try machine(), writingTo: try TraceWriter(creating: file.path))
        for _ in 0..<5 { host.close(try host.open(.container)) }
        return (try file.bytes, try Trace(file.path).records.count)
    }

    @Test("what isn't a trace is refused with a reason")
    func refused() throws {
        let file = TemporaryTrace()
        #expect(throws: TraceError.self) { _ = try Trace(file.path) }
        var (bytes, _) = try sample()
        bytes[8] = 9
        try file.write(bytes)
        do {
            _ = try Trace(file.path)
            Issue.record("a trace of another version was read")
        } catch {
            #expect("\(error)" == "it is a trace of version 9, and only version 1 is known here")
        }
        for text in [[], Array("VFIO".utf8), [UInt8](repeating: 0, count: 5000)] {
            try file.write(text)
            do {
                _ = try Trace(file.path)
                Issue.record("\(text.count) bytes were taken for a trace")
            } catch {
                #expect("\(error)" == "it isn't a trace: its beginning is wrong")
            }
        }
    }

    @Test("a trace that ends anywhere gives every record that is whole")
    func cut() throws {
        let (bytes, count) = try sample()
        let file = TemporaryTrace()
        var last = 0
        for length in 24...bytes.count {
            try file.write(Array(bytes.prefix(length)))
            let trace = try Trace(file.path)
            #expect(trace.records.count >= last, "cut at \(length)")
            last = trace.records.count
            _ = trace.events.map { "\($0.question) \($0.answer ?? "")" }
        }
        #expect(last == count)
    }

    @Test("a damaged record is passed over, and those after it are read")
    func damaged() throws {
        let (bytes, count) = try sample()
        let file = TemporaryTrace()
        let seed = UInt64.random(in: 0...UInt64(Int64.max))
        var random = SplitMix(state: seed)
        for _ in 0..<200 {
            var damaged = bytes
            let place = Int.random(in: 24..<bytes.count, using: &random)
            damaged[place] ^= UInt8.random(in: 1...255, using: &random)
            try file.write(damaged)
            let trace = try Trace(file.path)
            #expect(trace.records.count == count - 1, "seed \(seed), byte \(place)")
            #expect(trace.damage != nil, "seed \(seed)")
        }
    }

    @Test("random records, however wrong, are shown and added up without harm")
    func random() throws {
        let seed = UInt64.random(in: 0...UInt64(Int64.max))
        var random = SplitMix(state: seed)
        let file = TemporaryTrace()
        for round in 0..<200 {
            var bytes = Array(try sampleHeader())
            for _ in 0..<8 { bytes += Self.record(&random).encoded() }
            try file.write(bytes)
            let trace = try Trace(file.path)
            #expect(trace.records.count == 8, "seed \(seed), round \(round)")
            for event in trace.events { #expect(!event.question.isEmpty && event.answer != "") }
            _ = TraceSummary(trace).timeline(atMost: 3)
        }
    }

    private func sampleHeader() throws -> ArraySlice<UInt8> {
        let file = TemporaryTrace()
        _ = try TraceWriter(creating: file.path)
        return try file.bytes[...]
    }

    /// A record with anything in it: requests that are known, structures of any bytes.
    static func record(_ random: inout SplitMix) -> TraceRecord {
        func bytes(_ most: Int, _ random: inout SplitMix) -> [UInt8] {
            (0..<Int.random(in: 0...most, using: &random)).map { _ in
                // Small numbers go further than large ones.
                Bool.random(using: &random)
                    ? UInt8.random(in: 0...8, using: &random) : UInt8(truncatingIfNeeded: random.next())
            }
        }
        var record = TraceRecord(
            TraceRecord.Kind(rawValue: UInt8.random(in: 0...13, using: &random)),
            time: random.next() >> UInt64.random(in: 0...63, using: &random))
        record.duration = random.next() >> UInt64.random(in: 0...63, using: &random)
        record.handle = Int32.random(in: -1...4, using: &random)
        record.result = Int64.random(in: -1...4, using: &random)
        record.errno =
            Bool.random(using: &random) ? nil : Errno(rawValue: Int32.random(in: -200...200, using: &random))
        if record.errno?.rawValue == 0 { record.errno = nil }
        record.request = 0x3b00 + UInt32.random(in: 96...150, using: &random)
        record.argument = random.next()
        record.offset = random.next() >> UInt64.random(in: 0...63, using: &random)
        record.byteCount = random.next() >> UInt64.random(in: 0...63, using: &random)
        if Bool.random(using: &random) { record.before = bytes(80, &random) }
        if Bool.random(using: &random) { record.after = bytes(80, &random) }
        record.data = bytes(300, &random)
        let paths = [
            "/dev/vfio/vfio", "/dev/vfio/3", "/dev/iommu", "/dev/vfio/devices/vfio0", "0000:01:00.0",
        ]
        record.text = Array((paths.randomElement(using: &random) ?? "").utf8) + bytes(3, &random)
        if record.kind == .device {
            record.identity = .init(
                vendor: 1, device: 2, classCode: Bool.random(using: &random) ? 0x010802 : 0, group: 1, node: 0
            )
        }
        return record
    }
}
