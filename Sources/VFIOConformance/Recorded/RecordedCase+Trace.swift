import LinuxSystem
import VFIOABI
import VFIOHost
import VFIOTrace

extension RecordedCase {
    /// Makes a case of what one process did.
    /// - Parameters:
    ///   - name: what it shows.
    ///   - process: whose calls; nil for the process that made the most.
    ///   - filter: which of its calls; handles that are opened by others aren't there.
    public init(_ name: String, from trace: Trace, process: Int32? = nil, where filter: TraceFilter = .init())
    {
        var calls: [Int32: Int] = [:]
        let all = trace.events.filter(\.isCall)
        for event in all { calls[event.record.process, default: 0] += 1 }
        let chosen = process ?? calls.max { ($0.value, $1.key) < ($1.value, $0.key) }?.key
        let events = all.filter { $0.record.process == chosen && filter.picks($0) }
        var recorder = CaseRecorder(MemoryAreas(events))
        for event in events { recorder.take(event) }
        self.name = name
        areas = recorder.areas.areas
        steps = recorder.steps
        omissions = recorder.omissions
        if calls.count > 1 {
            let others = calls.filter { $0.key != chosen }.values.reduce(0, +)
            omissions.append("\(others) calls of \(calls.count - 1) other processes")
        }
        if let damage = trace.damage { omissions.append("what is damaged: \(damage)") }
    }
}

/// Turns events into steps.
private struct CaseRecorder {
    let areas: MemoryAreas
    private(set) var steps: [RecordedCase.Step] = []
    /// By handle: what it is called in the case.
    private var handles: [Int32: Int] = [:]
    private var handleCount = 0
    /// The ids of objects that requests have answered.
    private var objects: Set<UInt64> = []
    /// By address: what mappings are called.
    private var mappings: [UInt64: Int] = [:]
    private var mappingCount = 0
    private var unknownCount = 0
    private var cutCount = 0

    init(_ areas: MemoryAreas) { self.areas = areas }

    var omissions: [String] {
        var texts: [String] = []
        if unknownCount > 0 {
            texts.append("\(unknownCount) calls on handles that weren't opened in this part of the trace")
        }
        if cutCount > 0 { texts.append("\(cutCount) writes of which the trace has only the beginning") }
        return texts
    }

    mutating func take(_ event: TraceEvent) {
        let record = event.record
        let call: RecordedCase.Call
        switch record.kind {
        case .open: call = .open
        case .close: call = .close
        case .control: call = .control
        case .read: call = .read
        case .write: call = .write
        case .receive: call = .receive
        case .send: call = .send
        case .map: call = .map
        case .unmap: call = .unmap
        default: return
        }
        var step = RecordedCase.Step(call, event.question)
        step.result = record.result
        step.errno = record.errno?.rawValue
        if call == .open {
            step.node = String(decoding: record.text, as: UTF8.self)
            if record.errno == nil { step.newHandle = add(record.result) }
            steps.append(step)
            return
        }
        if call == .unmap {
            guard let mapping = mappings.removeValue(forKey: record.argument) else {
                unknownCount += 1
                return
            }
            step.mapping = mapping
            steps.append(step)
            return
        }
        guard let handle = handles[record.handle] else {
            unknownCount += 1
            return
        }
        step.handle = handle
        switch call {
        case .close: handles[record.handle] = nil
        case .control: fill(&step, event)
        case .map:
            step.request = record.request
            step.offset = record.offset
            step.byteCount = Int(clamping: record.byteCount)
            if record.errno == nil {
                step.mapping = mappingCount
                mappings[record.argument] = mappingCount
                mappingCount += 1
            }
        default:
            step.offset = record.offset
            step.byteCount = Int(clamping: record.byteCount)
            step.data = HexText.text(record.data)
            if call == .write || call == .send, record.data.count < record.byteCount {
                cutCount += 1
                return
            }
            if call == .read, joinPoll(step) { return }
        }
        steps.append(step)
    }

