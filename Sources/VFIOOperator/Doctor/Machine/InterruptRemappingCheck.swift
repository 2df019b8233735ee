/// Whether a device can write other devices' interrupts: VFIO refuses to hand out devices that can (`EPERM`), unless
/// told to take the risk.
struct InterruptRemappingCheck: Check {
    let id = "interrupt-remapping"
    let title = "interrupts"
    let needsKernel = true

    func judge(_ examination: Examination, _ notes: inout Notes) -> Judgement? {
        if examination.protectedGroups.isEmpty { return nil }
        let modules = examination.sysfs + "/module/"
        let type1 = notes.text(modules + "vfio_iommu_type1/parameters/allow_unsafe_interrupts").value
        let iommufd = notes.text(modules + "iommufd/parameters/allow_unsafe_interrupts").value
        let line = examination.commandLine(&notes).value
        let isolation = isolation(examination, &notes)
        if isolation == true { return .ok("isolated: each device reaches its own only") }
        if type1 == "Y" || iommufd == "Y" {
            let who = [(type1, "vfio_iommu_type1"), (iommufd, "iommufd")].filter { $0.0 == "Y" }.map(\.1)
            return .warning(
                "\(who.joined(separator: " and ")) let\(who.count == 1 ? "s" : "") devices be used that may write "
                    + "others' interrupts (allow_unsafe_interrupts)",
                [
                    .run(
                        who.map { "echo N | sudo tee /sys/module/\($0)/parameters/allow_unsafe_interrupts" }
                            .joined(separator: "; "),
                        "take it back where the machine remaps interrupts")
                ])
        }
        let risk = Remedy.run(
            "modprobe vfio_iommu_type1 allow_unsafe_interrupts=1",
            "or accept that a device can send any interrupt (iommufd has the same parameter)")
        if let off = line?.word("intremap", ["off"]) {
            return .failed(
                "not isolated: the kernel's command line says \(off), so VFIO refuses devices (EPERM)",
                [.advice("take \(off) out of the kernel's command line, and restart"), risk])
        }
        if isolation == false {
            return .failed(
                "not isolated: nothing remaps them, so VFIO refuses devices (EPERM)",
                [
                    .advice(
                        "turn on interrupt remapping or x2APIC in the firmware's settings; for a virtual machine "
                            + "of QEMU: -machine kernel-irqchip=split -device intel-iommu,intremap=on"), risk,
                ])
        }
        return .undetermined(
            "no device uses an interrupt that would show if they are remapped",
            [.run("sudo dmesg | grep -e DMAR-IR -e AMD-Vi", "see what the kernel said when it started")])
    }

    /// Whether messages are remapped, told by the names of the interrupts' chips: those behind a remapping unit of x86
    /// begin with "IR-"; Arm's translation service tells devices apart by itself. Nil if no interrupt shows it.
    private func isolation(_ examination: Examination, _ notes: inout Notes) -> Bool? {
        let chips: [Substring] = ["IR-PCI-MSI", "ITS-", "GICv2m", "PCI-MSI"]
        let lines = notes.lines(examination.roots.processes + "/interrupts") { line in
            line.split(separator: " ").contains { word in chips.contains { word.hasPrefix($0) } }
        }
        guard let lines = lines.value, !lines.isEmpty else { return nil }
        let words = lines.flatMap { $0.split(separator: " ") }
        if words.contains(where: { $0.hasPrefix("IR-PCI-MSI") || $0.hasPrefix("ITS-") }) { return true }
        return false
    }
}
