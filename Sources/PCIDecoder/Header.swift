/// The first 64 bytes (PCI Local Bus 3.0, 6.1 and 6.2; PCI-to-PCI Bridge 1.2, 3.2; PC Card 8.0 for CardBus).
enum Header {
    static func decode(_ body: inout CapabilityBody) {
        body.register("Vendor ID", 0x00, 2)
        body.register("Device ID", 0x02, 2)
        body.register("Command", 0x04, 2, command)
        body.register("Status", 0x06, 2, status)
        body.register("Revision ID", 0x08, 1)
        body.register("Class Code", 0x09, 3) { PCIClass.name(UInt32($0)) }
        body.register("Cache Line Size", 0x0c, 1) { $0 == 0 ? "" : "\($0 * 4) bytes" }
        body.register("Latency Timer", 0x0d, 1) { $0 == 0 ? "" : "\($0) clock cycles" }
        body.register("Header Type", 0x0e, 1, type)
        body.register("BIST", 0x0f, 1, selfTest)
        switch body.headerType {
        case 0: function(&body)
        case 1: bridge(&body)
        case 2: cardBus(&body)
        default: body.complain("header layout \(body.headerType) is none that is known")
        }
    }

    private static func function(_ body: inout CapabilityBody) {
        baseAddresses(6, &body)
        body.register("CardBus CIS Pointer", 0x28, 4) { $0 == 0 ? "" : nil }
        body.register("Subsystem Vendor ID", 0x2c, 2)
        body.register("Subsystem ID", 0x2e, 2)
        expansionROM(0x30, &body)
        body.register("Capabilities Pointer", 0x34, 1)
        interrupt(&body)
        body.register("Min_Gnt", 0x3e, 1) { $0 == 0 ? "" : "\($0 * 250) ns" }
        body.register("Max_Lat", 0x3f, 1) { $0 == 0 ? "" : "\($0 * 250) ns" }
    }

    private static func bridge(_ body: inout CapabilityBody) {
        baseAddresses(2, &body)
        body.register("Primary Bus Number", 0x18, 1) { hex($0, digits: 2) }
        body.register("Secondary Bus Number", 0x19, 1) { hex($0, digits: 2) }
        body.register("Subordinate Bus Number", 0x1a, 1) { hex($0, digits: 2) }
        body.register("Secondary Latency Timer", 0x1b, 1) { $0 == 0 ? "" : "\($0) clock cycles" }
        let highPorts = (base: body.number(0x30, 2), limit: body.number(0x32, 2))
        let portBase = (body.number(0x1c, 1) & 0xf0) << 8 | highPorts.base << 16
        let portLimit = (body.number(0x1d, 1) & 0xf0) << 8 | highPorts.limit << 16 | 0xfff
        body.register("I/O Base", 0x1c, 1) { _ in window(portBase, portLimit) }
        body.register("I/O Limit", 0x1d, 1) { _ in "" }
        body.register("Secondary Status", 0x1e, 2, secondaryStatus)
        let base = (body.number(0x20, 2) & 0xfff0) << 16
        let limit = (body.number(0x22, 2) & 0xfff0) << 16 | 0xf_ffff
        body.register("Memory Base", 0x20, 2) { _ in window(base, limit) }
        body.register("Memory Limit", 0x22, 2) { _ in "" }
        let fastBase = (body.number(0x24, 2) & 0xfff0) << 16 | body.number(0x28, 4) << 32
        let fastLimit = (body.number(0x26, 2) & 0xfff0) << 16 | 0xf_ffff | body.number(0x2c, 4) << 32
        body.register("Prefetchable Memory Base", 0x24, 2) { _ in window(fastBase, fastLimit) }
        body.register("Prefetchable Memory Limit", 0x26, 2) { _ in "" }
        body.register("Prefetchable Base Upper 32 Bits", 0x28, 4) { _ in "" }
        body.register("Prefetchable Limit Upper 32 Bits", 0x2c, 4) { _ in "" }
        body.register("I/O Base Upper 16 Bits", 0x30, 2) { _ in "" }
        body.register("I/O Limit Upper 16 Bits", 0x32, 2) { _ in "" }
        body.register("Capabilities Pointer", 0x34, 1)
        expansionROM(0x38, &body)
        interrupt(&body)
        body.register("Bridge Control", 0x3e, 2, bridgeControl)
    }

