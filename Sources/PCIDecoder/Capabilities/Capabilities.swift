/// The capabilities of the first 256 bytes.
enum Capabilities {
    /// Names the registers of one; of those that nobody knows there are none.
    static func decode(_ id: UInt8, _ body: inout CapabilityBody) {
        switch id {
        case 0x01: PowerManagement.decode(&body)
        case 0x02, 0x0e: OldBuses.acceleratedGraphics(&body)
        case 0x03: vitalProductData(&body)
        case 0x04: slot(&body)
        case 0x05: Messages.msi(&body)
        case 0x07: OldBuses.pciX(&body)
        case 0x08: OldBuses.hyperTransport(&body)
        case 0x09: vendorSpecific(&body)
        case 0x0a: debugPort(&body)
        case 0x0c: hotPlugController(&body)
        case 0x0d: subsystem(&body)
        case 0x10: Express.decode(&body)
        case 0x11: Messages.msiX(&body)
        case 0x12: serialATA(&body)
        case 0x13: advancedFeatures(&body)
        case 0x14: EnhancedAllocation.decode(&body)
        case 0x15: portalBridge(&body)
        default: break
        }
    }

    /// PCI Local Bus 3.0, appendix I.
    private static func vitalProductData(_ body: inout CapabilityBody) {
        body.register("VPD Address", 0x02, 2, [.number(0...14, "Address"), .flag(15, "Flag")])
        body.register("VPD Data", 0x04, 4)
    }

    /// PCI-to-PCI Bridge 1.2, 13.
    private static func slot(_ body: inout CapabilityBody) {
        body.register(
            "Expansion Slot", 0x02, 1, [.number(0...4, "Slots Provided"), .flag(5, "First In Chassis")])
        body.register("Chassis Number", 0x03, 1)
    }

    private static func vendorSpecific(_ body: inout CapabilityBody) {
        let length = Int(body.register("Length", 0x02, 1) { "\($0) bytes" })
        guard length > 3 else {
            if length != 3 { body.complain("its length of \(length) bytes doesn't even hold its header") }
            return
        }
        if body.vendor == 0x1af4, length >= 16 { return virtio(length, &body) }
        body.bytes("Vendor Specific Data", 3..<length)
    }

    /// Where a virtio device has its structures (Virtual I/O Device 1.2, 4.1.4).
    private static func virtio(_ length: Int, _ body: inout CapabilityBody) {
        let structures = [
            "", "common configuration", "notifications", "ISR status", "device configuration",
            "configuration access", "", "", "shared memory", "vendor data",
        ]
        let kind = body.register("Structure", 0x03, 1, [.choice(0...7, "Type", structures)])
        let bar = body.register("BAR", 0x04, 1) { $0 > 5 ? "reserved (\($0))" : "BAR \($0)" }
        body.register("ID", 0x05, 1) { $0 == 0 ? "" : nil }
        // The upper halves are there for shared memory only.
        let isWide = kind == 8 && length >= 24
        let offset = body.number(0x08, 4) | (isWide ? body.number(0x10, 4) << 32 : 0)
        let size = body.number(0x0c, 4) | (isWide ? body.number(0x14, 4) << 32 : 0)
        body.register("Structure Offset", 0x08, 4) { _ in "0x" + hex(offset) }
        body.register("Structure Length", 0x0c, 4) { _ in "\(size) bytes" }
        if isWide {
            body.register("Offset High", 0x10, 4) { _ in "" }
            body.register("Length High", 0x14, 4) { _ in "" }
        } else if kind == 2, length >= 20 {
            body.register("Notify Offset Multiplier", 0x10, 4) { "\($0)" }
        } else {
            body.bytes("Data", 16..<length)
        }
        let name = kind < UInt64(structures.count) ? structures[Int(kind)] : ""
        body.summary = "virtio \(name.isEmpty ? "structure \(kind)" : name) in BAR \(bar) at 0x\(hex(offset))"
    }

    /// Enhanced Host Controller Interface 2.0, appendix C.
    private static func debugPort(_ body: inout CapabilityBody) {
        body.register(
            "Debug Port", 0x02, 2,
            [
                .value(0...12, "Offset") { "0x" + hex($0) },
                .value(13...15, "BAR") { $0 == 0 || $0 > 6 ? "reserved (\($0))" : "\($0 - 1)" },
            ])
    }

    /// PCI Standard Hot-Plug Controller 1.0, 4.3.
    private static func hotPlugController(_ body: inout CapabilityBody) {
        body.register("DWORD Select", 0x02, 1)
        body.register(
            "Pending", 0x03, 1,
            [.flag(6, "Controller Interrupt Pending"), .flag(7, "Controller System Error Pending")])
        body.register("DWORD Data", 0x04, 4)
    }

    private static func subsystem(_ body: inout CapabilityBody) {
        body.register("Subsystem Vendor ID", 0x04, 2)
        body.register("Subsystem ID", 0x06, 2)
    }

    /// Serial ATA 3.0, 15.2.
    private static func serialATA(_ body: inout CapabilityBody) {
        body.register("Revision", 0x02, 1) { "\($0 >> 4).\($0 & 0xf)" }
        body.register(
            "BAR", 0x04, 4,
            [
                .value(0...3, "BAR Location") {
                    $0 == 15
                        ? "in configuration space"
                        : (4...9).contains($0) ? "BAR \($0 - 4)" : "reserved (\($0))"
                },
                .value(4...23, "BAR Offset") { "0x" + hex($0 * 4) },
            ])
    }

    /// Advanced Capabilities for Conventional PCI.
    private static func advancedFeatures(_ body: inout CapabilityBody) {
        body.register("Length", 0x02, 1) { "\($0) bytes" }
        body.register(
            "AF Capabilities", 0x03, 1, [.flag(0, "Transactions Pending"), .flag(1, "Function Level Reset")])
        body.register("AF Control", 0x04, 1, [.flag(0, "Initiate Function Level Reset")])
        body.register("AF Status", 0x05, 1, [.flag(0, "Transactions Pending")])
    }

    /// PCI Express Base 5.0, 7.8.10: which bus numbers and addresses a bridge passes, without windows.
    private static func portalBridge(_ body: inout CapabilityBody) {
        body.register(
            "FPB Capabilities", 0x04, 4,
            [
                .flag(0, "RID Decode Mechanism"), .flag(1, "MEM Low Decode Mechanism"),
                .flag(2, "MEM High Decode Mechanism"), .number(3...7, "Secondary Device Vectors"),
            ])
        body.register("FPB RID Vector Control 1", 0x08, 4, [.flag(0, "RID Decode Mechanism Enable")])
        body.register("FPB RID Vector Control 2", 0x0c, 4)
        body.register("FPB MEM Low Vector Control", 0x10, 4, [.flag(0, "MEM Low Decode Mechanism Enable")])
        body.register(
            "FPB MEM High Vector Control 1", 0x14, 4, [.flag(0, "MEM High Decode Mechanism Enable")])
        body.register("FPB MEM High Vector Control 2", 0x18, 4)
        body.register("FPB Vector Access Control", 0x1c, 4)
        body.register("FPB Vector Access Data", 0x20, 4)
    }
}
