import Foundation
import Testing

@Suite("Devices of other buses in a machine file")
struct OtherBusTests {
    private static let machine = #"""
        { "groups": [
            { "number": 7, "devices": [ { "name": "platform/fff51000.ethernet", "model": "xgmac" } ] },
            { "number": 8, "devices": [ { "name": "amba/9010000.rtc", "model": "rtc", "bound": false } ] },
            { "number": 9, "devices": [ { "name": "cdx/cdx-00:01", "model": "mailbox" },
                                        { "name": "fsl-mc/dprc.2", "model": "container" } ] },
            { "number": 90, "emulated": true, "devices": [
                { "name": "b7f4ae29-5b5a-4d1c-9d36-6f3d0c9d2f01", "model": "drum", "size": "1M" } ] } ] }
        """#

    @Test("are listed with their bus, group and driver")
    func list() throws {
        let scratch = try Scratch()
        let path = try scratch.file("machine.json", Self.machine)
        let outcome = try vfio("list", "--machine", path)
        #expect(outcome.code == 0, "\(outcome.errors)")
        for words in [
            ["fff51000.ethernet", "platform", "7", "vfio-platform", "ready"],
            ["9010000.rtc", "amba", "8", "no driver"], ["cdx-00:01", "cdx", "9", "vfio-cdx"],
            ["dprc.2", "fsl-mc", "9", "vfio-fsl-mc"],
            ["b7f4ae29-5b5a-4d1c-9d36-6f3d0c9d2f01", "mdev", "90", "vfio_ccw_mdev"],
        ] {
            let line = outcome.output.split(separator: "\n").first { $0.contains(words[0]) }
            for word in words { #expect(line?.contains(word) == true, "\(word) in \(line ?? "")") }
        }
    }

    @Test(
        "are inspected by their name, and have no configuration space",
        arguments: [
            (
                "platform/fff51000.ethernet",
                ["platform device", "can be reset", "region 0: ", "interrupt 0: 1"]
            ),
            ("cdx/cdx-00:01", ["cdx device", "region 0: 4 KiB, rwm", "interrupt 0: 2"]),
            ("fsl-mc/dprc.2", ["fsl-mc device", "region 0: "]),
            ("b7f4ae29-5b5a-4d1c-9d36-6f3d0c9d2f01", ["mdev device", "region 3: ", "interrupt 2: 1"]),
        ])
    func inspect(_ name: String, _ texts: [String]) throws {
        let scratch = try Scratch()
        let path = try scratch.file("machine.json", Self.machine)
        let outcome = try vfio("inspect", "--machine", path, "--route", "group", name)
        #expect(outcome.code == 0, "\(outcome.errors)")
        for text in texts { #expect(outcome.output.contains(text), "\(text) in \(outcome.output)") }
        let json = try vfio("inspect", "--machine", path, "--route", "group", "--json", name)
        let report = try #require(
            try JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [String: Any])
        #expect(report["vendor"] == nil && (report["regions"] as? [[String: Any]])?.isEmpty == false)
    }

    @Test("are complained about by their place")
    func mistakes() throws {
        let scratch = try Scratch()
        for (device, part) in [
            (#"{ "name": "ethernet", "model": "xgmac" }"#, "groups[0].devices[0].name"),
            (#"{ "name": "0000:01:00.0", "model": "xgmac" }"#, "groups[0].devices[0].name"),
            (#"{ "name": "platform/x", "model": "nvme" }"#, "groups[0].devices[0].model"),
            (#"{ "name": "platform/x", "model": "xgmac", "image": "x" }"#, "unknown key \"image\""),
            (#"{ "name": "cdx/x", "model": "xgmac" }"#, "x"),
        ] {
            let text = #"{ "groups": [ { "number": 1, "devices": [ \#(device) ] } ] }"#
            let outcome = try vfio("list", "--machine", try scratch.file("bad.json", text))
            #expect(outcome.code == 2, "\(device): \(outcome.output)")
            #expect(outcome.errors.contains(part), "no \"\(part)\" in: \(outcome.errors)")
        }
    }
}
