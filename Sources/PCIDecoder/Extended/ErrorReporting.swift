/// Advanced error reporting (PCI Express Base 6.0, 7.8.4).
enum ErrorReporting {
    static func decode(_ express: ExpressFacts, _ body: inout CapabilityBody) {
        let status = body.register("Uncorrectable Error Status", 0x04, 4, uncorrectable)
        body.register("Uncorrectable Error Mask", 0x08, 4, uncorrectable)
        body.register("Uncorrectable Error Severity", 0x0c, 4, uncorrectable)
        let corrected = body.register("Correctable Error Status", 0x10, 4, correctable)
        body.register("Correctable Error Mask", 0x14, 4, correctable)
        let control = body.register("Advanced Error Capabilities and Control", 0x18, 4, control)
        for index in 0..<4 { body.register("Header Log \(index)", 0x1c + 4 * index, 4, meaning: dark) }
        if express.isRoot {
            body.register("Root Error Command", 0x2c, 4, rootCommand)
            body.register("Root Error Status", 0x30, 4, rootStatus)
            body.register(
                "Error Source Identification", 0x34, 4,
                [
                    .value(0...15, "ERR_COR Source", source),
                    .value(16...31, "ERR_FATAL/NONFATAL Source", source),
                ])
        }
        // TLP Prefix Log Present.
        if control & 1 << 11 != 0 {
            for index in 0..<4 {
                body.register("TLP Prefix Log \(index)", 0x38 + 4 * index, 4, meaning: dark)
            }
        }
        if status != 0 || corrected != 0 { body.summary = "errors are logged" }
    }

    /// A log's word, of which nothing is said while it is empty.
    private static func dark(_ value: UInt64) -> String? { value == 0 ? "" : nil }

    @Sendable private static func source(_ value: UInt64) -> String? {
        value == 0 ? "" : Wording.requester(value)
    }

    static let uncorrectable =
        FieldLayout.flags(4, ["Data Link Protocol Error", "Surprise Down Error"])
        + FieldLayout.flags(
            12,
            [
                "Poisoned TLP", "Flow Control Protocol Error", "Completion Timeout", "Completer Abort",
                "Unexpected Completion", "Receiver Overflow", "Malformed TLP", "ECRC Error",
                "Unsupported Request",
                "ACS Violation", "Uncorrectable Internal Error", "MC Blocked TLP", "AtomicOp Egress Blocked",
                "TLP Prefix Blocked", "Poisoned TLP Egress Blocked", "DMWr Request Egress Blocked",
                "IDE Check Failed", "Misrouted IDE TLP", "PCRC Check Failed",
                "TLP Translation Egress Blocked",
            ])

    private static let correctable =
        [FieldLayout.flag(0, "Receiver Error")]
        + FieldLayout.flags(6, ["Bad TLP", "Bad DLLP", "REPLAY_NUM Rollover"])
        + FieldLayout.flags(
            12,
            [
                "Replay Timer Timeout", "Advisory Non-Fatal Error", "Corrected Internal Error",
                "Header Log Overflow",
            ])

    private static let control: [FieldLayout] =
        [.number(0...4, "First Error Pointer")]
        + FieldLayout.flags(
            5,
            [
                "ECRC Generation Capable", "ECRC Generation Enable", "ECRC Check Capable",
                "ECRC Check Enable",
                "Multiple Header Recording Capable", "Multiple Header Recording Enable",
                "TLP Prefix Log Present",
                "Completion Timeout Prefix/Header Log Capable",
            ])
        + [.number(13...17, "Header Log Size"), .flag(18, "Logged TLP was Flit Mode")]

    private static let rootCommand = FieldLayout.flags(
        0,
        ["Correctable Error Reporting", "Non-Fatal Error Reporting", "Fatal Error Reporting"])

