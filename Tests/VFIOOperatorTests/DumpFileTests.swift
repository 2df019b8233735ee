import JSONText
import Testing
import VFIOOperator

@Suite("A file that is to be a dump")
struct DumpFileTests {
    private static let small =
        #"{"version":2,"address":"0000:01:00.0","configuration":{"bytes":["3412","7856"]}}"#

    private static func error(_ text: String, device: String? = nil) -> String? {
        do throws(DumpError) {
            _ = try DeviceReport(file: Array(text.utf8), device: device)
            return nil
        } catch {
            return error.description
        }
    }

    @Test("may leave out everything but its version and the device")
    func least() throws {
        let report = try DeviceReport(file: Array(Self.small.utf8))
        #expect(report.name == "0000:01:00.0" && report.configuration?.bytes == [0x34, 0x12, 0x78, 0x56])
        #expect(report.opened == nil && report.facts.vendor == nil)
    }

    @Test("of something else is an error that says where")
    func wrong() {
        #expect(Self.error("") == "it is empty")
        #expect(Self.error("{") != nil)
        #expect(Self.error("{}")?.contains("version") == true)
        #expect(Self.error(#"{"version":1,"address":"x"}"#)?.contains("version 1") == true)
        #expect(Self.error(#"{"version":2}"#)?.contains("address") == true)
        #expect(Self.error(Self.small, device: "0000:02:00.0")?.contains("0000:01:00.0") == true)
        for part in [
            #""regions":7"#, #""regions":[7]"#, #""regions":[{"index":0,"name":"x","byteCount":-1}]"#,
            #""regions":[{"index":0,"name":"x","byteCount":1e9}]"#, #""pageSizes":[3]"#,
            #""usableAddresses":[{"first":"0x9","last":"0x1"}]"#, #""mappingsLeft":4294967296"#,
            #""atomics":["x"]"#, #""canReset":"yes"#, #""features":[{"name":"x"}]"#,
        ] {
            let text = #"{"version":2,"address":"x","opened":true,"usableAddresses":[],\#(part)}"#
            #expect(Self.error(text) != nil, "\(part)")
        }
        for bytes in [
            #"["1"]"#, #"["zz"]"#, #"[7]"#, #""11""#, "[\"\(String(repeating: "00", count: 4097))\"]",
        ] {
            #expect(
                Self.error(#"{"version":2,"address":"x","configuration":{"bytes":\#(bytes)}}"#) != nil,
                "\(bytes)")
        }
        #expect(Self.error(#"{"version":2,"address":"x","vendor":"+1af4"}"#) != nil)
        #expect(Self.error(#"{"version":2,"address":"x","vendor":"11af4"}"#) != nil)
    }

    @Test("brings no control characters to a terminal")
    func harmless() throws {
        let text = #"{"version":2,"address":"a\u001b[31mb\u009b","driver":"\u0007"}"#
        let report = try DeviceReport(file: Array(text.utf8))
        #expect(report.name == "a?[31mb?" && report.facts.driver == "?")
    }

    @Test("may be lspci's: one device, or the one that is named")
    func lspci() throws {
        let line = "00: 34 12 78 56 00 00 10 00 01 00 00 02 00 00 00 00"
        let rest = (1..<4).map { "\($0)0: " + Array(repeating: "00", count: 16).joined(separator: " ") }
        let bytes = ([line] + rest).joined(separator: "\n")
        let one = "01:00.0 Ethernet controller: Some Maker\n\tKernel driver in use: x\n\(bytes)\n"
        let report = try DeviceReport(file: Array(one.utf8))
        #expect(report.name == "0000:01:00.0" && report.configuration?.bytes.count == 64)
        #expect(report.facts.vendor == 0x1234 && report.facts.classCode == 0x02_0000)
        let two = one + "\n0001:02:00.0 Other\n\(bytes)\n"
        #expect(Self.error(two)?.contains("there are 2 devices in it") == true)
        #expect(try DeviceReport(file: Array(two.utf8), device: "0001:02:00.0").name == "0001:02:00.0")
        #expect(Self.error(two, device: "0000:09:00.0")?.contains("isn't in it") == true)
        #expect(Self.error("hello\nworld\n")?.contains("neither") == true)
        // Lines that don't follow one another end the device's bytes.
        let gap = "01:00.0 X\n\(line)\n20: 00 00\n30: 00\n"
        #expect(try DeviceReport(file: Array(gap.utf8)).configuration?.bytes.count == 16)
    }

    @Test("damaged anywhere is read or refused, and nothing else")
    func damaged() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        var state = seed
        func next() -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33)
        }
        var report = DeviceReport(name: "0000:01:00.0", bus: "pci", host: "linux")
        report.configuration = DeviceReport.Configuration(
            bytes: (0..<256).map { UInt8(truncatingIfNeeded: $0) }, source: "vfio")
        var opened = DeviceReport.Opened(route: "cdev", routeReason: "why not")
        opened.regions = [DeviceReport.Region(index: 0, name: "BAR 0", byteCount: .max)]
        opened.addresses = DeviceReport.Addresses(ranges: [0...UInt64.max], pageSizes: .max)
        opened.hotReset = [DeviceReport.ResetFunction(address: "0000:01:00.0", owner: "group 1", driver: nil)]
        report.opened = opened
        let good = Array(report.json.text.utf8)
        #expect(try DeviceReport(file: good) == report)
        let signs = Array("0123456789abcdefx{}[]\",:-.\\ntrue".utf8)
        for round in 0..<3000 {
            var bytes = good
            for _ in 0...next() % 3 { bytes[next() % bytes.count] = signs[next() % signs.count] }
            if next() % 4 == 0 { bytes.removeLast(next() % bytes.count) }
            if let read = try? DeviceReport(file: bytes) {
                // Whatever was accepted is written and read the same again.
                let again = try DeviceReport(file: Array(read.json.text.utf8))
                #expect(again == read, "seed \(seed), round \(round)")
            }
        }
    }
}
