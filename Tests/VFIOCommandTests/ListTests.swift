import Foundation
import LinuxSystem
import Testing
import VFIOHost

@Suite("vfio list")
struct ListTests {
    /// A machine of folders: a graphics card whose audio function blocks its group, a held network card, a disk.
    private func machine() throws -> Scratch {
        func device(_ address: String, _ id: UInt16, _ code: UInt32, _ driver: String?, _ group: Int) throws
            -> DeviceRecord
        {
            DeviceRecord(
                address: try #require(PCIAddress(address)), vendor: 0x8086, device: id, classCode: code,
                driver: driver.map { DriverRecord(named: $0) }, group: group)
        }
        var devices = [
            try device("0000:04:00.0", 0x56a0, 0x03_0000, "vfio-pci", 14),
            try device("0000:04:00.1", 0x4f90, 0x04_0300, "snd_hda_intel", 14),
            try device("0000:05:00.0", 0x2700, 0x01_0802, "nvme", 15),
            try device("0000:06:00.0", 0x10d3, 0x02_0000, "vfio-pci", 16),
            try device("0000:07:00.0", 0x10d3, 0x02_0000, "vfio-pci", 17),
            try device("0000:08:00.0", 0x10d3, 0x02_0000, nil, 18),
        ]
        devices[3].resetMethods = ["flr", "bus"]
        devices[3].numaNode = 1
        let groups = (14...18).map { number in
            GroupRecord(number: number, devices: devices.filter { $0.group == number }.map(\.address))
        }
        let scratch = try Scratch()
        try SysfsTree.write(
            Inventory(devices: devices, groups: groups, hasContainers: true, hasIOMMUFD: false),
            to: scratch.path
        ) { _ in nil }
        for (number, name, link) in [(1, "init", "/dev/null"), (4711, "qemu-system-x86", "/dev/vfio/16")] {
            try FileSystem.makeFolders(scratch.path + "/proc/\(number)/fd")
            _ = try scratch.file("proc/\(number)/comm", name + "\n")
            try FileSystem.makeLink(scratch.path + "/proc/\(number)/fd/12", to: link)
        }
        _ = try scratch.file(
            "pci.ids",
            "8086  Intel Corporation\n\t10d3  82574L Gigabit Network Connection\n\t56a0  DG2 [Arc A770]\n")
        return scratch
    }

    private func list(_ scratch: Scratch, _ arguments: String...) throws -> Outcome {
        try vfio(
            [
                "list", "--sysfs", "\(scratch.path)/sys", "--dev", "\(scratch.path)/dev", "--proc",
                "\(scratch.path)/proc",
            ]
                + ["--pci-ids", "\(scratch.path)/pci.ids"] + arguments)
    }

    /// The line with a text.
    private func line(_ outcome: Outcome, _ text: String) -> String {
        outcome.output.split(separator: "\n").first { $0.contains(text) }.map(String.init) ?? ""
    }

