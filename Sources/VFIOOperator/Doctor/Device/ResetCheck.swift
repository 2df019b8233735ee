import VFIOHost

/// How the device can be brought back to a known state between its users.
struct ResetCheck: Check {
    let id = "reset"
    let title = "reset"

    func judge(_ examination: Examination, _ notes: inout Notes) -> Judgement? {
        guard let subject = examination.subject, let record = subject.record else { return nil }
        let reading = notes.text(subject.folder + "/reset_method")
        let canReset = notes.exists(subject.folder + "/reset")
        guard let text = reading.value else {
            if reading.isUnreadable { return .undetermined("how it can be reset can't be read") }
            if canReset {
                return .ok("can be reset; how isn't told (the kernel does since 5.15)")
            }
            return .warning(
                "it can't be reset alone: what one user leaves in it, the next one finds",
                Self.together(record))
        }
        let methods = text.split(separator: " ").map(String.init)
        guard let first = methods.first else {
            return .warning(
                "all ways are turned off",
                [.run("echo default | sudo tee \(subject.folder)/reset_method", "turn them on again")])
        }
        let list =
            "\(first)" + (methods.count > 1 ? ", then " + methods.dropFirst().joined(separator: ", ") : "")
        let neighbours = (examination.inventory?.devices ?? []).filter {
            $0.address != record.address && $0.address.segment == record.address.segment
                && $0.address.bus == record.address.bus
        }
        if first == "bus" && !neighbours.isEmpty {
            return .warning(
                "only with its whole bus, where \(counted(neighbours.count, "other device")) would be reset too",
                Self.together(record))
        }
        if first == "pm" {
            return .ok("\(list): through its power states, which some devices don't forget everything in")
        }
        return .ok(list)
    }

    private static func together(_ record: DeviceRecord) -> [Remedy] {
        [
            .run(
                "vfio inspect \(record.address)",
                "see which devices would be reset with it (a hot reset needs all of them)"),
            .advice("give all functions of the card to one user"),
        ]
    }
}
