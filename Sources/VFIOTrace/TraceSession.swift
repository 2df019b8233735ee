import LinuxSystem
import VFIOABI
import VFIOHost

/// Follows a trace from its beginning and finds out what each handle is and what each access means.
public struct TraceSession {
    /// A handle that is open.
    struct OpenFile {
        var file: RequestName.File?
        var object: String
        var device: TracedDevice?
        /// When it was opened.
        var time: UInt64
    }

    private struct Key: Hashable {
        let process: Int32
        let handle: Int32
    }

    private var files: [Key: OpenFile] = [:]
    /// What a handle's number last was in any process: a fork's handles are its parent's.
    private var latest: [Int32: OpenFile] = [:]
    private var devices: [String: TracedDevice] = [:]
    private var deviceOfNode: [Int32: String] = [:]

    /// A session that has seen nothing yet.
    public init() {}

    /// The handles that are open, with what they are and since when.
    public var openHandles: [(process: Int32, handle: Int32, object: String, time: UInt64)] {
        files.map { ($0.key.process, $0.key.handle, $0.value.object, $0.value.time) }
            .sorted { ($0.0, $0.1) < ($1.0, $1.1) }
    }

    /// Takes the next record; they have to come in the order in which the calls began.
    public mutating func take(_ record: TraceRecord) -> TraceEvent {
        let key = Key(process: record.process, handle: record.handle)
        let file = record.handle < 0 ? nil : files[key] ?? latest[record.handle]
        let name = record.kind == .control ? self.name(record.request, file?.file) : nil
        var place: TracePlace?
        switch record.kind {
        case .device: learn(record)
        case .open: open(record)
        case .close: files[key] = nil
        case .control: learn(record, name, file)
        case .read, .write, .map:
            // Before it is learned from: a read may tell what its own register is.
            if record.kind != .map {
                file?.device?.learn(at: record.offset, record.data, isWrite: record.kind == .write)
            }
            place = file?.device?.place(at: record.offset)
        default: break
        }
        return TraceEvent(
            record: record, file: file?.file, object: file?.object ?? "", device: file?.device?.name,
            place: place, request: name)
    }

    /// What a number means for a kind of file; where the kind isn't known, the number may tell.
    private func name(_ request: UInt32, _ file: RequestName.File?) -> RequestName? {
        let names = RequestName.all.filter { $0.request.rawValue == UInt(request) }
        // An iommufd may stand in a container's place.
        let fitting = names.filter { $0.file == file || (file == .iommufd && $0.file == .container) }
        return fitting.first ?? (file == nil && names.count == 1 ? names.first : nil)
    }

    private mutating func device(_ name: String) -> TracedDevice {
        if let device = devices[name] { return device }
        let device = TracedDevice(name)
        devices[name] = device
        return device
    }

    private mutating func learn(_ record: TraceRecord) {
        let name = String(decoding: record.text, as: UTF8.self)
        device(name).identity = record.identity
        if let node = record.identity?.node, node >= 0 { deviceOfNode[node] = name }
    }

    private mutating func add(_ record: TraceRecord, _ handle: Int64, _ file: OpenFile) {
        guard let handle = Int32(exactly: handle), handle >= 0 else { return }
        files[Key(process: record.process, handle: handle)] = file
        latest[handle] = file
    }

    private mutating func open(_ record: TraceRecord) {
        guard record.errno == nil else { return }
        let path = String(decoding: record.text, as: UTF8.self)
        var file = OpenFile(file: nil, object: path, device: nil, time: record.time)
        switch Node(path: path) {
        case .container: (file.file, file.object) = (.container, "container")
        case .group(let number): (file.file, file.object) = (.group, "group \(number)")
        case .unprotectedGroup(let number): (file.file, file.object) = (.group, "group noiommu-\(number)")
        case .iommu: (file.file, file.object) = (.iommufd, "iommufd")
        case .device(let number):
            let name = Int32(exactly: number).flatMap { deviceOfNode[$0] } ?? "vfio\(number)"
            (file.file, file.object, file.device) = (.device, name, device(name))
        case nil: break
        }
        add(record, record.result, file)
    }

    /// Takes notice of a request that succeeded.
    private mutating func learn(_ record: TraceRecord, _ name: RequestName?, _ file: OpenFile?) {
        guard record.errno == nil, let name, let structure = record.after ?? record.before else { return }
        if name.file == .group, name.request == .groupGetDeviceFD {
            let text = String(decoding: structure.prefix { $0 != 0 }, as: UTF8.self)
            // A name may be followed by what the driver is told of it.
            let device = device(String(text.prefix { $0 != " " }))
            add(
                record, record.result,
                OpenFile(file: .device, object: device.name, device: device, time: record.time))
            return
        }
        let fields = StructureDecoder.fields(of: name, in: structure)
        file?.device?.learn(name, fields)
        for field in fields where field.kind == .newDescriptor {
            let object = name.request == .deviceFeature ? "migration of \(file?.object ?? "?")" : "events"
            let kind: RequestName.File? = name.request == .deviceFeature ? .migration : nil
            add(
                record, Int64(Int32(truncatingIfNeeded: field.value)),
                OpenFile(file: kind, object: object, device: nil, time: record.time))
        }
    }
}

/// A whole trace, in the order in which its calls began.
public struct Trace: Sendable {
    /// The records.
    public let records: [TraceRecord]
    /// What of the file couldn't be read; nil where all could.
    public let damage: String?

    /// Reads a file.
    /// - Throws: if it can't be opened, or isn't a trace. What is damaged is passed over.
    public init(_ path: String) throws(TraceError) {
        var reader = try TraceReader(path)
        var records: [TraceRecord] = []
        while let record = try reader.record() { records.append(record) }
        // Records stand where calls ended. Sorting is stable: what began at the same moment stays in order.
        self.records = records.sorted { $0.time < $1.time }
        if let first = reader.firstDamage {
            damage =
                "\(reader.damagedByteCount) bytes aren't records, in \(reader.damageCount) "
                + "place\(reader.damageCount == 1 ? "" : "s"), first at byte \(first)"
        } else {
            damage = nil
        }
    }

    /// What happened, with what is known of it.
    public var events: [TraceEvent] {
        var session = TraceSession()
        return records.map { session.take($0) }
    }
}
