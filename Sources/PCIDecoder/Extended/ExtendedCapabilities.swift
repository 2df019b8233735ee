/// The capabilities of the extended configuration space (PCI Express Base 6.0, 7.6 to 7.9).
enum ExtendedCapabilities {
    /// Names the registers of one; of those that nobody knows there are none.
    static func decode(_ id: UInt16, version: Int, _ express: ExpressFacts, _ body: inout CapabilityBody) {
        switch id {
        case 0x01: ErrorReporting.decode(express, &body)
        case 0x02, 0x09: VirtualChannels.decode(&body)
        case 0x03: serialNumber(&body)
        case 0x04: Power.budgeting(&body)
        case 0x05: RootComplex.linkDeclaration(&body)
        case 0x06: RootComplex.internalLink(&body)
        case 0x07: RootComplex.eventCollector(version, &body)
        case 0x08: VirtualChannels.decode(&body)
        case 0x0b: VendorCapabilities.vendorSpecific(&body)
        case 0x0d: Routing.accessControl(&body)
        case 0x0e: Routing.alternativeRouting(&body)
        case 0x0f: Translation.addressTranslation(&body)
        case 0x10: Virtualization.singleRoot(&body)
        case 0x12: Routing.multicast(&body)
        case 0x13: Translation.pageRequests(&body)
        case 0x15: ResizableBARs.decode("BAR", &body)
        case 0x16: Power.dynamicAllocation(&body)
        case 0x17: Routing.processingHints(&body)
        case 0x18: Power.latencyTolerance(&body)
        case 0x19: PhysicalLayer.secondary(express, &body)
        case 0x1b: Translation.processAddressSpaces(&body)
        case 0x1d: Containment.decode(&body)
        case 0x1e: Power.substates(&body)
        case 0x1f: Timing.measurement(&body)
        case 0x21: Timing.statusQueueing(&body)
        case 0x22: Timing.readiness(&body)
        case 0x23: VendorCapabilities.designated(&body)
        case 0x24: ResizableBARs.decode("VF BAR", &body)
        case 0x25: PhysicalLayer.dataLinkFeature(&body)
        case 0x26: PhysicalLayer.sixteen(express, &body)
        case 0x27: PhysicalLayer.margining(express, &body)
        case 0x28: Timing.hierarchy(&body)
        case 0x29: enclosure(&body)
        case 0x2a: PhysicalLayer.thirtyTwo(express, &body)
        case 0x2e: DataObjects.decode(&body)
        case 0x2f: DataObjects.device3(&body)
        case 0x30: DataObjects.encryption(&body)
        case 0x31: PhysicalLayer.sixtyFour(express, &body)
        default: break
        }
    }

    /// An EUI-64, its highest byte first.
    private static func serialNumber(_ body: inout CapabilityBody) {
        let text = (0..<8).reversed().map { hex(body.number(0x04 + $0, 1), digits: 2) }.joined(separator: "-")
        guard body.register("Serial Number", 0x04, 8, meaning: { _ in text }) != 0 || body.problems.isEmpty
        else {
            return
        }
        body.summary = text
    }

    private static func enclosure(_ body: inout CapabilityBody) {
        let indications = [
            "OK", "Locate", "Fail", "Rebuild", "PFA", "Hot Spare", "In A Critical Array", "In A Failed Array",
            "Invalid Device Type", "Disabled",
        ]
        body.register(
            "NPEM Capability", 0x04, 4,
            [.flag(0, "NPEM Capable"), .flag(1, "NPEM Reset Capable")] + FieldLayout.flags(2, indications))
        body.register(
            "NPEM Control", 0x08, 4,
            [.flag(0, "NPEM Enable"), .flag(1, "NPEM Initiate Reset")] + FieldLayout.flags(2, indications))
        body.register("NPEM Status", 0x0c, 4, [.flag(0, "Command Completed")])
    }
}
