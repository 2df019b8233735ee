import Foundation
import Testing

@testable import VFIOCommand

@Suite("The doctor's command")
struct DoctorCommandTests {
    @Test("JSON has a version, a verdict, and every check's evidence and remedies")
    func json() throws {
        let outcome = try vfio("doctor", "--host", "soft", "--json", "0000:01:00.0")
        #expect(outcome.code == 0, "\(outcome.errors)")
        let report = try #require(
            try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any])
        #expect(report["version"] as? Int == 1)
        #expect(report["result"] as? String == "ok")
        let findings = try #require(report["findings"] as? [[String: Any]])
        let reset = try #require(findings.first { $0["id"] as? String == "reset" })
        #expect(reset["device"] as? String == "0000:01:00.0")
        let evidence = try #require(reset["evidence"] as? [[String: String]])
        // Where a software machine was written out is nobody's business.
        #expect(evidence.first?["place"] == "/sys/bus/pci/devices/0000:01:00.0/reset_method")
        #expect((report["counts"] as? [String: Int])?["failed"] == 0)
    }

    @Test("a device that isn't there is a failure, a server's or a nonsensical one wrong usage")
    func codes() throws {
        #expect(try vfio("doctor", "--host", "soft", "0000:7f:00.0").code == 1)
        #expect(try vfio("doctor", "--host", "soft", "nonsense").code == 2)
        #expect(try vfio("doctor", "--host", "user:/nowhere").code == 2)
        #expect(try vfio("doctor", "--host", "soft", "--memory", "much").code == 2)
        #expect(try vfio("doctor", "--host", "soft", "--devices", "0").code == 2)
    }

    @Test("folders without a sysfs end with 3: nothing could be determined, and nothing failed")
    func undetermined() throws {
        let scratch = try Scratch()
        let nodes = scratch.path + "/dev/vfio"
        try FileManager.default.createDirectory(atPath: nodes, withIntermediateDirectories: true)
        _ = try scratch.file("dev/vfio/vfio", "")
        let outcome = try vfio(
            "doctor", "--sysfs", scratch.path + "/sys", "--dev", scratch.path + "/dev", "--proc",
            scratch.path + "/proc", "--qemu", "none")
        #expect(outcome.code == 3, "\(outcome.output)")
        #expect(outcome.output.contains("could not be determined"))
    }

    @Test("a software machine's limit is judged, and no colours are in a pipe")
    func limit() throws {
        let outcome = try vfio("doctor", "--host", "soft", "--memory", "16G", "--verbose")
        #expect(outcome.code == 0, "\(outcome.output)")
        #expect(outcome.output.contains("locked memory"))
        #expect(!outcome.output.contains("\u{1b}"))
    }

    @Test(
        "sizes are read with their units",
        arguments: [
            ("16G", UInt64(16) << 30), ("512MiB", 512 << 20), ("1T", 1 << 40), ("4096", 4096), ("2kB", 2048),
            ("0", nil), ("-1", nil), ("+1", nil), ("1.5G", nil), ("99999999P", nil), ("", nil), ("G", nil),
        ])
    func sizes(text: String, bytes: UInt64?) {
        #expect(MemorySize(argument: text)?.byteCount == bytes)
    }
}
