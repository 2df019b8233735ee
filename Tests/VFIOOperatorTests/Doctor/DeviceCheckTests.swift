import LinuxSystem
import Testing
import VFIOHost

@testable import VFIOOperator

@Suite("What the doctor says of a device")
struct DeviceCheckTests {
    private let disk = MadeMachine.disk
    private let card = MadeMachine.card
    private static let folder = "sys/bus/pci/devices/0000:01:00.0"

    @Test("a device with which all is well has nothing but ok")
    func well() throws {
        let machine = try MadeMachine()
        let findings = machine.doctor().checks(of: DeviceID(disk)).filter { $0.device != nil }
        for finding in findings {
            #expect(finding.result == .ok, "\(finding)")
        }
        #expect(findings.verdict == .ok)
    }

    @Test("a device that isn't there fails, with what to do")
    func missing() throws {
        let finding = try MadeMachine().finding("device", of: PCIAddress("0000:7f:00.0")!)
        #expect(finding.result == .failed && finding.remedies.first?.command == "vfio list")
    }

    @Test("a driver that isn't VFIO's, none at all, and changes that stopped half-way are told apart")
    func driver() throws {
        func finding(_ driver: String?, override: String?) throws -> Finding {
            try MadeMachine { inventory in
                inventory.devices[1].driver = driver.map { DriverRecord(named: $0) }
                inventory.devices[1].driverOverride = override
                inventory.devices[1].deviceNode = nil
            }.finding("driver", of: disk)
        }
        #expect(try finding("vfio-pci", override: nil).result == .ok)
        let other = try finding("nvme", override: nil)
        #expect(other.result == .warning && other.remedies.first?.command == "sudo vfio bind 0000:01:00.0")
        #expect(try finding(nil, override: nil).result == .warning)
        let stopped = try finding(nil, override: "vfio-pci")
        #expect(stopped.result == .failed && stopped.summary.contains("half-way"))
        let typo = try finding(nil, override: "vfio_pci")
        #expect(typo.result == .failed && typo.remedies.first?.advice?.contains("vfio-pci") == true)
        #expect(try finding("nvme", override: "vfio-pci").summary.contains("half-way"))
        #expect(try finding("vfio-pci", override: "nvme").result == .warning)
    }

    @Test("what driverctl does at every start is said")
    func persisted() throws {
        let machine = try MadeMachine()
        try machine.file("etc/driverctl.d/pci-0000:01:00.0", "vfio-pci\n")
        #expect(try machine.finding("driver", of: disk).summary.contains("at every start vfio-pci"))
    }

