import VFIOHost

/// Whether a VFIO driver has the device, and whether what restricts its drivers agrees with that.
struct DriverCheck: Check {
    let id = "driver"
    let title = "driver"

    func judge(_ examination: Examination, _ notes: inout Notes) -> Judgement? {
        guard let subject = examination.subject else { return nil }
        _ = notes.link(subject.folder + "/driver")
        let override = notes.text(subject.folder + "/driver_override").value.flatMap {
            $0 == "(null)" || $0.isEmpty ? nil : $0
        }
        let persisted = persisted(examination, subject, &notes)
        let bind = examination.bindRemedies
        let bus = subject.summary.id.bus.name
        guard let driver = subject.summary.driver else {
            guard let override else {
                return .warning(
                    "none: it belongs to nobody, and can't be used until a VFIO driver has it", bind)
            }
            if notes.exists(examination.sysfs + "/bus/\(bus)/drivers/\(override)") {
                return .failed(
                    "none, though only \(override) may have it (driver_override): the change of drivers stopped half-way",
                    [
                        .run(
                            "echo \(subject.summary.id) | sudo tee /sys/bus/\(bus)/drivers_probe",
                            "let it be found by \(override)"),
                        .run("sudo dmesg | tail -n 20", "see why the driver refused it"),
                    ])
            }
            return .failed(
                "none, and only \(override) may have it (driver_override), which isn't there",
                typo(override).map { $0 + bind } ?? [.run("sudo modprobe \(override)")] + bind)
        }
        if driver.isVFIO {
            if let override, override != driver.name {
                return .warning(
                    "\(driver.name), but after it is unbound only \(override) may have it (driver_override)",
                    [
                        .run(
                            "echo \(driver.name) | sudo tee /sys/bus/\(bus)/devices/\(subject.summary.id)/driver_override",
                            "keep it for this one")
                    ])
            }
            return .ok(driver.name + (persisted.map { "; at every start \($0) (driverctl)" } ?? ""))
        }
        if let override, override != driver.name {
            return .warning(
                "\(driver.name), though only \(override) may have it (driver_override): the change of drivers stopped "
                    + "half-way", typo(override).map { $0 + bind } ?? bind)
        }
        return .warning(
            "\(driver.name): can't be used through VFIO until a VFIO driver has it"
                + (persisted.map { " (at every start: \($0), driverctl)" } ?? ""), bind)
    }

    /// The driver that driverctl gives it at every start.
    private func persisted(
        _ examination: Examination, _ subject: Examination.Subject, _ notes: inout Notes
    ) -> String? {
        if examination.doctor.kind != .linux { return nil }
        let path =
            "\(examination.doctor.folders.settings)/driverctl.d/\(subject.summary.id.bus.name)-\(subject.summary.id)"
        return notes.text(path).value
    }

    /// What to do where a module's name was taken for a driver's.
    private func typo(_ name: String) -> [Remedy]? {
        name == "vfio_pci" ? [.advice("the driver is called vfio-pci; vfio_pci is its module")] : nil
    }
}