    private static func cardBus(_ body: inout CapabilityBody) {
        body.register("CardBus Socket Registers Base Address", 0x10, 4)
        body.register("Capabilities Pointer", 0x14, 1)
        body.register("Secondary Status", 0x16, 2, secondaryStatus)
        body.register("PCI Bus Number", 0x18, 1) { hex($0, digits: 2) }
        body.register("CardBus Bus Number", 0x19, 1) { hex($0, digits: 2) }
        body.register("Subordinate Bus Number", 0x1a, 1) { hex($0, digits: 2) }
        body.register("CardBus Latency Timer", 0x1b, 1)
        for index in 0..<2 {
            body.register("Memory Base \(index)", 0x1c + 8 * index, 4)
            body.register("Memory Limit \(index)", 0x20 + 8 * index, 4)
        }
        for index in 0..<2 {
            body.register("I/O Base \(index)", 0x2c + 8 * index, 4)
            body.register("I/O Limit \(index)", 0x30 + 8 * index, 4)
        }
        interrupt(&body)
        body.register("Bridge Control", 0x3e, 2, bridgeControl)
    }

    /// What a bridge hands on; it is shut where the limit lies below the base.
    private static func window(_ base: UInt64, _ limit: UInt64) -> String {
        limit < base ? "none" : "0x\(hex(base)) to 0x\(hex(limit))"
    }

    private static func baseAddresses(_ count: Int, _ body: inout CapabilityBody) {
        var index = 0
        while index < count {
            let offset = 0x10 + 4 * index
            let low = body.number(offset, 4)
            let isWide = low & 7 == 4 && index + 1 < count
            body.register("BAR \(index)", offset, isWide ? 8 : 4) { baseAddress($0, isWide: isWide) }
            if low & 7 == 4, !isWide {
                body.complain("BAR \(index) has 64 bits, and no room for the upper half")
            }
            index += isWide ? 2 : 1
        }
    }

    /// What a base address register holds. Its size isn't in it.
    private static func baseAddress(_ value: UInt64, isWide: Bool) -> String {
        if value == 0 { return "" }
        if value & 1 != 0 { return "I/O ports at 0x\(hex(value & 0xffff_fffc))" }
        let kind = ["32-bit", "below 1 MiB,", "64-bit", "reserved type,"][Int(value >> 1 & 3)]
        let address = hex(isWide ? value & ~0xf : value & 0xffff_fff0)
        return "memory at 0x\(address), \(kind) \(value & 8 != 0 ? "prefetchable" : "non-prefetchable")"
    }

    private static func expansionROM(_ offset: Int, _ body: inout CapabilityBody) {
        body.register("Expansion ROM Base Address", offset, 4) {
            $0 == 0 ? "" : "at 0x\(hex($0 & 0xffff_f800)), \($0 & 1 != 0 ? "enabled" : "disabled")"
        }
    }

    private static func interrupt(_ body: inout CapabilityBody) {
        body.register("Interrupt Line", 0x3c, 1) { $0 == 0xff ? "none" : "\($0)" }
        body.register("Interrupt Pin", 0x3d, 1) {
            switch $0 {
            case 0: "none"
            case 1...4: "INT" + ["A", "B", "C", "D"][Int($0) - 1]
            default: "reserved (\($0))"
            }
        }
    }

    private static let command = FieldLayout.flags(
        0,
        [
            "I/O Space", "Memory Space", "Bus Master", "Special Cycles", "Memory Write and Invalidate",
            "VGA Palette Snoop", "Parity Error Response", "IDSEL Stepping", "SERR#", "Fast Back-to-Back",
            "Interrupt Disable",
        ])

    private static let status =
        [FieldLayout.flag(0, "Immediate Readiness")]
        + FieldLayout.flags(
            3, ["Interrupt", "Capabilities List", "66 MHz Capable", "", "Fast Back-to-Back Capable"])
        + errors("Signaled System Error")

    private static let secondaryStatus =
        FieldLayout.flags(5, ["66 MHz Capable", "", "Fast Back-to-Back Capable"])
        + errors("Received System Error")

    private static func errors(_ systemError: String) -> [FieldLayout] {
        [
            .flag(8, "Master Data Parity Error"),
            .value(9...10, "DEVSEL Timing") { ["", "medium", "slow", "reserved"][Int($0)] },
        ]
            + FieldLayout.flags(
                11,
                [
                    "Signaled Target Abort", "Received Target Abort", "Received Master Abort", systemError,
                    "Detected Parity Error",
                ])
    }

    private static let type: [FieldLayout] = [
        .choice(0...6, "Layout", ["0 (function)", "1 (bridge)", "2 (CardBus bridge)"]),
        .flag(7, "Multi-Function Device"),
    ]

    private static let selfTest: [FieldLayout] = [
        .number(0...3, "Completion Code"), .flag(6, "Start BIST"), .flag(7, "BIST Capable"),
    ]

    private static let bridgeControl = FieldLayout.flags(
        0,
        [
            "Parity Error Response", "SERR#", "ISA Enable", "VGA Enable", "VGA 16-bit Decode",
            "Master Abort Mode",
            "Secondary Bus Reset", "Fast Back-to-Back", "Primary Discard Timer", "Secondary Discard Timer",
            "Discard Timer Status", "Discard Timer SERR#",
        ])
}
