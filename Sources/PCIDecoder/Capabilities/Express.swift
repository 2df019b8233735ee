/// PCI Express (PCI Express Base 6.0, 7.5.3).
enum Express {
    static func decode(_ body: inout CapabilityBody) {
        let flags = body.register("PCI Express Capabilities", 0x02, 2, capabilities)
        let version = flags & 0xf
        let type = flags >> 4 & 0xf
        body.summary = kinds[Int(type)].isEmpty ? "type \(type)" : kinds[Int(type)]
        // In the root complex there are no links.
        let hasLink = type != 9 && type != 10
        let hasSlot = (type == 4 || type == 6) && flags & 1 << 8 != 0
        let hasRoot = type == 4 || type == 10
        body.register("Device Capabilities", 0x04, 4, ExpressLayouts.deviceCapabilities)
        body.register("Device Control", 0x08, 2, control(type))
        body.register("Device Status", 0x0a, 2, ExpressLayouts.deviceStatus)
        if hasLink {
            body.register("Link Capabilities", 0x0c, 4, ExpressLinkLayouts.capabilities)
            body.register("Link Control", 0x10, 2, ExpressLinkLayouts.control)
            body.register("Link Status", 0x12, 2, ExpressLinkLayouts.status)
        }
        if hasSlot {
            body.register("Slot Capabilities", 0x14, 4, ExpressSlotLayouts.capabilities)
            body.register("Slot Control", 0x18, 2, ExpressSlotLayouts.control)
            body.register("Slot Status", 0x1a, 2, ExpressSlotLayouts.status)
        }
        if hasRoot {
            body.register("Root Control", 0x1c, 2, ExpressSlotLayouts.rootControl)
            body.register("Root Capabilities", 0x1e, 2, [.flag(0, "Configuration RRS Software Visibility")])
            body.register("Root Status", 0x20, 4, ExpressSlotLayouts.rootStatus)
        }
        guard version >= 2 else { return }
        let hasPrefixes = body.number(0x24, 4) & 1 << 21 != 0
        body.register(
            "Device Capabilities 2", 0x24, 4,
            ExpressLayouts.deviceCapabilities2(hasPrefixes: hasPrefixes))
        body.register("Device Control 2", 0x28, 2, ExpressLayouts.deviceControl2)
        body.register("Device Status 2", 0x2a, 2) { $0 == 0 ? "" : nil }
        if hasLink {
            body.register("Link Capabilities 2", 0x2c, 4, ExpressLinkLayouts.capabilities2)
            body.register("Link Control 2", 0x30, 2, ExpressLinkLayouts.control2)
            body.register("Link Status 2", 0x32, 2, ExpressLinkLayouts.status2)
        }
        if hasSlot {
            body.register("Slot Capabilities 2", 0x34, 4, [.flag(0, "In-Band PD Disable Supported")])
            body.register("Slot Control 2", 0x38, 2) { $0 == 0 ? "" : nil }
            body.register("Slot Status 2", 0x3a, 2) { $0 == 0 ? "" : nil }
        }
    }

    static let kinds = [
        "Endpoint", "Legacy Endpoint", "", "", "Root Port", "Upstream Switch Port", "Downstream Switch Port",
        "PCI Express to PCI/PCI-X Bridge", "PCI/PCI-X to PCI Express Bridge",
        "Root Complex Integrated Endpoint",
        "Root Complex Event Collector", "", "", "", "", "",
    ]

    private static let capabilities: [FieldLayout] = [
        .value(0...3, "Version") { "\($0)" },
        .choice(4...7, "Device/Port Type", kinds),
        .flag(8, "Slot Implemented"),
        .number(9...13, "Interrupt Message Number"),
        .flag(15, "Flit Mode Supported"),
    ]

    /// Bit 15 of the control register is another thing for a bridge.
    private static func control(_ type: UInt64) -> [FieldLayout] {
        ExpressLayouts.deviceControl + [
            .flag(15, type == 7 ? "Bridge Configuration Retry Enable" : "Initiate Function Level Reset")
        ]
    }
}

/// What extended capabilities need to know of the PCI Express capability.
struct ExpressFacts {
    /// How many lanes the link can have; 0 where that isn't known.
    var laneCount = 0
    /// The device or port type.
    var type: UInt64?

    init(_ capability: DecodedCapability?) {
        type = capability?["PCI Express Capabilities"]?["Device/Port Type"]?.value
        let width = capability?["Link Capabilities"]?["Maximum Link Width"]?.value ?? 0
        laneCount = Int(min(width, 32))
    }

    /// Whether it is a port towards devices: of a root complex or of a switch.
    var isDownstreamPort: Bool { type == 4 || type == 6 }
    /// Whether errors are reported here: a root port or an event collector.
    var isRoot: Bool { type == 4 || type == 10 }
}
