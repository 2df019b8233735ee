/// Capabilities that are about power and latency.
enum Power {
    /// PCI Express Base 6.0, 7.8.1. The data register shows the entry that is selected.
    static func budgeting(_ body: inout CapabilityBody) {
        body.register("Data Select", 0x04, 1)
        let data = body.number(0x08, 4)
        let states = ["D0", "D1", "D2", "D3"]
        let kinds = [
            "PME aux", "auxiliary", "idle", "sustained", "sustained, emergency", "maximum, emergency",
        ]
        body.register(
            "Data", 0x08, 4,
            [
                .value(0...7, "Base Power") { $0 == 0 ? "" : Wording.watts($0, scale: data >> 8 & 3) },
                .number(8...9, "Data Scale"),
                .number(10...12, "PM Sub State"),
                .value(13...14, "PM State") { states[Int($0)] },
                .value(15...17, "Type") { $0 == 7 ? "maximum" : $0 < 6 ? kinds[Int($0)] : "reserved (6)" },
                .value(18...20, "Power Rail") {
                    ["12 V", "3.3 V", "1.5 V or 1.8 V", "", "", "", "", "thermal"][Int($0)]
                },
            ])
        body.register("Power Budget Capability", 0x0c, 1, [.flag(0, "System Allocated")])
    }

    /// PCI Express Base 4.0, 7.9.12.
    static func dynamicAllocation(_ body: inout CapabilityBody) {
        let capability = body.register(
            "DPA Capability", 0x04, 4,
            [
                .number(0...4, "Substate_Max"),
                .value(8...9, "Transition Latency Unit") {
                    ["1 ms", "10 ms", "100 ms", "reserved"][Int($0)]
                },
                .value(12...13, "Power Allocation Scale") { ["10 W", "1 W", "0.1 W", "0.01 W"][Int($0)] },
                .number(16...23, "Transition Latency Value 0"),
                .number(24...31, "Transition Latency Value 1"),
            ])
        body.register("DPA Latency Indicator", 0x08, 4)
        body.register(
            "DPA Status", 0x0c, 2, [.number(0...4, "Substate Status"), .flag(8, "Substate Control Enabled")])
        body.register("DPA Control", 0x0e, 2, [.number(0...4, "Substate Control")])
        body.bytes("DPA Power Allocation", 0x10..<0x11 + Int(capability & 0x1f))
    }

    /// PCI Express Base 6.0, 7.8.2.
    static func latencyTolerance(_ body: inout CapabilityBody) {
        body.register("Max Snoop Latency", 0x04, 2, meaning: latency)
        body.register("Max No-Snoop Latency", 0x06, 2, meaning: latency)
    }

    private static func latency(_ value: UInt64) -> String? {
        let scale = value >> 10 & 7
        return scale > 5 ? "reserved scale (\(scale))" : Wording.nanoseconds((value & 0x3ff) << (5 * scale))
    }

    private static let units: [UInt64] = [2, 10, 100]

    private static func microseconds(_ value: UInt64, scale: UInt64) -> String {
        scale > 2 ? "reserved scale (\(scale))" : "\(value * units[Int(scale)]) µs"
    }

    /// PCI Express Base 6.0, 7.8.3.
    static func substates(_ body: inout CapabilityBody) {
        let names = ["PCI-PM L1.2", "PCI-PM L1.1", "ASPM L1.2", "ASPM L1.1"]
        let capability = body.number(0x04, 4)
        body.register(
            "L1 PM Substates Capabilities", 0x04, 4,
            FieldLayout.flags(0, names) + [
                .flag(4, "L1 PM Substates Supported"),
                .value(8...15, "Port Common_Mode_Restore_Time") { "\($0) µs" },
                .value(16...17, "Port T_POWER_ON Scale") { _ in "" },
                .value(19...23, "Port T_POWER_ON") { microseconds($0, scale: capability >> 16 & 3) },
                .flag(24, "Link Activation Supported"),
            ])
        let control = body.number(0x08, 4)
        body.register(
            "L1 PM Substates Control 1", 0x08, 4,
            FieldLayout.flags(0, names) + [
                .flag(4, "Link Activation Interrupt"),
                .flag(5, "Link Activation Control"),
                .value(8...15, "Common_Mode_Restore_Time") { $0 == 0 ? "" : "\($0) µs" },
                .value(16...25, "LTR_L1.2_THRESHOLD") { value in
                    let scale = control >> 29
                    if value == 0 { return "" }
                    return scale > 5 ? "reserved scale (\(scale))" : Wording.nanoseconds(value << (5 * scale))
                },
                .value(29...31, "LTR_L1.2_THRESHOLD Scale") { _ in "" },
            ])
        let second = body.number(0x0c, 4)
        body.register(
            "L1 PM Substates Control 2", 0x0c, 4,
            [
                .value(0...1, "T_POWER_ON Scale") { _ in "" },
                .value(3...7, "T_POWER_ON") { microseconds($0, scale: second & 3) },
            ])
    }
}
