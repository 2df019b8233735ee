/// Capabilities whose contents a vendor or a consortium defines (PCI Express Base 6.0, 7.9.5 and 7.9.6).
enum VendorCapabilities {
    static func vendorSpecific(_ body: inout CapabilityBody) {
        let head = body.register(
            "Vendor-Specific Header", 0x04, 4,
            [
                .value(0...15, "VSEC ID") { "0x" + hex($0, digits: 4) },
                .value(16...19, "VSEC Rev") { "\($0)" },
                .value(20...31, "VSEC Length") { "\($0) bytes" },
            ])
        rest(Int(head >> 20), after: 8, &body)
        body.summary = "ID 0x\(hex(head & 0xffff, digits: 4)) revision \(head >> 16 & 0xf)"
    }

    /// Who defines it stands in its header.
    static func designated(_ body: inout CapabilityBody) {
        let head = body.register(
            "DVSEC Header 1", 0x04, 4,
            [
                .value(0...15, "DVSEC Vendor ID") { "0x" + hex($0, digits: 4) },
                .value(16...19, "DVSEC Revision") { "\($0)" },
                .value(20...31, "DVSEC Length") { "\($0) bytes" },
            ])
        let id = body.register(
            "DVSEC Header 2", 0x08, 2, [.value(0...15, "DVSEC ID") { "0x" + hex($0, digits: 4) }])
        let vendor = head & 0xffff
        if vendor == 0x1e98 {
            ComputeExpressLink.decode(id, length: Int(head >> 20), &body)
        } else {
            body.summary = "vendor 0x\(hex(vendor, digits: 4)) ID 0x\(hex(id, digits: 4))"
            rest(Int(head >> 20), after: 0x0a, &body)
        }
    }

    /// The bytes whose meaning isn't public.
    static func rest(_ length: Int, after header: Int, _ body: inout CapabilityBody) {
        guard length >= header else {
            return body.complain("its length of \(length) bytes doesn't even hold its header")
        }
        body.bytes("Data", header..<length)
    }
}

/// Compute Express Link's capabilities (CXL 3.1, 8.1).
enum ComputeExpressLink {
    static func decode(_ id: UInt64, length: Int, _ body: inout CapabilityBody) {
        switch id {
        case 0x0000: device(length, &body)
        case 0x0002: named("CXL non-CXL function map", length, &body)
        case 0x0003: port(length, &body)
        case 0x0004: named("CXL global persistent flush port", length, &body)
        case 0x0005: named("CXL global persistent flush device", length, &body)
        case 0x0007: flexBus(length, &body)
        case 0x0008: registerLocator(length, &body)
        case 0x0009: named("CXL multi-logical device", length, &body)
        case 0x000a: named("CXL test capability", length, &body)
        default: named("CXL 0x\(hex(id))", length, &body)
        }
    }

    private static func named(_ name: String, _ length: Int, _ body: inout CapabilityBody) {
        body.summary = name
        VendorCapabilities.rest(length, after: 0x0a, &body)
    }

    private static func device(_ length: Int, _ body: inout CapabilityBody) {
        body.summary = "CXL device"
        body.register(
            "CXL Capability", 0x0a, 2,
            [
                .flag(0, "Cache Capable"), .flag(1, "IO Capable"), .flag(2, "Mem Capable"),
                .flag(3, "Mem HwInit Mode"), .number(4...5, "HDM Count"),
                .flag(6, "Cache Writeback and Invalidate Capable"), .flag(7, "CXL Reset Capable"),
                .value(8...10, "CXL Reset Timeout") {
                    ["10 ms", "100 ms", "1 s", "10 s", "100 s", "reserved", "reserved", "reserved"][Int($0)]
                },
                .flag(11, "CXL Reset Mem Clr Capable"), .flag(12, "TSP Capable"),
                .flag(13, "Multiple Logical Device"), .flag(14, "Viral Capable"),
                .flag(15, "PM Init Completion Reporting Capable"),
            ])
        body.register(
            "CXL Control", 0x0c, 2,
            [
                .flag(0, "Cache Enable"), .flag(1, "IO Enable"), .flag(2, "Mem Enable"),
                .number(3...7, "Cache SF Coverage"), .number(8...10, "Cache SF Granularity"),
                .flag(11, "Cache Clean Eviction"), .flag(14, "Viral Enable"),
            ])
        body.register("CXL Status", 0x0e, 2, [.flag(14, "Viral Status")])
        body.register(
            "CXL Control 2", 0x10, 2,
            [
                .flag(0, "Disable Caching"), .flag(1, "Initiate Cache Write Back and Invalidation"),
                .flag(2, "Initiate CXL Reset"), .flag(3, "CXL Reset Mem Clr Enable"),
            ])
        body.register(
            "CXL Status 2", 0x12, 2,
            [
                .flag(0, "Cache Invalid"), .flag(1, "CXL Reset Complete"), .flag(2, "CXL Reset Error"),
                .flag(15, "Power Management Initialization Complete"),
            ])
        body.register("CXL Lock", 0x14, 2, [.flag(0, "Config Lock")])
        body.register(
            "CXL Capability 2", 0x16, 2, [.number(0...3, "Cache Size Unit"), .number(8...15, "Cache Size")])
        for index in 0..<2 { range(index, at: 0x18 + 0x10 * index, &body) }
    }

