/// A node of a device tree (Devicetree Specification 0.4), as a guest finds its devices by.
public struct DeviceTreeNode: Sendable, Equatable {
    /// A property: a name and bytes, whose meaning the name tells.
    public struct Property: Sendable, Equatable {
        /// Its name.
        public var name: String
        /// Its value: numbers with the highest byte first, texts with a zero at the end.
        public var value: [UInt8]

        /// A property of bytes.
        public init(_ name: String, _ value: [UInt8]) {
            self.name = name
            self.value = value
        }
    }

    /// Its name with its address, such as "ethernet@c000000"; empty for the root.
    public var name: String
    /// Its properties, in their order.
    public private(set) var properties: [Property] = []
    /// The nodes below it, in their order.
    public var children: [DeviceTreeNode] = []

    /// A node without properties.
    public init(_ name: String) { self.name = name }

    /// The value of a property; nil for one that it doesn't have.
    public subscript(name: String) -> [UInt8]? {
        get { properties.first { $0.name == name }?.value }
        set {
            let place = properties.firstIndex { $0.name == name }
            switch (place, newValue) {
            case (let index?, let value?): properties[index].value = value
            case (nil, let value?): properties.append(Property(name, value))
            case (let index?, nil): properties.remove(at: index)
            case (nil, nil): break
            }
        }
    }

    /// Sets a property that says something by being there.
    public mutating func set(_ name: String) { self[name] = [] }

    /// Sets a property to numbers of 32 bits.
    public mutating func set(_ name: String, cells: [UInt32]) {
        self[name] = cells.flatMap { cell in
            [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: cell >> UInt32($0)) }
        }
    }

    /// Sets a property to texts.
    public mutating func set(_ name: String, _ texts: String...) { set(name, texts: texts) }

    /// Sets a property to texts.
    public mutating func set(_ name: String, texts: [String]) {
        self[name] = texts.flatMap { Array($0.utf8) + [0] }
    }

    /// The numbers of 32 bits that a property consists of; nil for one that isn't there or doesn't.
    public func cells(_ name: String) -> [UInt32]? {
        guard let value = self[name], value.count % 4 == 0 else { return nil }
        return stride(from: 0, to: value.count, by: 4).map { at in
            value[at..<at + 4].reduce(0) { $0 << 8 | UInt32($1) }
        }
    }

    /// The texts that a property consists of; nil for one that isn't there or doesn't end with a zero.
    public func texts(_ name: String) -> [String]? {
        guard let value = self[name], value.last == 0 else { return nil }
        return value.dropLast().split(separator: 0, omittingEmptySubsequences: false).map {
            String(decoding: $0, as: UTF8.self)
        }
    }

    /// A number as cells, the most significant first; nil where it needs more.
    static func cells(_ number: UInt64, count: Int) -> [UInt32]? {
        guard count >= 2 || number >> (32 * UInt64(max(0, count))) == 0 else { return nil }
        return (0..<count).reversed().map {
            $0 > 1 ? 0 : UInt32(truncatingIfNeeded: number >> UInt64(32 * $0))
        }
    }
}
