import LinuxSystem
import Testing
import VFIOHost
import VFIOOperator

/// A machine that is nothing but folders: one on which everything is well, until a test changes it.
///
/// It has an IOMMU of Intel, a disk alone in group 26 that vfio-pci has, a graphics card and its sound in group 27, and
/// the root ports before them.
final class MadeMachine {
    let root: String

    static let disk = PCIAddress("0000:01:00.0")!
    static let card = PCIAddress("0000:02:00.0")!
    static let sound = PCIAddress("0000:02:00.1")!
    static let release = "7.2.13-test"

    /// - Parameter change: what is different about its devices.
    init(_ change: (inout Inventory) -> Void = { _ in }) throws {
        root = try FileSystem.makeTemporaryFolder("/tmp/vfio-doctor-")
        var disk = DeviceRecord(
            address: Self.disk, vendor: 0x1b36, device: 0x0010, classCode: 0x010802,
            driver: DriverRecord(named: "vfio-pci"), group: 26, deviceNode: 0)
        disk.resetMethods = ["flr", "bus"]
        disk.driverOverride = "vfio-pci"
        disk.resources = [ResourceRecord(first: 0xc000_0000, last: 0xc000_3fff, flags: 0x14_0204)]
        var card = DeviceRecord(
            address: Self.card, vendor: 0x10de, device: 0x2204, classCode: 0x030000,
            driver: DriverRecord(named: "vfio-pci"), group: 27, deviceNode: 1)
        card.resetMethods = ["flr"]
        card.resources = [ResourceRecord(first: 0xd000_0000, last: 0xdfff_ffff, flags: 0x14_2208)]
        let sound = DeviceRecord(
            address: Self.sound, vendor: 0x10de, device: 0x1aef, classCode: 0x040300,
            driver: DriverRecord(named: "vfio-pci"), group: 27, deviceNode: 2)
        let port = DeviceRecord(
            address: PCIAddress("0000:00:01.0")!, vendor: 0x8086, device: 0x1901, classCode: 0x060400,
            driver: DriverRecord(named: "pcieport"), group: 27)
        var groups = [
            GroupRecord(number: 26, devices: [Self.disk]),
            GroupRecord(number: 27, devices: [port.address, Self.card, Self.sound]),
        ]
        for index in groups.indices {
            groups[index].domainType = "DMA-FQ"
            groups[index].reservedRegions = [
                ReservedRegion(first: 0xfee0_0000, last: 0xfeef_ffff, kind: "msi")
            ]
        }
        var inventory = Inventory(
            devices: [disk, card, sound, port], groups: groups, hasContainers: true, hasIOMMUFD: true)
        change(&inventory)
        try SysfsTree.write(
            inventory, to: root,
            parameters: [
                ("vfio_iommu_type1.dma_entry_limit", "65535"),
                ("vfio_iommu_type1.allow_unsafe_interrupts", "N"),
                ("iommufd.allow_unsafe_interrupts", "N"), ("vfio.enable_unsafe_noiommu_mode", "N"),
            ],
            configuration: { address in
                guard let record = inventory.device(at: address) else { return nil }
                return Self.configuration(record)
            })
        try fillSysfs(inventory)
        try fillProcesses()
        try openNodes()
    }

    deinit { FileSystem.removeFolder(root) }

