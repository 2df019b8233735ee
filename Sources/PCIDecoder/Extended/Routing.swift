/// Where transactions may go: access control, routing-IDs, multicast, hints.
enum Routing {
    /// PCI Express Base 6.0, 7.7.11.
    static func accessControl(_ body: inout CapabilityBody) {
        let names = [
            "Source Validation", "Translation Blocking", "P2P Request Redirect", "P2P Completion Redirect",
            "Upstream Forwarding", "P2P Egress Control", "Direct Translated P2P",
        ]
        let capability = body.register(
            "ACS Capability", 0x04, 2,
            FieldLayout.flags(0, names + ["Enhanced Capability"]) + [
                .number(8...15, "Egress Control Vector Size")
            ])
        let targets = ["", "blocked", "redirected", "reserved"]
        let control = body.register(
            "ACS Control", 0x06, 2,
            FieldLayout.flags(0, names + ["I/O Request Blocking"]) + [
                .value(8...9, "DSP Memory Target Access") { targets[Int($0)] },
                .value(10...11, "USP Memory Target Access") { targets[Int($0)] },
                .flag(12, "Unclaimed Request Redirect"),
            ])
        // Functions of one group can't reach each other past the IOMMU only where all four are on.
        let isolating: UInt64 = 0b1_1101
        body.summary =
            control & isolating == isolating
            ? "isolates" : capability & isolating == isolating ? "could isolate, and isn't told to" : nil
        guard capability & 1 << 5 != 0 else { return }
        let size = Int(capability >> 8 & 0xff)
        // A size of 0 stands for 256 bits.
        for index in 0..<((size == 0 ? 256 : size) + 31) / 32 {
            body.register("Egress Control Vector \(index)", 0x08 + 4 * index, 4)
        }
    }

    /// PCI Express Base 6.0, 7.8.7.
    static func alternativeRouting(_ body: inout CapabilityBody) {
        body.register(
            "ARI Capability", 0x04, 2,
            [
                .flag(0, "MFVC Function Groups"), .flag(1, "ACS Function Groups"),
                .value(8...15, "Next Function") { $0 == 0 ? "none" : "\($0)" },
            ])
        body.register(
            "ARI Control", 0x06, 2,
            [
                .flag(0, "MFVC Function Groups"), .flag(1, "ACS Function Groups"),
                .number(4...6, "Function Group"),
            ])
    }

    /// PCI Express Base 6.0, 7.9.11.
    static func multicast(_ body: inout CapabilityBody) {
        body.register(
            "MC Capability", 0x04, 2,
            [
                .value(0...5, "MC_Max_Group") { "\($0 + 1) groups" },
                .value(8...13, "MC_Window_Size_Requested") { Wording.size($0) },
                .flag(15, "MC_ECRC_Regeneration_Supported"),
            ])
        body.register(
            "MC Control", 0x06, 2,
            [.value(0...5, "MC_Num_Group") { "\($0 + 1) groups" }, .flag(15, "MC Enable")])
        body.register("MC_Base_Address", 0x08, 8) {
            "at 0x\(hex($0 & ~0xfff)), index position \($0 & 0x3f)"
        }
        body.register("MC_Receive", 0x10, 8)
        body.register("MC_Block_All", 0x18, 8)
        body.register("MC_Block_Untranslated", 0x20, 8)
        guard body.headerType == 1 else { return }
        body.register("MC_Overlay_BAR", 0x28, 8) {
            $0 & 0x3f < 6 ? "disabled" : "at 0x\(hex($0 & ~0x3f)), \(Wording.size($0 & 0x3f))"
        }
    }

    /// PCI Express Base 6.0, 7.9.13.
    static func processingHints(_ body: inout CapabilityBody) {
        let capability = body.register(
            "TPH Requester Capability", 0x04, 4,
            [
                .flag(0, "No ST Mode Supported"), .flag(1, "Interrupt Vector Mode Supported"),
                .flag(2, "Device Specific Mode Supported"), .flag(8, "Extended TPH Requester Supported"),
                .choice(9...10, "ST Table Location", ["none", "in this capability", "in the MSI-X table"]),
                .value(16...26, "ST Table Size") { "\($0 + 1)" },
            ])
        body.register(
            "TPH Requester Control", 0x08, 4,
            [
                .choice(0...2, "ST Mode", ["no ST", "interrupt vector", "device specific"]),
                .choice(8...9, "TPH Requester", ["disabled", "TPH", "", "TPH and Extended TPH"]),
            ])
        guard capability >> 9 & 3 == 1 else { return }
        let count = Int(capability >> 16 & 0x7ff) + 1
        // A table beyond 64 entries isn't allowed here.
        guard count <= 64 else {
            return body.complain("a table of \(count) entries has no room in a capability")
        }
        for index in 0..<count { body.register("ST \(index)", 0x0c + 2 * index, 2) { $0 == 0 ? "" : nil } }
    }
}

/// How devices take part in address translation (PCI Express Base 6.0, 10.5; 7.8.9).
enum Translation {
    static func addressTranslation(_ body: inout CapabilityBody) {
        body.register(
            "ATS Capability", 0x04, 2,
            [
                .value(0...4, "Invalidate Queue Depth") { "\($0 == 0 ? 32 : $0)" },
                .flag(5, "Page Aligned Request"), .flag(6, "Global Invalidate Supported"),
                .flag(7, "Relaxed Ordering Supported"), .flag(8, "Memory Attributes Supported"),
            ])
        let control = body.register(
            "ATS Control", 0x06, 2,
            [
                .value(0...4, "Smallest Translation Unit") { Wording.size($0 + 12) },
                .flag(15, "ATS Enable"),
            ])
        body.summary = control >> 15 != 0 ? "enabled" : "disabled"
    }

