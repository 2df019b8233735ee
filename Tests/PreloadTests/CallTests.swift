import Foundation
import Testing

@Suite(
    "C programs under vfio run find what Linux answers",
    .enabled(if: Runs.library != nil, Runs.needsLibrary),
    .enabled(if: Runs.compiler != nil, Runs.needsCompiler))
struct CallTests {
    @Test("by a device's group: registers, an interrupt, DMA both ways")
    func group() throws { try Runs.expectSuccess(of: "group", ["0000:02:00.0"]) }

    @Test("of descriptors: dup and its relatives, flags, ranges, children of vfork, streams")
    func descriptors() throws { try Runs.expectSuccess(of: "descriptors") }

    @Test("of poll, select and epoll: VFIO's files are always ready, beside others that aren't")
    func polling() throws { try Runs.expectSuccess(of: "polling") }

    @Test("of reads and writes: at offsets, in lists, at a position; wrong addresses")
    func transfers() throws { try Runs.expectSuccess(of: "transfers") }

    @Test("of sriov_numvfs: virtual functions appear with groups and nodes, can be opened, and go")
    func virtualFunctions() throws {
        let scratch = try Scratch()
        let machine = scratch.folder.appending(path: "machine.json")
        try Data(
            #"""
            { "groups": [ { "number": 3, "devices": [ { "address": "0000:03:00.0", "model": "edu",
                "virtualFunctions": 4, "driver": "pci-pf-stub" } ] } ] }
            """#.utf8
        ).write(to: machine)
        try Runs.expectSuccess(of: "functions", ["0000:03:00.0"], machine: ["--machine", machine.path])
    }

    @Test("of paths: stat, access, links, lists, the current folder, names below a folder")
    func paths() throws { try Runs.expectSuccess(of: "paths") }

    @Test("on many threads that open, copy and close at once")
    func storm() throws { try Runs.expectSuccess(of: "storm") }

    @Test(
        "that map registers: every form of access, four threads of which each access counts, their own signals",
        .enabled(if: Self.hasTraps, "registers are trapped on x86-64 only"),
        arguments: ["trap-forms", "trap-threads", "trap-signals"], Self.waysToCompile)
    func traps(_ name: String, _ way: String) throws {
        let words = way.split(separator: " ").map(String.init)
        let compiler = try #require(Runs.program(words[0]))
        try Runs.expectSuccess(
            of: name, machine: ["--device", "sampler"], compiler: compiler, options: [words[1]],
            complaining: name == "trap-signals" ? "an instruction that isn't known" : "")
    }

    /// Each compiler that is there, with and without optimisation: they use different instructions.
    private static var waysToCompile: [String] {
        let known = ["gcc", "clang"].filter { Runs.program($0) != nil }
        return (known.isEmpty ? ["cc"] : known).flatMap { ["\($0) -O0", "\($0) -O2", "\($0) -O3"] }
    }

    private static var hasTraps: Bool {
        #if arch(x86_64)
            true
        #else
            false
        #endif
    }
}

@Suite("Tools under vfio run", .enabled(if: Runs.library != nil, Runs.needsLibrary))
struct ToolTests {
    /// Runs a shell's command on the machine of the default.
    func shell(_ text: String) throws -> Outcome { try Runs.vfio(["run", "--", "sh", "-c", text]) }

    @Test("vfio top shows the devices of a run whose program has opened VFIO, and only of such a one")
    func top() throws {
        let top = "\"$(readlink /proc/$PPID/exe)\" top --run \"$VFIO_RUN\" --interval 0.1 --count 1 --json"
        let outcome = try shell("exec 3<>/dev/vfio/vfio && LD_PRELOAD= \(top)")
        try #require(outcome.code == 0, "\(outcome.errors)")
        let lines = outcome.output.split(separator: "\n")
        #expect(lines.count == 2, "\(outcome.output)")
        for (line, device) in zip(lines, ["0000:01:00.0", "0000:02:00.0"]) {
            #expect(
                line.contains("\"device\":\"\(device)\"") && line.contains("\"source\":\"sh\""), "\(line)")
        }
        let idle = try shell("LD_PRELOAD= \(top)")
        #expect(idle.code == 0 && idle.output.isEmpty, "\(idle)")
    }

    @Test("ls, cat, find, stat and the shell see the machine's devices and nodes")
    func tools() throws {
        let outcome = try shell(
            """
            set -e
            ls /sys/bus/pci/devices
            cat /sys/bus/pci/devices/0000:01:00.0/vendor
            ls -l /dev/vfio/26
            find /dev/vfio -type c | sort
            stat -c '%F %t:%T' /dev/vfio/vfio
            cd /sys/bus/pci/devices/0000:02:00.0/iommu_group && /bin/pwd
            readlink /sys/bus/pci/devices/0000:02:00.0/driver
            echo /dev/vfio/2*
            test -c /dev/vfio/27 && test -r /sys/bus/pci/devices/0000:01:00.0/config && echo ok
            """)
        #expect(outcome.code == 0 && outcome.errors.isEmpty, "\(outcome.errors)")
        let lines = outcome.output.split(separator: "\n").map(String.init)
        try #require(lines.count == 14, "\(outcome.output)")
        #expect(lines[0...2] == ["0000:01:00.0", "0000:02:00.0", "0x1234"])
        #expect(lines[3].hasPrefix("crw-------") && lines[3].hasSuffix(" /dev/vfio/26"), "\(lines[3])")
        #expect(
            lines[4...8] == [
                "/dev/vfio/26", "/dev/vfio/27", "/dev/vfio/devices/vfio0", "/dev/vfio/devices/vfio1",
                "/dev/vfio/vfio",
            ])
        #expect(lines[9] == "character special file a:c4")
        #expect(lines[10] == "/sys/kernel/iommu_groups/27")
        #expect(lines[11].hasSuffix("/bus/pci/drivers/vfio-pci"))
        #expect(lines[12] == "/dev/vfio/26 /dev/vfio/27" && lines[13] == "ok")
    }

    @Test("a shell unbinds a device for the programs that come after it")
    func binding() throws {
        let outcome = try shell(
            """
            cd /sys/bus/pci
            echo 0000:02:00.0 > devices/0000:02:00.0/driver/unbind
            test -e devices/0000:02:00.0/driver || echo unbound
            test -e /dev/vfio/27 || echo gone
            echo vfio-pci > devices/0000:02:00.0/driver_override
            echo 0000:02:00.0 > /sys/bus/pci/drivers_probe
            basename $(readlink devices/0000:02:00.0/driver)
            ls -l /dev/vfio/27 | cut -c 1
            """)
        #expect(outcome.code == 0 && outcome.errors.isEmpty, "\(outcome.errors)")
        #expect(outcome.output == "unbound\ngone\nvfio-pci\nc\n")
    }

    @Test(
        "Python opens a node, copies its number and lists folders",
        .enabled(if: Runs.program("python3") != nil))
    func python() throws {
        let outcome = try Runs.vfio([
            "run", "--", "python3", "-c",
            """
            import fcntl, glob, os, stat, subprocess
            a = os.open("/dev/vfio/vfio", os.O_RDWR)
            b = os.dup(a)
            os.close(a)
            print(fcntl.ioctl(b, 0x3b64))
            subprocess.run(["true"], close_fds=True)
            print(fcntl.ioctl(b, 0x3b64), stat.S_ISCHR(os.fstat(b).st_mode), os.readlink("/proc/self/fd/%d" % b))
            os.chdir("/dev/vfio")
            print(os.getcwd(), sorted(e.name for e in os.scandir(".") if not e.is_dir()))
            print(sorted(glob.glob("/sys/kernel/iommu_groups/*/devices/*")))
            print(os.path.realpath("/sys/bus/pci/devices/0000:01:00.0").split("/")[-1])
            """,
        ])
        #expect(outcome.code == 0 && outcome.errors.isEmpty, "\(outcome.errors)")
        #expect(
            outcome.output == """
                0
                0 True /dev/vfio/vfio
                /dev/vfio ['26', '27', 'vfio']
                ['/sys/kernel/iommu_groups/26/devices/0000:01:00.0', \
                '/sys/kernel/iommu_groups/27/devices/0000:02:00.0']
                0000:01:00.0

                """)
    }

    @Test("lspci lists the devices with their identity", .enabled(if: Runs.program("lspci") != nil))
    func lspci() throws {
        let outcome = try Runs.vfio(["run", "--", "lspci", "-Dnk"])
        #expect(outcome.code == 0, "\(outcome.errors)")
        #expect(outcome.output.contains("0000:01:00.0 0108: 1234:"), "\(outcome.output)")
        #expect(outcome.output.contains("Kernel driver in use: vfio-pci"), "\(outcome.output)")
    }

    @Test("a static program is refused with the reason, and started if that is wanted anyway")
    func escapes() throws {
        let scratch = try Scratch()
        let program: String
        do {
            program = try Runs.compile("hello", into: scratch, options: ["-static"])
        } catch {
            // There is no C library to link statically with.
            return
        }
        let refused = try Runs.vfio(["run", "--", program])
        #expect(refused.code == 1 && refused.output.isEmpty)
        #expect(refused.errors.contains("statically linked"), "\(refused.errors)")
        let started = try Runs.vfio(["run", "--anyway", "--", program])
        #expect(started.code == 0 && started.output == "hello\n")
        #expect(started.errors.contains("statically linked"), "\(started.errors)")
    }

    @Test("a script is judged by its interpreter")
    func scripts() throws {
        let scratch = try Scratch()
        let script = scratch.folder.appending(path: "script")
        try "#!/usr/bin/env sh\ntest -c /dev/vfio/vfio && echo seen\n".write(
            to: script, atomically: true, encoding: .utf8)
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: script.path)
        let outcome = try Runs.vfio(["run", "--", script.path])
        #expect(outcome.code == 0 && outcome.output == "seen\n", "\(outcome.errors)")
    }

    @Test("a program's own exit code is handed on, and its signal")
    func endings() throws {
        #expect(try shell("exit 7").code == 7)
        #expect(try shell("kill -KILL $$").code == 128 + 9)
    }
}
