import VFIOHost

/// Whether devices are, or were, handed out without an IOMMU: then they may have written anywhere.
struct UnprotectedCheck: Check {
    let id = "no-iommu"
    let title = "no-IOMMU mode"
    let needsKernel = true

    /// The kernel's mark of something that a person did at their own risk (`TAINT_USER`).
    private static let userTaint = 1 << 6

    func judge(_ examination: Examination, _ notes: inout Notes) -> Judgement? {
        let mode = notes.text(examination.sysfs + "/module/vfio/parameters/enable_unsafe_noiommu_mode")
        let taint = notes.text(examination.roots.processes + "/sys/kernel/tainted")
        let groups = examination.inventory?.groups.filter(\.isUnprotected) ?? []
        if let group = groups.first {
            return .warning(
                "\(counted(groups.count, "group")) without an IOMMU (\(group.number)): such a device may write to all "
                    + "of the machine's memory",
                [.advice("use it for devices and drivers that are trusted only, or turn an IOMMU on")])
        }
        if mode.value == "Y" {
            return .warning(
                "on: devices are handed out without an IOMMU",
                [
                    .run(
                        "echo N | sudo tee /sys/module/vfio/parameters/enable_unsafe_noiommu_mode",
                        "turn it off")
                ])
        }
        guard let text = taint.value, let bits = Int(text) else {
            return .undetermined("the kernel's taint can't be read")
        }
        if bits & Self.userTaint != 0 {
            return .warning(
                "off now, but the kernel is tainted by a person's deed (bit 6), as it is once a device was handed out "
                    + "without an IOMMU",
                [.run("sudo dmesg | grep -i -e noiommu -e taint", "see if that was it; a restart clears it")])
        }
        return .ok("off, and wasn't used since the start")
    }
}
