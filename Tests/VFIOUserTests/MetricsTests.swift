import DeviceModel
import LinuxSystem
import Testing
import VFIOABI
import VFIOUser

@Suite("Metrics as text")
struct MetricsTests {
    /// A server that has done a little of everything.
    private func metrics() throws -> ServerMetrics {
        let rig = try Rig()
        let client = rig.connected
        rig.server.monitor.isCounting = true
        for _ in 0..<3 { _ = try client.read32(.config, 0) }
        #expect(try client.map(0x1000, 0x2000) == nil)
        #expect(try client.map(0x1000, 0x1000) == .exists)
        _ = try client.read32(.config, 0)
        return rig.server.monitor.metrics
    }

    @Test("People see connections, memory, interrupts, errors and a table")
    func people() throws {
        let text = try metrics().description
        let lines = text.split(separator: "\n").map(String.init)
        try #require(lines.count == 7, "\(text)")
        #expect(lines[0].hasPrefix("connections: 1, one now; messages counted for "), "\(text)")
        #expect(
            lines[1] == "DMA: 1 mappings of 8.0 KiB; by messages 0 B read, 0 B written", "\(text)")
        #expect(lines[2] == "interrupts: none", "\(text)")
        #expect(lines[3] == "errors: 1 EEXIST(17) sent", "\(text)")
        let heading = lines[4].split(separator: " ").map(String.init)
        #expect(
            heading == [
                "command", "received", "bytes", "sent", "bytes", "p50", "p90", "p99", "p99.9", "longest",
            ])
        #expect(lines[5].hasPrefix("DMA_MAP             2   96 B     2   32 B  "), "\(text)")
        #expect(lines[6].hasPrefix("REGION_READ         4  128 B  "), "\(text)")
        // Columns stand below one another.
        #expect(Set(lines[4...].map(\.count)).count == 1, "\(text)")
    }

    /// What a collector reads: names with labels and values, of families that were declared before.
    private struct Exposition {
        var values: [String: Double] = [:]
        var types: [String: String] = [:]

        init(_ text: String) throws {
            #expect(text.hasSuffix("\n"))
            var help: Set<String> = []
            for line in text.split(separator: "\n", omittingEmptySubsequences: false).dropLast() {
                let words = line.split(separator: " ")
                if line.hasPrefix("# HELP ") {
                    #expect(help.insert(String(words[2])).inserted, "\(line)")
                } else if line.hasPrefix("# TYPE ") {
                    let name = String(words[2])
                    #expect(help.contains(name) && types[name] == nil, "\(line)")
                    types[name] = String(words[3])
                } else {
                    let end = try #require(line.lastIndex(of: " "), "\(line)")
                    let name = String(line[..<end])
                    let value = try #require(Double(line[line.index(after: end)...]), "\(line)")
                    #expect(values.updateValue(value, forKey: name) == nil, "\(line)")
                    var family = String(name.prefix { $0 != "{" })
                    for suffix in ["_bucket", "_sum", "_count"]
                    where family.hasSuffix(suffix) && types[family] == nil {
                        family.removeLast(suffix.count)
                    }
                    #expect(types[family] != nil, "\(line)")
                }
            }
        }
    }

    @Test("Collectors get each family once, with its type, and a histogram that adds up")
    func collectors() throws {
        let metrics = try metrics()
        let text = PrometheusText.text([("a", metrics), ("b", metrics)])
        let read = try Exposition(text)
        #expect(read.types["vfio_user_messages_total"] == "counter")
        #expect(read.types["vfio_user_dma_mapped_bytes"] == "gauge")
        #expect(read.types["vfio_user_reply_seconds"] == "histogram")
        let labels = #"device="a",command="REGION_READ",direction="received",kind="command""#
        #expect(read.values["vfio_user_messages_total{\(labels)}"] == 4)
        #expect(read.values["vfio_user_message_bytes_total{\(labels)}"] == 128)
        #expect(
            read.values[#"vfio_user_errors_total{device="b",direction="sent",errno="EEXIST"}"#] == 1)
        #expect(read.values[#"vfio_user_dma_mapped_bytes{device="a"}"#] == 8192)
        #expect(read.values[#"vfio_user_connected{device="a"}"#] == 1)
        #expect(read.values[#"vfio_user_interrupts_total{device="a",type="msix"}"#] == 0)
        // What nobody sent yet is there as well: rates need a beginning.
        let none = #"device="a",command="DMA_READ",direction="sent",kind="command""#
        #expect(read.values["vfio_user_messages_total{\(none)}"] == 0)
        // Buckets grow, the last one has all.
        let bounds = text.split(separator: "\n").filter {
            $0.hasPrefix(#"vfio_user_reply_seconds_bucket{device="a",command="DMA_MAP""#)
        }
        let counts = bounds.compactMap { Double($0.split(separator: " ").last ?? "") }
        #expect(counts.count == 28 && counts == counts.sorted() && counts.last == 2)
        #expect(bounds.first?.contains(#"le="0.000000256""#) == true, "\(bounds)")
        #expect(bounds.last?.contains(#"le="+Inf""#) == true)
        #expect(read.values[#"vfio_user_reply_seconds_count{device="a",command="DMA_MAP"}"#] == 2)
        let sum = read.values[#"vfio_user_reply_seconds_sum{device="a",command="DMA_MAP"}"#] ?? 0
        #expect(sum > 0 && sum < 60)
    }

    @Test("A device's name can't break out of its label")
    func escaping() throws {
        let metrics = try metrics()
        let read = try Exposition(PrometheusText.text([("a\"b\\c\nd", metrics)]))
        #expect(read.values[#"vfio_user_dma_mappings{device="a\"b\\c\nd"}"#] == 1)
    }
}
