/// What a machine's firmware says about a device that it describes: on the platform and the AMBA bus.
public struct FirmwareRecord: Sendable {
    /// A property of a device-tree node.
    public struct Property: Sendable {
        /// Its name.
        public var name: String
        /// Its value, as the tree holds it: numbers with the highest byte first, texts with a zero at the end.
        public var value: [UInt8]

        /// A property.
        public init(_ name: String, _ value: [UInt8]) {
            self.name = name
            self.value = value
        }
    }

    /// Its ACPI hardware ID; nil for a device-tree node.
    public var acpiID: String?
    /// The properties of its device-tree node; none for an ACPI device.
    public var properties: [Property]

    /// Describes a device-tree node.
    public init(properties: [Property]) { self.properties = properties }

    /// Describes an ACPI device.
    public init(acpiID: String) {
        self.acpiID = acpiID
        properties = []
    }

    /// The value of a property; nil for one that isn't there.
    public subscript(name: String) -> [UInt8]? {
        properties.first { $0.name.utf8.elementsEqual(name.utf8) }?.value
    }

    /// The texts of a property; none for one that isn't there.
    public func strings(of name: String) -> [String] {
        guard let value = self[name] else { return [] }
        return value.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
    }

    /// What the device is compatible with, the most exact first.
    public var compatible: [String] { strings(of: "compatible") }
}

// Comparing texts needs Unicode's tables, which Embedded Swift would have to carry along.
#if !hasFeature(Embedded)
    extension FirmwareRecord: Equatable {}
    extension FirmwareRecord.Property: Equatable {}
#endif