    /// A register that is read again and again is waited for: what counts is what it becomes.
    private mutating func joinPoll(_ step: RecordedCase.Step) -> Bool {
        guard let last = steps.last, last.call == .read, last.handle == step.handle,
            last.offset == step.offset, last.byteCount == step.byteCount, last.errno == step.errno,
            last.result == step.result
        else { return false }
        steps[steps.count - 1].data = step.data
        steps[steps.count - 1].label = step.label
        steps[steps.count - 1].isPolled = true
        return true
    }

    private mutating func add(_ handle: Int64) -> Int {
        handleCount += 1
        if let handle = Int32(exactly: handle) { handles[handle] = handleCount }
        return handleCount
    }

    // MARK: requests

    private mutating func fill(_ step: inout RecordedCase.Step, _ event: TraceEvent) {
        let record = event.record
        step.request = record.request
        let takesAddress: Bool
        if let request = event.request?.request {
            let plain: [Request] = [
                .getAPIVersion, .checkExtension, .setIOMMU, .groupUnsetContainer, .deviceReset,
            ]
            takesAddress = !plain.contains(request)
        } else {
            takesAddress = record.before != nil
        }
        guard let before = record.before else {
            // An address where nothing was: one where nothing is.
            step.argument = takesAddress && record.argument >= 4096 ? 1 : record.argument
            return
        }
        step.before = HexText.text(before)
        step.after = record.after.map { HexText.text($0) }
        if let nested = record.nestedBefore {
            step.nested = .init(
                offset: nested.pointerOffset, before: HexText.text(nested.bytes),
                after: record.nestedAfter.map { HexText.text($0.bytes) })
        }
        guard let request = event.request else { return }
        if request.file == .group, request.request == .groupSetContainer, before.count == 4 {
            let value = before.reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            step.inputs = [reference(toDescriptor: value, at: 0)].compactMap { $0 }
        }
        let old = StructureDecoder.fields(of: request, in: before)
        step.inputs += old.compactMap { input($0, step) }
        let returnsDescriptor =
            (request.file == .group && request.request == .groupGetDeviceFD)
            || (request.file == .device && request.request == .deviceGetGFXDMABuf)
        if record.errno == nil, returnsDescriptor { step.newHandle = add(record.result) }
        guard record.errno == nil, let after = record.after else { return }
        for (index, field) in StructureDecoder.fields(of: request, in: after).enumerated() {
            let isChanged = index >= old.count || old[index].value != field.value
            if let output = output(field, isChanged) { step.outputs.append(output) }
        }
    }

    private func reference(toDescriptor value: UInt64, at offset: Int) -> RecordedCase.Reference? {
        let number = Int32(truncatingIfNeeded: value)
        guard number >= 0 else { return nil }
        if let handle = handles[number] {
            return .init(kind: .handle, name: handle, offset: offset, width: 4)
        }
        return .init(kind: .event, name: Int(number), offset: offset, width: 4)
    }

    private func input(_ field: DecodedField, _ step: RecordedCase.Step) -> RecordedCase.Reference? {
        switch field.kind {
        case .descriptor: return reference(toDescriptor: field.value, at: field.offset)
        case .object:
            guard objects.contains(field.value) else { return nil }
            return .init(kind: .object, name: Int(field.value), offset: field.offset, width: field.width)
        case .memory:
            guard let place = areas.place(of: field.value) else { return nil }
            return .init(
                kind: .area, name: place.name, offset: field.offset, width: field.width, addend: place.addend)
        case .pointer:
            guard field.value != 0 else { return nil }
            return .init(kind: .buffer, name: 0, offset: field.offset, width: field.width)
        default: return nil
        }
    }

    private mutating func output(_ field: DecodedField, _ isChanged: Bool) -> RecordedCase.Reference? {
        switch field.kind {
        case .newDescriptor:
            let number = Int32(truncatingIfNeeded: field.value)
            guard isChanged, number >= 0 else { return nil }
            return .init(kind: .handle, name: add(Int64(number)), offset: field.offset, width: field.width)
        case .newObject where isChanged, .object where isChanged:
            objects.insert(field.value)
            return .init(kind: .object, name: Int(field.value), offset: field.offset, width: field.width)
        default: return nil
        }
    }
}
