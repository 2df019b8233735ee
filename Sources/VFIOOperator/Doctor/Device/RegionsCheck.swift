import VFIOHost

/// Whether the device's memory has addresses, and can be mapped: whole pages, and the place of the MSI-X table.
struct RegionsCheck: Check {
    let id = "regions"
    let title = "memory"

    private static let page: UInt64 = 4096
    /// The kernel's `IORESOURCE_` flags.
    private static let memory: UInt64 = 0x200
    private static let unset: UInt64 = 0x2000_0000

    func judge(_ examination: Examination, _ notes: inout Notes) -> Judgement? {
        guard let subject = examination.subject, let record = subject.record else { return nil }
        if record.resources.isEmpty {
            _ = notes.text(subject.folder + "/resource")
            return .undetermined("what memory it has can't be read (\(subject.folder)/resource)")
        }
        var small: [String] = []
        var homeless: [String] = []
        var total: UInt64 = 0
        for (index, resource) in record.resources.prefix(6).enumerated()
        where resource.flags & Self.memory != 0 {
            notes.note(
                "\(subject.folder)/resource, line \(index + 1)",
                "BAR \(index): \(byteText(resource.byteCount)) at 0x\(hexadecimal(resource.first))")
            total = total.adding(1, of: resource.byteCount)
            if resource.first == 0 || resource.flags & Self.unset != 0 {
                homeless.append("\(index)")
            } else if resource.byteCount < Self.page || resource.first % Self.page != 0 {
                small.append("\(index)")
            }
        }
        // A virtual function has its memory behind its physical function's.
        if !homeless.isEmpty {
            return .failed(
                "BAR \(homeless.joined(separator: ", ")) has no address: the firmware left no room for it",
                [
                    .advice("add pci=realloc to the kernel's command line, and restart"),
                    .advice("turn on \"Above 4G decoding\" in the firmware's settings"),
                ])
        }
        let table = interruptTable(subject, &notes) ?? "where its MSI-X table is, root can see"
        var text = total == 0 ? "none" : byteText(total)
        if !small.isEmpty {
            text +=
                "; BAR \(small.joined(separator: ", ")) smaller than a page: mapped only if nothing shares the page"
        }
        text += "; \(table)"
        return .ok(text)
    }

    /// Where the MSI-X table is; nil where that can't be seen or there is none.
    private func interruptTable(_ subject: Examination.Subject, _ notes: inout Notes) -> String? {
        let reading = notes.bytes(subject.folder + "/config", limit: 4096) { bytes in
            bytes.count < 256
                ? "the first \(bytes.count) bytes only: the rest needs root" : "\(bytes.count) bytes"
        }
        guard let bytes = reading.value else { return nil }
        let space = ConfigurationBytes(bytes: bytes)
        guard space.isWhole else { return nil }
        guard let capability = space.capability(0x11), let control = space.load16(capability + 2),
            let table = space.load32(capability + 4)
        else { return "no MSI-X" }
        let count = Int(control & 0x7ff) + 1
        return
            "\(count) MSI-X vector\(count == 1 ? "" : "s") in BAR \(table & 7) at 0x\(hexadecimal(table & ~7))"
    }
}
