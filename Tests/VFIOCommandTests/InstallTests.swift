import Foundation
import Testing

@Suite("Installing")
struct InstallTests {
    private var package: String { #filePath.components(separatedBy: "/Tests/")[0] }

    /// Runs Scripts/install on the command that the build made and a file in the library's place.
    private func install(_ scratch: Scratch, _ arguments: [String], environment: [String: String] = [:])
        throws
        -> Outcome
    {
        let library = try scratch.file("library", "no library")
        return try OtherProgram.run(
            package + "/Scripts/install",
            ["--from", vfioProgram().deletingLastPathComponent().path] + arguments,
            environment: environment.merging(["VFIO_PRELOAD_LIBRARY": library]) { $1 }, folder: scratch.path)
    }

    @Test("What is installed works from its place in an empty environment, and goes without a trace")
    func prefix() throws {
        let scratch = try Scratch()
        let prefix = scratch.path + "/prefix"
        let made = try install(scratch, ["--prefix", prefix])
        #expect(made.code == 0, "\(made.errors)")
        let list = try OtherProgram.run(
            "/usr/bin/env", ["-i", prefix + "/bin/vfio", "list", "--host", "soft"], folder: "/")
        #expect(list.code == 0 && list.output.contains("0000:01:00.0"), "\(list.errors)")
        for file in [
            "share/bash-completion/completions/vfio", "share/zsh/site-functions/_vfio",
            "share/fish/vendor_completions.d/vfio.fish", "share/man/man1/vfio.1",
            "share/man/man1/vfio-list.1",
        ] {
            #expect(FileManager.default.fileExists(atPath: prefix + "/" + file), "\(file)")
        }
        // The loader complains of our file, which is no library: so it was looked for where it was installed.
        let run = try OtherProgram.run(
            prefix + "/bin/vfio", ["run", "--", "/bin/true"], folder: "/", removing: ["VFIO_PRELOAD_LIBRARY"])
        #expect(run.errors.contains("/lib/libvfio-preload.so"), "\(run.errors)")

        let foreign = prefix + "/share/man/man1/other.1"
        try "not ours".write(toFile: foreign, atomically: true, encoding: .utf8)
        let gone = try install(scratch, ["--prefix", prefix, "--uninstall"])
        #expect(gone.code == 0, "\(gone.errors)")
        #expect(!FileManager.default.fileExists(atPath: prefix + "/bin/vfio"))
        #expect(!FileManager.default.fileExists(atPath: prefix + "/share/vfio"))
        #expect(FileManager.default.fileExists(atPath: foreign))
        #expect(try install(scratch, ["--prefix", prefix, "--uninstall"]).code == 1)
    }

    @Test("DESTDIR stands before the prefix; wrong usage ends with 2, a folder without a build with 1")
    func destination() throws {
        let scratch = try Scratch()
        let made = try install(
            scratch, ["--prefix", "/usr"], environment: ["DESTDIR": scratch.path + "/root"])
        #expect(made.code == 0, "\(made.errors)")
        #expect(FileManager.default.isExecutableFile(atPath: scratch.path + "/root/usr/bin/vfio"))
        #expect(try install(scratch, ["--perfix", "/x"]).code == 2)
        #expect(try install(scratch, ["--from", scratch.path]).code == 1)
    }
}
