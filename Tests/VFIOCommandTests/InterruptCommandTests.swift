import Foundation
import Testing

@Suite("vfio irq")
struct InterruptCommandTests {
    private static func lines(_ text: String) throws -> [[String: Any]] {
        try text.split(separator: "\n").map {
            try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
        }
    }

    @Test("list names the kinds of interrupts with the uAPI's flags")
    func list() throws {
        let outcome = try vfio("irq", "list", "01:00.0", "--host", "soft")
        let lines = outcome.output.split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
        #expect(lines.contains(["INTx", "intx", "1", "eventfd,", "maskable,", "automasked"]), "\(outcome)")
        #expect(lines.contains(["MSI-X", "msix", "17", "eventfd"]), "\(outcome)")
        #expect(
            try vfio("irq", "list", "01:00.0", "--host", "soft", "--json").output.contains("\"version\" : 1"))
    }

    @Test("watch --trigger tests every vector and ends by itself", arguments: ["group", "cdev"])
    func trigger(_ route: String) throws {
        let outcome = try vfio(
            "irq", "watch", "01:00.0", "--host", "soft", "--route", route, "--trigger", "--vectors", "1-3",
            "--json")
        let lines = try Self.lines(outcome.output)
        #expect(outcome.code == 0 && lines.count == 4, "\(outcome)")
        #expect(lines.prefix(3).compactMap { $0["vector"] as? Int }.sorted() == [1, 2, 3], "\(outcome)")
        #expect(
            lines.last?["event"] as? String == "summary" && lines.last?["total"] as? Int == 3, "\(outcome)")
        for kinds in ["intx", "err,req"] {
            let other = try vfio("irq", "watch", "01:00.0", "--host", "soft", "--trigger", "--index", kinds)
            #expect(other.code == 0 && other.output.contains("watching"), "\(other)")
        }
    }

    @Test("watch prints what the device sends, and unmasks a line after each interrupt")
    func device() throws {
        let message = try vfio(
            "irq", "watch", "02:00.0", "--host", "soft", "--index", "msi", "--write", "bar0:0x60=1",
            "--count", "1")
        #expect(message.code == 0 && message.output.contains("1 interrupt in"), "\(message)")
        let line = try vfio(
            "irq", "watch", "02:00.0", "--host", "soft", "--index", "intx", "--write", "bar0:0x60=1",
            "--count", "5")
        #expect(line.code == 0 && line.output.contains("5 interrupts in"), "\(line)")
        let lowered = try vfio(
            "irq", "watch", "02:00.0", "--host", "soft", "--index", "intx", "--write", "bar0:0x60=1",
            "--acknowledge", "bar0:0x64=1", "--seconds", "0.2", "--json")
        #expect(lowered.code == 0, "\(lowered)")
        #expect(try Self.lines(lowered.output).last?["total"] as? Int == 1, "\(lowered)")
    }

    @Test("watch ends in order at the interrupt key, and tells what came")
    func interrupted() throws {
        let command = try RunningCommand([
            "irq", "watch", "02:00.0", "--host", "soft", "--index", "intx", "--trigger", "--seconds", "1000",
        ])
        // It has begun when it has printed; what it prints is read at its end, so give it that long.
        usleep(1_000_000)
        let outcome = command.end(SIGINT)
        #expect(outcome.code == 0 && outcome.output.contains("on 1 of 1 vector"), "\(outcome)")
    }

    @Test("watch works on a device behind a socket")
    func served() throws {
        let scratch = try Scratch()
        let path = scratch.path + "/edu.sock"
        let server = try RunningCommand(["serve", "edu", "--socket", path])
        try #require(server.waits(for: path), "\(server.wait())")
        let device = ["0000:00:00.0", "--host", "user:\(path)"]
        let list = try vfio(["irq", "list"] + device)
        #expect(list.code == 0 && list.output.contains("msi"), "\(list)")
        let watched = try vfio(
            ["irq", "watch"] + device + ["--index", "msi", "--write", "bar0:0x60=1", "--count", "1"])
        #expect(watched.code == 0 && watched.output.contains("1 interrupt in"), "\(watched)")
        #expect(server.end().code == 0)
    }

    @Test(
        "What can't be watched is refused with the next thing to try; what doesn't come is a failure",
        arguments: [
            (["--count", "1", "--seconds", "0.05"], Int32(1), "0 of 1"),
            (["--index", "msix"], 1, "vfio irq list"),
            (["--index", "banana"], 2, "intx, msi"), (["--vectors", "5"], 1, "below 1"),
            (["--vectors", "5-2"], 2, "0-15"), (["--vectors", "0-2048"], 2, "2048"),
            (["--count", "0"], 2, "--count"),
            (["--seconds", "0"], 2, "--seconds"), (["--seconds", "nan"], 2, "--seconds"),
            (["--write", "bar0:0"], 2, "bar0:0x60=1"), (["--index", "msi,intx"], 1, "one of them at a time"),
        ])
    func refusals(_ arguments: [String], _ code: Int32, _ text: String) throws {
        let outcome = try vfio(["irq", "watch", "02:00.0", "--host", "soft"] + arguments)
        #expect(outcome.code == code && outcome.errors.contains(text), "\(outcome)")
    }
}