    @Test("says of each device what it is, who drives it and whether it can be used")
    func table() throws {
        let outcome = try list(try machine())
        #expect(outcome.code == 0, "\(outcome.errors)")
        for (device, words) in [
            (
                "0000:04:00.0 ",
                ["14", "vfio-pci", "group blocked by 0000:04:00.1 (snd_hda_intel)", "DG2 [Arc A770]"]
            ),
            ("0000:05:00.0", ["15", "bound to nvme", "NVMe controller: Intel Corporation device 2700"]),
            ("0000:06:00.0", ["/dev/vfio/16", "held by qemu-system-x86 (4711)", "82574L Gigabit"]),
            ("0000:07:00.0", ["ready"]), ("0000:08:00.0", ["no driver"]),
        ] {
            let line = line(outcome, device)
            for word in words { #expect(line.contains(word), "\(word) in \(line)") }
        }
        #expect(outcome.output.contains("network controllers\n"))
        #expect(outcome.output.contains("group 14 can't be used: 0000:04:00.1 is bound to snd_hda_intel"))
        #expect(outcome.output.contains("vfio bind 0000:04:00.1\n"))
        #expect(!outcome.output.contains("\u{1b}"))
    }

    @Test("shows more with --wide: reset methods, NUMA node")
    func wide() throws {
        let line = line(try list(try machine(), "--wide"), "0000:06:00.0")
        #expect(line.contains(" flr,bus ") && line.contains("  1 "))
    }

    @Test(
        "filters by driver, class, vendor, device, group and state",
        arguments: [
            (["--driver", "nvme"], ["0000:05:00.0"]), (["--driver", "none"], ["0000:08:00.0"]),
            (["--driver", "none", "--driver", "nvme"], ["0000:05:00.0", "0000:08:00.0"]),
            (["--class", "02"], ["0000:06:00.0", "0000:07:00.0", "0000:08:00.0"]),
            (["--class", "NVMe"], ["0000:05:00.0"]), (["--vendor", "10de"], []),
            (["--id", "8086:10d3", "--group", "16"], ["0000:06:00.0"]), (["--ready"], ["0000:07:00.0"]),
            (["--held"], ["0000:06:00.0"]), (["07:00.0"], ["0000:07:00.0"]),
        ])
    func filters(_ arguments: [String], _ addresses: [String]) throws {
        let scratch = try machine()
        let outcome = try vfio(
            ["list", "--json", "--sysfs", "\(scratch.path)/sys", "--dev", "\(scratch.path)/dev"]
                + ["--proc", "\(scratch.path)/proc"] + arguments)
        #expect(outcome.code == 0, "\(outcome.errors)")
        let report = try #require(
            try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any])
        let devices = try #require(report["devices"] as? [[String: Any]])
        #expect(devices.compactMap { $0["address"] as? String } == addresses)
    }

    @Test("draws groups with their members as a tree, with what would let them be used")
    func tree() throws {
        let outcome = try list(try machine(), "--tree", "--group", "14", "--group", "16")
        for text in [
            "group 14: not viable: 0000:04:00.1 is bound to snd_hda_intel", "├─ 0000:04:00.0",
            "└─ 0000:04:00.1",
            "to use it: vfio bind 0000:04:00.1",
            "group opened by qemu-system-x86 (process 4711, descriptor 12)",
        ] {
            #expect(outcome.output.contains(text), "no \(text) in \(outcome.output)")
        }
        #expect(!outcome.output.contains("0000:05:00.0"))
    }

    @Test("sorts by group")
    func groups() throws {
        let lines = try list(try machine(), "--by", "group").output.split(separator: "\n")
        let headings = lines.filter { $0.hasPrefix("group ") && !$0.contains("can't") }.map { $0.prefix(8) }
        #expect(headings == ["group 14", "group 15", "group 16", "group 17", "group 18"])
    }

    @Test("tells programs everything, with a version")
    func json() throws {
        let outcome = try list(try machine(), "--json")
        let report = try #require(
            try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any])
        #expect(report["version"] as? Int == 2 && report["containers"] as? Bool == true)
        let devices = try #require(report["devices"] as? [[String: Any]])
        let card = try #require(devices.first { $0["address"] as? String == "0000:06:00.0" })
        #expect(card["state"] as? String == "held" && card["usable"] as? Bool == true)
        #expect(card["vendorName"] as? String == "Intel Corporation" && card["numaNode"] as? Int == 1)
        #expect(card["resetMethods"] as? [String] == ["flr", "bus"])
        #expect(card["groupNode"] as? String == "/dev/vfio/16")
        let holder = try #require((card["holders"] as? [[String: Any]])?.first)
        #expect(holder["pid"] as? Int == 4711 && holder["fd"] as? Int == 12)
        #expect(holder["process"] as? String == "qemu-system-x86")
        let groups = try #require(report["groups"] as? [[String: Any]])
        let blocked = try #require(groups.first { $0["number"] as? Int == 14 })
        #expect(blocked["viable"] as? Bool == false)
        let blocker = try #require((blocked["blockedBy"] as? [[String: Any]])?.first)
        #expect(blocker["device"] as? String == "0000:04:00.1")
        #expect(blocker["driver"] as? String == "snd_hda_intel")
        #expect((report["holders"] as? [String: Any])?["complete"] as? Bool == true)
    }

    @Test("draws a picture into a file, and says where it can't")
    func picture() throws {
        let scratch = try machine()
        let outcome = try list(scratch, "--svg", scratch.path + "/picture.svg")
        #expect(outcome.code == 0 && outcome.output.contains("5 groups, 6 devices, 1 process"))
        let svg = try String(contentsOfFile: scratch.path + "/picture.svg", encoding: .utf8)
        #expect(svg.contains("snd_hda_intel") && svg.contains("qemu-system-x86 (4711)"))
        let refused = try list(scratch, "--svg", scratch.path + "/nowhere/picture.svg")
        #expect(refused.code == 1 && refused.errors.contains("ENOENT"))
    }

    @Test("says what is wrong with a command line")
    func mistakes() throws {
        for (arguments, text) in [
            (["--id", "8086"], "8086:10d3"), (["--vendor", "intel"], "four hexadecimal digits"),
            (["nonsense"], "PCI address"), (["--tree", "--json"], "--tree"), (["--by", "colour"], "by"),
        ] {
            let outcome = try vfio(["list", "--host", "soft"] + arguments)
            #expect(outcome.code == 2 && outcome.errors.contains(text), "\(outcome)")
        }
        let names = try vfio("list", "--host", "soft", "--pci-ids", "/nowhere/pci.ids")
        #expect(names.code == 1 && names.errors.contains("/nowhere/pci.ids"))
    }

    @Test("tells where nothing is to be found how to go on")
    func nothing() throws {
        let scratch = try Scratch()
        let outcome = try vfio(
            "list", "--sysfs", scratch.path + "/sys", "--dev", scratch.path + "/dev", "--proc",
            scratch.path + "/proc")
        #expect(outcome.code == 0 && outcome.output.contains("no PCI devices"))
        #expect(outcome.output.contains("modprobe vfio-pci"))
        let filtered = try vfio("list", "--host", "soft", "--driver", "nvme")
        #expect(filtered.code == 0 && filtered.output.contains("no device matches"))
    }
}
