import LinuxSystem
import VFIOABI
import VFIOHost
import VFIOTrace

extension RecordedCase {
    /// Makes the calls again, on another host or the same, and compares what is answered.
    ///
    /// Ends at the first answer that is different: what follows depends on it. Everything that it opens is closed.
    public func replay(on host: any Host) -> CaseResult {
        var result = CaseResult(section: "trace", name: name, status: .equal, observations: [])
        let replay: Replay
        do throws(ReplayFailure) {
            replay = try Replay(self, on: host)
        } catch {
            (result.status, result.note) = (.different, error.text)
            return result
        }
        defer { replay.end() }
        for (index, step) in steps.enumerated() {
            do throws(ReplayFailure) {
                let (got, wanted) = try replay.make(step)
                result.observations.append(Observation(label: step.label, got: got, wanted: wanted))
                if got == wanted { continue }
                result.note = "the first difference is in step \(index + 1) of \(steps.count)"
            } catch {
                result.note = "step \(index + 1) of \(steps.count), \(step.label): \(error.text)"
            }
            result.status = .different
            return result
        }
        if steps.isEmpty { (result.status, result.note) = (.skipped, "it has no steps") }
        return result
    }
}

/// Why a step can't be made at all.
private struct ReplayFailure: Error {
    let text: String
}

/// A case at work.
private final class Replay {
    private let host: any Host
    /// What the case's names stand for here.
    private var handles: [Int: Int32] = [:]
    private var order: [Int] = []
    private var events: [Int: Descriptor.Owner] = [:]
    private var objects: [Int: UInt64] = [:]
    private var mappings: [Int: MemoryWindow] = [:]
    private let areas: [MemoryWindow]
    private let buffer: MemoryWindow

    /// The most memory that a case is given, in bytes.
    private static let mostMemory = 2 << 30
    private static let bufferByteCount = 1 << 20
    /// How long a register is waited for.
    private static let patience: UInt64 = 5_000_000_000

    init(_ one: RecordedCase, on host: any Host) throws(ReplayFailure) {
        self.host = host
        guard one.version == 1 else {
            throw ReplayFailure(text: "its form is of version \(one.version), and only 1 is known here")
        }
        var total = 0
        for area in one.areas {
            let (sum, overflow) = total.addingReportingOverflow(max(0, area.byteCount))
            guard !overflow, sum <= Self.mostMemory, area.byteCount > 0 else {
                throw ReplayFailure(text: "it needs more memory than \(Self.mostMemory >> 20) MiB")
            }
            total = sum
        }
        var areas: [MemoryWindow] = []
        do throws(Errno) {
            for area in one.areas {
                let mapping = try Mapping(anonymous: area.byteCount)
                if !area.isAccessible { try mapping.protect([]) }
                areas.append(mapping.release())
            }
            buffer = try Mapping(anonymous: Self.bufferByteCount).release()
        } catch {
            throw ReplayFailure(text: "there is no memory for it: \(error.name)")
        }
        self.areas = areas
    }

    /// Closes what is open, the last first, and gives the memory back.
    func end() {
        for window in mappings.values { host.unmap(window) }
        mappings = [:]
        for name in order.reversed() {
            if let handle = handles.removeValue(forKey: name) { host.close(handle) }
        }
        events = [:]
        // SAFETY: mappings that were given away above; what could reach them is closed.
        for window in areas + [buffer] { _ = unsafe Mapping(owning: window) }
    }

    // MARK: steps

