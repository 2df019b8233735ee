/// Virtual channels (PCI Express Base 6.0, 7.9.1 and 7.9.2).
enum VirtualChannels {
    static func decode(_ body: inout CapabilityBody) {
        let first = body.register("Port VC Capability 1", 0x04, 4, capability1)
        body.register("Port VC Capability 2", 0x08, 4, capability2)
        body.register(
            "Port VC Control", 0x0c, 2,
            [.flag(0, "Load VC Arbitration Table"), .number(1...3, "VC Arbitration Select")])
        body.register("Port VC Status", 0x0e, 2, [.flag(0, "VC Arbitration Table Status")])
        let count = Int(first & 7)
        body.summary = "\(count + 1) channel\(count == 0 ? "" : "s")"
        for index in 0...count {
            let offset = 0x10 + 0x0c * index
            body.register("VC\(index) Resource Capability", offset, 4, resource)
            body.register("VC\(index) Resource Control", offset + 4, 4, control)
            body.register(
                "VC\(index) Resource Status", offset + 0x0a, 2,
                [.flag(0, "Port Arbitration Table Status"), .flag(1, "VC Negotiation Pending")])
        }
    }

    private static let capability1: [FieldLayout] = [
        .number(0...2, "Extended VC Count"),
        .number(4...6, "Low Priority Extended VC Count"),
        .value(8...9, "Reference Clock") { $0 == 0 ? "100 ns" : "reserved (\($0))" },
        .value(10...11, "Port Arbitration Table Entry Size") { $0 == 0 ? "" : "\(1 << $0) bits" },
    ]

    private static let capability2: [FieldLayout] = [
        .set(0...7, "VC Arbitration", ["hardware fixed", "WRR32", "WRR64", "WRR128"]),
        .value(24...31, "VC Arbitration Table Offset", table),
    ]

    private static let resource: [FieldLayout] = [
        .set(
            0...7, "Port Arbitration",
            ["hardware fixed", "WRR32", "WRR64", "WRR128", "time-based WRR128", "WRR256"]),
        .flag(15, "Reject Snoop Transactions"),
        .value(16...22, "Maximum Time Slots") { $0 == 0 ? "" : "\($0 + 1)" },
        .value(24...31, "Port Arbitration Table Offset", table),
    ]

    @Sendable private static func table(_ value: UInt64) -> String? {
        value == 0 ? "" : "0x" + hex(value * 16)
    }

    private static let control: [FieldLayout] = [
        .value(0...7, "TC/VC Map") { "0x" + hex($0, digits: 2) },
        .flag(16, "Load Port Arbitration Table"),
        .number(17...19, "Port Arbitration Select"),
        .value(24...26, "VC ID") { "\($0)" },
        .flag(31, "VC Enable"),
    ]
}

/// What only a root complex has (PCI Express Base 6.0, 7.9.8 to 7.9.10).
enum RootComplex {
    static func linkDeclaration(_ body: inout CapabilityBody) {
        let element = body.register(
            "Element Self Description", 0x04, 4,
            [
                .choice(
                    0...3, "Element Type",
                    ["configuration space", "system egress port", "internal root complex link"]),
                .number(8...15, "Number of Link Entries"),
                .number(16...23, "Component ID"),
                .number(24...31, "Port Number"),
            ])
        for index in 0..<Int(element >> 8 & 0xff) {
            let offset = 0x10 + 16 * index
            guard body.has(offset, 16) else { return }
            body.register(
                "Link \(index) Description", offset, 4,
                [
                    .flag(0, "Link Valid"),
                    .value(1...1, "Link Type") { $0 == 0 ? "RCRB" : "configuration space" },
                    .flag(2, "Associate RCRB Header"),
                    .number(16...23, "Target Component ID"),
                    .number(24...31, "Target Port Number"),
                ])
            body.register("Link \(index) Address", offset + 8, 8)
        }
    }

    static func internalLink(_ body: inout CapabilityBody) {
        body.register("Root Complex Link Capabilities", 0x04, 4, ExpressLinkLayouts.capabilities)
        body.register("Root Complex Link Control", 0x08, 2, ExpressLinkLayouts.control)
        body.register("Root Complex Link Status", 0x0a, 2, ExpressLinkLayouts.status)
    }

    static func eventCollector(_ version: Int, _ body: inout CapabilityBody) {
        body.register("Association Bitmap for RCiEPs", 0x04, 4) { value in
            let devices = (0..<32).filter { value >> UInt64($0) & 1 != 0 }
            return devices.isEmpty
                ? "none" : "devices " + devices.map { hex($0, digits: 2) }.joined(separator: " ")
        }
        guard version >= 2 else { return }
        body.register(
            "Associated Bus Numbers", 0x08, 4,
            [
                .value(8...15, "Next Bus") { hex($0, digits: 2) },
                .value(16...23, "Last Bus") { hex($0, digits: 2) },
            ])
    }
}
