import Foundation
import Testing

@Suite("Failures tell the next thing to try")
struct RemedyTests {
    /// A command that fails.
    struct Failure: CustomTestStringConvertible {
        let what: String
        let arguments: [String]
        let code: Int32
        /// What is said: what was tried, on what, and what came of it.
        let parts: [String]
        /// What is said to be tried next.
        let remedy: String

        init(_ what: String, _ arguments: [String], _ code: Int32, _ parts: [String], _ remedy: String) {
            self.what = what
            self.arguments = arguments
            self.code = code
            self.parts = parts
            self.remedy = remedy
        }

        var testDescription: String { what }
    }

    /// `@` stands for the scratch folder.
    static let failures: [Failure] = [
        // Names of devices.
        .init("no address", ["inspect", "--host", "soft", "nonsense"], 2, ["nonsense"], "vfio list"),
        .init(
            "no PCI address", ["nvme", "identify", "--host", "soft", "01:99.0"], 2, ["01:99.0"], "vfio list"),
        .init(
            "no such device", ["nvme", "identify", "--host", "soft", "0000:7f:00.0"], 1, ["0000:7f:00.0"],
            "vfio list"),
        .init(
            "bind no such device", ["bind", "--host", "soft", "0000:7f:00.0"], 1, ["0000:7f:00.0"],
            "vfio list"),
        .init("no device named", ["inspect", "--host", "soft"], 2, ["no device"], "vfio list"),
        .init("restore nothing", ["restore", "--host", "soft"], 2, ["no device"], "--all"),
        .init(
            "no disk", ["nvme", "identify", "--host", "soft", "0000:02:00.0"], 1, ["0000:02:00.0"],
            "vfio list"),
        // Drivers, groups, nodes.
        .init(
            "another driver", ["inspect", "--machine", "@/held.json", "--route", "group", "0000:01:00.0"], 1,
            ["0000:01:00.0", "snd_hda_intel"], "vfio-pci"),
        .init(
            "no driver", ["inspect", "--machine", "@/unbound.json", "--route", "cdev", "0000:01:00.0"], 1,
            ["0000:01:00.0"], "vfio-pci"),
        .init(
            "group isn't viable",
            ["inspect", "--machine", "@/blocked.json", "--route", "group", "0000:01:00.0"], 1,
            ["group 26", "0000:01:00.1", "snd_hda_intel"], "vfio-pci"),
        .init(
            "no /dev/vfio/vfio",
            ["inspect", "--machine", "@/nodes.json", "--route", "group", "0000:01:00.0"], 1,
            ["/dev/vfio/vfio", "isn't there"], "modprobe"),
        .init(
            "no permission", ["inspect", "--machine", "@/denied.json", "--route", "group", "0000:01:00.0"], 1,
            ["/dev/vfio/26", "EACCES"], "chown"),
        .init(
            "memlock", ["nvme", "identify", "--machine", "@/limit.json", "0000:01:00.0"], 1,
            ["RLIMIT_MEMLOCK", "8192"], "raise"),
        // What goes wrong on the way.
        .init(
            "out of memory",
            ["nvme", "identify", "--host", "soft", "0000:01:00.0", "--fault", "ioas-map=ENOMEM@1"], 1,
            ["0000:01:00.0", "ENOMEM"], ""),
        .init(
            "busy",
            [
                "inspect", "--host", "soft", "--route", "group", "0000:01:00.0", "--fault",
                "set-container=EBUSY@1",
            ],
            1, ["EBUSY"], ""),
        .init(
            "gone",
            [
                "nvme", "identify", "--host", "soft", "0000:01:00.0", "--fault",
                "device:0000:01:00.0=vanish@50",
            ],
            1, ["0000:01:00.0"], ""),
        .init(
            "refused",
            [
                "inspect", "--host", "soft", "--route", "group", "0000:01:00.0", "--fault",
                "get-info=EIO@1",
            ],
            1, ["EIO"], ""),
        // Files.
        .init("no machine file", ["list", "--machine", "@/none.json"], 2, ["none.json", "ENOENT"], "ls"),
        .init("machine is a folder", ["list", "--machine", "@"], 2, ["EISDIR"], "folder"),
        .init("no JSON", ["list", "--machine", "@/bad.json"], 2, ["bad.json", "JSON"], "correct"),
        .init("unknown model", ["list", "--machine", "@/gpu.json"], 2, ["gpu", "nvme"], "correct"),
        .init("no image", ["demo", "--image", "@/none.img"], 1, ["none.img", "no such file"], ""),
        .init("no trace", ["trace", "show", "@/none"], 1, ["none", "ENOENT"], "ls"),
        .init("not a trace", ["trace", "show", "@/bad.json"], 1, ["bad.json", "isn't a trace"], "--trace"),
        .init(
            "trace can't be written", ["inspect", "--host", "soft", "0000:02:00.0", "--trace", "@/no/t"], 1,
            ["--trace", "ENOENT"], "folder"),
        .init(
            "dump can't be written", ["inspect", "--host", "soft", "0000:02:00.0", "--dump", "@/no/d"], 1,
            ["ENOENT"],
            "make the folder"),
        .init(
            "no case", ["conform", "--case", "@/none.json", "--host", "soft"], 2, ["none.json", "ENOENT"],
            "ls"),
        .init("no cases", ["conform", "--host", "soft", "--filter", "xyzzy"], 2, ["xyzzy"], "--list"),
        .init(
            "blocks outside", ["nvme", "read", "--host", "soft", "0000:01:00.0", "--lba", "9999999999"], 1,
            ["9999999999"], "--lba"),
        .init(
            "no namespace", ["nvme", "read", "--host", "soft", "0000:01:00.0", "--namespace", "9"], 1,
            ["namespace"], "vfio nvme identify"),
        // Options.
        .init(
            "fault", ["list", "--host", "soft", "--fault", "nonsense"], 2, ["nonsense"], "map-dma=ENOMEM@3"),
        .init("fault of the kernel", ["list", "--fault", "map-dma=ENOMEM@3"], 2, ["--fault"], "--host soft"),
        .init(
            "two machines", ["list", "--host", "linux", "--machine", "x"], 2, ["--machine"], "--host soft"),
        .init("folders", ["list", "--host", "soft", "--sysfs", "/sys"], 2, ["--sysfs"], "--host linux"),
        .init(
            "no number", ["nvme", "perf", "--host", "soft", "0000:01:00.0", "--size", "four"], 2, ["four"],
            "4K"),
        .init(
            "no UUID", ["mdev", "create", "--host", "soft", "mdpy", "mdpy-vga", "one"], 2, ["one"], "uuidgen"),
        .init(
            "no type",
            ["mdev", "create", "--host", "soft", "mdpy", "none", "5f0c3b1e-8a3d-4c53-9d1e-7b9f7f7e1a09"], 1,
            ["none"], "vfio mdev"),
        // Other processes and programs.
        .init(
            "no server", ["inspect", "--host", "user:@/none.sock", "0000:00:00.0"], 1,
            ["none.sock", "ENOENT"], "vfio serve"),
        .init(
            "no socket", ["inspect", "--host", "user:@/bad.json", "0000:00:00.0"], 1,
            ["bad.json", "ECONNREFUSED"], "vfio serve"),
        .init(
            "doctor of a server", ["doctor", "--host", "user:@/none.sock"], 2, ["no kernel"], "vfio inspect"),
        .init("no model", ["serve", "gpu"], 2, ["gpu"], "nvme"),
        .init("no program", ["run", "--", "@/none"], 1, ["none", "ENOENT"], "path"),
        .init("no model to run with", ["run", "--device", "gpu", "--", "true"], 2, ["gpu"], "correct"),
        .init("no pair", ["run", "--device", "edu,x", "--", "true"], 2, ["\"x\""], "--device"),
    ]

