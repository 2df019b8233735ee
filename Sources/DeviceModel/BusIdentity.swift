/// What kind of a device one is that isn't a PCI function, and who it says it is.
public enum BusIdentity: Sendable {
    /// On the platform bus: firmware says that it is there.
    case platform(FirmwareNode)
    /// On the AMBA bus: the same, with a number that the device itself tells.
    case amba(UInt32, FirmwareNode)
    /// On the CDX bus: made of programmable logic, announced by a controller of its own.
    case cdx(CDXIdentity)
    /// An object of Freescale's management complex.
    case fslMC(FSLMCIdentity)

    /// What firmware says about it, where it is firmware that does.
    public var node: FirmwareNode? {
        switch self {
        case .platform(let node), .amba(_, let node): node
        case .cdx, .fslMC: nil
        }
    }
}

/// What a machine's firmware says about a device: a device-tree node, or an ACPI device.
public struct FirmwareNode: Sendable {
    /// A property of a device-tree node besides `reg`, `interrupts` and `compatible`.
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

    /// What it is compatible with, the most exact first; empty for an ACPI device.
    public var compatible: [String]
    /// Its ACPI hardware ID; nil for a device-tree node.
    public var acpiID: String?
    /// Whether ACPI knows how to reset it (`_RST`).
    public var hasACPIReset: Bool
    /// Further properties.
    public var properties: [Property]

    /// A device-tree node.
    public init(compatible: [String], properties: [Property] = []) {
        self.compatible = compatible
        self.properties = properties
        hasACPIReset = false
    }

    /// An ACPI device.
    public init(acpiID: String, hasReset: Bool) {
        compatible = []
        properties = []
        self.acpiID = acpiID
        hasACPIReset = hasReset
    }
}

/// Who a device on the CDX bus says it is.
public struct CDXIdentity: Sendable, Equatable {
    /// Vendor ID.
    public var vendor: UInt16
    /// Device ID.
    public var device: UInt16
    /// Subsystem Vendor ID.
    public var subsystemVendor: UInt16
    /// Subsystem ID.
    public var subsystem: UInt16
    /// Base class, sub-class and programming interface.
    public var classCode: UInt32
    /// Revision ID.
    public var revision: UInt8

    /// An identity.
    public init(
        vendor: UInt16, device: UInt16, subsystemVendor: UInt16 = 0, subsystem: UInt16 = 0,
        classCode: UInt32 = 0, revision: UInt8 = 0
    ) {
        self.vendor = vendor
        self.device = device
        self.subsystemVendor = subsystemVendor
        self.subsystem = subsystem
        self.classCode = classCode
        self.revision = revision
    }
}

/// Which object of Freescale's management complex one is.
public struct FSLMCIdentity: Sendable, Equatable {
    /// Vendor: 0x1957 for Freescale.
    public var vendor: UInt16
    /// Its kind: "dprc" for a container of others, "dpni" for a network interface, …
    public var type: String

    /// Whether it is a container of other objects, with a portal to the complex.
    public var isContainer: Bool { type.utf8.elementsEqual("dprc".utf8) }

    /// An object's identity.
    public init(vendor: UInt16 = 0x1957, type: String) {
        self.vendor = vendor
        self.type = type
    }

    /// Compares field by field.
    public static func == (left: Self, right: Self) -> Bool {
        left.vendor == right.vendor && left.type.utf8.elementsEqual(right.type.utf8)
    }
}
