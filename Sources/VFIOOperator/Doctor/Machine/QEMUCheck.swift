import LinuxSystem

/// Whether QEMU is there, and can use devices that other processes serve (`vfio-user-pci`, since QEMU 10.1).
struct QEMUCheck: Check {
    let id = "qemu"
    let title = "QEMU"
    let needsKernel = true

    /// How long it may take to answer.
    private static let patience = 10_000

    func judge(_ examination: Examination, _ notes: inout Notes) -> Judgement? {
        guard let program = examination.doctor.qemu else { return nil }
        let version: (major: Int, minor: Int, text: String)
        switch ask(program, ["--version"], &notes) {
        case .absent: return .ok("not installed (\(program)); nothing here needs it")
        case .unreadable(let errno): return .undetermined("\(program) can't be run: \(errno)")
        case .found(let text):
            guard let known = Self.version(text) else {
                return .undetermined("\(program) doesn't tell its version")
            }
            version = known
        }
        // It tells of its devices on the same stream.
        let devices = ask(program, ["-device", "help"], &notes) { $0.contains("\"vfio-") }
        guard let devices = devices.value else {
            return .undetermined("\(version.text): it doesn't tell which devices it has")
        }
        let hasPCI = devices.contains("\"vfio-pci\"")
        if devices.contains("\"vfio-user-pci\"") {
            return .ok(
                "\(version.text) has vfio-user-pci\(hasPCI ? " and vfio-pci" : ""); the guest's memory must be shared "
                    + "(-object memory-backend-memfd,share=on)")
        }
        let missing =
            (version.major, version.minor) < (10, 1)
            ? "vfio-user-pci came with QEMU 10.1" : "it is built without vfio-user-pci"
        return .warning(
            "\(version.text)\(hasPCI ? " has vfio-pci" : ""): it can't use devices over vfio-user, \(missing)",
            [
                .advice(
                    "only for `vfio serve`: install QEMU 10.1 or newer (Debian 13: qemu-system-x86 of backports)"
                )
            ])
    }

    /// Asks, and keeps what matters of the answer.
    private func ask(
        _ program: String, _ arguments: [String], _ notes: inout Notes,
        keep: (Substring) -> Bool = { _ in true }
    ) -> Reading<String> {
        let command = ([program] + arguments).joined(separator: " ")
        do throws(Errno) {
            let answer = try ChildProcess.output(
                of: program, arguments, byteLimit: 1 << 20, milliseconds: Self.patience)
            let lines = String(decoding: answer, as: UTF8.self).split(separator: "\n").filter(keep)
            notes.note(
                command, lines.isEmpty ? "(nothing about it)" : lines.prefix(6).joined(separator: "; "))
            return .found(lines.joined(separator: "\n"))
        } catch {
            notes.note(command, error == .noSuchEntry ? "not there" : "\(error)")
            return error == .noSuchEntry ? .absent : .unreadable(error)
        }
    }

    /// The version in "QEMU emulator version 10.1.2 (Debian …)".
    private static func version(_ text: String) -> (major: Int, minor: Int, text: String)? {
        let words = text.split { $0 == " " || $0 == "\n" }
        guard let place = words.firstIndex(of: "version"), place + 1 < words.count else { return nil }
        let numbers = words[place + 1].split(separator: ".").map { Int($0) }
        guard numbers.count >= 2, let major = numbers[0], let minor = numbers[1] else { return nil }
        return (major, minor, "QEMU \(words[place + 1])")
    }
}
