/// Interrupts that are messages (PCI Local Bus 3.0, 6.8).
enum Messages {
    static func msi(_ body: inout CapabilityBody) {
        let control = body.register("Message Control", 0x02, 2, control)
        let isWide = control & 1 << 7 != 0
        body.register("Message Address", 0x04, 4)
        if isWide { body.register("Message Upper Address", 0x08, 4) }
        let data = isWide ? 0x0c : 0x08
        body.register("Message Data", data, 2)
        // Extended Message Data Capable.
        if control & 1 << 9 != 0 { body.register("Extended Message Data", data + 2, 2) }
        // Per-Vector Masking Capable.
        if control & 1 << 8 != 0 {
            body.register("Mask Bits", data + 4, 4) { $0 == 0 ? "none masked" : nil }
            body.register("Pending Bits", data + 8, 4) { $0 == 0 ? "none pending" : nil }
        }
        body.summary = vectors(1 << (control >> 1 & 7), isEnabled: control & 1 != 0)
    }

    static func msiX(_ body: inout CapabilityBody) {
        let control = body.register(
            "Message Control", 0x02, 2,
            [
                .value(0...10, "Table Size") { "\($0 + 1)" }, .flag(14, "Function Mask"),
                .flag(15, "MSI-X Enable"),
            ])
        body.register("Table", 0x04, 4, place)
        body.register("Pending Bit Array", 0x08, 4, place)
        body.summary = vectors(control & 0x7ff + 1, isEnabled: control & 1 << 15 != 0)
    }

    private static func vectors(_ count: UInt64, isEnabled: Bool) -> String {
        "\(count) vector\(count == 1 ? "" : "s"), \(isEnabled ? "enabled" : "disabled")"
    }

    private static let control: [FieldLayout] = [
        .flag(0, "MSI Enable"),
        .value(1...3, "Multiple Message Capable", messages),
        .value(4...6, "Multiple Message Enable", messages),
        .flag(7, "64-bit Address Capable"),
        .flag(8, "Per-Vector Masking Capable"),
        .flag(9, "Extended Message Data Capable"),
        .flag(10, "Extended Message Data Enable"),
    ]

    @Sendable private static func messages(_ value: UInt64) -> String? {
        value > 5 ? "reserved (\(value))" : "\(1 << value)"
    }

    private static let place: [FieldLayout] = [
        .value(0...2, "BIR") { $0 > 5 ? "reserved (\($0))" : "BAR \($0)" },
        // The offset is the register with the low bits cleared.
        .value(3...31, "Offset") { "0x" + hex($0 << 3) },
    ]
}
