/// The device registers of the PCI Express capability (PCI Express Base 6.0, 7.5.3.3 and on, 7.5.3.15 and on).
enum ExpressLayouts {
    static let deviceCapabilities: [FieldLayout] = [
        .value(0...2, "Max Payload Size Supported", Wording.payload),
        .value(3...4, "Phantom Functions") { $0 == 0 ? "" : "\(1 << $0)" },
        .flag(5, "Extended Tag Field Supported"),
        .value(6...8, "Endpoint L0s Acceptable Latency") {
            ["64 ns", "128 ns", "256 ns", "512 ns", "1 µs", "2 µs", "4 µs", "no limit"][Int($0)]
        },
        .value(9...11, "Endpoint L1 Acceptable Latency") {
            ["1 µs", "2 µs", "4 µs", "8 µs", "16 µs", "32 µs", "64 µs", "no limit"][Int($0)]
        },
        .flag(12, "Attention Button"),
        .flag(13, "Attention Indicator"),
        .flag(14, "Power Indicator"),
        .flag(15, "Role-Based Error Reporting"),
        .flag(16, "ERR_COR Subclass Capable"),
        .number(18...25, "Captured Slot Power Limit"),
        .value(26...27, "Captured Slot Power Limit Scale") { ["", "0.1 W", "0.01 W", "0.001 W"][Int($0)] },
        .flag(28, "Function Level Reset"),
        .flag(29, "Mixed_MPS_Supported"),
        .flag(30, "TEE-IO Supported"),
    ]

    static let deviceControl: [FieldLayout] =
        FieldLayout.flags(
            0,
            [
                "Correctable Error Reporting", "Non-Fatal Error Reporting", "Fatal Error Reporting",
                "Unsupported Request Reporting", "Relaxed Ordering",
            ]) + [
            .value(5...7, "Max Payload Size", Wording.payload),
            .flag(8, "Extended Tag Field"),
            .flag(9, "Phantom Functions"),
            .flag(10, "Aux Power PM"),
            .flag(11, "No Snoop"),
            .value(12...14, "Max Read Request Size", Wording.payload),
        ]

    static let deviceStatus = FieldLayout.flags(
        0,
        [
            "Correctable Error Detected", "Non-Fatal Error Detected", "Fatal Error Detected",
            "Unsupported Request Detected", "Aux Power Detected", "Transactions Pending",
            "Emergency Power Reduction Detected",
        ])

    private static let plainCapabilities2: [FieldLayout] = [
        .set(0...3, "Completion Timeout Ranges Supported", ["A", "B", "C", "D"]),
        .flag(4, "Completion Timeout Disable Supported"),
        .flag(5, "ARI Forwarding Supported"),
        .flag(6, "AtomicOp Routing Supported"),
        .flag(7, "32-bit AtomicOp Completer"),
        .flag(8, "64-bit AtomicOp Completer"),
        .flag(9, "128-bit CAS Completer"),
        .flag(10, "No RO-enabled PR-PR Passing"),
        .flag(11, "LTR Mechanism Supported"),
        .value(12...13, "TPH Completer") { ["", "TPH", "reserved", "TPH and Extended TPH"][Int($0)] },
        .flag(16, "10-Bit Tag Completer Supported"),
        .flag(17, "10-Bit Tag Requester Supported"),
        .value(18...19, "OBFF Supported") { ["", "message", "WAKE#", "message and WAKE#"][Int($0)] },
        .flag(20, "Extended Fmt Field Supported"),
        .flag(21, "End-End TLP Prefix Supported"),
        .value(24...25, "Emergency Power Reduction Supported") {
            ["", "form factor specific", "form factor specific or default", "reserved"][Int($0)]
        },
        .flag(26, "Emergency Power Reduction Initialization Required"),
        .flag(28, "DMWr Completer Supported"),
        .value(29...30, "DMWr Lengths Supported") {
            ["", "up to 128 bytes", "reserved", "reserved"][Int($0)]
        },
        .flag(31, "FRS Supported"),
    ]

    static func deviceCapabilities2(hasPrefixes: Bool) -> [FieldLayout] {
        // Four are written as 0, which they are only where there are prefixes at all.
        let most = FieldLayout.value(22...23, "Max End-End TLP Prefixes") {
            hasPrefixes ? "\($0 == 0 ? 4 : $0)" : ""
        }
        return (plainCapabilities2 + [most]).sorted { $0.bits.lowerBound < $1.bits.lowerBound }
    }