    /// Makes a call.
    /// - Returns: what was answered, and what should have been, in words.
    func make(_ step: RecordedCase.Step) throws(ReplayFailure) -> (got: String, wanted: String) {
        switch step.call {
        case .open:
            guard let path = step.node, let node = Node(path: path) else {
                throw ReplayFailure(text: "\"\(step.node ?? "")\" isn't a node")
            }
            return try compare(step, Answer.of { () throws(Errno) -> Int32 in try host.open(node) })
        case .close:
            let handle = try self.handle(step)
            if let name = step.handle { handles[name] = nil }
            host.close(handle)
            return ("closed", "closed")
        case .control: return try control(step)
        case .read, .receive: return try read(step)
        case .write, .send:
            let handle = try self.handle(step)
            let bytes = try self.bytes(step.data ?? "")
            // SAFETY: the array's bytes are all initialised.
            let answer = Answer.of { () throws(Errno) -> Int32 in
                // SAFETY: the array's bytes are all initialised.
                let span = unsafe bytes.span.bytes
                if step.call == .send { return Int32(clamping: try host.write(handle, span)) }
                return Int32(clamping: try host.write(handle, at: step.offset ?? 0, span))
            }
            return try compare(step, answer)
        case .map:
            let handle = try self.handle(step)
            var window: MemoryWindow?
            let answer = Answer.of { () throws(Errno) -> Void in
                window = try host.map(
                    handle, at: step.offset ?? 0, byteCount: step.byteCount ?? 0,
                    protection: .init(rawValue: Int32(bitPattern: step.request ?? 0)))
            }
            if let window {
                if let name = step.mapping, mappings[name] == nil {
                    mappings[name] = window
                } else {
                    host.unmap(window)
                }
            }
            return try compare(step, answer)
        case .unmap:
            if let name = step.mapping, let window = mappings.removeValue(forKey: name) { host.unmap(window) }
            return ("unmapped", "unmapped")
        }
    }

    private func handle(_ step: RecordedCase.Step) throws(ReplayFailure) -> Int32 {
        guard let name = step.handle, let handle = handles[name] else {
            throw ReplayFailure(text: "its handle isn't open")
        }
        return handle
    }

    private func bytes(_ text: String) throws(ReplayFailure) -> [UInt8] {
        guard let bytes = HexText.bytes(text) else {
            throw ReplayFailure(text: "\"\(text.prefix(20))\" isn't bytes in hexadecimal")
        }
        return bytes
    }

    /// What an answer should be.
    private func wanted(_ step: RecordedCase.Step) -> Answer {
        if let errno = step.errno { return .errno(Errno(rawValue: errno)) }
        return step.newHandle != nil ? .descriptor : .value(Int32(clamping: step.result))
    }

    /// Compares an answer, and keeps the handle that it is.
    private func compare(
        _ step: RecordedCase.Step, _ answer: Answer
    ) throws(ReplayFailure) -> (got: String, wanted: String) {
        var answer = answer
        if let name = step.newHandle, case .value(let number) = answer {
            keep(number, as: name)
            answer = .descriptor
        }
        return (answer.description, wanted(step).description)
    }

    private func keep(_ number: Int32, as name: Int) {
        if let old = handles.updateValue(number, forKey: name) { host.close(old) }
        order.append(name)
    }

    private func read(_ step: RecordedCase.Step) throws(ReplayFailure) -> (got: String, wanted: String) {
        let handle = try self.handle(step)
        let expected = try self.bytes(step.data ?? "")
        let most = 1 << 24
        guard let count = step.byteCount, count >= 0, count <= most else {
            throw ReplayFailure(text: "it reads more than \(most) bytes")
        }
        let end = Clock.now + Self.patience
        while true {
            var buffer = [UInt8](repeating: 0, count: count)
            let answer = Answer.of { () throws(Errno) -> Int32 in
                var span = buffer.mutableSpan
                // SAFETY: the array holds plain bytes: any value written into it is one of its own.
                var raw = unsafe span.mutableBytes
                if step.call == .receive { return Int32(clamping: try host.read(handle, into: &raw)) }
                return Int32(clamping: try host.read(handle, at: step.offset ?? 0, into: &raw))
            }
            let (got, wanted) = try compare(step, answer)
            // The trace may have the beginning only.
            let seen = Array(buffer.prefix(expected.count))
            if got != wanted || step.errno != nil || seen == expected { return (got, wanted) }
            if step.isPolled == true, Clock.now < end {
                Clock.sleep(nanoseconds: 100_000)
                continue
            }
            let place = zip(seen, expected).enumerated().first { $0.element.0 != $0.element.1 }?.offset ?? 0
            if expected.count <= 8 { return (number(seen), number(expected)) }
            return (
                "0x\(String(seen[place], radix: 16)) at byte \(place)",
                "0x\(String(expected[place], radix: 16)) at byte \(place)"
            )
        }
    }

