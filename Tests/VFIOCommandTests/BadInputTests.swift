import Foundation
import Testing

@Suite("What the command says when something is wrong")
struct BadInputTests {
    /// Runs a command that must fail with a code and a message that has all the parts.
    func expect(
        _ arguments: [String], code: Int32, saying parts: String...,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let outcome = try vfio(arguments)
        #expect(outcome.code == code, "\(outcome.errors)\(outcome.output)", sourceLocation: sourceLocation)
        for part in parts {
            #expect(
                outcome.errors.contains(part), "no \"\(part)\" in: \(outcome.errors)",
                sourceLocation: sourceLocation)
        }
        // A message for people, not a value printed for programmers.
        #expect(!outcome.errors.contains("Error("), "\(outcome.errors)", sourceLocation: sourceLocation)
    }

    // MARK: images

    @Test("An image that is missing, empty or not a whole number of blocks is named, with what is wrong")
    func images() throws {
        let scratch = try Scratch()
        try expect(
            ["demo", "--image", scratch.path + "/none.img"], code: 1, saying: "none.img", "no such file")
        let empty = try scratch.file("empty.img", "")
        try expect(["demo", "--image", empty], code: 1, saying: "empty.img", "empty")
        let odd = try scratch.file("odd.img", Data(count: 1000))
        try expect(["demo", "--image", odd], code: 1, saying: "odd.img", "1000", "512")
        try expect(["demo", "--image", scratch.path], code: 1, saying: scratch.path, "file")
    }

    // MARK: devices

    @Test("Text that isn't an address is wrong usage; an address without a device is refused by name")
    func addresses() throws {
        let scratch = try Scratch()
        _ = try scratch.image()
        let machine = try scratch.machine()
        for text in ["", "1", "01:00", "0000:01:00.8", "0000:01:20.0", "0000:01:00.0x", "zz:00.0", "-1:00.0"]
        {
            try expect(
                ["inspect", "--machine", machine, "--", text], code: 2, saying: "PCI address", "0000:01:00.0")
        }
        try expect(["inspect", "--machine", machine, "0000:7f:00.0"], code: 1, saying: "0000:7f:00.0")
        try expect(["nvme", "identify", "--machine", machine, "7f:00.0"], code: 1, saying: "0000:7f:00.0")
    }

    @Test("A device that another driver holds is named with that driver and what to do")
    func otherDriver() throws {
        let scratch = try Scratch()
        _ = try scratch.image()
        let machine = try scratch.machine(
            devices: #", { "address": "0000:01:00.1", "model": "edu", "driver": "snd_hda_intel" }"#)
        for route in ["group", "cdev"] {
            try expect(
                ["inspect", "--machine", machine, "--route", route, "0000:01:00.1"], code: 1,
                saying: "0000:01:00.1", "snd_hda_intel", "vfio-pci")
        }
    }

    @Test("A group that isn't viable names the member that blocks it and its driver")
    func notViable() throws {
        let scratch = try Scratch()
        _ = try scratch.image()
        let machine = try scratch.machine(
            devices:
                #", { "address": "0000:01:00.1", "model": "bystander", "vendor": 1, "device": 2, "driver": "snd_hda_intel" }"#
        )
        for route in ["group", "cdev"] {
            try expect(
                ["inspect", "--machine", machine, "--route", route, "0000:01:00.0"], code: 1,
                saying: "group 26", "viable", "0000:01:00.1", "snd_hda_intel")
        }
        let listed = try vfio("list", "--machine", machine)
        #expect(listed.output.contains("group blocked by 0000:01:00.1"), "\(listed.output)")
    }

    @Test("A missing /dev/vfio/vfio and a node without permission are named, with what to do")
    func nodes() throws {
        let scratch = try Scratch()
        _ = try scratch.image()
        let missing = try scratch.machine(#", "nodes": { "missing": ["/dev/vfio/vfio", "/dev/iommu"] }"#)
        try expect(
            ["inspect", "--machine", missing, "--route", "group", "0000:01:00.0"], code: 1,
            saying: "/dev/vfio/vfio", "modprobe vfio")
        let denied = try scratch.machine(#", "nodes": { "denied": ["/dev/vfio/26"] }"#)
        try expect(
            ["inspect", "--machine", denied, "--route", "group", "0000:01:00.0"], code: 1,
            saying: "/dev/vfio/26", "permission")
    }

    @Test("A limit of locked memory that is too low is told with the bytes needed and the limit")
    func lockedMemory() throws {
        let scratch = try Scratch()
        _ = try scratch.image()
        let machine = try scratch.machine(#", "process": { "lockedMemory": "8K" }"#)
        for route in ["group", "cdev"] {
            try expect(
                ["nvme", "identify", "--machine", machine, "--route", route, "0000:01:00.0"], code: 1,
                saying: "RLIMIT_MEMLOCK", "is 8192 bytes", "bytes are to be locked", "remedy: raise")
        }
    }

    // MARK: machine files

    @Test("A machine file's mistakes are told with the place where they stand")
    func machineFiles() throws {
        let scratch = try Scratch()
        _ = try scratch.image()
        try expect(
            ["list", "--machine", scratch.path + "/none.json"], code: 2, saying: "none.json", "ENOENT")
        let cases: [(text: String, parts: [String])] = [
            ("{", ["isn't JSON"]),
            ("[]", ["the file must be an object", "a list"]),
            (#"{ "gruops": [] }"#, ["unknown key \"gruops\"", "groups"]),
            (#"{ "groups": [ { "number": 26, "color": 1 } ] }"#, ["groups[0]", "unknown key \"color\""]),
            (#"{ "groups": [ { } ] }"#, ["groups[0].number is missing"]),
            (#"{ "groups": [ { "number": 1.5 } ] }"#, ["groups[0].number", "whole number"]),
            (#"{ "groups": [ { "number": 26 }, { "number": 26 } ] }"#, ["group 26 is described twice"]),
            (
                #"{ "groups": [ { "number": 1, "devices": [ { "address": "01:00.0", "model": "edu" }, { "address": "0000:01:00.0", "model": "edu" } ] } ] }"#,
                ["two devices sit at 0000:01:00.0"]
            ),
            (
                #"{ "groups": [ { "number": 1, "devices": [ { "address": "1", "model": "edu" } ] } ] }"#,
                ["\"1\"", "PCI address"]
            ),
            (
                #"{ "groups": [ { "number": 1, "devices": [ { "address": "01:00.0", "model": "gpu" } ] } ] }"#,
                ["groups[0].devices[0].model", "gpu", "nvme"]
            ),
            (
                #"{ "groups": [ { "number": 1, "devices": [ { "address": "01:00.0", "model": "nvme", "image": "none.img" } ] } ] }"#,
                ["groups[0].devices[0].image", "none.img"]
            ),
            (
                #"{ "groups": [ { "number": 1, "devices": [ { "address": "01:00.0", "model": "bystander", "vendor": 65536, "device": 1 } ] } ] }"#,
                ["groups[0].devices[0].vendor", "below 0x10000"]
            ),
            (#"{ "iommu": { "pageSizes": ["3K"] } }"#, ["iommu.pageSizes[0]", "3072"]),
            (#"{ "iommu": { "apertures": [["0x1000", "0"]] } }"#, ["iommu.apertures[0]", "above the last"]),
            (#"{ "nodes": { "denied": ["/dev/null"] } }"#, ["nodes.denied[0]", "/dev/vfio/vfio"]),
        ]
        for (text, parts) in cases {
            let path = try scratch.file("bad.json", text)
            let outcome = try vfio("list", "--machine", path)
            #expect(outcome.code == 2, "\(text): \(outcome.errors)\(outcome.output)")
            for part in parts + ["bad.json"] {
                #expect(outcome.errors.contains(part), "no \"\(part)\" for \(text) in: \(outcome.errors)")
            }
        }
    }

    // MARK: usage

    @Test("Wrong usage ends with 2, help with 0")
    func usage() throws {
        #expect(try vfio("list", "--hots", "soft").code == 2)
        #expect(try vfio("nvme", "perf", "--host", "soft", "0000:01:00.0", "--operation", "write").code == 2)
        #expect(try vfio("list", "--host", "linux", "--machine", "x").code == 2)
        #expect(try vfio("no-such-verb").code == 2)
        let help = try vfio("--help")
        #expect(help.code == 0 && help.output.contains("demo"))
    }

    @Test("What the disk refuses while the demo runs is a refusal, not wrong usage")
    func failingDemo() throws {
        let scratch = try Scratch()
        // One block makes a disk, but one too small for the demo's requests of 4 KiB.
        let tiny = try scratch.file("tiny.img", Data(count: 512))
        let outcome = try vfio("demo", "--image", tiny)
        #expect(outcome.code == 1, "\(outcome.errors)")
        #expect(!outcome.errors.contains("USAGE"), "\(outcome.errors)")
        #expect(outcome.errors.contains("0000:01:00.0"), "\(outcome.errors)")
    }

    @Test(
        "Blocks outside the disk and a file that isn't a whole number of blocks are refused before anything is written"
    )
    func blocks() throws {
        let scratch = try Scratch()
        let image = try scratch.image()
        let before = try Data(contentsOf: URL(filePath: image))
        let machine = try scratch.machine()
        try expect(
            [
                "nvme", "read", "--machine", machine, "0000:01:00.0", "--lba", "2048", "--output",
                scratch.path + "/o",
            ],
            code: 1, saying: "2048")
        let odd = try scratch.file("odd.bin", Data(count: 100))
        try expect(
            ["nvme", "write", "--machine", machine, "0000:01:00.0", "--lba", "0", "--input", odd], code: 2,
            saying: "odd.bin", "512")
        try expect(
            ["nvme", "identify", "--machine", machine, "0000:01:00.0", "--route", "nowhere"], code: 2,
            saying: "nowhere")
        try expect(
            [
                "nvme", "read", "--machine", machine, "0000:01:00.0", "--namespace", "9", "--output",
                "/dev/null",
            ],
            code: 1, saying: "0000:01:00.0", "9")
        #expect(try Data(contentsOf: URL(filePath: image)) == before)
    }
}