    static let deviceControl2: [FieldLayout] = [
        .value(0...3, "Completion Timeout") {
            switch $0 {
            case 0: "50 µs to 50 ms (default)"
            case 1: "50 µs to 100 µs"
            case 2: "1 ms to 10 ms"
            case 5: "16 ms to 55 ms"
            case 6: "65 ms to 210 ms"
            case 9: "260 ms to 900 ms"
            case 10: "1 s to 3.5 s"
            case 13: "4 s to 13 s"
            case 14: "17 s to 64 s"
            default: "reserved (\($0))"
            }
        },
        .flag(4, "Completion Timeout Disable"),
        .flag(5, "ARI Forwarding"),
        .flag(6, "AtomicOp Requester"),
        .flag(7, "AtomicOp Egress Blocking"),
        .flag(8, "IDO Request"),
        .flag(9, "IDO Completion"),
        .flag(10, "LTR Mechanism"),
        .flag(11, "Emergency Power Reduction Request"),
        .flag(12, "10-Bit Tag Requester"),
        .value(13...14, "OBFF") { ["", "message A", "message B", "WAKE#"][Int($0)] },
        .flag(15, "End-End TLP Prefix Blocking"),
    ]
}

/// The link registers of the PCI Express capability (PCI Express Base 6.0, 7.5.3.6 and on, 7.5.3.18 and on).
enum ExpressLinkLayouts {
    static let capabilities: [FieldLayout] = [
        .value(0...3, "Max Link Speed", Wording.speed),
        .value(4...9, "Maximum Link Width", Wording.width),
        .choice(10...11, "ASPM Support", ["none", "L0s", "L1", "L0s and L1"]),
        .value(12...14, "L0s Exit Latency") {
            [
                "below 64 ns", "below 128 ns", "below 256 ns", "below 512 ns", "below 1 µs", "below 2 µs",
                "2 to 4 µs",
                "above 4 µs",
            ][Int($0)]
        },
        .value(15...17, "L1 Exit Latency") {
            [
                "below 1 µs", "below 2 µs", "below 4 µs", "below 8 µs", "below 16 µs", "below 32 µs",
                "32 to 64 µs",
                "above 64 µs",
            ][Int($0)]
        },
        .flag(18, "Clock Power Management"),
        .flag(19, "Surprise Down Error Reporting Capable"),
        .flag(20, "Data Link Layer Link Active Reporting Capable"),
        .flag(21, "Link Bandwidth Notification Capability"),
        .flag(22, "ASPM Optionality Compliance"),
        .value(24...31, "Port Number") { "\($0)" },
    ]

    static let control: [FieldLayout] =
        [
            .choice(0...1, "ASPM Control", ["disabled", "L0s", "L1", "L0s and L1"]),
            .flag(2, "PTM Propagation Delay Adaptation Interpretation B"),
            .value(3...3, "Read Completion Boundary") { $0 == 0 ? "64 bytes" : "128 bytes" },
        ]
        + FieldLayout.flags(
            4,
            [
                "Link Disable", "Retrain Link", "Common Clock Configuration", "Extended Synch",
                "Clock Power Management", "Hardware Autonomous Width Disable",
                "Link Bandwidth Management Interrupt", "Link Autonomous Bandwidth Interrupt", "SRIS Clocking",
                "Flit Mode Disable",
            ]) + [.value(14...15, "DRS Signaling") { ["", "interrupt", "DRS to FRS", "reserved"][Int($0)] }]

    static let status: [FieldLayout] =
        [
            .value(0...3, "Current Link Speed", Wording.speed),
            .value(4...9, "Negotiated Link Width", Wording.width),
        ]
        + FieldLayout.flags(
            11,
            [
                "Link Training", "Slot Clock Configuration", "Data Link Layer Link Active",
                "Link Bandwidth Management Status", "Link Autonomous Bandwidth Status",
            ])

    private static let speeds = ["2.5", "5", "8", "16", "32", "64", "128"]

    static let capabilities2: [FieldLayout] = [
        .value(1...7, "Supported Link Speeds") { value in
            let words = speeds.indices.filter { value >> UInt64($0) & 1 != 0 }.map { speeds[$0] }
            return words.isEmpty ? "" : words.joined(separator: " ") + " GT/s"
        },
        .flag(8, "Crosslink Supported"),
        .set(9...15, "Lower SKP OS Generation", speeds),
        .set(16...22, "Lower SKP OS Reception", speeds),
        .flag(23, "Retimer Presence Detect Supported"),
        .flag(24, "Two Retimers Presence Detect Supported"),
        .flag(31, "DRS Supported"),
    ]