    private func number(_ bytes: [UInt8]) -> String {
        "0x" + String(bytes.reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }, radix: 16)
    }

    // MARK: requests

    private func control(_ step: RecordedCase.Step) throws(ReplayFailure) -> (got: String, wanted: String) {
        let handle = try self.handle(step)
        let request = step.request ?? 0
        guard let text = step.before else {
            let argument = UInt(truncatingIfNeeded: step.argument ?? 0)
            return try compare(
                step, .of { () throws(Errno) -> Int32 in try host.control(handle, request, argument) })
        }
        var before = try self.bytes(text)
        guard before.count <= 1 << 16 else { throw ReplayFailure(text: "its structure is too long") }
        var nested: UserBuffer?
        do throws(Errno) {
            if let one = step.nested {
                let content = try? self.bytes(one.before)
                nested = try UserBuffer(byteCount: max(1, content?.count ?? 0), atEndOfPage: false)
                if let content, !content.isEmpty { nested?.bytes = content }
            }
        } catch {
            throw ReplayFailure(text: "there is no memory for it: \(error.name)")
        }
        for reference in step.inputs { try put(reference, into: &before, nested, step.nested?.offset) }
        let structure: UserBuffer
        do throws(Errno) {
            structure = try UserBuffer(byteCount: max(1, before.count), atEndOfPage: false)
        } catch {
            throw ReplayFailure(text: "there is no memory for it: \(error.name)")
        }
        if !before.isEmpty { structure.bytes = before }
        let answer = Answer.of { () throws(Errno) -> Int32 in
            try host.control(handle, request, structure.address.rawValue)
        }
        let (got, wanted) = try compare(step, answer)
        guard got == wanted else { return (got, wanted) }
        return try compareStructure(step, before, Array(structure.bytes.prefix(before.count)), nested)
    }

    /// Puts what a name stands for here into a structure.
    private func put(
        _ reference: RecordedCase.Reference, into bytes: inout [UInt8], _ nested: UserBuffer?,
        _ nestedOffset: Int?
    ) throws(ReplayFailure) {
        let value: UInt64
        switch reference.kind {
        case .handle:
            guard let handle = handles[reference.name] else {
                throw ReplayFailure(text: "a handle that it takes isn't open")
            }
            value = UInt64(UInt32(bitPattern: handle))
        case .event: value = UInt64(UInt32(bitPattern: try event(reference.name)))
        case .object: value = objects[reference.name] ?? UInt64(clamping: reference.name)
        case .area:
            guard areas.indices.contains(reference.name) else {
                throw ReplayFailure(text: "it names memory that the case hasn't")
            }
            let start = areas[reference.name].address + (reference.addend ?? 0)
            value = UInt64(start.rawValue)
        case .buffer:
            let isNested = nestedOffset == reference.offset
            value = UInt64((isNested ? nested?.address ?? buffer.address : buffer.address).rawValue)
        }
        try Self.store(value, reference, in: &bytes)
    }

    private static func store(
        _ value: UInt64, _ reference: RecordedCase.Reference, in bytes: inout [UInt8]
    ) throws(ReplayFailure) {
        guard reference.width > 0, reference.width <= 8, reference.offset >= 0,
            reference.offset <= bytes.count - reference.width
        else { throw ReplayFailure(text: "a place in its structure is beyond the end") }
        for index in 0..<reference.width {
            bytes[reference.offset + index] = UInt8(truncatingIfNeeded: value >> UInt64(8 * index))
        }
    }

    private func event(_ name: Int) throws(ReplayFailure) -> Int32 {
        if let owner = events[name] { return owner.number }
        do throws(Errno) {
            let owner = try Descriptor.Owner()
            events[name] = owner
            return owner.number
        } catch {
            throw ReplayFailure(text: "there is no eventfd for it: \(error.name)")
        }
    }

    /// Compares what became of a structure, and learns what its new names stand for.
    private func compareStructure(
        _ step: RecordedCase.Step, _ before: [UInt8], _ after: [UInt8], _ nested: UserBuffer?
    ) throws(ReplayFailure) -> (got: String, wanted: String) {
        // What went in as a name comes out as what the name stands for here.
        var expected = before
        if let text = step.after { expected = try self.bytes(text) }
        guard expected.count == after.count else {
            throw ReplayFailure(text: "its structure has another length afterwards")
        }
        for reference in step.inputs where step.after != nil {
            let isOutput = step.outputs.contains { $0.offset == reference.offset }
            if !isOutput { try put(reference, into: &expected, nested, step.nested?.offset) }
        }
        for reference in step.outputs {
            guard reference.offset >= 0, reference.width > 0, reference.width <= 8,
                reference.offset <= after.count - reference.width
            else { throw ReplayFailure(text: "a place in its structure is beyond the end") }
            let here = (0..<reference.width).reduce(UInt64(0)) {
                $0 | UInt64(after[reference.offset + $1]) << UInt64(8 * $1)
            }
            switch reference.kind {
            case .object where objects[reference.name] == nil: objects[reference.name] = here
            case .handle where handles[reference.name] == nil:
                let number = Int32(truncatingIfNeeded: here)
                if number >= 0 { keep(number, as: reference.name) }
            default: break
            }
            // A name that is known by now has to be the same.
            if reference.kind == .object {
                try Self.store(objects[reference.name] ?? here, reference, in: &expected)
            }
            if reference.kind == .handle { try Self.store(here, reference, in: &expected) }
        }
        if let difference = difference(step, after, expected) { return difference }
        if let nested, let one = step.nested {
            let wanted = try self.bytes(one.after ?? one.before)
            let got = Array(nested.bytes.prefix(wanted.count))
            if got != wanted {
                return ("behind it \(HexText.text(got))", "behind it \(HexText.text(wanted))")
            }
        }
        let answer = self.wanted(step).description
        return (answer, answer)
    }

    /// The first number that is different, by its name where it has one.
    private func difference(
        _ step: RecordedCase.Step, _ got: [UInt8], _ wanted: [UInt8]
    ) -> (got: String, wanted: String)? {
        guard let place = got.indices.first(where: { got[$0] != wanted[$0] }) else { return nil }
        // Whatever the kind of file is: the label begins with the request's word.
        let word = step.label.prefix { $0 != " " }
        let name = RequestName.all.first {
            $0.request.rawValue == UInt(step.request ?? 0) && "\($0.word)".hasSuffix(word)
        }
        if let name {
            let ours = StructureDecoder.fields(of: name, in: got)
            let theirs = StructureDecoder.fields(of: name, in: wanted)
            for (mine, other) in zip(ours, theirs) where mine.value != other.value {
                return ("\(mine.name)=\(mine.text)", "\(other.name)=\(other.text)")
            }
        }
        return (
            "0x\(String(got[place], radix: 16)) at byte \(place)",
            "0x\(String(wanted[place], radix: 16)) at byte \(place)"
        )
    }
}

extension Descriptor {
    /// An eventfd that a dictionary can hold.
    fileprivate final class Owner {
        private let event: EventDescriptor
        init() throws(Errno) { event = try EventDescriptor() }
        var number: Int32 { event.descriptor.number }
    }
}
