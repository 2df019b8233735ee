import Foundation
import Testing

@testable import VFIOCommand

@Suite("The command does its work")
struct CommandTests {
    @Test(
        "A disk is read, written and read back through both ways in, and the image holds what was written",
        arguments: ["group", "cdev"])
    func disk(route: String) throws {
        let scratch = try Scratch()
        let image = try scratch.image()
        let machine = try scratch.machine()
        let original = try Data(contentsOf: URL(filePath: image))
        let common = ["--machine", machine, "--route", route, "0000:01:00.0"]
        let all = try vfio(["nvme", "read"] + common + ["--output", scratch.path + "/all"])
        #expect(all.code == 0, "\(all.errors)")
        #expect(try Data(contentsOf: URL(filePath: scratch.path + "/all")) == original)

        let news = Data((0..<5 * 512).map { UInt8(truncatingIfNeeded: $0 * 7) })
        let input = try scratch.file("news", news)
        let dry = try vfio(["nvme", "write"] + common + ["--lba", "100", "--input", input, "--dry-run"])
        #expect(dry.code == 0 && dry.output.contains("would write"))
        #expect(try Data(contentsOf: URL(filePath: image)) == original)
        let written = try vfio(["nvme", "write"] + common + ["--lba", "100", "--input", input])
        #expect(written.code == 0, "\(written.errors)")
        var wanted = original
        wanted.replaceSubrange(100 * 512..<105 * 512, with: news)
        #expect(try Data(contentsOf: URL(filePath: image)) == wanted)

        let part = try vfio(
            ["nvme", "read"] + common + ["--lba", "100", "--blocks", "5", "--output", scratch.path + "/part"])
        #expect(part.code == 0, "\(part.errors)")
        #expect(try Data(contentsOf: URL(filePath: scratch.path + "/part")) == news)
    }

    @Test("list, inspect and identify tell the same facts to people and to programs")
    func facts() throws {
        let scratch = try Scratch()
        _ = try scratch.image()
        let machine = try scratch.machine()
        let list = try vfio("list", "--machine", machine, "--json")
        let listed = try #require(
            try JSONSerialization.jsonObject(with: Data(list.output.utf8)) as? [String: Any])
        let devices = try #require(listed["devices"] as? [[String: Any]])
        #expect(devices.count == 1)
        #expect(devices.first?["address"] as? String == "0000:01:00.0")
        #expect(devices.first?["group"] as? Int == 26)
        #expect(devices.first?["usable"] as? Bool == true)
        #expect(try vfio("list", "--machine", machine).output.contains("NVMe controller"))

        let inspect = try vfio("inspect", "--machine", machine, "--json", "--route", "group", "01:00.0")
        let inspected = try #require(
            try JSONSerialization.jsonObject(with: Data(inspect.output.utf8)) as? [String: Any])
        #expect(inspected["route"] as? String == "group")
        #expect((inspected["regions"] as? [[String: Any]])?.first?["byteCount"] as? Int == 16_384)
        let ranges = try #require(inspected["usableAddresses"] as? [[String: String]])
        #expect(ranges.first == ["first": "0x0", "last": "0xfedfffff"])
        #expect(try vfio("inspect", "--machine", machine, "01:00.0").output.contains("MSI-X"))

        let identify = try vfio("nvme", "identify", "--machine", machine, "--json", "01:00.0")
        let identified = try #require(
            try JSONSerialization.jsonObject(with: Data(identify.output.utf8)) as? [String: Any])
        #expect((identified["namespaces"] as? [[String: Any]])?.first?["blocks"] as? Int == 2048)
    }

    @Test("perf counts requests and tells latencies")
    func perf() throws {
        let outcome = try vfio("nvme", "perf", "--host", "soft", "--seconds", "0.1", "--json", "0000:01:00.0")
        let report = try #require(
            try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any])
        #expect(try #require(report["requests"] as? Int) > 0)
        #expect(try #require(report["p99Nanoseconds"] as? Int) >= #require(report["p50Nanoseconds"] as? Int))
    }

    @Test("The demo reads an image that is given, and leaves it as it is")
    func demo() throws {
        let scratch = try Scratch()
        let image = try scratch.image(byteCount: 2 << 20)
        let before = try Data(contentsOf: URL(filePath: image))
        let outcome = try vfio("demo", "--image", image)
        #expect(outcome.code == 0, "\(outcome.errors)")
        for part in [
            "the same", "MSI-X interrupts arrived", "the IOMMU let nothing through",
            "your image hasn't changed",
        ] {
            #expect(outcome.output.contains(part), "no \"\(part)\" in: \(outcome.output)")
        }
        #expect(!outcome.output.contains("\u{1b}"), "escape sequences in a pipe")
        #expect(try Data(contentsOf: URL(filePath: image)) == before)
    }

    static let e2fsck = ["/usr/sbin/e2fsck", "/sbin/e2fsck"].first {
        FileManager.default.isExecutableFile(atPath: $0)
    }

    @Test(
        "The ext4 image that the demo writes itself is one that e2fsck finds clean",
        .enabled(if: e2fsck != nil, "e2fsck isn't installed"))
    func ext4() throws {
        let tool = try #require(Self.e2fsck)
        let image = try ExtImage(
            byteCount: 4 << 20, identifier: [UInt8](repeating: 7, count: 16),
            files: [
                ("hello", Array("hello\n".utf8)), ("big", [UInt8](repeating: 3, count: 100_000)),
                ("empty", []),
            ])
        let scratch = try Scratch()
        let path = try scratch.file("ext4.img", Data(image.bytes))
        let process = Process()
        process.executableURL = URL(filePath: tool)
        process.arguments = ["-fn", path]
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)
        #expect(throws: ExtImage.Failure.full) {
            _ = try ExtImage(
                byteCount: 256 << 10, identifier: [], files: [("big", [UInt8](repeating: 0, count: 1 << 20))])
        }
    }
}
