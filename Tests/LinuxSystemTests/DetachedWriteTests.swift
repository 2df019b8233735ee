import LinuxSystem
import Testing

@Suite("Writes by a process of their own")
struct DetachedWriteTests {
    private func withFolder(_ body: (String) throws -> Void) throws {
        let root = try FileSystem.makeTemporaryFolder("/tmp/vfio-write-")
        defer { FileSystem.removeFolder(root) }
        try body(root)
    }

    @Test("a text is written, and what open answers is told")
    func ends() throws {
        try withFolder { root in
            try FileSystem.makeFile(root + "/a")
            #expect(try DetachedWrite("vfio-pci\n", to: root + "/a").wait(milliseconds: 60_000) == .done)
            #expect(try FileSystem.text(of: root + "/a") == "vfio-pci")
            #expect(
                try DetachedWrite("x", to: root + "/b").wait(milliseconds: 60_000) == .failed(.noSuchEntry))
            #expect(try DetachedWrite("x", to: "/dev/full").wait(milliseconds: 60_000) == .failed(.noSpace))
        }
    }

    @Test("a write that doesn't come back is left alone, and ends by itself")
    func pending() throws {
        try withFolder { root in
            // Opening a pipe's name for writing waits for a reader.
            #expect(try ChildProcess.run("mkfifo", [root + "/pipe"]) == 0)
            let write = try DetachedWrite("text", to: root + "/pipe")
            #expect(write.wait(milliseconds: 0) == .pending)
            #expect(write.wait(milliseconds: 1) == .pending)
            // Opened for both, a pipe waits for nobody.
            let reader = try Descriptor(opening: root + "/pipe", .readWrite)
            #expect(write.wait(milliseconds: 60_000) == .done)
            _ = consume reader
        }
    }

    @Test("a file that is replaced is the old one or the new one, and leaves nothing behind")
    func replace() throws {
        try withFolder { root in
            try FileSystem.replaceFile(root + "/a", [1, 2])
            try FileSystem.makeLink(root + "/a.new", to: root + "/elsewhere")
            try FileSystem.replaceFile(root + "/a", [3])
            #expect(try FileSystem.bytes(of: root + "/a") == [3])
            #expect(try FileSystem.names(in: root) == ["a"])
            #expect(throws: Errno.noSuchEntry) { try FileSystem.replaceFile(root + "/no/a", []) }
        }
    }

    @Test("a file's lock is somebody's alone")
    func lock() throws {
        try withFolder { root in
            let one = try Descriptor(opening: root + "/lock", [.readWrite, .create])
            let other = try Descriptor(opening: root + "/lock", .readWrite)
            try one.lockFile(milliseconds: 0)
            var answer: Errno?
            do throws(Errno) { try other.lockFile(milliseconds: 1) } catch { answer = error }
            #expect(answer == .again)
            try one.close()
            try other.lockFile(milliseconds: 60_000)
        }
    }
}
