import Foundation
import Testing

@testable import LinuxSystem

@Suite("Names and small files, as sysfs has them")
struct FileSystemTests {
    @Test("Names, links, texts and kinds are read; what isn't there keeps its errno")
    func reading() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "files-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        try Data("0x144d\n".utf8).write(to: folder.appending(path: "vendor"))
        try FileManager.default.createSymbolicLink(
            atPath: folder.path + "/driver", withDestinationPath: "../drivers/vfio-pci")
        #expect(try FileSystem.names(in: folder.path).sorted() == ["driver", "vendor"])
        #expect(try FileSystem.text(of: folder.path + "/vendor") == "0x144d")
        #expect(try FileSystem.linkTarget(folder.path + "/driver") == "../drivers/vfio-pci")
        #expect(try FileSystem.status(folder.path).kind == .directory)
        #expect(FileSystem.exists(folder.path + "/vendor"))
        #expect(!FileSystem.exists(folder.path + "/device"))
        #expect(throws: Errno.noSuchEntry) { try FileSystem.text(of: folder.path + "/device") }
        #expect(throws: Errno.notDirectory) { try FileSystem.names(in: folder.path + "/vendor") }
        #expect(throws: Errno.invalid) { try FileSystem.linkTarget(folder.path + "/vendor") }
    }

    @Test("A file longer than the limit is cut there")
    func limit() throws {
        let path = FileManager.default.temporaryDirectory.path + "/long-\(UUID().uuidString)"
        try Data(repeating: 7, count: 100_000).write(to: URL(filePath: path))
        defer { try? FileSystem.unlink(path) }
        #expect(try FileSystem.bytes(of: path, limit: 5000).count == 5000)
        #expect(try FileSystem.bytes(of: path).count == 65_536)
    }
}

@Suite("Other programs")
struct ChildProcessTests {
    @Test("A program's exit code, its signal and its absence are told apart")
    func running() throws {
        #expect(try ChildProcess.run("true", []) == 0)
        #expect(try ChildProcess.run("sh", ["-c", "exit 7"]) == 7)
        #expect(try ChildProcess.run("sh", ["-c", "kill -9 $$"]) == 137)
        #expect(throws: Errno.noSuchEntry) { try ChildProcess.run("no-such-program-anywhere", []) }
    }
}
