import VFIOHost

/// Which I/O virtual addresses the device can use: what its IOMMU translates, less what is reserved.
struct AddressesCheck: Check {
    let id = "addresses"
    let title = "addresses"

    /// What lies between the memory of a virtual machine and its top: the hole below 4 GiB.
    private static let hole: UInt64 = 4 << 30

    func judge(_ examination: Examination, _ notes: inout Notes) -> Judgement? {
        guard let subject = examination.subject, let number = subject.summary.group,
            let group = examination.inventory?.group(number), !subject.summary.isUnprotected,
            !subject.summary.isMediated
        else { return nil }
        let path = examination.sysfs + "/kernel/iommu_groups/\(number)/reserved_regions"
        let lines = notes.lines(path, limit: 65_536) { _ in true }
        let width = width(subject, &notes)
        let reserved = group.reservedRegions.filter { $0.kind != "direct-relaxable" }
        let direct = reserved.filter { $0.kind == "direct" }
        if let region = direct.first, examination.doctor.kind == .linux {
            return .warning(
                "the firmware wants \(Self.text(region)) for itself (direct): the kernel may refuse the device",
                [
                    .run("sudo dmesg | grep -i -e RMRR -e ineligible", "see whether it does"),
                    .advice(
                        "turn off what the firmware uses it for (remote management, USB or graphics at start)"
                    ),
                ])
        }
        guard lines.value != nil else { return .undetermined("what is reserved can't be read") }
        let holes =
            reserved.isEmpty
            ? "nothing reserved" : "reserved: " + reserved.prefix(3).map(Self.text).joined(separator: ", ")
        guard let width else {
            return .ok("\(holes); how wide they may be only the opened device tells (vfio inspect)")
        }
        let end = width >= 64 ? UInt64.max : 1 << UInt64(width)
        let memory = examination.doctor.plan.memory
        if let memory, memory.adding(1, of: Self.hole) > end {
            return .failed(
                "\(width) bits wide (\(byteText(end))): \(byteText(memory)) don't fit below that",
                [.advice("use less memory, or a machine whose IOMMU translates more address bits")])
        }
        if width <= 39 {
            return .warning(
                "\(width) bits wide (\(byteText(end))); \(holes): a virtual machine may put devices' memory above that",
                [
                    .advice(
                        "limit the guest's own addresses (QEMU: -cpu host,host-phys-bits-limit=\(width))"
                    )
                ])
        }
        return .ok("\(width) bits wide; \(holes)")
    }

    private static func text(_ region: ReservedRegion) -> String {
        "0x\(hexadecimal(region.first))...0x\(hexadecimal(region.last)) (\(region.kind))"
    }

    /// How many bits of address the device's IOMMU translates, where its driver tells.
    private func width(_ subject: Examination.Subject, _ notes: inout Notes) -> Int? {
        let unit = subject.folder + "/iommu"
        if let text = notes.text(unit + "/intel-iommu/cap").value, let cap = UInt64(text, radix: 16) {
            // Capability register: MGAW in bits 16 to 21, SAGAW (39, 48, 57 bits) in bits 9 to 11.
            let guest = Int(cap >> 16 & 0x3f) + 1
            let tables = cap >> 8 & 0x1f
            let table = tables & 8 != 0 ? 57 : tables & 4 != 0 ? 48 : tables & 2 != 0 ? 39 : 64
            return min(guest, table)
        }
        if let text = notes.text(unit + "/amd-iommu/features").value,
            let features = UInt64(text.prefix { $0 != ":" }, radix: 16)
        {
            // Extended features: HATS in bits 10 and 11, the levels of the host's tables.
            return [48, 57, 64][Int(min(features >> 10 & 3, 2))]
        }
        return nil
    }
}
