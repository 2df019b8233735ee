import LinuxSystem
import PCIDecoder
import Testing
import VFIOHost
import VFIOOperator

@Suite("What a machine's devices are good for")
struct MachineFactsTests {
    /// A graphics card whose audio function has its own driver, behind a bridge; a disk; a free network card.
    private static func inventory() throws -> Inventory {
        func device(_ address: String, _ code: UInt32, _ driver: String?, _ group: Int?, node: Int? = nil)
            throws
            -> DeviceRecord
        {
            DeviceRecord(
                address: try #require(PCIAddress(address)), vendor: 0x10de, device: 0x1b80, classCode: code,
                driver: driver.map { DriverRecord(named: $0) }, group: group, deviceNode: node)
        }
        let devices = [
            try device("0000:00:01.0", 0x06_0400, "pcieport", 14),
            try device("0000:04:00.0", 0x03_0000, "vfio-pci", 14, node: 3),
            try device("0000:04:00.1", 0x04_0300, "snd_hda_intel", 14),
            try device("0000:05:00.0", 0x01_0802, "nvme", 15),
            try device("0000:06:00.0", 0x02_0000, "vfio-pci", 16, node: 4),
            try device("0000:07:00.0", 0x02_0000, nil, 17),
            try device("0000:08:00.0", 0x02_0000, nil, nil),
        ]
        let groups = [14, 15, 16, 17].map { number in
            GroupRecord(
                number: number, devices: devices.filter { $0.group == number }.map(\.address))
        }
        return Inventory(devices: devices, groups: groups, hasContainers: true, hasIOMMUFD: true)
    }

    private func facts(_ write: (FakeMachine) throws -> Void = { _ in }) throws -> MachineFacts {
        let machine = try FakeMachine(try Self.inventory())
        defer { withExtendedLifetime(machine) {} }
        try write(machine)
        return MachineFacts(of: try machine.roots.host.inventory(), in: machine.roots)
    }

    private func words(_ facts: MachineFacts) -> [String: String] {
        Dictionary(uniqueKeysWithValues: facts.devices.map { ($0.id.name, facts.words(for: $0)) })
    }

    @Test("who blocks a group is named with its driver, and bridges don't block it")
    func readiness() throws {
        let facts = try facts()
        let words = words(facts)
        #expect(words["0000:04:00.0"] == "group blocked by 0000:04:00.1 (snd_hda_intel)")
        #expect(words["0000:00:01.0"] == "bridge, blocks nothing")
        #expect(words["0000:04:00.1"] == "bound to snd_hda_intel")
        #expect(words["0000:05:00.0"] == "bound to nvme")
        #expect(words["0000:06:00.0"] == "ready")
        #expect(words["0000:07:00.0"] == "no driver")
        #expect(words["0000:08:00.0"] == "no IOMMU group")
        #expect(facts.words(forGroup: 14) == "not viable: 0000:04:00.1 is bound to snd_hda_intel")
        #expect(facts.words(forGroup: 15) == "in the kernel's use: 0000:05:00.0 is bound to nvme")
        #expect(facts.words(forGroup: 16) == "viable")
        #expect(facts.words(forGroup: 17) == "not bound to VFIO")
        #expect(facts.blockedGroups.map(\.number) == [14])
        #expect(facts.groupNodes == [14: .group(14), 16: .group(16)])
    }

