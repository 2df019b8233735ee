import VFIOHost

/// How physical and virtual functions stand to each other, and whether opening the device needs a token.
struct VirtualFunctionsCheck: Check {
    let id = "virtual-functions"
    let title = "SR-IOV"

    func judge(_ examination: Examination, _ notes: inout Notes) -> Judgement? {
        guard let subject = examination.subject, let record = subject.record else { return nil }
        if let parent = record.physicalFunction { return virtual(examination, record, parent, &notes) }
        let total = notes.text(subject.folder + "/sriov_totalvfs")
        guard let most = total.value.flatMap({ Int($0) }) else {
            return total.isUnreadable ? .undetermined("its virtual functions can't be read") : nil
        }
        guard let now = notes.text(subject.folder + "/sriov_numvfs").value.flatMap({ Int($0) }) else {
            return .undetermined("how many virtual functions it has now can't be read")
        }
        if subject.summary.driver?.isVFIO == true {
            if now > 0 {
                return .warning(
                    "\(now) of \(most) virtual functions are there, and a VFIO driver has this physical one: opening "
                        + "them needs its token",
                    [
                        .advice(
                            "the program that opens this one sets the token (VFIO_DEVICE_FEATURE_PCI_VF_TOKEN), those "
                                + "that open a virtual function pass the same UUID; by device nodes since Linux 6.17"
                        )
                    ])
            }
            let isAllowed = notes.text(examination.sysfs + "/module/vfio_pci/parameters/enable_sriov").value
            return .ok(
                "no virtual functions now, of \(most)"
                    + (isAllowed == "Y" ? "" : "; none can be made while vfio-pci has it (enable_sriov)"))
        }
        return .ok("\(now) of \(most) virtual functions are there; opening them needs no token")
    }

    /// The device is a virtual function.
    private func virtual(
        _ examination: Examination, _ record: DeviceRecord, _ parent: PCIAddress, _ notes: inout Notes
    ) -> Judgement {
        let path = examination.sysfs + "/bus/pci/devices/\(parent)"
        guard let physical = examination.inventory?.device(at: parent) else {
            notes.note(path, "not there")
            return .undetermined("a virtual function of \(parent), which can't be seen here")
        }
        notes.note(path + "/driver", physical.driver.map { "→ \($0.name)" } ?? "not there")
        guard physical.driver?.isVFIO == true else {
            return .ok(
                "a virtual function of \(parent) (\(physical.driver?.name ?? "no driver")): opened without a token"
            )
        }
        var remedies: [Remedy] = [
            .advice(
                "pass the UUID that the program which has \(parent) set, or set one there; QEMU: -device "
                    + "vfio-pci,host=\(record.address),vf-token=UUID")
        ]
        if record.deviceNode != nil, let release = examination.release(&notes).value,
            let version = KernelVersion(release: release), version < KernelVersion(6, 17)
        {
            remedies.append(
                .advice(
                    "open it through its group: device nodes take tokens since Linux 6.17, and this is \(version)"
                ))
        }
        return .warning(
            "a virtual function of \(parent), which \(physical.driver?.name ?? "a VFIO driver") has: opening it needs "
                + "that one's token (EACCES without)", remedies)
    }
}
