import LinuxSystem

let runSuite = Suite(
    name: "run", summary: "foreign programs under `vfio run`: what hooks, requests, registers and reads cost"
) { options in
    guard let programs = ForeignPrograms() else { return }
    defer { programs.remove() }
    measureCalls(programs, options)
    measureReads(programs, options)
}

/// Calls that aren't VFIO's, bare and under `vfio run` in turns; then what VFIO's cost, compared with getppid in the
/// same process.
private func measureCalls(_ programs: ForeignPrograms, _ options: Options) {
    var bare: [[String: Double]] = []
    var under: [[String: Double]] = []
    for _ in 0..<options.repeats {
        bare.append(programs.costs(underRun: false))
        under.append(programs.costs(underRun: true))
    }
    func least(_ name: String, _ samples: [[String: Double]]) -> Double? {
        samples.compactMap { $0[name] }.min()
    }

    var foreign = Table(["a call that isn't VFIO's", "ns bare", "ns under run", "more", "ratio"])
    for name in ["close", "ioctl", "pread", "write", "work"] {
        guard let before = least(name, bare), let after = least(name, under) else { continue }
        foreign.add([name, fixed(before), fixed(after), fixed(after - before), fixed(after / before, 2)])
    }
    foreign.print()

    var own = Table(["VFIO under run", "ns (minimum)", "getppid", "ratio"])
    guard let reference = least("getppid", under) else { return }
    for name in [
        "GET_API_VERSION", "DEVICE_GET_INFO", "register-pread", "register-pwrite", "register-load",
        "register-store",
    ] {
        guard let time = least(name, under) else { continue }
        own.add([name, fixed(time), fixed(reference), fixed(time / reference, 2)])
    }
    own.print()
}

/// NVMe reads of 512 bytes by a driver in C that polls for completions, compared with copies of as many bytes by a
/// system call.
private func measureReads(_ programs: ForeignPrograms, _ options: Options) {
    var table = Table(["512-byte reads", "depth", "reads a second (best)", "ns a read", "getppid", "ratio"])
    let reference = programs.costs(underRun: true)["getppid"] ?? 1
    for access in ["unmapped", "mapped"] {
        for depth in [1, 32, 128] {
            var best = 0.0
            for _ in 0..<options.repeats {
                best = max(best, programs.reads(access, depth, count: options.isQuick ? 100_000 : 1_000_000))
            }
            guard best > 0 else {
                table.add([access, "\(depth)", "not offered", "", "", ""])
                continue
            }
            let each = 1e9 / best
            table.add([
                access, "\(depth)", grouped(Int(best)), fixed(each), fixed(reference),
                fixed(each / reference, 2),
            ])
        }
    }
    table.print()
}

/// The programs of Tests/Preload that measure, compiled; and how they are run.
private struct ForeignPrograms {
    private let folder: String
    private let vfio: String

    /// Compiles them. Nil, with a line that says why, where there is no compiler or no `vfio`.
    init?() {
        let package = "\(#filePath)".split(separator: "/").dropLast(4).map { "/" + $0 }.joined()
        vfio = package + "/.build/release/vfio"
        guard FileSystem.exists(vfio) else {
            print("left out: \(vfio) isn't there; build it with swift build -c release --product vfio\n")
            return nil
        }
        guard let folder = try? FileSystem.makeTemporaryFolder("/tmp/vfio-benchmark-") else { return nil }
        self.folder = folder
        for name in ["costs", "nvme"] {
            let arguments = ["-O2", "-o", "\(folder)/\(name)", "\(package)/Tests/Preload/\(name).c"]
            guard (try? ChildProcess.run("cc", arguments)) == 0 else {
                print("left out: \(name).c can't be compiled with cc\n")
                remove()
                return nil
            }
        }
    }

    func remove() { FileSystem.removeFolder(folder) }

    /// The lines that a command prints.
    private func lines(_ command: String) -> [Substring] {
        guard (try? ChildProcess.run("sh", ["-c", "\(command) > \(folder)/output"])) == 0,
            let text = try? FileSystem.text(of: folder + "/output")
        else { return [] }
        return text.split(separator: "\n")
    }

    /// What calls cost, in nanoseconds by name.
    func costs(underRun: Bool) -> [String: Double] {
        let program = "\(folder)/costs"
        var costs: [String: Double] = [:]
        for line in lines(underRun ? "\(vfio) run -- \(program) 0000:01:00.0" : program) {
            let words = line.split(separator: " ")
            if words.count == 2 { costs[String(words[0])] = Double(words[1]) }
        }
        return costs
    }

    /// How many reads a second there were; 0 if the program failed.
    func reads(_ access: String, _ depth: Int, count: Int) -> Double {
        let command = "\(vfio) run -- \(folder)/nvme 0000:01:00.0 \(access) \(depth) \(count)"
        guard let line = lines(command).last else { return 0 }
        let words = line.split(separator: " ")
        return words.count > 3 ? Double(words[3]) ?? 0 : 0
    }
}
