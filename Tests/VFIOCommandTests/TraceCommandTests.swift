import Foundation
import Testing

@Suite("vfio trace")
struct TraceCommandTests {
    private static func path(_ name: String) -> String {
        FileManager.default.temporaryDirectory.appending(path: "\(name)-\(UUID().uuidString)").path
    }

    @Test("what a verb did is shown, summed up, and made again from a case")
    func wholeWay() throws {
        let trace = Self.path("trace")
        let recorded = Self.path("case")
        defer { for path in [trace, recorded] { try? FileManager.default.removeItem(atPath: path) } }
        let made = try vfio("inspect", "0000:01:00.0", "--host", "soft", "--route", "group", "--trace", trace)
        #expect(made.code == 0, "\(made.errors)")
        let shown = try vfio("trace", "show", trace)
        #expect(shown.code == 0 && shown.errors.isEmpty)
        let lines = shown.output.split(separator: "\n")
        #expect(lines.contains { $0.contains("open /dev/vfio/vfio = ") })
        #expect(lines.contains { $0.contains("GROUP_GET_DEVICE_FD \"0000:01:00.0\" = ") })
        #expect(lines.contains { $0.contains("flags=0→RESET|PCI num_regions=0→9") })
        #expect(
            lines.contains { $0.contains("0000:01:00.0") && $0.contains("config+0x34 CAPABILITIES: 0x40") })
        let summary = try vfio("trace", "summary", trace)
        #expect(summary.code == 0 && summary.output.contains("left open\n  nothing"))
        let failures = try vfio("trace", "show", trace, "--errno", "EINVAL", "--json")
        #expect(failures.output.split(separator: "\n").allSatisfy { $0.contains("\"errno\":\"EINVAL\"") })
        #expect(!failures.output.isEmpty)
        #expect(try vfio("trace", "case", trace, "--output", recorded).code == 0)
        let again = try vfio("conform", "--case", recorded, "--host", "soft")
        #expect(again.code == 0, "\(again.output)")
        #expect(again.output.contains("1 equal"))
        let faulty = try vfio(
            "conform", "--case", recorded, "--host", "soft", "--fault", "get-irq-info=EIO@3")
        #expect(faulty.code == 1)
        #expect(faulty.output.contains("the first difference is in step"))
        #expect(faulty.output.contains("EIO, not 0"))
    }

    @Test("what isn't a trace or a case is refused with a reason")
    func refused() throws {
        let file = Self.path("no-trace")
        defer { try? FileManager.default.removeItem(atPath: file) }
        try Data("{}".utf8).write(to: URL(filePath: file))
        let shown = try vfio("trace", "show", file)
        #expect(shown.code == 1 && shown.errors.contains("it isn't a trace"))
        #expect(try vfio("trace", "summary", file + ".absent").code == 1)
        let replayed = try vfio("conform", "--case", file, "--host", "soft")
        #expect(replayed.code == 2 && replayed.errors.contains("isn't what `vfio trace case` makes"))
        #expect(try vfio("trace", "show", file, "--since", "-1").code == 2)
    }
}
