/// Capabilities about time and readiness.
enum Timing {
    /// Precision time measurement (PCI Express Base 6.0, 7.9.15).
    static func measurement(_ body: inout CapabilityBody) {
        body.register(
            "PTM Capability", 0x04, 4,
            [
                .flag(0, "PTM Requester"), .flag(1, "PTM Responder"), .flag(2, "PTM Root"), .flag(3, "ePTM"),
                .flag(4, "PTM Propagation Delay Adaptation"),
                .value(8...15, "Local Clock Granularity", granularity),
            ])
        let control = body.register(
            "PTM Control", 0x08, 4,
            [
                .flag(0, "PTM Enable"), .flag(1, "Root Select"),
                .value(8...15, "Effective Granularity") { $0 == 0 ? "" : granularity($0) },
            ])
        body.summary = control & 1 != 0 ? "enabled" : "disabled"
    }

    @Sendable private static func granularity(_ value: UInt64) -> String? {
        value == 0 ? "unknown" : value == 255 ? "above 254 ns" : "\(value) ns"
    }

    /// Function readiness status queueing (PCI Express Base 6.0, 7.8.10).
    static func statusQueueing(_ body: inout CapabilityBody) {
        body.register(
            "FRS Queueing Capability", 0x04, 4,
            [.number(0...11, "FRS Queue Max Depth"), .number(16...20, "FRS Interrupt Message Number")])
        body.register(
            "FRS Queueing Status", 0x08, 2,
            [.flag(0, "FRS Message Received"), .flag(1, "FRS Message Overflow")])
        body.register("FRS Queueing Control", 0x0a, 2, [.flag(0, "FRS Interrupt Enable")])
        body.register(
            "FRS Message Queue", 0x0c, 4,
            [
                .value(0...15, "Function", Wording.requester), .number(16...19, "Reason"),
                .number(20...31, "Depth"),
            ])
    }

    /// Readiness time reporting (PCI Express Base 6.0, 7.9.16): how soon a function can be used.
    static func readiness(_ body: inout CapabilityBody) {
        let first = body.register(
            "Readiness Time Reporting 1", 0x04, 4,
            [
                .value(0...11, "Reset Time", time), .value(12...23, "DL_Up Time", time), .flag(31, "Valid"),
            ])
        body.register(
            "Readiness Time Reporting 2", 0x08, 4,
            [.value(0...11, "FLR Time", time), .value(12...23, "D3hot to D0 Time", time)])
        if first >> 31 == 0 { body.summary = "not valid" }
    }

    /// A value of 9 bits with a scale of powers of 32.
    @Sendable private static func time(_ value: UInt64) -> String? {
        let scale = value >> 9
        return scale > 5 ? "reserved scale (\(scale))" : Wording.nanoseconds((value & 0x1ff) << (5 * scale))
    }

    /// Hierarchy ID (PCI Express Base 6.0, 7.9.17).
    static func hierarchy(_ body: inout CapabilityBody) {
        body.register(
            "Hierarchy ID Status", 0x04, 4,
            [
                .number(0...7, "Message Requester"), .flag(28, "Hierarchy ID VF Configurable"),
                .flag(29, "Hierarchy ID Pending"), .flag(30, "Hierarchy ID Writeable"),
                .flag(31, "Hierarchy ID Valid"),
            ])
        body.register("Hierarchy ID Data", 0x08, 4)
        for index in 0..<5 { body.register("Hierarchy ID GUID \(index + 1)", 0x0c + 4 * index, 4) }
    }
}

/// Objects, streams and other things of newer devices.
enum DataObjects {
    /// Data object exchange (PCI Express Base 6.0, 7.9.24).
    static func decode(_ body: inout CapabilityBody) {
        body.register(
            "DOE Capabilities", 0x04, 4,
            [
                .flag(0, "DOE Interrupt Support"), .number(1...11, "DOE Interrupt Message Number"),
                .flag(12, "DOE Attention Mechanism Support"), .flag(13, "DOE Async Message Support"),
            ])
        body.register(
            "DOE Control", 0x08, 4,
            [.flag(0, "DOE Abort"), .flag(1, "DOE Interrupt Enable"), .flag(31, "DOE Go")])
        body.register(
            "DOE Status", 0x0c, 4,
            [
                .flag(0, "DOE Busy"), .flag(1, "DOE Interrupt Status"), .flag(2, "DOE Error"),
                .flag(3, "DOE Async Message Status"), .flag(4, "DOE At Attention"),
                .flag(31, "Data Object Ready"),
            ])
        body.register("DOE Write Data Mailbox", 0x10, 4) { $0 == 0 ? "" : nil }
        body.register("DOE Read Data Mailbox", 0x14, 4) { $0 == 0 ? "" : nil }
    }

    /// Device 3 (PCI Express Base 6.0, 7.7.9).
    static func device3(_ body: inout CapabilityBody) {
        body.register(
            "Device Capabilities 3", 0x04, 4,
            [
                .flag(0, "DMWr Request Routing Supported"), .flag(1, "14-Bit Tag Completer Supported"),
                .flag(2, "14-Bit Tag Requester Supported"), .flag(3, "Receiver L0p Supported"),
                .number(4...6, "Port L0p Exit Latency"), .number(7...9, "Retimer L0p Exit Latency"),
            ])
        body.register(
            "Device Control 3", 0x08, 4,
            [
                .flag(0, "DMWr Requester Enable"), .flag(1, "DMWr Egress Blocking"),
                .flag(2, "14-Bit Tag Requester Enable"), .flag(3, "L0p Enable"),
                .number(4...6, "Target Link Width"),
            ])
        body.register(
            "Device Status 3", 0x0c, 4,
            [
                .number(0...2, "Initial Link Width"), .flag(3, "Segment Captured"),
                .flag(4, "Remote L0p Supported"),
            ])
    }

    /// Integrity and data encryption (PCI Express Base 6.0, 7.9.26).
    static func encryption(_ body: inout CapabilityBody) {
        body.register(
            "IDE Capability", 0x04, 4,
            FieldLayout.flags(
                0,
                [
                    "Link IDE Stream Supported", "Selective IDE Streams Supported",
                    "Flow-Through IDE Stream Supported",
                    "Partial Header Encryption Supported", "Aggregation Supported", "PCRC Supported",
                    "IDE_KM Protocol Supported", "Selective IDE for Configuration Requests Supported",
                ]) + [
                    .value(8...12, "Supported Algorithms") {
                        $0 == 0 ? "AES-GCM 256, 96-bit MAC" : "reserved (\($0))"
                    },
                    .value(13...15, "TCs Supported for Link IDE") { "\($0 + 1)" },
                    .value(16...23, "Selective IDE Streams") { "\($0 + 1)" },
                    .flag(24, "TEE-Limited Stream Supported"),
                ])
        body.register("IDE Control", 0x08, 4, [.flag(2, "Flow-Through IDE Stream Enabled")])
    }
}
