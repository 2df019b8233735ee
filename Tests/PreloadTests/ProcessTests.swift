import Foundation
import Testing

@Suite(
    "Processes under vfio run share one kernel",
    .enabled(if: Runs.library != nil, Runs.needsLibrary),
    .enabled(if: Runs.compiler != nil, Runs.needsCompiler))
struct ProcessTests {
    private func run(_ scenario: String) throws {
        try Runs.expectSuccess(of: "processes", [scenario, "0000:02:00.0"])
    }

    @Test("a child uses what its parent opened, and the parent sees what it did")
    func childUses() throws { try run("child-uses") }

    @Test("a parent opens what its child, in which the kernel lives, has closed; DMA reaches its memory")
    func childOpens() throws { try run("child-opens") }

    @Test("parent and child call at once, from four threads each")
    func bothAtOnce() throws { try run("both-at-once") }

    @Test("a process that exits or is killed closes what it had open")
    func exitCloses() throws { try run("exit-closes") }

    @Test("a file stays open as long as any process has a copy")
    func copies() throws { try run("copies") }

    @Test("a program that is started inherits an open device")
    func execKeeps() throws { try run("exec-keeps") }

    @Test("descriptors passed between siblings in messages work, with requests, interrupts and DMA")
    func messages() throws { try run("messages") }

    @Test("500 children leave no descriptor and no thread behind")
    func manyForks() throws { try run("many-forks") }

    @Test("a daemon goes on with what was open when it parted from its parent")
    func daemonized() throws { try run("daemonized") }

    @Test(
        "when the process in which the kernel lives ends, or runs another program, others go on",
        arguments: ["exit-goes-on", "quick-exit-goes-on", "exec-goes-on"])
    func kernelEnds(_ how: String) throws { try run(how) }

    @Test("a launcher opens a device and becomes the program that uses it")
    func launcher() throws { try run("launcher") }

    @Test("drivers are changed and devices reset by processes in which the kernel isn't, and wait for users")
    func othersBind() throws { try run("others-bind") }

    @Test("a mapping keeps a device open in whatever process it is", arguments: ["trapped", "unmapped"])
    func mappingKeeps(_ bars: String) throws {
        try Runs.expectSuccess(
            of: "processes", ["mapping-keeps", "0000:01:00.0"],
            machine: ["--bars", bars, "--device", "sampler"])
    }

    @Test("a program that closes all descriptors and begins anew doesn't close those of the devices")
    func closesAll() throws {
        let scratch = try Scratch()
        let image = scratch.folder.appending(path: "disk.img").path
        try Data(count: 1 << 20).write(to: URL(filePath: image))
        try Runs.expectSuccess(
            of: "processes", ["closes-all", "0000:02:00.0", image],
            machine: ["--device", "nvme,image=\(image)", "--device", "edu"])
    }

    @Test("what a run leaves is there for daemons of it, and removed when the last of them has ended")
    func lastProcess() throws {
        let scratch = try Scratch()
        let seen = scratch.folder.appending(path: "seen").path
        let script = """
            (sleep 1; ls /sys/bus/pci/devices > '\(seen)'; mv '\(seen)' '\(seen).whole') > /dev/null 2>&1 &
            echo $VFIO_RUN
            """
        let outcome = try Runs.vfio(["run", "--device", "edu", "--", "sh", "-c", script])
        #expect(outcome.code == 0, "\(outcome.errors)")
        let folder = outcome.output.trimmingCharacters(in: .whitespacesAndNewlines)
        #expect(folder.hasPrefix("/"))
        #expect(wait { FileManager.default.fileExists(atPath: seen + ".whole") })
        #expect(try String(contentsOfFile: seen + ".whole", encoding: .utf8) == "0000:01:00.0\n")
        #expect(wait { !FileManager.default.fileExists(atPath: folder) })
    }

    /// Looks for a minute at most.
    private func wait(for condition: () -> Bool) -> Bool {
        for _ in 0..<600 {
            if condition() { return true }
            usleep(100_000)
        }
        return condition()
    }
}
