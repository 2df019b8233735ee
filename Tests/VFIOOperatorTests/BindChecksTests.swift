import LinuxSystem
import Testing
import VFIOHost
import VFIOOperator

@Suite("Reasons against a change of drivers")
struct BindChecksTests {
    private func machine() throws -> FolderMachine {
        let machine = try FolderMachine()
        try machine.mounts("")
        for driver in ["vfio-pci", "nvme", "snd_hda_intel", "pcieport"] {
            try FileSystem.makeFolders(machine.root + "/sys/bus/pci/drivers/" + driver)
        }
        return machine
    }

    private func binder(_ machine: FolderMachine) -> Binder {
        Binder(
            machine.roots, remembering: BindingStore(machine.root + "/run/bindings.json"),
            writer: DriverModel(machine))
    }

    /// The reasons with which something is refused; an error for anything else.
    private func reasons(_ body: () throws -> Void) throws -> [BindRefusal.Reason] {
        do {
            try body()
            return []
        } catch let refusal as BindRefusal {
            return refusal.reasons
        }
    }

    private func device(_ text: String) -> DeviceID { DeviceID(text)! }

    @Test("members of a group that would block it are named, and taken if that is asked for")
    func groups() throws {
        let machine = try machine()
        try machine.function("0000:00:01.0", classCode: "0x060400", driver: "pcieport", group: 14)
        try machine.function("0000:04:00.0", classCode: "0x030000", group: 14)
        try machine.function("0000:04:00.1", classCode: "0x040300", driver: "snd_hda_intel", group: 14)
        try machine.function("0000:04:00.2", classCode: "0x0c0330", group: 14)
        let binder = binder(machine)
        let alone = try reasons { _ = try binder.planBinding([device("0000:04:00.0")]) }
        #expect(
            alone.map(\.description) == [
                "0000:04:00.0: group 14 can't be used while 0000:04:00.1 (snd_hda_intel) has its driver"
                    + "; remedy: name it too, or take the group with --whole-group"
            ])
        // A member without a driver is in nobody's way.
        let named = try binder.planBinding([device("0000:04:00.0"), device("0000:04:00.1")])
        #expect(named.moves.map(\.device.name) == ["0000:04:00.0", "0000:04:00.1"])
        let whole = try binder.planBinding([device("0000:04:00.0")], wholeGroup: true)
        #expect(whole.moves.map(\.device.name) == ["0000:04:00.0", "0000:04:00.1", "0000:04:00.2"])
        #expect(whole.taken.map(\.name) == ["0000:04:00.1", "0000:04:00.2"])
        // Drivers that aren't VFIO's need no group.
        #expect(try binder.planBinding([device("0000:04:00.0")], to: "nvme").moves.count == 1)
    }

    @Test("bridges are refused, and one that blocks its group is to be unbound")
    func bridges() throws {
        let machine = try machine()
        try machine.function("0000:00:01.0", classCode: "0x060400", driver: "nvme", group: 14)
        try machine.function("0000:04:00.0", group: 14)
        let binder = binder(machine)
        #expect(try reasons { _ = try binder.planBinding([device("0000:00:01.0")]) }.map(\.code) == [.bridge])
        let blocked = try reasons {
            _ = try binder.planBinding([device("0000:04:00.0")], wholeGroup: true)
        }
        #expect(blocked.map(\.code) == [.group])
        #expect(blocked.first?.remedy == "vfio unbind 0000:00:01.0")
    }

    @Test("a disk in use isn't taken, by whatever verb, and all its uses are told at once")
    func inUse() throws {
        let machine = try machine()
        let path = try machine.function("0000:01:00.0", driver: "nvme", group: 1)
        for number in 1...2 { try machine.block("\(path)/nvme/nvme0/nvme0n1p\(number)", "259:\(number)") }
        try machine.mounts(
            "22 1 259:1 / /home rw - ext4 /dev/nvme0n1p1 rw\n", swaps: "/dev/nvme0n1p2 partition 1 0 -2\n")
        let binder = binder(machine)
        for found in [
            try reasons { _ = try binder.planBinding([device("0000:01:00.0")]) },
            try reasons { _ = try binder.planUnbinding([device("0000:01:00.0")]) },
        ] {
            #expect(
                found.map(\.description) == [
                    "0000:01:00.0: nvme0n1p1 is mounted at /home; remedy: umount /home",
                    "0000:01:00.0: nvme0n1p2 is in use as swap; remedy: swapoff /dev/nvme0n1p2",
                ])
        }
    }

    @Test("a function with virtual functions keeps its driver")
    func virtualFunctions() throws {
        let machine = try machine()
        let path = try machine.function("0000:01:00.0", driver: "nvme", group: 1)
        try machine.file(path + "/sriov_numvfs", "3\n")
        let found = try reasons { _ = try binder(machine).planBinding([device("0000:01:00.0")]) }
        #expect(found.map(\.cause) == ["3 virtual functions of it are enabled"])
        try machine.file(path + "/sriov_numvfs", "0\n")
        #expect(try binder(machine).planBinding([device("0000:01:00.0")]).steps.count == 3)
    }

    @Test("a device that is open through VFIO isn't taken from its user, who is named")
    func held() throws {
        let machine = try machine()
        try machine.function("0000:01:00.0", driver: "vfio-pci", group: 1)
        try machine.file("proc/4711/comm", "qemu\n")
        try FileSystem.makeFolders(machine.root + "/proc/4711/fd")
        try FileSystem.makeLink(machine.root + "/proc/4711/fd/9", to: "/dev/vfio/1")
        let found = try reasons { _ = try binder(machine).planUnbinding([device("0000:01:00.0")]) }
        #expect(found.map(\.cause) == ["it is open through VFIO: qemu (process 4711, descriptor 9)"])
    }

    @Test("a wrong driver's name is told from a module that isn't loaded")
    func driverNames() throws {
        let machine = try machine()
        try machine.function("0000:01:00.0", driver: "nvme", group: 1)
        let binder = binder(machine)
        func remedies(_ driver: String) throws -> [String?] {
            try reasons { _ = try binder.planBinding([device("0000:01:00.0")], to: driver) }.map(\.remedy)
        }
        #expect(try remedies("vfio_pci") == ["--driver vfio-pci"])
        #expect(try remedies("mlx5-vfio-pci") == ["modprobe mlx5-vfio-pci"])
        #expect(try remedies("../../../etc") == [nil])
    }

    @Test("an IOMMU that is off is said, with whose fault that is")
    func noIOMMU() throws {
        let machine = try machine()
        try machine.function("0000:01:00.0", driver: "nvme")
        let binder = binder(machine)
        let one = device("0000:01:00.0")
        func cause() throws -> String? {
            let found = try reasons { _ = try binder.planBinding([one]) }
            #expect(found.allSatisfy { $0.code == .noIOMMU })
            return found.first?.cause
        }
        #expect(try cause() == "the IOMMU is off: the firmware describes none")
        try machine.file("sys/firmware/acpi/tables/DMAR", "")
        #expect(
            try cause()
                == "the IOMMU is off: the firmware describes one (DMAR), and the kernel doesn't use it")
        try machine.file("sys/class/iommu/dmar0/name", "")
        #expect(try cause() == "the machine's IOMMU is on, but isn't in front of this device")
        // Whoever has asked the kernel for that may do without.
        try machine.file("sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "Y\n")
        let plan = try binder.planBinding([one])
        #expect(plan.notes.count == 1)
        #expect(plan.steps.count == 3)
        // Without a VFIO driver none is needed.
        #expect(try binder.planUnbinding([one]).steps.count == 1)
    }

    @Test("devices that aren't there, and of buses that have other ways, are refused one by one")
    func impossible() throws {
        let machine = try machine()
        let found = try reasons {
            _ = try binder(machine).planBinding([
                device("0000:0f:00.0"), device("5f0c3b1e-8a3d-4c53-9d1e-7b9f7f7e1a01"),
                device("ccw/0.0.4fb2"),
            ])
        }
        #expect(found.map(\.code) == [.noSuchDevice, .notPossible, .notPossible])
    }

    @Test("devices of the platform bus get their own VFIO driver")
    func platform() throws {
        let machine = try machine()
        let path = "sys/devices/platform/fff51000.ethernet"
        try machine.file(path + "/driver_override", "(null)\n")
        try machine.link("sys/bus/platform/devices/fff51000.ethernet", to: path)
        try machine.link(path + "/subsystem", to: "sys/bus/platform")
        try FileSystem.makeFolders(machine.root + "/sys/bus/platform/drivers/vfio-platform")
        try FileSystem.makeFolders(machine.root + "/sys/kernel/iommu_groups/3/devices")
        try machine.link(path + "/iommu_group", to: "sys/kernel/iommu_groups/3")
        let plan = try binder(machine).planBinding([device("platform/fff51000.ethernet")])
        #expect(plan.moves.map(\.to.driver) == ["vfio-platform"])
        #expect(plan.steps.last?.write.path.hasSuffix("/bus/platform/drivers/vfio-platform/bind") == true)
    }

    @Test("names that no driver has are not taken for drivers")
    func hostileNames() throws {
        let machine = try machine()
        let path = try machine.function("0000:01:00.0", driver: "nvme", group: 1)
        for text in ["\u{1b}[2J", "a\nb", String(repeating: "x", count: 5000)] {
            try machine.file(path + "/driver_override", text + "\n")
            let found = try reasons { _ = try binder(machine).planBinding([device("0000:01:00.0")]) }
            #expect(found.map(\.code) == [.undetermined])
        }
    }

    @Test("an interface that may be elsewhere is a note, not a refusal")
    func notes() throws {
        let machine = try machine()
        try machine.function("0000:01:00.0", classCode: "0x020000", driver: "nvme", group: 1)
        let plan = try binder(machine).planBinding([device("0000:01:00.0")])
        #expect(plan.notes.count == 1)
        #expect(plan.notes.first?.contains("could not be determined") == true)
    }
}
