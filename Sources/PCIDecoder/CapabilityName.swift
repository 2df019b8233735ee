/// Capabilities of configuration space in words (PCI Code and ID Assignment).
public enum CapabilityName {
    /// The name of a capability.
    public static func of(_ id: UInt8) -> String {
        switch id {
        case 0x01: "power management"
        case 0x03: "vital product data"
        case 0x05: "MSI"
        case 0x07: "PCI-X"
        case 0x09: "vendor specific"
        case 0x0d: "subsystem identity"
        case 0x10: "PCI Express"
        case 0x11: "MSI-X"
        case 0x12: "SATA"
        case 0x13: "advanced features"
        case 0x14: "enhanced allocation"
        default: "capability 0x" + String(id, radix: 16)
        }
    }

    /// The name of an extended capability.
    public static func ofExtended(_ id: UInt16) -> String {
        switch id {
        case 0x01: "advanced error reporting"
        case 0x02: "virtual channel"
        case 0x03: "device serial number"
        case 0x04: "power budgeting"
        case 0x0b: "vendor specific"
        case 0x0d: "access control services"
        case 0x0e: "alternative routing-ID"
        case 0x0f: "address translation services"
        case 0x10: "SR-IOV"
        case 0x13: "page requests"
        case 0x15: "resizable BAR"
        case 0x18: "latency tolerance reporting"
        case 0x19: "secondary PCI Express"
        case 0x1b: "PASID"
        case 0x1e: "L1 PM substates"
        case 0x23: "designated vendor specific"
        default: "extended capability 0x" + String(id, radix: 16)
        }
    }
}
