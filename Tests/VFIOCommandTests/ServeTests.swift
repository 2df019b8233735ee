import Foundation
import LinuxSystem
import Testing

@Suite("vfio serve")
struct ServeTests {
    @Test("A device is served at a path, one client after the other; SIGTERM ends it and the socket is gone")
    func edu() throws {
        let scratch = try Scratch()
        let path = scratch.path + "/edu.sock"
        let command = try RunningCommand(["serve", "edu", "--socket", path])
        try #require(command.waits(for: path), "\(command.wait())")
        for _ in 0..<2 { #expect(try Conversation.identity(at: path) == [0x34, 0x12, 0xe8, 0x11]) }
        // One that stays is cut off.
        let client = try UnixSocket(connecting: path)
        let outcome = command.end()
        #expect(outcome.code == 0, "\(outcome)")
        #expect(!FileManager.default.fileExists(atPath: path))
        _ = consume client
        #expect(outcome.output.contains("edu: listening at \(path)"), "\(outcome)")
        let device = #"-device '{"driver":"vfio-user-pci","socket":{"type":"unix","path":"\#(path)"}}'"#
        #expect(outcome.output.contains(device), "\(outcome)")
        #expect(outcome.output.contains("memory-backend-memfd,id=ram,size=2G,share=on"), "\(outcome)")
    }

    @Test(
        "The interrupt key ends it as well, and without --socket the socket is in the folder it was started in"
    )
    func interrupted() throws {
        let scratch = try Scratch()
        let command = try RunningCommand(["serve", "nvme", "--size", "1M"], folder: scratch.path)
        try #require(command.waits(for: scratch.path + "/nvme.sock"), "\(command.wait())")
        #expect(command.end(SIGINT).code == 0)
        #expect(try FileManager.default.contentsOfDirectory(atPath: scratch.path) == [])
    }

    @Test("All devices of a machine file are served, each at its address; bystanders are not")
    func machine() throws {
        let scratch = try Scratch()
        _ = try scratch.image()
        let machine = try scratch.machine(
            devices: #"""
                , { "address": "0000:01:00.1", "model": "edu" },
                { "address": "0000:01:00.2", "model": "bystander", "vendor": 1, "device": 2 }
                """#)
        let command = try RunningCommand(["serve", "--machine", machine, "--socket", scratch.path, "--json"])
        let paths = ["/0000:01:00.0.sock", "/0000:01:00.1.sock"].map { scratch.path + $0 }
        for path in paths { try #require(command.waits(for: path), "\(command.wait())") }
        // Both at a time, and in any order.
        #expect(try Conversation.identity(at: paths[1]) == [0x34, 0x12, 0xe8, 0x11])
        #expect(try Conversation.identity(at: paths[0]) != [0x34, 0x12, 0xe8, 0x11])
        let outcome = command.end()
        #expect(outcome.code == 0, "\(outcome)")
        #expect(outcome.output.contains("\"version\" : 1"), "\(outcome)")
        #expect(!outcome.output.contains("0000:01:00.2"), "\(outcome)")
    }

    @Test("A socket that listens already can be handed over")
    func inherited() throws {
        let scratch = try Scratch()
        let path = scratch.path + "/handed.sock"
        let listener = try UnixSocket(listening: path)
        let input = FileHandle(fileDescriptor: listener.descriptor.number, closeOnDealloc: false)
        let command = try RunningCommand(["serve", "edu", "--listen-fd", "0"], input: input)
        #expect(try Conversation.identity(at: path) == [0x34, 0x12, 0xe8, 0x11])
        let outcome = command.end()
        #expect(outcome.code == 0, "\(outcome)")
        // Whoever made it removes it.
        #expect(FileManager.default.fileExists(atPath: path))
    }

    @Test("An image that isn't there is made when its size is told, and one that is there is left as it is")
    func images() throws {
        let scratch = try Scratch()
        let image = scratch.path + "/new.img"
        let path = scratch.path + "/disk.sock"
        for _ in 0..<2 {
            let command = try RunningCommand([
                "serve", "nvme", "--image", image, "--size", "2M", "--socket", path,
            ])
            try #require(command.waits(for: path), "\(command.wait())")
            #expect(command.end().code == 0)
            #expect(try Data(contentsOf: URL(filePath: image)).count == 2 << 20)
        }
        let other = try vfio("serve", "nvme", "--image", image, "--size", "4M", "--socket", path)
        #expect(other.code == 1 && other.errors.contains("new.img"), "\(other)")
        #expect(try Data(contentsOf: URL(filePath: image)).count == 2 << 20)
    }

    @Test(
        "What can't be served is refused with the reason",
        arguments: [
            (["serve"], Int32(2), "model"),
            (["serve", "toaster"], 2, "toaster"),
            (["serve", "bystander"], 2, "vendor"),
            (["serve", "edu", "--image", "x"], 2, "for disks"),
            (["serve", "edu", "--machine", "x"], 2, "--machine"),
            (["serve", "nvme", "--image", "/nowhere/x.img"], 2, "no such file"),
            (["serve", "nvme", "--image", "/nowhere/x.img", "--size", "7"], 2, "--size"),
            (["serve", "edu", "--socket", "/nowhere/x.sock"], 1, "/nowhere/x.sock"),
            (["serve", "edu", "--listen-fd", "977"], 2, "977"),
            (["serve", "edu", "--polls=-1"], 2, "--polls"),
        ])
    func refusals(_ arguments: [String], _ code: Int32, _ text: String) throws {
        let outcome = try vfio(arguments)
        #expect(outcome.code == code, "\(outcome)")
        #expect(outcome.errors.contains(text), "\(outcome)")
    }

    @Test("A path where another server listens is refused, and that server goes on")
    func taken() throws {
        let scratch = try Scratch()
        let path = scratch.path + "/edu.sock"
        let command = try RunningCommand(["serve", "edu", "--socket", path])
        try #require(command.waits(for: path), "\(command.wait())")
        let second = try vfio("serve", "nvme", "--socket", path)
        #expect(second.code == 1 && second.errors.contains("another server"), "\(second)")
        #expect(try Conversation.identity(at: path) == [0x34, 0x12, 0xe8, 0x11])
        #expect(command.end().code == 0)
    }
}
