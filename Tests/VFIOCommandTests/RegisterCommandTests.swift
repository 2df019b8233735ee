import Foundation
import Testing

@Suite("vfio read and vfio write")
struct RegisterCommandTests {
    private static func object(_ text: String) throws -> [String: Any] {
        try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
    }

    @Test("A register is read by name or place, with what its bits say")
    func read() throws {
        for place in ["config:command", "config:4", "region7:0x4"] {
            let outcome = try vfio("read", "01:00.0", place, "--host", "soft")
            #expect(
                outcome.code == 0 && outcome.output.hasPrefix("config+0x4 COMMAND 0x0002\n"), "\(outcome)")
            #expect(outcome.output.contains("[1] Memory Space: yes"), "\(outcome)")
        }
        let disk = try vfio("read", "01:00.0", "bar0:VS", "bar0:CSTS", "--host", "soft")
        #expect(disk.output.contains("bar0+0x8 VS (Version) 0x00010400: NVMe 1.4.0"), "\(disk)")
        #expect(disk.output.contains("[3:2] Shutdown Status: normal operation"), "\(disk)")
    }

    @Test("Several words are a dump, those of one byte with letters; the names are listed")
    func dump() throws {
        let bytes = try vfio("read", "01:00.0", "config:0", "--width", "1", "--count", "17", "--host", "soft")
        let lines = bytes.output.split(separator: "\n")
        #expect(lines.count == 2 && lines[0].hasPrefix("config+0x0000  34 12 46 56 "), "\(bytes)")
        #expect(lines[0].hasSuffix("  4.FV............"), "\(bytes)")
        let list = try vfio("read", "01:00.0", "--list", "--host", "soft")
        #expect(list.code == 0 && list.output.contains("config:PCIE.DEVCTL"), "\(list)")
        #expect(list.output.contains("SQ0TDBL") && list.output.contains("(write only)"), "\(list)")
        let names = try Self.object(try vfio("read", "02:00.0", "--list", "--host", "soft", "--json").output)
        #expect((names["registers"] as? [[String: Any]])?.isEmpty == false && names["version"] as? Int == 1)
    }

    @Test("JSON has words in hexadecimal and the fields")
    func json() throws {
        let outcome = try vfio("read", "01:00.0", "config:msix.control", "bar0:0", "--host", "soft", "--json")
        let report = try Self.object(outcome.output)
        let readings = try #require(report["readings"] as? [[String: Any]])
        #expect(report["version"] as? Int == 1 && report["device"] as? String == "0000:01:00.0")
        #expect(readings.map { $0["register"] as? String } == ["MSIX.CONTROL", "CAP"])
        #expect(readings[0]["values"] as? [String] == ["0010"] && readings[1]["width"] as? Int == 8)
        #expect(readings[0]["decoded"] != nil)
    }

    @Test(
        "What isn't there, or isn't written so, is refused with the next thing to try",
        arguments: [
            (["bar0"], Int32(2), "bar0:0x14"), (["bar9:0"], 2, "bar0 to bar5"), ([], 2, "--list"),
            (["bar0:0", "--width", "3"], 2, "--width"), (["bar0:0", "--count", "0"], 2, "--count"),
            (["bar0:0", "--count", "9999999"], 2, "--count"), (["--list", "bar0:0"], 2, "--list"),
            (["config:0", "--width", "8"], 1, "--width 4"), (["bar0:0x4000"], 1, "16384 bytes (0x4000)"),
            (["bar0:2", "--width", "4"], 1, "--width 2"), (["rom:0"], 1, "vfio inspect"),
            (["config:nonsense"], 1, "--list"), (["bar0:0", "--no-open"], 1, "--no-open"),
        ])
    func refusals(_ arguments: [String], _ code: Int32, _ text: String) throws {
        let outcome = try vfio(["read", "01:00.0", "--host", "soft"] + arguments)
        #expect(outcome.code == code && outcome.errors.contains(text), "\(outcome)")
    }

    @Test("A device that can't be opened shows its configuration space, and nothing else")
    func unopened() throws {
        let scratch = try Scratch()
        _ = try scratch.image()
        let machine = try scratch.machine(
            devices: #", { "address": "0000:01:00.1", "model": "edu", "driver": "snd_hda_intel" }"#)
        let outcome = try vfio("read", "01:00.1", "config:DEVICE_ID", "--machine", machine)
        #expect(outcome.code == 0 && outcome.output.contains("0x11e8"), "\(outcome)")
        #expect(
            outcome.errors.contains("read from sysfs") && outcome.errors.contains("snd_hda_intel"),
            "\(outcome)")
        for arguments in [
            ["read", "01:00.1", "bar0:0"], ["read", "01:00.1", "config:0", "--route", "group"],
        ] {
            let refused = try vfio(arguments + ["--machine", machine])
            #expect(refused.code == 1 && refused.errors.contains("snd_hda_intel"), "\(refused)")
        }
        let written = try vfio("write", "01:00.1", "config:COMMAND", "0", "--machine", machine)
        #expect(written.code == 1 && written.errors.contains("snd_hda_intel"), "\(written)")
    }

    @Test("A device that is gone is told from a register of ones")
    func gone() throws {
        let ones = try vfio("read", "02:00.0", "bar0:0", "--width", "2", "--host", "soft")
        #expect(ones.code == 0 && ones.output.contains("or the register reads so"), "\(ones)")
    }

    @Test("A write shows what was there before and is there now; a dry run writes nothing")
    func write() throws {
        let outcome = try vfio("write", "02:00.0", "bar0:4", "0x1234", "bar0:4", "--host", "soft", "0")
        #expect(outcome.code == 0, "\(outcome)")
        // The device gives back the complement.
        #expect(outcome.output.contains("after    0xffffedcb (bits 0xffffffff read otherwise"), "\(outcome)")
        #expect(outcome.output.contains("what was written is gone"), "\(outcome)")
        let masked = try vfio("write", "01:00.0", "config:command", "4", "--mask", "0x4", "--host", "soft")
        #expect(masked.output.contains("written  0x0006"), "\(masked)")
        #expect(masked.output.contains("[2] Bus Master: yes"), "\(masked)")
        let dry = try vfio("write", "01:00.0", "config:command", "4", "--dry-run", "--host", "soft", "--json")
        let changes = try #require(try Self.object(dry.output)["changes"] as? [[String: Any]])
        #expect(changes[0]["isDone"] as? Bool == false && changes[0]["after"] == nil, "\(dry)")
        let bell = try vfio("write", "01:00.0", "bar0:SQ0TDBL", "0", "--host", "soft")
        #expect(
            bell.code == 0 && bell.output.contains("not read:") && !bell.output.contains("before"), "\(bell)")
    }

    @Test(
        "A write that can't be is refused with the next thing to try",
        arguments: [
            (["config:4"], Int32(2), "needs a value"), (["config:4", "zz"], 2, "zz"),
            (["config:4", "0", "--mask", "x"], 2, "mask"),
            (["config:command", "0x10000"], 1, "16 bits"), (["bar0:0x2000", "1"], 1, "vfio irq watch"),
            (["bar0:0x4000", "1"], 1, "0x4000"),
            (["bar0:SQ0TDBL", "1", "--mask", "1"], 1, "write all of its bits"),
        ])
    func badWrites(_ arguments: [String], _ code: Int32, _ text: String) throws {
        let outcome = try vfio(["write", "01:00.0", "--host", "soft"] + arguments)
        #expect(outcome.code == code && outcome.errors.contains(text), "\(outcome)")
    }

    @Test("Devices behind sockets and on other buses are read and written too")
    func others() throws {
        let scratch = try Scratch()
        let path = scratch.path + "/edu.sock"
        let server = try RunningCommand(["serve", "edu", "--socket", path])
        try #require(server.waits(for: path), "\(server.wait())")
        let read = try vfio("read", "0000:00:00.0", "config:DEVICE_ID", "bar0:0", "--host", "user:\(path)")
        #expect(
            read.code == 0 && read.output.contains("0x11e8") && read.output.contains("0x010000ed"), "\(read)")
        let written = try vfio("write", "0000:00:00.0", "bar0:4", "1", "--host", "user:\(path)")
        #expect(written.code == 0 && written.output.contains("after    0xfffffffe"), "\(written)")
        #expect(server.end().code == 0)
        let machine = try scratch.file(
            "machine.json",
            #"""
            { "groups": [ { "number": 9, "devices": [ { "name": "cdx/cdx-00:01", "model": "mailbox" } ] } ] }
            """#)
        let mailbox = try vfio("read", "cdx/cdx-00:01", "region0:0", "--machine", machine)
        #expect(mailbox.code == 0 && mailbox.output.hasPrefix("region0+0x0 0x"), "\(mailbox)")
        let named = try vfio("read", "cdx/cdx-00:01", "bar0:0", "--machine", machine)
        #expect(named.code == 1 && named.errors.contains("region0"), "\(named)")
    }
}