    private static func range(_ index: Int, at offset: Int, _ body: inout CapabilityBody) {
        let name = "CXL Range \(index + 1)"
        let size = body.number(offset, 4) << 32 | body.number(offset + 4, 4) & 0xf000_0000
        let base = body.number(offset + 8, 4) << 32 | body.number(offset + 12, 4) & 0xf000_0000
        body.register("\(name) Size High", offset, 4) { _ in size == 0 ? "none" : "0x\(hex(size)) bytes" }
        body.register(
            "\(name) Size Low", offset + 4, 4,
            [
                .flag(0, "Memory Info Valid"), .flag(1, "Memory Active"),
                .value(2...4, "Media Type") {
                    $0 == 2 ? "in CDAT" : $0 < 2 ? ["volatile", "non-volatile"][Int($0)] : "reserved"
                },
                .number(5...7, "Memory Class"), .number(8...12, "Desired Interleave"),
                .number(13...15, "Memory Active Timeout"),
            ])
        body.register("\(name) Base High", offset + 8, 4) { _ in size == 0 ? "" : "0x\(hex(base))" }
        body.register("\(name) Base Low", offset + 12, 4) { _ in "" }
    }

    private static func port(_ length: Int, _ body: inout CapabilityBody) {
        body.summary = "CXL port"
        body.register(
            "CXL Port Extension Status", 0x0a, 2,
            [.flag(0, "Port Power Management Initialization Complete"), .flag(14, "Viral Status")])
        body.register(
            "CXL Port Control Extensions", 0x0c, 2,
            [
                .flag(0, "Unmask SBR"), .flag(1, "Unmask Link Disable"),
                .flag(2, "Alt Memory and ID Space Enable"),
                .flag(3, "Alt BME"), .flag(4, "UIO to HDM Enable"), .flag(14, "Viral Enable"),
            ])
        body.register("Alternate Bus Base", 0x0e, 1)
        body.register("Alternate Bus Limit", 0x0f, 1)
        body.register("Alternate Memory Base", 0x10, 2)
        body.register("Alternate Memory Limit", 0x12, 2)
    }

    private static func flexBus(_ length: Int, _ body: inout CapabilityBody) {
        body.summary = "CXL flex bus port"
        let protocols = FieldLayout.flags(0, ["Cache", "IO", "Mem"])
        body.register(
            "Flex Bus Port Capability", 0x0a, 2,
            protocols + [.flag(5, "68B Flit and VH Capable"), .flag(6, "Multi-Logical Device")])
        body.register("Flex Bus Port Control", 0x0c, 2, protocols)
        body.register("Flex Bus Port Status", 0x0e, 2, protocols)
    }

    private static let registerBlocks = [
        "empty", "component registers", "BAR virtualization ACL", "CXL device registers",
        "CXL performance monitoring",
    ]

    private static func registerLocator(_ length: Int, _ body: inout CapabilityBody) {
        body.summary = "CXL register locator"
        guard length >= 0x0c else {
            return body.complain("its length of \(length) bytes doesn't even hold its header")
        }
        for index in 0..<(length - 0x0c) / 8 {
            let offset = 0x0c + 8 * index
            guard body.has(offset, 8) else { return }
            let place = body.number(offset + 4, 4) << 32 | body.number(offset, 4) & 0xffff_0000
            body.register(
                "Register Block \(index) Offset Low", offset, 4,
                [
                    .value(0...2, "Register BIR") { "BAR \($0)" },
                    .choice(8...15, "Register Block Identifier", registerBlocks),
                    .value(16...31, "Register Block Offset") { _ in "0x" + hex(place) },
                ])
            body.register("Register Block \(index) Offset High", offset + 4, 4) { _ in "" }
        }
    }
}