    @Test("Each says what was tried, on what, the errno, and ends with what to do", arguments: failures)
    func failure(_ failure: Failure) throws {
        let scratch = try Scratch()
        func machine(_ name: String, _ devices: String, _ more: String = "") throws {
            _ = try scratch.file(
                name, "{ \"groups\": [ { \"number\": 26, \"devices\": [ \(devices) ] } ]\(more) }")
        }
        let disk = #"{ "address": "0000:01:00.0", "model": "nvme" }"#
        try machine("held.json", #"{ "address": "0000:01:00.0", "model": "edu", "driver": "snd_hda_intel" }"#)
        try machine("unbound.json", #"{ "address": "0000:01:00.0", "model": "edu", "driver": "" }"#)
        try machine(
            "blocked.json",
            disk
                + #", { "address": "0000:01:00.1", "model": "bystander", "vendor": 1, "device": 2, "driver": "snd_hda_intel" }"#
        )
        try machine("nodes.json", disk, #", "nodes": { "missing": ["/dev/vfio/vfio", "/dev/iommu"] }"#)
        try machine("denied.json", disk, #", "nodes": { "denied": ["/dev/vfio/26"] }"#)
        try machine("limit.json", disk, #", "process": { "lockedMemory": "8K" }"#)
        try machine("gpu.json", #"{ "address": "0000:01:00.0", "model": "gpu" }"#)
        _ = try scratch.file("bad.json", "{")
        let arguments = failure.arguments.map { $0.replacingOccurrences(of: "@", with: scratch.path) }
            .enumerated().map { index, text in
                // An occasion of a fault has the same sign.
                failure.arguments[index].contains("=") ? failure.arguments[index] : text
            }
        let outcome = try OtherProgram.run(
            vfioProgram().path, arguments, environment: ["VFIO_PRELOAD_LIBRARY": "/bin/true"])
        #expect(outcome.code == failure.code, "\(outcome.errors)")
        for part in failure.parts {
            #expect(outcome.errors.contains(part), "no \(part) in: \(outcome.errors)")
        }
        let remedies = outcome.errors.components(separatedBy: "remedy: ")
        #expect(remedies.count > 1, "no remedy in: \(outcome.errors)")
        #expect(remedies.last?.contains(failure.remedy) == true || failure.remedy == "", "\(outcome.errors)")
        #expect(!outcome.errors.contains("USAGE"))
    }
}