    @Test("the member that keeps a group from being used is named, bridges are not")
    func group() throws {
        let machine = try MadeMachine {
            $0.devices[3].driver = DriverRecord(named: "snd_hda_intel")
            $0.devices[3].deviceNode = nil
        }
        let finding = try machine.finding("group", of: card)
        #expect(finding.result == .failed && finding.summary.contains("0000:02:00.1 (snd_hda_intel)"))
        #expect(!finding.summary.contains("00:01.0"))
        #expect(finding.remedies.map(\.command).contains("sudo vfio bind 0000:02:00.1"))
        #expect(finding.evidence.contains { $0.found.hasPrefix("pcieport: not in the way") })
        // So says the line for the device in the whole machine's examination.
        let line = machine.doctor().checks().first { $0.device == "0000:02:00.0" }
        #expect(line?.result == .failed && line?.summary == finding.summary)
        // A card of which neither function has a VFIO driver is bound with both.
        let both = try MadeMachine { inventory in
            for (index, driver) in [(2, "nouveau"), (3, "snd_hda_intel")] {
                inventory.devices[index].driver = DriverRecord(named: driver)
                inventory.devices[index].deviceNode = nil
            }
        }
        #expect(
            try both.finding("driver", of: card).remedies.first?.command
                == "sudo vfio bind 0000:02:00.0 0000:02:00.1")
        // The device's own driver isn't in its own way.
        let own = try MadeMachine {
            $0.devices[1].driver = DriverRecord(named: "nvme")
            $0.devices[1].deviceNode = nil
        }
        #expect(try own.finding("group", of: disk).result == .ok)
    }

    @Test("a device in no group, or in one without an IOMMU")
    func noGroup() throws {
        let outside = try MadeMachine { $0.devices[1].group = nil }
        #expect(try outside.finding("group", of: disk).result == .failed)
        let bare = try MadeMachine {
            $0.devices[1].isUnprotected = true
            $0.groups[0].isUnprotected = true
        }
        #expect(try bare.finding("group", of: disk).result == .warning)
    }

    @Test("nodes of a device: opened, missing, with nothing behind them")
    func node() throws {
        let machine = try MadeMachine()
        #expect(try machine.finding("node", of: disk).summary.contains("dev/vfio/26"))
        try machine.closeNode("dev/vfio/26")
        #expect(try machine.finding("node", of: disk).result == .ok)
        try machine.closeNode("dev/vfio/devices/vfio0")
        #expect(try machine.finding("node", of: disk).result == .failed)
        machine.remove("dev/vfio/26")
        machine.remove("dev/vfio/devices/vfio0")
        #expect(try machine.finding("node", of: disk).summary.hasPrefix("none of its nodes"))
    }

    @Test(
        "what open(2) says is told apart: the mode, the mount, the control group, nothing behind it, in use",
        arguments: [
            (Errno.accessDenied, false, "this user may not"), (.accessDenied, true, "nodev"),
            (.notPermitted, true, "control group"), (.noDevice, true, "nothing answers"),
            (.busy, true, "in use"), (.inputOutput, true, "can't be opened"),
        ])
    func refusals(errno: Errno, isAllowedByMode: Bool, words: String) {
        let judgement = NodeAccess.refusal(
            "/dev/vfio/26", errno, isAllowedByMode: isAllowedByMode, owner: [.run("chown")],
            module: "vfio-pci")
        #expect(judgement.summary.contains(words))
        #expect(judgement.result == (errno == .inputOutput ? .undetermined : .failed))
        #expect(errno == .inputOutput || !judgement.remedies.isEmpty)
    }

    @Test("whoever has the device or its group open is named, and nobody isn't said where it isn't known")
    func holders() throws {
        let machine = try MadeMachine()
        #expect(try machine.finding("holders", of: disk).result == .ok)
        try machine.process(4711, "qemu-system-x86", "/dev/vfio/26")
        var finding = try machine.finding("holders", of: disk)
        #expect(finding.result == .warning && finding.summary.contains("qemu-system-x86 (process 4711)"))
        #expect(
            finding.evidence.contains { $0.place.hasSuffix("/4711/fd/23") && $0.found.contains("user 107") })
        #expect(try machine.finding("holders", of: card).result == .ok)
        let line = machine.doctor().checks().first { $0.device == "0000:01:00.0" }
        #expect(line?.result == .warning)
        machine.remove("proc/1")
        finding = try machine.finding("holders", of: card)
        #expect(finding.result == .undetermined && !finding.isEssential)
    }

    @Test("what the machine itself uses a device for fails, with what ends the use")
    func inUse() throws {
        let machine = try MadeMachine {
            $0.devices[1].driver = DriverRecord(named: "nvme")
            $0.devices[1].deviceNode = nil
        }
        #expect(try machine.finding("in-use", of: disk).result == .ok)
        let folder = "sys/devices/pci0000:01/0000:01:00.0/net/eth7"
        try machine.file(folder + "/flags", "0x1003\n")
        try machine.file(folder + "/operstate", "up\n")
        try machine.folder("sys/class/net")
        try FileSystem.makeLink(
            machine.root + "/" + folder + "/subsystem", to: machine.root + "/sys/class/net")
        var finding = try machine.finding("in-use", of: disk)
        #expect(finding.result == .failed && finding.summary.contains("eth7 is up"))
        #expect(finding.remedies.first?.command == "sudo ip link set eth7 down")
        try machine.file(folder + "/flags", "0x1002\n")
        finding = try machine.finding("in-use", of: disk)
        #expect(finding.result == .ok && finding.summary.contains("eth7 is down"))
        machine.remove(folder + "/flags")
        #expect(try machine.finding("in-use", of: disk).result == .undetermined)
    }

    @Test("a configuration space of all ones is a device that doesn't answer")
    func dead() throws {
        let machine = try MadeMachine()
        try machine.file(Self.folder + "/config", bytes: [UInt8](repeating: 0xff, count: 64))
        #expect(try machine.finding("configuration", of: disk).result == .failed)
        #expect(machine.doctor().checks().first { $0.device == "0000:01:00.0" }?.result == .failed)
        try machine.file(Self.folder + "/config", bytes: [UInt8](repeating: 0x11, count: 64))
        #expect(try machine.finding("configuration", of: disk).result == .warning)
        try machine.file(Self.folder + "/config", bytes: [1, 2, 3])
        #expect(try machine.finding("configuration", of: disk).result == .undetermined)
        machine.remove(Self.folder + "/config")
        #expect(try machine.finding("configuration", of: disk).result == .undetermined)
    }

    @Test(
        "power states",
        arguments: [
            ("D0", Finding.Result.ok), ("D3hot", .ok), ("D3cold", .warning), ("error", .failed),
            ("unknown", .undetermined),
        ])
    func power(state: String, result: Finding.Result) throws {
        let machine = try MadeMachine()
        try machine.file(Self.folder + "/power_state", state + "\n")
        #expect(try machine.finding("power", of: disk).result == result)
    }

    @Test("ways to reset: its own, with its bus only, turned off, none")
    func reset() throws {
        func finding(_ methods: [String], neighbour: Bool = false) throws -> Finding {
            try MadeMachine { inventory in
                inventory.devices[neighbour ? 2 : 1].resetMethods = methods
            }.finding("reset", of: neighbour ? card : disk)
        }
        #expect(try finding(["flr", "bus"]).summary == "flr, then bus")
        #expect(try finding(["pm"]).result == .ok)
        #expect(try finding(["bus"]).result == .ok)
        #expect(try finding(["bus"], neighbour: true).result == .warning)
        #expect(try finding([]).result == .warning)
        let machine = try MadeMachine()
        try machine.file(Self.folder + "/reset_method", "\n")
        #expect(try machine.finding("reset", of: disk).summary.contains("turned off"))
        try machine.hide(Self.folder + "/reset_method")
        #expect(try machine.finding("reset", of: disk).result == .undetermined)
    }

    @Test("memory without an address fails; the MSI-X table is told where it can be read")
    func regions() throws {
        let homeless = try MadeMachine {
            $0.devices[1].resources = [ResourceRecord(first: 0, last: 0x3fff, flags: 0x14_0204)]
        }
        #expect(try homeless.finding("regions", of: disk).result == .failed)
        let machine = try MadeMachine()
        var space = [UInt8](repeating: 0, count: 256)
        space[0x06] = 0x10
        space[0x34] = 0x40
        space.replaceSubrange(0x40..<0x48, with: [0x11, 0x40, 0x0f, 0x00, 0x02, 0x20, 0, 0])
        try machine.file(Self.folder + "/config", bytes: space)
        #expect(
            try machine.finding("regions", of: disk).summary.contains("16 MSI-X vectors in BAR 2 at 0x2000"))
        machine.remove(Self.folder + "/resource")
        #expect(try machine.finding("regions", of: disk).result == .undetermined)
    }

    @Test("addresses: as wide as the IOMMU's, narrow, too narrow for what is planned, wanted by the firmware")
    func addresses() throws {
        let machine = try MadeMachine()
        #expect(try machine.finding("addresses", of: disk).summary.hasPrefix("48 bits wide"))
        let cap = Self.folder + "/iommu/intel-iommu/cap"
        try machine.file(cap, "1c0000c40660462\n")
        #expect(try machine.finding("addresses", of: disk).result == .warning)
        let plan = Doctor.Plan(memory: 600 << 30)
        #expect(try machine.finding("addresses", of: disk, plan).result == .failed)
        machine.remove(cap)
        try machine.file(Self.folder + "/iommu/amd-iommu/features", "246577efa2254afa:0\n")
        #expect(try machine.finding("addresses", of: disk).summary.contains("bits wide"))
        machine.remove(Self.folder + "/iommu/amd-iommu/features")
        #expect(try machine.finding("addresses", of: disk).summary.contains("vfio inspect"))
        machine.remove("sys/kernel/iommu_groups/26/reserved_regions")
        #expect(try machine.finding("addresses", of: disk).result == .undetermined)
        let wanted = try MadeMachine {
            $0.groups[0].reservedRegions.append(
                ReservedRegion(first: 0x7000_0000, last: 0x70ff_ffff, kind: "direct"))
        }
        #expect(try wanted.finding("addresses", of: disk).summary.contains("0x70000000"))
    }

    @Test("virtual functions need the token of a physical one that a VFIO driver has, and only then")
    func virtualFunctions() throws {
        let machine = try MadeMachine()
        try machine.file(Self.folder + "/sriov_totalvfs", "4\n")
        try machine.file(Self.folder + "/sriov_numvfs", "0\n")
        #expect(try machine.finding("virtual-functions", of: disk).result == .ok)
        try machine.file(Self.folder + "/sriov_numvfs", "2\n")
        #expect(try machine.finding("virtual-functions", of: disk).result == .warning)
        machine.remove(Self.folder + "/sriov_numvfs")
        #expect(try machine.finding("virtual-functions", of: disk).result == .undetermined)
        let child = try MadeMachine { $0.devices[2].physicalFunction = MadeMachine.disk }
        try child.file("proc/sys/kernel/osrelease", "6.12.1")
        var finding = try child.finding("virtual-functions", of: card)
        #expect(
            finding.result == .warning && finding.remedies.contains { $0.advice?.contains("6.17") == true })
        let free = try MadeMachine {
            $0.devices[2].physicalFunction = MadeMachine.disk
            $0.devices[1].driver = DriverRecord(named: "nvme")
            $0.devices[1].deviceNode = nil
        }
        finding = try free.finding("virtual-functions", of: card)
        #expect(finding.result == .ok && finding.summary.contains("without a token"))
    }

    @Test("migration is told by debugfs, where that can be read")
    func migration() throws {
        #expect(try MadeMachine().finding("migration", of: disk).summary.hasPrefix("no"))
        let machine = try MadeMachine { $0.devices[1].driver = DriverRecord(named: "mlx5_vfio_pci") }
        #expect(try machine.finding("migration", of: disk).result == .undetermined)
        try machine.folder("sys/kernel/debug/vfio/0000:01:00.0")
        #expect(try machine.finding("migration", of: disk).summary.hasPrefix("no"))
        try machine.file("sys/kernel/debug/vfio/0000:01:00.0/migration/features", "stop-copy\np2p\n")
        #expect(try machine.finding("migration", of: disk).summary == "yes: stop-copy, p2p")
    }

    @Test("names that would write to a terminal become visible")
    func hostileNames() throws {
        let machine = try MadeMachine()
        try machine.file(Self.folder + "/driver_override", "\u{1b}[2Jnvme\u{202e}\n")
        for finding in machine.doctor().checks(of: DeviceID(disk)) {
            let texts =
                [finding.summary] + finding.evidence.map(\.found) + finding.remedies.compactMap(\.command)
            #expect(
                texts.allSatisfy { !$0.unicodeScalars.contains { $0.value < 0x20 || $0.value == 0x202e } })
        }
    }
}
