import VFIOABI
import VFIOHost

/// How an event looks to people: what was asked, and what was answered.
extension TraceEvent {
    /// What was asked, with the structure's fields: "MAP_DMA flags=READ|WRITE vaddr=0x… iova=0x0 size=0x1000".
    public var question: String {
        switch record.kind {
        case .process, .device, .open: "\(verb) \(text)"
        case .control: ([verb] + arguments).joined(separator: " ")
        case .read, .write: "\(verb)\(accessWidth) \(placeText)\(contents)"
        case .receive, .send: "\(verb) \(record.byteCount) bytes\(contents)"
        case .map:
            "map \(placeText) \(record.byteCount) bytes \(protection)"
                + (record.errno == nil ? " at 0x\(String(record.argument, radix: 16))" : "")
        case .unmap: "unmap \(record.byteCount) bytes at 0x\(String(record.argument, radix: 16))"
        default: verb
        }
    }

    /// What was answered: "0", "ENOMEM"; nil for what has no answer.
    public var answer: String? {
        if let errorName { return errorName }
        switch record.kind {
        case .open, .control: return "\(record.result)"
        case .read, .write, .receive, .send:
            // Nothing to tell where all of it was moved.
            return record.result == Int64(clamping: record.byteCount) ? nil : "\(record.result) bytes"
        default: return nil
        }
    }

    private var text: String {
        var text = String(decoding: record.text, as: UTF8.self)
        text.unicodeScalars.removeAll { $0.value < 0x20 || $0.value == 0x7f }
        if record.kind == .device, let identity = record.identity {
            func hex(_ value: some BinaryInteger, _ digits: Int) -> String {
                let text = String(value, radix: 16)
                return String(repeating: "0", count: max(0, digits - text.count)) + text
            }
            if identity.vendor != 0 {
                text +=
                    " \(hex(identity.vendor, 4)):\(hex(identity.device, 4)) class \(hex(identity.classCode, 6))"
            }
            if identity.group >= 0 { text += " group \(identity.group)" }
        }
        return text
    }

    private var protection: String {
        let names = ["read", "write", "execute"].enumerated().filter {
            record.request >> UInt32($0.offset) & 1 != 0
        }
        return names.isEmpty ? "no access" : names.map(\.element).joined(separator: "+")
    }

    private var placeText: String { place?.text ?? "+0x" + String(record.offset, radix: 16) }

    private var accessWidth: String {
        record.byteCount <= 8 ? "\(record.byteCount)" : " \(record.byteCount) at"
    }

    /// A number for what may be one, and the first bytes of what is longer.
    private var contents: String {
        let data = record.data
        if data.isEmpty { return "" }
        if [1, 2, 4, 8].contains(data.count), record.kind == .read || record.kind == .write {
            let value = data.reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            return ": 0x" + String(value, radix: 16)
        }
        let shown = data.prefix(16).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }
        return ": " + shown.joined(separator: " ") + (data.count > 16 ? " …" : "")
    }

    // MARK: requests

    private var arguments: [String] {
        guard let request else {
            return ["argument=0x" + String(record.argument, radix: 16)]
        }
        switch request.request {
        case .checkExtension, .setIOMMU: return ["\(record.argument)"]
        case .groupGetDeviceFD:
            let text = String(decoding: (record.before ?? []).prefix { $0 != 0 }, as: UTF8.self)
            return [record.before == nil ? "bad address" : "\"\(text)\""]
        case .groupSetContainer where request.file == .group:
            guard let before = record.before, before.count == 4 else { return ["bad address"] }
            let value = before.reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
            return ["fd=\(Int32(bitPattern: value))"]
        default: break
        }
        guard StructureLayout.of(request) != nil else { return [] }
        guard let before = record.before else { return ["bad address"] }
        return differences(before, record.after ?? before, request) + capabilities(request)
    }

    /// The fields, with what became of them.
    private func differences(_ before: [UInt8], _ after: [UInt8], _ request: RequestName) -> [String] {
        var old: [String: String] = [:]
        for field in StructureDecoder.fields(of: request, in: before) { old[field.name] = field.text }
        var parts: [String] = []
        for field in StructureDecoder.fields(of: request, in: after) {
            let was = old[field.name] ?? field.text
            let isChanged = was != field.text
            // What is always the same isn't worth the room.
            if !isChanged {
                if field.offset == 0 || field.name == "pad" { continue }
                if field.kind == .reserved && field.value == 0 { continue }
            }
            parts.append(isChanged ? "\(field.name)=\(was)→\(field.text)" : "\(field.name)=\(field.text)")
        }
        return parts
    }

    /// The capabilities that follow an information structure.
    private func capabilities(_ request: RequestName) -> [String] {
        guard record.errno == nil, let after = record.after else { return [] }
        // SAFETY: the array's bytes are all initialised.
        let bytes = unsafe after.span.bytes
        switch request.request {
        case .deviceGetInfo:
            return Self.chain(DeviceInfo(prefixOf: bytes, minimumSize: 16), bytes) { id in
                id == 5 ? "PCI_ATOMIC_COMP" : id <= 4 ? "ZPCI" : nil
            }
        case .deviceGetRegionInfo:
            return Self.chain(RegionInfo(bytes), bytes) { id in
                switch id {
                case 1: "SPARSE_MMAP"
                case 2: "TYPE"
                case 3: "MSIX_MAPPABLE"
                default: nil
                }
            }
        case .iommuGetInfo where request.file == .container && !request.isSPAPR:
            return Self.chain(IOMMUType1Info(prefixOf: bytes, minimumSize: 16), bytes) { id in
                switch id {
                case 1: "IOVA_RANGE"
                case 2: "MIGRATION"
                case 3: "DMA_AVAIL"
                default: nil
                }
            }
        default: return []
        }
    }

    private static func chain(
        _ structure: (some CapabilityCarrier)?, _ bytes: RawSpan, _ name: (UInt16) -> String?
    ) -> [String] {
        guard let structure, structure.hasCapabilities, structure.capabilityOffset != 0 else { return [] }
        var names: [String] = []
        var chain = CapabilityChain(of: structure, in: bytes)
        while true {
            do throws(CapabilityChainError) {
                guard let capability = try chain.next() else { break }
                names.append(name(capability.id) ?? "capability \(capability.id)")
            } catch {
                names.append("a broken chain")
                break
            }
        }
        return ["caps=[" + names.joined(separator: ", ") + "]"]
    }
}