    private static let rootStatus: [FieldLayout] =
        FieldLayout.flags(
            0,
            [
                "ERR_COR Received", "Multiple ERR_COR Received", "ERR_FATAL/NONFATAL Received",
                "Multiple ERR_FATAL/NONFATAL Received", "First Uncorrectable Fatal",
                "Non-Fatal Error Messages Received", "Fatal Error Messages Received",
            ]) + [
            .number(7...8, "ERR_COR Subclass"), .number(27...31, "Advanced Error Interrupt Message Number"),
        ]
}

/// Downstream port containment (PCI Express Base 6.0, 7.9.14).
enum Containment {
    static func decode(_ body: inout CapabilityBody) {
        let capability = body.register("DPC Capability", 0x04, 2, capability)
        body.register("DPC Control", 0x06, 2, control)
        let status = body.register("DPC Status", 0x08, 2, status)
        body.register("DPC Error Source ID", 0x0a, 2) { $0 == 0 ? "" : Wording.requester($0) }
        body.summary = status & 1 != 0 ? "triggered: the link below is held down" : nil
        // RP Extensions for DPC.
        guard capability & 1 << 5 != 0 else { return }
        body.register("RP PIO Status", 0x0c, 4, rootPort)
        body.register("RP PIO Mask", 0x10, 4, rootPort)
        body.register("RP PIO Severity", 0x14, 4, rootPort)
        body.register("RP PIO SysError", 0x18, 4, rootPort)
        body.register("RP PIO Exception", 0x1c, 4, rootPort)
        // RP PIO Log Size: the header, then one implementation specific word, then prefixes.
        let words = Int(capability >> 8 & 0xf)
        for index in 0..<min(words, 4) {
            body.register("RP PIO Header Log \(index)", 0x20 + 4 * index, 4) { $0 == 0 ? "" : nil }
        }
        if words > 4 { body.register("RP PIO ImpSpec Log", 0x30, 4) { $0 == 0 ? "" : nil } }
        for index in 0..<max(0, words - 5) {
            body.register("RP PIO TLP Prefix Log \(index)", 0x34 + 4 * index, 4) { $0 == 0 ? "" : nil }
        }
    }

    private static let capability: [FieldLayout] = [
        .number(0...4, "DPC Interrupt Message Number"),
        .flag(5, "RP Extensions for DPC"),
        .flag(6, "Poisoned TLP Egress Blocking Supported"),
        .flag(7, "DPC Software Triggering Supported"),
        .number(8...11, "RP PIO Log Size"),
        .flag(12, "DL_Active ERR_COR Signaling Supported"),
        .flag(13, "DPC SIG_SFW Supported"),
    ]

    private static let control: [FieldLayout] = [
        .choice(0...1, "DPC Trigger", ["disabled", "on fatal errors", "on fatal and non-fatal errors"]),
        .value(2...2, "DPC Completion Control") { $0 == 0 ? "Completer Abort" : "Unsupported Request" },
        .flag(3, "DPC Interrupt"),
        .flag(4, "DPC ERR_COR"),
        .flag(5, "Poisoned TLP Egress Blocking"),
        .flag(6, "DPC Software Trigger"),
        .flag(7, "DL_Active ERR_COR"),
        .flag(8, "DPC SIG_SFW"),
    ]

    private static let status: [FieldLayout] = [
        .flag(0, "DPC Trigger Status"),
        .number(1...2, "DPC Trigger Reason"),
        .flag(3, "DPC Interrupt Status"),
        .flag(4, "DPC RP Busy"),
        .number(5...6, "DPC Trigger Reason Extension"),
        .value(8...12, "RP PIO First Error Pointer") { $0 == 0x1f || $0 == 0 ? "" : "\($0)" },
    ]

    private static let rootPort = ["Cfg", "I/O", "Mem"].enumerated().flatMap { index, kind in
        FieldLayout.flags(
            8 * index, ["\(kind) UR Completion", "\(kind) CA Completion", "\(kind) Completion Timeout"])
    }
}
