import VFIOHost

/// Whether an IOMMU is there and in use, and if not, whose fault it is: the firmware's, or the kernel's command line's.
struct IOMMUCheck: Check {
    let id = "iommu"
    let title = "IOMMU"
    let isEssential = true

    func judge(_ examination: Examination, _ notes: inout Notes) -> Judgement? {
        let sysfs = examination.sysfs
        let units = notes.names(sysfs + "/class/iommu")
        let groups = notes.names(sysfs + "/kernel/iommu_groups")
        let used = examination.protectedGroups
        if !used.isEmpty {
            let count = used.reduce(0) { $0 + $1.devices.count + $1.otherDevices.count }
            let names = (units.value ?? []).prefix(4).joined(separator: " ")
            return .ok(
                "on\(names.isEmpty ? "" : " (\(names))"): \(counted(count, "device")) in "
                    + counted(used.count, "group"))
        }
        if examination.doctor.kind != .linux {
            return .warning(
                "the machine has none", [.advice("describe one: \"iommu\" in the machine's description")])
        }
        if groups.isUnreadable || examination.problem != nil {
            return .undetermined("the IOMMU groups can't be listed")
        }
        if groups.isAbsent && !notes.exists(sysfs + "/kernel") {
            return .undetermined(
                "there is no sysfs at \(sysfs)", [.advice("mount it there, or say where it is with --sysfs")])
        }
        if units.value?.isEmpty == false {
            return .failed(
                "there is one (\(units.value?.joined(separator: " ") ?? "")), but no device is behind it",
                [.run("dmesg | grep -i -e DMAR -e IOMMU -e AMD-Vi", "see what the kernel says about it")])
        }
        return absent(examination, &notes)
    }

    /// There is no IOMMU in use.
    private func absent(_ examination: Examination, _ notes: inout Notes) -> Judgement {
        let tables = notes.names(examination.sysfs + "/firmware/acpi/tables")
        let line = examination.commandLine(&notes)
        let processor = processor(examination, &notes)
        if let off = line.value.flatMap({ turnedOff($0) }) {
            return .failed(
                "off: the kernel's command line says \(off)",
                [
                    .advice(
                        "take \(off) out of GRUB_CMDLINE_LINUX in /etc/default/grub (or wherever the boot loader "
                            + "has it), and restart"),
                    .run("sudo update-grub && sudo reboot", "on Debian and Ubuntu, after that"),
                ])
        }
        let present = ["DMAR", "IVRS", "IORT", "VIOT"].filter { tables.value?.contains($0) == true }
        if present.contains("DMAR"), line.value?.word("intel_iommu", ["on"]) == nil {
            return .failed(
                "off: the firmware has one (ACPI table DMAR), but the kernel wasn't told to use it",
                [
                    .advice(
                        "add intel_iommu=on to GRUB_CMDLINE_LINUX in /etc/default/grub (or wherever the boot loader "
                            + "has it), and restart"),
                    .run("sudo update-grub && sudo reboot", "on Debian and Ubuntu, after that"),
                ])
        }
        if let table = present.first {
            return .failed(
                "the firmware describes one (ACPI table \(table)), but the kernel doesn't use it",
                [
                    .run("dmesg | grep -i -e DMAR -e AMD-Vi -e SMMU -e IOMMU", "see why"),
                    .advice(
                        "the kernel may be built without its driver (CONFIG_INTEL_IOMMU, CONFIG_AMD_IOMMU, "
                            + "CONFIG_ARM_SMMU_V3, CONFIG_VIRTIO_IOMMU)"),
                ])
        }
        var remedies: [Remedy] = []
        if processor.isVirtual {
            remedies.append(
                .advice(
                    "this is a virtual machine: whoever runs it must give it one, e.g. QEMU with -machine "
                        + "q35,kernel-irqchip=split -device intel-iommu,intremap=on before all other devices")
            )
        } else {
            remedies.append(
                .advice(
                    "turn it on in the firmware's settings, where it is called \(processor.firmwareName), and restart"
                ))
        }
        remedies.append(.run("vfio list --host soft", "without one: devices in software need no IOMMU"))
        let reason =
            tables.value == nil
            ? "none is in use, and what the firmware describes can't be seen"
            : "none: the firmware describes none (no ACPI table DMAR, IVRS, IORT or VIOT)"
        return .failed(reason, remedies)
    }

    /// The word that turns it off.
    private func turnedOff(_ line: CommandLine) -> String? {
        line.word("intel_iommu", ["off"]) ?? line.word("amd_iommu", ["off"]) ?? line.word("iommu", ["off"])
    }

    /// What the processor says of itself.
    private struct Processor {
        /// Every hypervisor says in CPUID that it is one.
        var isVirtual = false
        /// What settings of the firmware call an IOMMU.
        var firmwareName = "VT-d (Intel), AMD-Vi or IOMMU (AMD), or SMMU (Arm)"
    }

    private func processor(_ examination: Examination, _ notes: inout Notes) -> Processor {
        var processor = Processor()
        let reading = notes.bytes(examination.roots.processes + "/cpuinfo", limit: 16_384) { bytes in
            let text = String(decoding: bytes, as: UTF8.self)
            let maker = text.split(separator: "\n").first {
                $0.hasPrefix("vendor_id") || $0.hasPrefix("CPU implementer")
            }
            let isVirtual = text.contains(" hypervisor ") ? "; flags: hypervisor" : ""
            return (maker.map(String.init) ?? "(nothing about it)") + isVirtual
        }
        guard let bytes = reading.value else { return processor }
        let text = String(decoding: bytes, as: UTF8.self)
        processor.isVirtual = text.contains(" hypervisor ")
        if text.contains("GenuineIntel") { processor.firmwareName = "VT-d" }
        if text.contains("AuthenticAMD") { processor.firmwareName = "AMD-Vi or IOMMU" }
        return processor
    }
}

/// A number of things in words: "1 group", "3 groups".
func counted(_ count: Int, _ noun: String) -> String { "\(count) \(noun)\(count == 1 ? "" : "s")" }
