/// Power management (PCI Bus Power Management Interface 1.2, 3.2).
enum PowerManagement {
    static func decode(_ body: inout CapabilityBody) {
        body.register("Power Management Capabilities", 0x02, 2, capabilities)
        let status = body.register("Power Management Control/Status", 0x04, 2, control)
        if body.headerType == 1 {
            body.register(
                "Bridge Support Extensions", 0x06, 1, [.flag(6, "B2/B3 Support"), .flag(7, "BPCC Enable")])
        }
        body.register("Data", 0x07, 1) { $0 == 0 ? "" : nil }
        body.summary = states[Int(status & 3)]
    }

    private static let states = ["D0", "D1", "D2", "D3hot"]

    private static let capabilities: [FieldLayout] = [
        .value(0...2, "Version") { "\($0)" },
        .flag(3, "PME Clock"),
        .flag(4, "Immediate Readiness on Return to D0"),
        .flag(5, "Device Specific Initialization"),
        .value(6...8, "Aux Current") {
            $0 == 0 ? "" : "\([0, 55, 100, 160, 220, 270, 320, 375][Int($0)]) mA"
        },
        .flag(9, "D1 Support"),
        .flag(10, "D2 Support"),
        .set(11...15, "PME from", ["D0", "D1", "D2", "D3hot", "D3cold"]),
    ]

    private static let control: [FieldLayout] = [
        .choice(0...1, "Power State", states),
        .flag(3, "No Soft Reset"),
        .flag(8, "PME Enable"),
        .number(9...12, "Data Select"),
        .number(13...14, "Data Scale"),
        .flag(15, "PME Status"),
    ]
}
