/// Capabilities of buses that came before PCI Express or beside it.
enum OldBuses {
    /// PCI-X 2.0, 7.2 (functions) and 8.6.2 (bridges).
    static func pciX(_ body: inout CapabilityBody) {
        if body.headerType == 1 {
            body.register(
                "Secondary Status", 0x02, 2,
                FieldLayout.flags(0, ["64-bit Device", "133 MHz Capable"] + splitErrors) + [
                    .value(6...8, "Secondary Clock Frequency") {
                        ["", "66 MHz", "100 MHz", "133 MHz"][Int($0 & 3)] + ($0 > 3 ? " (\($0))" : "")
                    },
                    .flag(14, "266 MHz Capable"), .flag(15, "533 MHz Capable"),
                ])
            body.register(
                "Bridge Status", 0x04, 4,
                address + FieldLayout.flags(16, ["64-bit Device", "133 MHz Capable"] + splitErrors))
            body.register("Upstream Split Transaction Control", 0x08, 4)
            body.register("Downstream Split Transaction Control", 0x0c, 4)
            return
        }
        body.register(
            "Command", 0x02, 2,
            [
                .flag(0, "Data Parity Error Recovery Enable"), .flag(1, "Enable Relaxed Ordering"),
                .value(2...3, "Maximum Memory Read Byte Count", reads),
                .value(4...6, "Maximum Outstanding Split Transactions", splits),
                .number(12...13, "Version"),
            ])
        body.register(
            "Status", 0x04, 4,
            address
                + FieldLayout.flags(
                    16,
                    [
                        "64-bit Device", "133 MHz Capable", "Split Completion Discarded",
                        "Unexpected Split Completion",
                    ])
                + [
                    .flag(20, "Device Complexity (bridge)"),
                    .value(21...22, "Designed Maximum Memory Read Byte Count", reads),
                    .value(23...25, "Designed Maximum Outstanding Split Transactions", splits),
                    .value(26...28, "Designed Maximum Cumulative Read Size") { Wording.size($0 + 10) },
                    .flag(29, "Received Split Completion Error Message"), .flag(30, "266 MHz Capable"),
                    .flag(31, "533 MHz Capable"),
                ])
    }

    private static let splitErrors = [
        "Split Completion Discarded", "Unexpected Split Completion", "Split Completion Overrun",
        "Split Request Delayed",
    ]

    private static let address: [FieldLayout] = [.value(0...15, "Function", Wording.requester)]

    @Sendable private static func reads(_ value: UInt64) -> String? { Wording.size(value + 9) }
    @Sendable private static func splits(_ value: UInt64) -> String? {
        "\([1, 2, 3, 4, 8, 12, 16, 32][Int(value & 7)])"
    }

    /// Accelerated Graphics Port 3.0, 5.4.
    static func acceleratedGraphics(_ body: inout CapabilityBody) {
        let version = body.register("Version", 0x02, 1) { "\($0 >> 4).\($0 & 0xf)" }
        let isThree = version >> 4 >= 3
        let rates: FieldLayout = .set(0...2, "Rate", isThree ? ["x4", "x8"] : ["x1", "x2", "x4"])
        body.register(
            "AGP Status", 0x04, 4,
            [
                rates, .flag(4, "Fast Write"), .flag(5, "Addresses Above 4 GiB"),
                .flag(9, "Side Band Addressing"),
                .value(24...31, "Request Queue Depth") { "\($0 + 1)" },
            ])
        body.register(
            "AGP Command", 0x08, 4,
            [
                rates, .flag(4, "Fast Write"), .flag(5, "Addresses Above 4 GiB"), .flag(8, "AGP Enable"),
                .flag(9, "Side Band Addressing"), .value(24...31, "Request Queue Depth") { "\($0 + 1)" },
            ])
    }

    /// HyperTransport I/O Link 3.10, 7: the kind is in the upper bits of the command.
    static func hyperTransport(_ body: inout CapabilityBody) {
        let command = body.number(0x02, 2)
        // Three bits for the two kinds that are links' ends, five for all others.
        let kind = command >> 13 < 2 ? (command >> 13) << 2 : command >> 11
        let name =
            switch kind {
            case 0x00: "Slave or Primary Interface"
            case 0x04: "Host or Secondary Interface"
            case 0x08: "Switch"
            case 0x10: "Interrupt Discovery and Configuration"
            case 0x11: "Revision ID"
            case 0x12: "UnitID Clumping"
            case 0x13: "Extended Configuration Space Access"
            case 0x14: "Address Mapping"
            case 0x15: "MSI Mapping"
            case 0x16: "Direct Route"
            case 0x17: "VCSet"
            case 0x18: "Retry Mode"
            case 0x19: "X86 Encoding"
            case 0x1a: "Gen3"
            case 0x1b: "Function-Level Extension"
            case 0x1c: "Power Management"
            default: "type 0x" + hex(kind)
            }
        body.summary = name
        guard kind == 0x15 else {
            body.register("Command", 0x02, 2)
            return
        }
        body.register("Command", 0x02, 2, [.flag(0, "MSI Mapping Enable"), .flag(1, "Fixed Address")])
        // Without the second flag a base address follows.
        guard command & 2 == 0 else { return }
        body.register("Mapping Address Low", 0x04, 4)
        body.register("Mapping Address High", 0x08, 4)
    }
}