    /// A configuration space with the IDs, and nothing else.
    static func configuration(_ record: DeviceRecord, byteCount: Int = 64) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: byteCount)
        bytes[0] = UInt8(truncatingIfNeeded: record.vendor)
        bytes[1] = UInt8(truncatingIfNeeded: record.vendor >> 8)
        bytes[2] = UInt8(truncatingIfNeeded: record.device)
        bytes[3] = UInt8(truncatingIfNeeded: record.device >> 8)
        return bytes
    }

    private func fillSysfs(_ inventory: Inventory) throws {
        for name in ["vfio", "iommu"] { try folder("sys/class/misc/" + name) }
        try folder("sys/class/iommu/dmar0")
        for name in ["DMAR", "FACP"] { try file("sys/firmware/acpi/tables/" + name, "") }
        for device in inventory.devices {
            let folder = "sys/bus/pci/devices/\(device.address)"
            try file(folder + "/power_state", "D0\n")
            // 48 bits: MGAW in bits 16 to 21, SAGAW in 8 to 12.
            try file(folder + "/iommu/intel-iommu/cap", "8d2078c106f0466\n")
        }
        for (name, count) in [("hugepages-2048kB", "1024"), ("hugepages-1048576kB", "0")] {
            try file("sys/kernel/mm/hugepages/\(name)/nr_hugepages", count + "\n")
            try file("sys/kernel/mm/hugepages/\(name)/free_hugepages", count + "\n")
        }
    }

    private func fillProcesses() throws {
        try file("proc/sys/kernel/osrelease", Self.release + "\n")
        try file("proc/sys/kernel/tainted", "0\n")
        try file("proc/cmdline", "root=/dev/vda1 intel_iommu=on quiet\n")
        try file("proc/cpuinfo", "vendor_id\t: GenuineIntel\nflags\t\t: fpu vme\n")
        try file("proc/meminfo", "MemTotal:       65536000 kB\n")
        try file(
            "proc/interrupts",
            "           CPU0\n 26:  3  IR-PCI-MSI-0000:00:1f.2  0-edge  ahci\n")
        try process(1, "init")
        try file("proc/self/mountinfo", "22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n")
        try file("proc/swaps", "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n")
        try limit("68719476736")
        try file("proc/self/status", "Name:\ttest\nCapEff:\t0000000000000000\n")
        try file(
            "boot/config-" + Self.release,
            "CONFIG_IOMMUFD=m\nCONFIG_VFIO=m\nCONFIG_VFIO_PCI=m\nCONFIG_VFIO_DEVICE_CDEV=y\nCONFIG_VFIO_PCI_DMABUF=y\n"
        )
        try file(
            "modules/\(Self.release)/modules.dep",
            "kernel/drivers/vfio/pci/vfio-pci.ko.xz: kernel/drivers/vfio/vfio.ko.xz\n"
                + "kernel/drivers/vfio/vfio_iommu_type1.ko.xz:\nkernel/drivers/iommu/iommufd/iommufd.ko.xz:\n"
        )
        try file("modules/\(Self.release)/modules.builtin", "kernel/fs/ext4/ext4.ko\n")
    }

    /// Sets the limit of locked memory, as `/proc/self/limits` has it.
    func limit(_ soft: String, hard: String? = nil) throws {
        try file(
            "proc/self/limits",
            "Limit                     Soft Limit           Hard Limit           Units\n"
                + "Max locked memory         \(soft)   \(hard ?? soft)   bytes\n")
    }

    /// Makes a process that has something open.
    func process(_ number: Int, _ name: String, _ target: String? = nil) throws {
        try folder("proc/\(number)/fd")
        try file("proc/\(number)/comm", name + "\n")
        try file("proc/\(number)/status", "Name:\t\(name)\nUid:\t0\t107\t0\t0\n")
        if let target { try FileSystem.makeLink(root + "/proc/\(number)/fd/23", to: target) }
    }

    /// Turns the nodes into files that can be opened.
    private func openNodes() throws {
        for folder in ["dev", "dev/vfio", "dev/vfio/devices"] {
            for name in try FileSystem.names(in: root + "/" + folder) {
                let path = root + "/\(folder)/\(name)"
                guard try FileSystem.status(path).kind == .socket else { continue }
                try FileSystem.unlink(path)
                try FileSystem.makeFile(path)
            }
        }
    }

    /// Writes a file, in folders that are made if they aren't there.
    func file(_ path: String, _ text: String) throws { try file(path, bytes: Array(text.utf8)) }

    /// The same of bytes.
    func file(_ path: String, bytes: [UInt8]) throws {
        try folder(path.split(separator: "/").dropLast().joined(separator: "/"))
        try FileSystem.makeFile(root + "/" + path, bytes)
    }

    func folder(_ path: String) throws { try FileSystem.makeFolders(root + "/" + path) }

    /// Removes a file or a folder.
    func remove(_ path: String) {
        if (try? FileSystem.unlink(root + "/" + path)) == nil { FileSystem.removeFolder(root + "/" + path) }
    }

    /// Puts something in a file's or folder's place that nobody can read, whoever it is: a link to itself.
    func hide(_ path: String) throws {
        remove(path)
        try FileSystem.makeLink(
            root + "/" + path, to: path.split(separator: "/").last.map(String.init) ?? "x")
    }

    /// Puts a socket's name in a node's place: opening it fails with `ENXIO`.
    func closeNode(_ path: String) throws {
        remove(path)
        try FileSystem.makeSocketName(root + "/" + path, mode: 0o666, seconds: 0, nanoseconds: 0)
    }

    /// A doctor for it.
    func doctor(_ plan: Doctor.Plan = Doctor.Plan(), qemu: String? = nil) -> Doctor {
        Doctor(
            SystemRoots(sysfs: root + "/sys", devices: root + "/dev", processes: root + "/proc"), plan: plan,
            folders: Doctor.Folders(
                modules: root + "/modules", boot: root + "/boot", settings: root + "/etc"),
            qemu: qemu)
    }

    /// What a check of the machine says.
    func finding(_ id: String, _ plan: Doctor.Plan = Doctor.Plan(), qemu: String? = nil) throws -> Finding {
        try #require(doctor(plan, qemu: qemu).checks().first { $0.id == id && $0.device == nil })
    }

    /// What a check of a device says.
    func finding(
        _ id: String, of address: PCIAddress, _ plan: Doctor.Plan = Doctor.Plan()
    ) throws -> Finding {
        try #require(doctor(plan).checks(of: DeviceID(address)).first { $0.id == id && $0.device != nil })
    }
}