    @Test("narrow terminals get a word or two, and who holds a device all the same")
    func shortWords() throws {
        let facts = try facts { try $0.process(50, "qemu", [4: "/dev/vfio/16"]) }
        #expect(
            facts.devices.map { facts.shortWords(for: $0) } == [
                "bridge", "blocked", "in use", "in use", "held by qemu (50)", "no driver", "no group",
            ])
    }

    @Test("a bridge without pcieport's driver doesn't block, one with another driver does")
    func bridges() throws {
        func words(_ driver: String?) throws -> String {
            let address = try #require(PCIAddress("0000:00:01.0"))
            let bridge = DeviceRecord(
                address: address, vendor: 0x8086, device: 1, classCode: 0x06_0400,
                driver: driver.map { DriverRecord(named: $0) }, group: 1)
            let inventory = Inventory(
                devices: [bridge], groups: [GroupRecord(number: 1, devices: [address])], hasContainers: true,
                hasIOMMUFD: true)
            let machine = try FakeMachine(inventory)
            defer { withExtendedLifetime(machine) {} }
            let facts = MachineFacts(of: try machine.roots.host.inventory(), in: machine.roots)
            return facts.words(for: facts.devices[0])
        }
        #expect(try words(nil) == "bridge, blocks nothing")
        #expect(try words("pcieport") == "bridge, blocks nothing")
        #expect(try words("shpchp") == "bound to shpchp")
        #expect(try words("vfio-pci") == "ready")
    }

    @Test("a device is held by who has it and by who has its group")
    func held() throws {
        let byGroup = try facts { try $0.process(50, "qemu", [4: "/dev/vfio/16"]) }
        #expect(words(byGroup)["0000:06:00.0"] == "held by qemu (50)")
        let byNode = try facts {
            try $0.process(50, "qemu", [4: "/dev/vfio/devices/vfio4", 5: "/dev/vfio/devices/vfio4"])
            try $0.process(51, "spdk", [4: "/dev/vfio/devices/vfio4"])
        }
        #expect(words(byNode)["0000:06:00.0"] == "held by qemu (50) and 1 more process")
        #expect(byNode.words(forGroup: 16) == "held by qemu (50) and 1 more process")
        #expect(words(byNode)["0000:04:00.0"] == "group blocked by 0000:04:00.1 (snd_hda_intel)")
    }

    @Test("it is said where holders may be hidden, if there is anything to hold")
    func note() throws {
        #expect(try facts().holdersNote == nil)
        let some = try facts { try $0.file("proc/60/fd", "") }
        #expect(some.holdersNote?.contains("1 process") == true)
        let nothing = try FakeMachine()
        defer { withExtendedLifetime(nothing) {} }
        try nothing.file("proc/60/fd", "")
        let facts = MachineFacts(of: try nothing.roots.host.inventory(), in: nothing.roots)
        #expect(!facts.holders.isComplete && facts.holdersNote == nil)
    }

    @Test("a picture has each group, device, driver and holder, and a line to what is held")
    func picture() throws {
        let facts = try facts {
            try $0.process(50, "qemu", [3: "/dev/vfio/vfio", 4: "/dev/vfio/16", 6: "/dev/iommu"])
        }
        let picture = MachinePicture(of: facts, showing: facts.devices, names: PCINames())
        #expect(picture.summary == "4 groups, 7 devices, 1 process")
        for text in [
            "group 14", "0000:04:00.1", "snd_hda_intel", "no driver", "qemu (50)", "container, descriptor 3",
            "group 16, descriptor 4", "iommufd, descriptor 6", "no IOMMU group",
        ] {
            #expect(picture.svg.contains(">\(text)<"), "no \(text)")
        }
        #expect(picture.svg.split(separator: "<path").count == 2)
    }

    @Test("a name that is too long for its place is cut, and whole under the pointer")
    func longNames() throws {
        let facts = try facts()
        let long = String(repeating: "x", count: 150)
        let names = PCINames(parsing: Array("10de  \(long)\n".utf8))
        let svg = MachinePicture(of: facts, showing: facts.devices, names: names).svg
        #expect(svg.contains("<title>\(long) device 1b80</title>\(String(repeating: "x", count: 61))…<"))
    }

    @Test("names in a picture can't become part of it")
    func escaping() throws {
        let facts = try facts { try $0.process(50, "</text><a&\"'", [4: "/dev/vfio/16"]) }
        let names = PCINames(parsing: Array("10de  A <b> & \u{1}c\n\t1b80  <script>\n".utf8))
        let svg = MachinePicture(of: facts, showing: facts.devices, names: names).svg
        #expect(svg.contains("&lt;/text&gt;&lt;a&amp;&quot;&#39; (50)"))
        #expect(svg.contains("A &lt;b&gt; &amp; ?c &lt;script&gt;"))
        #expect(!svg.contains("<script") && !svg.contains("<b>"))
        #expect(svg.split(separator: "<text").count - 1 == svg.split(separator: "</text>").count - 1)
    }
}