    static func pageRequests(_ body: inout CapabilityBody) {
        let control = body.register("Page Request Control", 0x04, 2, [.flag(0, "Enable"), .flag(1, "Reset")])
        body.register(
            "Page Request Status", 0x06, 2,
            [
                .flag(0, "Response Failure"), .flag(1, "Unexpected Page Request Group Index"),
                .flag(8, "Stopped"),
                .flag(15, "PRG Response PASID Required"),
            ])
        body.register("Outstanding Page Request Capacity", 0x08, 4) { "\($0)" }
        body.register("Outstanding Page Request Allocation", 0x0c, 4) { "\($0)" }
        body.summary = control & 1 != 0 ? "enabled" : "disabled"
    }

    static func processAddressSpaces(_ body: inout CapabilityBody) {
        body.register(
            "PASID Capability", 0x04, 2,
            [
                .flag(1, "Execute Permission Supported"), .flag(2, "Privileged Mode Supported"),
                .value(8...12, "Max PASID Width") { "\($0) bits" },
            ])
        let control = body.register(
            "PASID Control", 0x06, 2,
            [.flag(0, "PASID Enable"), .flag(1, "Execute Permission"), .flag(2, "Privileged Mode")])
        body.summary = control & 1 != 0 ? "enabled" : "disabled"
    }
}

/// Virtual functions and BARs of changing size.
enum Virtualization {
    /// PCI Express Base 6.0, 9.3.3.
    static func singleRoot(_ body: inout CapabilityBody) {
        body.register(
            "SR-IOV Capabilities", 0x04, 4,
            [
                .flag(0, "VF Migration Capable"), .flag(1, "ARI Capable Hierarchy Preserved"),
                .flag(2, "VF 10-Bit Tag Requester Supported"), .flag(3, "VF 14-Bit Tag Requester Supported"),
                .number(21...31, "VF Migration Interrupt Message Number"),
            ])
        let control = body.register(
            "SR-IOV Control", 0x08, 2,
            FieldLayout.flags(
                0,
                [
                    "VF Enable", "VF Migration", "VF Migration Interrupt", "VF Memory Space",
                    "ARI Capable Hierarchy", "VF 10-Bit Tag Requester", "VF 14-Bit Tag Requester",
                ]))
        body.register("SR-IOV Status", 0x0a, 2, [.flag(0, "VF Migration Status")])
        body.register("InitialVFs", 0x0c, 2) { "\($0)" }
        let total = body.register("TotalVFs", 0x0e, 2) { "\($0)" }
        let count = body.register("NumVFs", 0x10, 2) { "\($0)" }
        body.register("Function Dependency Link", 0x12, 1)
        body.register("First VF Offset", 0x14, 2) { "\($0)" }
        body.register("VF Stride", 0x16, 2) { "\($0)" }
        body.register("VF Device ID", 0x1a, 2)
        body.register("Supported Page Sizes", 0x1c, 4, meaning: pages)
        body.register("System Page Size", 0x20, 4, meaning: pages)
        var index = 0
        while index < 6 {
            let low = body.number(0x24 + 4 * index, 4)
            let isWide = low & 7 == 4 && index < 5
            body.register("VF BAR \(index)", 0x24 + 4 * index, isWide ? 8 : 4) {
                $0 == 0
                    ? ""
                    : "memory at 0x\(hex($0 & ~0xf)), \(isWide ? "64" : "32")-bit "
                        + ($0 & 8 != 0 ? "prefetchable" : "non-prefetchable")
            }
            index += isWide ? 2 : 1
        }
        body.register("VF Migration State Array Offset", 0x3c, 4) { $0 == 0 ? "" : nil }
        body.summary = "\(control & 1 != 0 ? count : 0) of \(total) virtual functions"
    }

    private static func pages(_ value: UInt64) -> String? {
        let sizes = (0..<32).filter { value >> UInt64($0) & 1 != 0 }
        return sizes.isEmpty ? "none" : sizes.map { Wording.size(UInt64($0) + 12) }.joined(separator: " ")
    }
}

/// PCI Express Base 6.0, 7.8.6 and 7.8.7.
enum ResizableBARs {
    static func decode(_ kind: String, _ body: inout CapabilityBody) {
        let count = Int(body.number(0x08, 4) >> 5 & 7)
        guard (1...6).contains(count) else { return body.complain("it is for \(count) BARs") }
        for index in 0..<count {
            let control = body.number(0x08 + 8 * index, 4)
            let name = "\(kind) \(control & 7)"
            // 1 MiB is bit 4; the sizes from 256 TiB on are in the control register.
            let low = body.number(0x04 + 8 * index, 4) >> 4
            let sizes = low | (control >> 16) << 28
            body.register("\(name) Capability", 0x04 + 8 * index, 4) { _ in
                let known = (0..<44).filter { sizes >> UInt64($0) & 1 != 0 }
                return known.isEmpty
                    ? "no sizes" : known.map { Wording.size(UInt64($0) + 20) }.joined(separator: ", ")
            }
            body.register("\(name) Control", 0x08 + 8 * index, 4) {
                "\(kind) \($0 & 7), \(Wording.size(($0 >> 8 & 0x3f) + 20))"
            }
        }
    }
}
