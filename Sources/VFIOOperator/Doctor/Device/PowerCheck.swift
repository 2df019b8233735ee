import VFIOHost

/// The device's power state.
struct PowerCheck: Check {
    let id = "power"
    let title = "power"

    func judge(_ examination: Examination, _ notes: inout Notes) -> Judgement? {
        guard let subject = examination.subject, subject.record != nil else { return nil }
        let reading = notes.text(subject.folder + "/power_state")
        if examination.doctor.kind != .linux && reading.isAbsent { return nil }
        let status = notes.text(subject.folder + "/power/runtime_status").value
        switch reading.value {
        case "D0": return .ok("on (D0)")
        case "D1", "D2", "D3hot":
            if subject.summary.driver?.isVFIO == true {
                return .ok("\(reading.value ?? ""): asleep, and wakes when it is opened")
            }
            return .ok("\(reading.value ?? ""): asleep" + (status.map { " (\($0))" } ?? ""))
        case "D3cold":
            return .warning(
                "D3cold: it has no power; some devices don't come back from that",
                [
                    .run(
                        "echo 0 | sudo tee \(subject.folder)/d3cold_allowed; "
                            + "echo on | sudo tee \(subject.folder)/power/control",
                        "wake it, and keep its power on")
                ])
        case "error":
            return .failed(
                "its power state can't be set: the device doesn't answer",
                [.advice("see what the check of its configuration space says")])
        default:
            return .undetermined("the kernel doesn't tell (it does since Linux 5.11)")
        }
    }
}
