import LinuxSystem
import PCIDecoder
import VFIOHost

/// Whether the device answers: a configuration space that reads all ones is that of a device that is gone, without
/// power, or hung.
struct ConfigurationCheck: Check {
    let id = "configuration"
    let title = "answers"

    func judge(_ examination: Examination, _ notes: inout Notes) -> Judgement? {
        guard let subject = examination.subject, let record = subject.record else { return nil }
        let reading = notes.bytes(subject.folder + "/config", limit: 64) { bytes in
            bytes.prefix(16).map { hexadecimal($0, digits: 2) }.joined(separator: " ") + " …"
        }
        guard let bytes = reading.value else {
            return .undetermined("its configuration space can't be read")
        }
        let space = ConfigurationBytes(bytes: bytes)
        let name = subject.summary.id.qualifiedName
        if bytes.count < 64 {
            return .undetermined("only \(bytes.count) bytes of its configuration space can be read")
        }
        if space.isAllOnes || space.load16(0) == 0xffff && space.load8(0x0e) == 0xff {
            return .failed(
                "no: its configuration space reads all ones, as of a device that is gone, without power or hung",
                [
                    .run(
                        "cat \(subject.folder)/power_state",
                        "D3cold: it has no power, and wakes when it is used"),
                    .run(
                        "echo 1 | sudo tee \(subject.folder)/remove; echo 1 | sudo tee /sys/bus/pci/rescan",
                        "let the kernel search for it anew, once nothing uses it"),
                    .advice("if that doesn't help: suspend and wake the machine, or turn it off and on"),
                ])
        }
        guard let vendor = space.load16(0), let device = space.load16(2) else { return nil }
        // A virtual function's own IDs read as ones; the kernel takes them from its physical function.
        let isVirtual = record.physicalFunction != nil && vendor == 0xffff
        if !isVirtual && (vendor != record.vendor || device != record.device) {
            return .warning(
                "as \(hexadecimal(vendor, digits: 4)):\(hexadecimal(device, digits: 4)), but the kernel found "
                    + "\(hexadecimal(record.vendor, digits: 4)):\(hexadecimal(record.device, digits: 4)) here: it was "
                    + "replaced or reset behind the kernel's back",
                [
                    .run(
                        "echo 1 | sudo tee \(subject.folder)/remove; echo 1 | sudo tee /sys/bus/pci/rescan",
                        "let the kernel search for \(name) anew")
                ])
        }
        return .ok(
            "yes, as \(hexadecimal(record.vendor, digits: 4)):\(hexadecimal(record.device, digits: 4))"
                + ": \(PCIClass.name(record.classCode))" + (isVirtual ? " (a virtual function)" : ""))
    }
}
