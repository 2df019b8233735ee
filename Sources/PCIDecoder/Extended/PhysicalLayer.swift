/// Links at 8 GT/s and beyond (PCI Express Base 6.0, 7.7.3 to 7.7.8).
enum PhysicalLayer {
    /// Secondary PCI Express.
    static func secondary(_ express: ExpressFacts, _ body: inout CapabilityBody) {
        body.register(
            "Link Control 3", 0x04, 4,
            [
                .flag(0, "Perform Equalization"), .flag(1, "Link Equalization Request Interrupt"),
                .set(9...15, "Lower SKP OS Generation", ["2.5", "5", "8", "16", "32", "64"]),
            ])
        body.register("Lane Error Status", 0x08, 4, meaning: lanes)
        for lane in 0..<express.laneCount {
            body.register(
                "Lane \(lane) Equalization Control", 0x0c + 2 * lane, 2,
                [
                    .value(0...3, "Downstream Port Transmitter Preset") { "\($0)" },
                    .value(4...6, "Downstream Port Receiver Hint") { "\($0)" },
                    .value(8...11, "Upstream Port Transmitter Preset") { "\($0)" },
                    .value(12...14, "Upstream Port Receiver Hint") { "\($0)" },
                ])
        }
    }

    static func dataLinkFeature(_ body: inout CapabilityBody) {
        let features: [FieldLayout] = [
            .flag(0, "Scaled Flow Control"), .flag(1, "Immediate Readiness"),
            .number(2...4, "Extended VC Count"), .flag(5, "L0p Exit Latency"),
        ]
        body.register(
            "Data Link Feature Capabilities", 0x04, 4,
            features + [.flag(31, "Data Link Feature Exchange Enable")])
        body.register(
            "Data Link Feature Status", 0x08, 4,
            features + [.flag(31, "Remote Data Link Feature Supported Valid")])
    }

    static func sixteen(_ express: ExpressFacts, _ body: inout CapabilityBody) {
        body.register("16.0 GT/s Capabilities", 0x04, 4) { $0 == 0 ? "" : nil }
        body.register("16.0 GT/s Control", 0x08, 4) { $0 == 0 ? "" : nil }
        body.register("16.0 GT/s Status", 0x0c, 4, equalization("16.0 GT/s"))
        body.register("16.0 GT/s Local Data Parity Mismatch Status", 0x10, 4, meaning: lanes)
        body.register("16.0 GT/s First Retimer Data Parity Mismatch Status", 0x14, 4, meaning: lanes)
        body.register("16.0 GT/s Second Retimer Data Parity Mismatch Status", 0x18, 4, meaning: lanes)
        presets(express, at: 0x20, "16.0 GT/s", &body)
    }

    static func thirtyTwo(_ express: ExpressFacts, _ body: inout CapabilityBody) {
        body.register(
            "32.0 GT/s Capabilities", 0x04, 4,
            [
                .flag(0, "Equalization Bypass to Highest Rate Supported"),
                .flag(1, "No Equalization Needed Supported"),
                .flag(8, "Modified TS Usage Mode 0"), .flag(9, "Modified TS Usage Mode 1"),
                .flag(10, "Modified TS Usage Mode 2"),
            ])
        body.register(
            "32.0 GT/s Control", 0x08, 4,
            [
                .flag(0, "Equalization Bypass to Highest Rate Disable"),
                .flag(1, "No Equalization Needed Disable"),
                .number(8...10, "Modified TS Usage Mode Selected"),
            ])
        body.register(
            "32.0 GT/s Status", 0x0c, 4,
            equalization("32.0 GT/s") + [
                .flag(5, "Modified TS Received"), .number(6...7, "Received Enhanced Link Behavior Control"),
                .flag(8, "Transmitter Precoding On"), .flag(9, "Transmitter Precode Request"),
                .flag(10, "No Equalization Needed Received"),
            ])
        for (index, name) in [
            "Received Modified TS Data 1", "Received Modified TS Data 2", "Transmitted Modified TS Data 1",
            "Transmitted Modified TS Data 2",
        ].enumerated() {
            body.register(name, 0x10 + 4 * index, 4) { $0 == 0 ? "" : nil }
        }
        presets(express, at: 0x20, "32.0 GT/s", &body)
    }

    static func sixtyFour(_ express: ExpressFacts, _ body: inout CapabilityBody) {
        body.register("64.0 GT/s Capabilities", 0x04, 4) { $0 == 0 ? "" : nil }
        body.register("64.0 GT/s Control", 0x08, 4) { $0 == 0 ? "" : nil }
        body.register(
            "64.0 GT/s Status", 0x0c, 4,
            equalization("64.0 GT/s") + [
                .flag(5, "Transmitter Precoding On"), .flag(6, "Transmitter Precode Request"),
                .flag(7, "No Equalization Needed Received"),
            ])
        presets(express, at: 0x10, "64.0 GT/s", &body)
    }

    static func margining(_ express: ExpressFacts, _ body: inout CapabilityBody) {
        body.register("Margining Port Capabilities", 0x04, 2, [.flag(0, "Margining Uses Driver Software")])
        body.register(
            "Margining Port Status", 0x06, 2,
            [.flag(0, "Margining Ready"), .flag(1, "Margining Software Ready")])
        let lane: [FieldLayout] = [
            .number(0...2, "Receiver Number"), .number(3...5, "Margin Type"), .number(6...6, "Usage Model"),
            .number(8...15, "Margin Payload"),
        ]
        for index in 0..<express.laneCount {
            body.register("Lane \(index) Margin Control", 0x08 + 4 * index, 2, lane)
            body.register("Lane \(index) Margin Status", 0x0a + 4 * index, 2, lane)
        }
    }

    private static func presets(
        _ express: ExpressFacts, at offset: Int, _ speed: String, _ body: inout CapabilityBody
    ) {
        for lane in 0..<express.laneCount {
            body.register(
                "Lane \(lane) \(speed) Equalization Control", offset + lane, 1,
                [
                    .value(0...3, "Downstream Port Transmitter Preset") { "\($0)" },
                    .value(4...7, "Upstream Port Transmitter Preset") { "\($0)" },
                ])
        }
    }

    private static func equalization(_ speed: String) -> [FieldLayout] {
        [
            .flag(0, "Equalization Complete"), .flag(1, "Equalization Phase 1 Successful"),
            .flag(2, "Equalization Phase 2 Successful"), .flag(3, "Equalization Phase 3 Successful"),
            .flag(4, "Link Equalization Request \(speed)"),
        ]
    }

    /// Which lanes have a bit.
    private static func lanes(_ value: UInt64) -> String? {
        if value == 0 { return "" }
        return "lanes "
            + (0..<32).filter { value >> UInt64($0) & 1 != 0 }.map { "\($0)" }.joined(separator: " ")
    }
}
