import VFIOABI

/// A constant as the JSON has it and as VFIOABI has it.
enum ABIConstant: Equatable, CustomStringConvertible {
    case number(Int64)
    case text(String)

    var description: String {
        switch self {
        case .number(let number): "\(number)"
        case .text(let text): "\"\(text)\""
        }
    }
}

/// A field: where it is and how big it is. No size: records that follow the structure.
struct ABIField: Equatable {
    var offset: Int
    var size: Int?
}

/// A structure's layout.
struct ABILayout: Equatable {
    var size: Int
    var stride: Int
    var alignment: Int
    var fields: [String: ABIField] = [:]
    /// The smallest `argsz` or `size`, where the structure has such a field.
    var minimumSize: Int?
}

/// What VFIOABI says for each name of the C headers.
struct ABITable {
    var constants: [String: ABIConstant] = [:]
    var structures: [String: ABILayout] = [:]
    /// Names that were entered twice: a mistake in the table.
    var duplicates: [String] = []

    /// The whole of it.
    static let whole: ABITable = {
        var table = ABITable()
        describeVFIO(in: &table)
        describeVFIOFeature(in: &table)
        describeIOMMUFD(in: &table)
        describeS390(in: &table)
        return table
    }()

    mutating func constant(_ name: String, _ value: some BinaryInteger) {
        enter(.number(Int64(truncatingIfNeeded: value)), as: name)
    }

    mutating func constant(_ name: String, _ value: String) {
        enter(.text(value), as: name)
    }

    private mutating func enter(_ value: ABIConstant, as name: String) {
        if constants.updateValue(value, forKey: name) != nil { duplicates.append(name) }
    }

    mutating func structure<Structure: ABIValue>(
        _ name: String, _ type: Structure.Type, _ describe: (inout LayoutTable<Structure>) -> Void
    ) {
        var layout = LayoutTable<Structure>()
        describe(&layout)
        if let sized = type as? any SizePrefixed.Type { layout.layout.minimumSize = sized.minimumSize }
        if structures.updateValue(layout.layout, forKey: name) != nil { duplicates.append(name) }
    }
}

/// Collects the fields of one structure.
struct LayoutTable<Structure: ABIValue> {
    var layout = ABILayout(
        size: MemoryLayout<Structure>.size, stride: MemoryLayout<Structure>.stride,
        alignment: MemoryLayout<Structure>.alignment)

    /// A field that C calls `name`.
    mutating func field<Field>(_ name: String, _ path: KeyPath<Structure, Field>) {
        layout.fields[name] = ABIField(
            offset: MemoryLayout<Structure>.offset(of: path) ?? -1, size: MemoryLayout<Field>.size)
    }

    /// Records without a fixed number, right behind the structure.
    mutating func trailing(_ name: String) {
        layout.fields[name] = ABIField(offset: MemoryLayout<Structure>.size, size: nil)
    }
}
