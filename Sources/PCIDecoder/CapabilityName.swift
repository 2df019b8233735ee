/// Capabilities of configuration space in words (PCI Code and ID Assignment).
public enum CapabilityName {
    /// The name of a capability.
    public static func of(_ id: UInt8) -> String {
        switch id {
        case 0x00: "null capability"
        case 0x01: "power management"
        case 0x02: "AGP"
        case 0x03: "vital product data"
        case 0x04: "slot identification"
        case 0x05: "MSI"
        case 0x06: "CompactPCI hot swap"
        case 0x07: "PCI-X"
        case 0x08: "HyperTransport"
        case 0x09: "vendor specific"
        case 0x0a: "debug port"
        case 0x0b: "CompactPCI central resource control"
        case 0x0c: "hot-plug controller"
        case 0x0d: "subsystem identity"
        case 0x0e: "AGP 8x"
        case 0x0f: "secure device"
        case 0x10: "PCI Express"
        case 0x11: "MSI-X"
        case 0x12: "SATA"
        case 0x13: "advanced features"
        case 0x14: "enhanced allocation"
        case 0x15: "flattening portal bridge"
        default: "capability 0x" + String(id, radix: 16)
        }
    }

    /// The name of an extended capability.
    public static func ofExtended(_ id: UInt16) -> String {
        guard id > 0, id <= UInt16(extended.count), !extended[Int(id) - 1].isEmpty else {
            return "extended capability 0x" + String(id, radix: 16)
        }
        return extended[Int(id) - 1]
    }

    /// From ID 1 on; those that were never given, or to one vendor, are empty.
    private static let extended = [
        "advanced error reporting", "virtual channel", "device serial number", "power budgeting",
        "root complex link declaration", "root complex internal link control",
        "root complex event collector association", "multi-function virtual channel",
        "virtual channel (MFVC)",
        "root complex register block", "vendor specific", "configuration access correlation",
        "access control services", "alternative routing-ID", "address translation services", "SR-IOV",
        "MR-IOV",
        "multicast", "page requests", "", "resizable BAR", "dynamic power allocation", "TPH requester",
        "latency tolerance reporting", "secondary PCI Express", "protocol multiplexing", "PASID",
        "LN requester",
        "downstream port containment", "L1 PM substates", "precision time measurement",
        "PCI Express over M-PHY",
        "FRS queueing", "readiness time reporting", "designated vendor specific", "VF resizable BAR",
        "data link feature", "physical layer 16 GT/s", "lane margining at the receiver", "hierarchy ID",
        "native PCI Express enclosure management", "physical layer 32 GT/s", "alternate protocol",
        "system firmware intermediary", "shadow functions", "data object exchange", "device 3",
        "integrity and data encryption", "physical layer 64 GT/s", "flit logging",
        "flit performance measurement", "flit error injection", "streamlined virtual channel",
        "MMIO register block locator",
    ]
}
