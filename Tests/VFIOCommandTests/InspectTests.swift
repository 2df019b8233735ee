import Foundation
import Testing

@Suite("vfio inspect")
struct InspectTests {
    private static func object(_ text: String) throws -> [String: Any] {
        try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
    }

    @Test("says what a device has, in short; with -v every field with its bits")
    func text() throws {
        let short = try vfio("inspect", "--host", "soft", "01:00.0")
        #expect(short.code == 0, "\(short.errors)")
        for part in [
            "0000:01:00.0  NVMe controller  1234:5646", "driver vfio-pci", "group 26, alone in it",
            "BAR 0: 16 KiB", "MSI-X table: 272 bytes at 0x2000", "a hot reset resets",
            "not 0xfee00000 to 0xfeefffff (msi)", "0x54: PCI Express: Endpoint",
        ] {
            #expect(short.output.contains(part), "no \"\(part)\" in: \(short.output)")
        }
        #expect(!short.output.contains("Max Payload Size") && !short.output.contains("\u{1b}"))
        let long = try vfio("inspect", "--host", "soft", "01:00.0", "-v")
        #expect(long.output.contains("[7:5] Max Payload Size: 128 bytes"))
        #expect(long.output.contains("[2] Bus Master: no"))
        #expect(long.output.contains("not there: PCI_VF_TOKEN"))
    }

    @Test("shows the configuration space alone, and what the machine tells without opening the device")
    func closed() throws {
        let space = try vfio("inspect", "--host", "soft", "01:00.0", "--config-only")
        #expect(space.code == 0 && space.output.contains("Message Control 0x0010: Table Size 17"))
        #expect(!space.output.contains("regions") && !space.output.contains("not known"))
        let closed = try vfio("inspect", "--host", "soft", "01:00.0", "--no-open", "--json")
        let report = try Self.object(closed.output)
        #expect(report["opened"] as? Bool == false && report["regions"] == nil)
        #expect((report["configuration"] as? [String: Any])?["source"] as? String == "sysfs")
    }

    @Test("keeps what version 1 of its JSON meant, and tells fields and features besides")
    func json() throws {
        let outcome = try vfio("inspect", "--host", "soft", "01:00.0", "--json", "--route", "group")
        let report = try Self.object(outcome.output)
        #expect(report["version"] as? Int == 2 && report["route"] as? String == "group")
        #expect(report["vendor"] as? String == "1234" && report["classCode"] as? String == "010802")
        #expect(report["canReset"] as? Bool == true)
        let capabilities = try #require(report["capabilities"] as? [[String: Any]])
        #expect(capabilities.map { $0["id"] as? Int } == [1, 0x11, 0x10])
        #expect(capabilities[1]["name"] as? String == "MSI-X")
        let registers = try #require(capabilities[1]["registers"] as? [[String: Any]])
        #expect(
            registers[0]["name"] as? String == "Message Control" && registers[0]["offset"] as? Int == 0x4a)
        let features = try #require(report["features"] as? [[String: Any]])
        #expect(features.count == 13)
        #expect(report["mappingsLeft"] as? Int == 65_535)
    }

    @Test("writes a dump that it shows as it showed the device")
    func dump() throws {
        let scratch = try Scratch()
        let path = scratch.path + "/dump.json"
        let live = try vfio("inspect", "--host", "soft", "01:00.0", "-v", "--dump", path)
        #expect(live.code == 0, "\(live.errors)")
        let read = try vfio("inspect", "--from", path, "-v")
        #expect(read.code == 0 && live.output.hasPrefix(read.output))
        let again = try vfio("inspect", "--from", path, "--json")
        #expect(again.output == String(decoding: try Data(contentsOf: URL(filePath: path)), as: UTF8.self))
        #expect(try vfio("inspect", "--from", path, "0000:09:00.0").code == 2)
        #expect(try vfio("inspect", "--from", scratch.path + "/none").code == 1)
        let bad = try scratch.file("bad.json", Data(#"{"version":2}"#.utf8))
        let refused = try vfio("inspect", "--from", bad)
        #expect(refused.code == 2 && refused.errors.contains("has no \"address\""), "\(refused.errors)")
    }

    @Test("shows a device of another driver without a route asked for, and says why that isn't all")
    func otherDriver() throws {
        let scratch = try Scratch()
        _ = try scratch.image()
        let machine = try scratch.machine(
            devices: #", { "address": "0000:01:00.1", "model": "edu", "driver": "snd_hda_intel" }"#)
        let outcome = try vfio("inspect", "--machine", machine, "0000:01:00.1")
        #expect(outcome.code == 0, "\(outcome.errors)")
        #expect(outcome.output.contains("driver snd_hda_intel"))
        #expect(outcome.output.contains("the device couldn't be opened"))
        #expect(outcome.output.contains("1234:11e8"))
    }

    @Test("reads other folders than the machine's own, header only where no more is shown")
    func folders() throws {
        let scratch = try Scratch()
        let device = scratch.path + "/sys/bus/pci/devices/0000:03:00.0"
        try FileManager.default.createDirectory(atPath: device, withIntermediateDirectories: true)
        for (name, text) in [("vendor", "0x8086"), ("device", "0x10d3"), ("class", "0x020000")] {
            try Data((text + "\n").utf8).write(to: URL(filePath: device + "/" + name))
        }
        var header = Data(count: 64)
        header.replaceSubrange(0..<4, with: [0x86, 0x80, 0xd3, 0x10])
        header[5] = 0x05
        try header.write(to: URL(filePath: device + "/config"))
        let outcome = try vfio("inspect", "--sysfs", scratch.path + "/sys", "03:00.0")
        #expect(outcome.code == 0, "\(outcome.errors)")
        #expect(outcome.output.contains("Ethernet controller  8086:10d3"))
        #expect(outcome.output.contains("64 bytes, as the device shows it"))
        #expect(outcome.output.contains("SERR#, Interrupt Disable"))
        #expect(outcome.output.contains("CAP_SYS_ADMIN"))
    }

    @Test("without a device, or with a picture of a file, is wrong usage")
    func wrong() throws {
        #expect(try vfio("inspect", "--host", "soft").code == 2)
        #expect(try vfio("inspect", "--from", "x", "--screenshot", "y").code == 2)
        #expect(
            try vfio("inspect", "--host", "soft", "--no-open", "01:00.0", "--screenshot", "/dev/null").code
                == 2)
    }
}
