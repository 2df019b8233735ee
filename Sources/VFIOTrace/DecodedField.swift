import VFIOABI

/// One number of a structure as somebody filled it in.
public struct DecodedField: Sendable {
    /// What C calls it; records that follow a structure are numbered.
    public var name: String
    /// Where it is, in bytes from the structure's beginning.
    public var offset: Int
    /// 1, 2, 4 or 8 bytes.
    public var width: Int
    /// What it holds.
    public var kind: StructureLayout.Kind
    /// The number.
    public var value: UInt64
    /// The words of flags, by bit.
    public var words: [String] = []
    /// How people write it, where that isn't told by its kind.
    var wording: String?

    /// The number as people write it: flags by their words, addresses in hexadecimal, descriptors with their sign.
    public var text: String {
        if let wording { return wording }
        return switch kind {
        case .number, .object, .newObject: "\(value)"
        case .descriptor, .newDescriptor: "\(Int32(truncatingIfNeeded: value))"
        case .bits, .memory, .pointer, .reserved: "0x" + String(value, radix: 16)
        case .flags: flagText
        }
    }

    private var flagText: String {
        var parts: [String] = []
        var rest = value
        for (bit, word) in words.enumerated() where value >> UInt64(bit) & 1 != 0 && !word.isEmpty {
            parts.append(word)
            rest &= ~(1 << UInt64(bit))
        }
        if rest != 0 || parts.isEmpty { parts.append(rest == 0 ? "0" : "0x" + String(rest, radix: 16)) }
        return parts.joined(separator: "|")
    }
}

/// Takes structures apart; the bytes may come from anyone.
public struct StructureDecoder {
    private let bytes: [UInt8]
    private var fields: [DecodedField] = []

    private init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// The numbers in the structure of a request, as far as its bytes go: fields, and records that follow them.
    public static func fields(of name: RequestName, in bytes: [UInt8]) -> [DecodedField] {
        guard let layout = StructureLayout.of(name) else { return [] }
        var decoder = StructureDecoder(bytes)
        // What the caller's structure doesn't have isn't looked at, though the buffer may be longer.
        decoder.add(layout, at: 0, upTo: Int(clamping: decoder.number(0, 4) ?? 0))
        decoder.addRest(of: layout)
        return decoder.fields
    }

    private func number(_ offset: Int, _ width: Int) -> UInt64? {
        guard offset >= 0, offset <= bytes.count - width else { return nil }
        return (0..<width).reduce(0) { $0 | UInt64(bytes[offset + $1]) << UInt64(8 * $1) }
    }

    private mutating func add(
        _ layout: StructureLayout, at start: Int, upTo end: Int = .max, prefix: String = ""
    ) {
        for field in layout.fields where field.offset + field.width <= max(end, 8) {
            guard let value = number(start + field.offset, field.width) else { return }
            fields.append(
                DecodedField(
                    name: prefix + field.name, offset: start + field.offset, width: field.width,
                    kind: field.kind, value: value, words: field.words))
        }
    }

    private mutating func add(named name: String, at start: Int, prefix: String = "") {
        if let layout = StructureLayout.all[name] { add(layout, at: start, prefix: prefix) }
    }

    /// Numbers that follow the structure one by one: at most as many as are there.
    private mutating func add(
        _ name: String, count: UInt64, width: Int, _ kind: StructureLayout.Kind, at start: Int
    ) {
        let most = max(0, (bytes.count - start) / width)
        for index in 0..<Int(min(count, UInt64(most))) {
            guard let value = number(start + index * width, width) else { return }
            fields.append(
                DecodedField(
                    name: "\(name)[\(index)]", offset: start + index * width, width: width, kind: kind,
                    value: value))
        }
    }

    private mutating func addRest(of layout: StructureLayout) {
        let flags = number(4, 4) ?? 0
        switch layout.name {
        case "vfio_irq_set":
            let count = number(16, 4) ?? 0
            if flags & 2 != 0 { add("bools", count: count, width: 1, .number, at: 20) }
            if flags & 4 != 0 { add("fds", count: count, width: 4, .descriptor, at: 20) }
        case "vfio_pci_hot_reset": add("fds", count: number(8, 4) ?? 0, width: 4, .descriptor, at: 12)
        case "vfio_iommu_type1_dma_unmap":
            if flags & 1 != 0 { add(named: "vfio_bitmap", at: 24, prefix: "data.") }
        case "vfio_iommu_type1_dirty_bitmap":
            if flags & 4 != 0 { add(named: "vfio_iommu_type1_dirty_bitmap_get", at: 8) }
        case "vfio_device_feature": addFeature(UInt16(truncatingIfNeeded: flags), flags)
        default: break
        }
    }

    private mutating func addFeature(_ feature: UInt16, _ flags: UInt64) {
        if fields.count > 1 {
            let operations = ["GET", "SET", "PROBE"].enumerated().filter {
                flags >> (16 + UInt64($0.offset)) & 1 != 0
            }
            let name = Feature(rawValue: feature).word.map { "\($0)" } ?? "feature \(feature)"
            fields[1].wording = (operations.map(\.element) + [name]).joined(separator: "|")
        }
        // A probe has no payload.
        guard flags & 0x40000 == 0 || bytes.count > 8 else { return }
        switch Feature(rawValue: feature) {
        case .migration: add(named: "vfio_device_feature_migration", at: 8)
        case .migrationDeviceState: add(named: "vfio_device_feature_mig_state", at: 8)
        case .lowPowerEntryWithWakeup: add(named: "vfio_device_low_power_entry_with_wakeup", at: 8)
        case .dmaLoggingStart: add(named: "vfio_device_feature_dma_logging_control", at: 8)
        case .dmaLoggingReport: add(named: "vfio_device_feature_dma_logging_report", at: 8)
        case .migrationDataSize: add(named: "vfio_device_feature_mig_data_size", at: 8)
        case .busMaster: add(named: "vfio_device_feature_bus_master", at: 8)
        case .dmaBuf: add(named: "vfio_device_feature_dma_buf", at: 8)
        default: break
        }
    }
}
