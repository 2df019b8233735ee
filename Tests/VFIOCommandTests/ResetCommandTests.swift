import Foundation
import Testing

@Suite("vfio reset")
struct ResetCommandTests {
    private static let bus = #"""
        { "groups": [
            { "number": 5, "devices": [ { "address": "0000:02:00.0", "model": "nvme", "image": "disk.img" } ] },
            { "number": 6, "devices": [ { "address": "0000:02:00.1", "model": "edu"DRIVER } ] } ] }
        """#

    private static func machine(_ scratch: Scratch, driver: String = "") throws -> String {
        _ = try scratch.image()
        return try scratch.file("machine.json", bus.replacingOccurrences(of: "DRIVER", with: driver))
    }

    @Test("resets a device alone, or its bus with what VFIO has on it", arguments: ["group", "cdev"])
    func reset(_ route: String) throws {
        let scratch = try Scratch()
        let options = ["--machine", try Self.machine(scratch), "--route", route]
        let alone = try vfio(["reset", "02:00.0"] + options)
        #expect(alone.code == 0 && alone.output.contains("reset 0000:02:00.0 in "), "\(alone)")
        #expect(alone.output.contains("it answers"), "\(alone)")
        let hot = try vfio(["reset", "02:00.0", "--hot"] + options)
        #expect(
            hot.code == 0 && hot.output.contains("reset 0000:02:00.0, 0000:02:00.1 by a hot reset"), "\(hot)")
    }

    @Test("says what a reset would touch, without opening the device")
    func dryRun() throws {
        let scratch = try Scratch()
        let machine = try Self.machine(scratch)
        let trace = scratch.path + "/trace"
        let outcome = try vfio(
            "reset", "02:00.0", "--hot", "--dry-run", "--machine", machine, "--trace", trace)
        #expect(outcome.code == 0, "\(outcome)")
        #expect(
            outcome.output.contains("would reset by a hot reset: 0000:02:00.0, 0000:02:00.1"), "\(outcome)")
        #expect(try vfio("trace", "show", trace).output.contains("DEVICE_RESET") == false)
        let json = try vfio("reset", "02:00.0", "--dry-run", "--machine", machine, "--json")
        let report = try #require(
            try JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [String: Any])
        #expect(report["isDone"] as? Bool == false && report["isScopeCertain"] as? Bool == false, "\(json)")
    }

    @Test("refuses a bus on which another driver has a function, by name")
    func refused() throws {
        let scratch = try Scratch()
        let machine = try Self.machine(scratch, driver: #", "driver": "snd_hda_intel""#)
        for more in [[], ["--dry-run"]] {
            let outcome = try vfio(["reset", "02:00.0", "--hot", "--machine", machine] + more)
            #expect(outcome.code == 1, "\(outcome)")
            #expect(
                outcome.errors.contains("0000:02:00.1") && outcome.errors.contains("snd_hda_intel"),
                "\(outcome)")
        }
        #expect(try vfio("reset", "02:00.0", "--machine", machine).code == 0)
        let other = try vfio("reset", "02:00.1", "--dry-run", "--machine", machine)
        #expect(other.code == 1 && other.errors.contains("snd_hda_intel"), "\(other)")
        #expect(try vfio("reset", "09:00.0", "--host", "soft").code == 1)
        #expect(try vfio("reset", "banana", "--host", "soft").code == 2)
    }

    @Test("resets a device behind a socket")
    func served() throws {
        let scratch = try Scratch()
        let path = scratch.path + "/edu.sock"
        let server = try RunningCommand(["serve", "edu", "--socket", path])
        try #require(server.waits(for: path), "\(server.wait())")
        for more in [["--dry-run"], []] {
            let outcome = try vfio(["reset", "0000:00:00.0", "--host", "user:\(path)"] + more)
            #expect(outcome.code == 0 && outcome.output.contains("reset 0000:00:00.0"), "\(outcome)")
        }
        #expect(server.end().code == 0)
    }
}