    static let control2: [FieldLayout] = [
        .value(0...3, "Target Link Speed") { $0 == 0 ? "" : Wording.speed($0) },
        .flag(4, "Enter Compliance"),
        .flag(5, "Hardware Autonomous Speed Disable"),
        .value(6...6, "Selectable De-emphasis") { $0 == 0 ? "-6 dB" : "-3.5 dB" },
        .number(7...9, "Transmit Margin"),
        .flag(10, "Enter Modified Compliance"),
        .flag(11, "Compliance SOS"),
        .number(12...15, "Compliance Preset/De-emphasis"),
    ]

    static let status2: [FieldLayout] = [
        .value(0...0, "Current De-emphasis Level") { $0 == 0 ? "-6 dB" : "-3.5 dB" },
        .flag(1, "Equalization 8.0 GT/s Complete"),
        .flag(2, "Equalization 8.0 GT/s Phase 1 Successful"),
        .flag(3, "Equalization 8.0 GT/s Phase 2 Successful"),
        .flag(4, "Equalization 8.0 GT/s Phase 3 Successful"),
        .flag(5, "Link Equalization Request 8.0 GT/s"),
        .flag(6, "Retimer Presence Detected"),
        .flag(7, "Two Retimers Presence Detected"),
        .value(8...9, "Crosslink Resolution") {
            ["", "upstream port", "downstream port", "incomplete"][Int($0)]
        },
        .flag(10, "Flit Mode"),
        .value(12...14, "Downstream Component Presence") {
            [
                "", "link down, no component", "link down, component there", "reserved",
                "link up, component there",
                "link up, component there, DRS received", "reserved", "reserved",
            ][Int($0)]
        },
        .flag(15, "DRS Message Received"),
    ]
}

/// The slot and root registers of the PCI Express capability (PCI Express Base 6.0, 7.5.3.9 to 7.5.3.14).
enum ExpressSlotLayouts {
    static let capabilities: [FieldLayout] =
        FieldLayout.flags(
            0,
            [
                "Attention Button", "Power Controller", "MRL Sensor", "Attention Indicator",
                "Power Indicator",
                "Hot-Plug Surprise", "Hot-Plug Capable",
            ]) + [
            .number(7...14, "Slot Power Limit"),
            .value(15...16, "Slot Power Limit Scale") { ["", "0.1 W", "0.01 W", "0.001 W"][Int($0)] },
            .flag(17, "Electromechanical Interlock"),
            .flag(18, "No Command Completed Support"),
            .value(19...31, "Physical Slot Number") { "\($0)" },
        ]

    private static let lights = ["reserved", "on", "blinking", "off"]

    static let control: [FieldLayout] =
        FieldLayout.flags(
            0,
            [
                "Attention Button Pressed Enable", "Power Fault Detected Enable", "MRL Sensor Changed Enable",
                "Presence Detect Changed Enable", "Command Completed Interrupt Enable",
                "Hot-Plug Interrupt Enable",
            ]) + [
            .value(6...7, "Attention Indicator") { $0 == 0 ? "" : lights[Int($0)] },
            .value(8...9, "Power Indicator") { $0 == 0 ? "" : lights[Int($0)] },
            .value(10...10, "Power Controller") { $0 == 0 ? "power on" : "power off" },
            .flag(11, "Electromechanical Interlock Control"),
            .flag(12, "Data Link Layer State Changed Enable"),
            .flag(13, "Auto Slot Power Limit Disable"),
            .flag(14, "In-Band PD Disable"),
        ]

    static let status: [FieldLayout] =
        FieldLayout.flags(
            0,
            [
                "Attention Button Pressed", "Power Fault Detected", "MRL Sensor Changed",
                "Presence Detect Changed",
                "Command Completed",
            ]) + [
            .value(5...5, "MRL Sensor") { $0 == 0 ? "" : "open" },
            .value(6...6, "Presence Detect") { $0 == 0 ? "slot empty" : "card present" },
            .flag(7, "Electromechanical Interlock Engaged"),
            .flag(8, "Data Link Layer State Changed"),
        ]

    static let rootControl = FieldLayout.flags(
        0,
        [
            "System Error on Correctable Error", "System Error on Non-Fatal Error",
            "System Error on Fatal Error",
            "PME Interrupt Enable", "Configuration RRS Software Visibility Enable",
        ])

    static let rootStatus: [FieldLayout] = [
        .value(0...15, "PME Requester ID") { $0 == 0 ? "" : Wording.requester($0) },
        .flag(16, "PME Status"),
        .flag(17, "PME Pending"),
    ]
}
