import LinuxSystem
import Testing
import VFIOHost
import VFIOOperator

@Suite("Who holds a device")
struct HoldersTests {
    @Test("is told by process, name, descriptor and user, for each kind of node")
    func nodes() throws {
        let machine = try FakeMachine()
        defer { withExtendedLifetime(machine) {} }
        try machine.process(
            4711, "qemu-system-x86", user: 107,
            [
                0: "/dev/null", 12: "/dev/vfio/vfio", 13: "/dev/vfio/26", 14: "socket:[77]",
                15: "/dev/vfio/noiommu-3",
            ])
        try machine.process(
            99, "spdk_tgt", [7: "/dev/iommu", 8: "/dev/vfio/devices/vfio5", 9: "/dev/vfio/26 (deleted)"])
        let holders = Holders(in: machine.roots)
        #expect(holders.isComplete)
        let qemu = { Holder(process: 4711, name: "qemu-system-x86", descriptor: $0, user: 107) }
        let spdk = { Holder(process: 99, name: "spdk_tgt", descriptor: $0, user: 0) }
        #expect(holders.of(.group(26)) == [spdk(9), qemu(13)])
        #expect(holders.of(.container) == [qemu(12)])
        #expect(holders.of(.iommu) == [spdk(7)])
        #expect(holders.ofGroup(3) == [qemu(15)])
        #expect(holders.of(.group(27)).isEmpty)
        let address = try #require(PCIAddress("0000:01:00.0"))
        let summary = DeviceSummary(DeviceID(address), group: 26, deviceNode: 5)
        #expect(holders.of(summary) == [spdk(8)])
        #expect("\(qemu(13))" == "qemu-system-x86 (process 4711, descriptor 13)")
    }

    @Test("a descriptor that a group gave out counts for its device, where the kernel names it")
    func devices() throws {
        let machine = try FakeMachine()
        defer { withExtendedLifetime(machine) {} }
        try machine.process(
            5, "driver",
            [3: "anon_inode:[vfio-device]", 4: "anon_inode:[vfio-device]", 5: "anon_inode:[eventfd]"])
        try machine.file(
            "proc/5/fdinfo/3",
            "pos:\t0\nflags:\t02000002\nvfio-device-syspath: /sys/devices/pci0000:00/0000:00:03.0\n")
        try machine.file("proc/5/fdinfo/4", "pos:\t0\nflags:\t02000002\n")
        let holders = Holders(in: machine.roots)
        let address = try #require(PCIAddress("0000:00:03.0"))
        #expect(holders.of(DeviceSummary(DeviceID(address))).map(\.descriptor) == [3])
        #expect(holders.ofUnknownDevices.map(\.descriptor) == [4])
        #expect(holders.entries.count == 2)
    }

    @Test("nodes are known where another folder holds them, and a plain file of that name isn't one")
    func otherFolders() throws {
        let machine = try FakeMachine()
        defer { withExtendedLifetime(machine) {} }
        try machine.file("copy/dev/vfio/8", "")
        try machine.process(
            6, "contained", [3: machine.root + "/dev/vfio/7", 4: machine.root + "/copy/dev/vfio/8"])
        #expect(Holders(in: machine.roots).entries.map(\.held) == [.node(.group(7))])
        let copy = SystemRoots(
            sysfs: machine.roots.sysfs, devices: machine.root + "/copy/dev",
            processes: machine.roots.processes)
        #expect(Holders(in: copy).entries.isEmpty)
    }

    @Test("a character device is known by its number, whatever it is called")
    func numbers() throws {
        let machine = try FakeMachine()
        defer { withExtendedLifetime(machine) {} }
        // The null device stands for a group's: /dev/null is 1:3 on every Linux.
        try machine.file("sys/class/vfio/42/dev", "1:3\n")
        try machine.file("sys/class/misc/iommu/dev", "1:70000000000\n")
        try machine.process(6, "renamed", [3: "/dev/null", 4: "/dev/zero"])
        let holders = Holders(in: machine.roots)
        #expect(holders.entries.map(\.held) == [.node(.group(42))])
    }

    @Test("the descriptors of this very process are found on the real machine")
    func ourselves() throws {
        let machine = try FakeMachine()
        defer { withExtendedLifetime(machine) {} }
        try machine.file("sys/class/vfio-dev/vfio9/dev", "1:5\n")
        var roots = machine.roots
        roots.processes = "/proc"
        let zero = try Descriptor(opening: "/dev/zero")
        let found = Holders(in: roots).of(.device(9))
        #expect(found.contains { $0.process == ProcessLimits.processID && $0.descriptor == zero.number })
    }

    @Test("processes that can't be looked into make the answer incomplete")
    func unreadable() throws {
        let machine = try FakeMachine()
        defer { withExtendedLifetime(machine) {} }
        // A file where a folder is expected can't be listed, by root neither.
        try machine.file("proc/77/fd", "")
        // A thread of the kernel can hold nothing.
        try machine.file("proc/78/fd", "")
        try machine.file("proc/78/stat", "78 (a) b) S 2 0 0 0 -1 2129984 0 0 0\n")
        let holders = Holders(in: machine.roots)
        #expect(holders.unreadable == 1 && !holders.isComplete && holders.entries.isEmpty)
    }

    @Test("a missing procfs and that of a container don't tell of the whole machine")
    func partial() throws {
        let machine = try FakeMachine()
        defer { withExtendedLifetime(machine) {} }
        var roots = machine.roots
        roots.processes = machine.root + "/nowhere"
        #expect(!Holders(in: roots).isComplete)
        try FileSystem.makeFolders(machine.root + "/proc/self/ns")
        try FileSystem.makeLink(machine.root + "/proc/self/ns/pid", to: "pid:[4026531836]")
        #expect(Holders(in: machine.roots).isComplete)
        try FileSystem.unlink(machine.root + "/proc/self/ns/pid")
        try FileSystem.makeLink(machine.root + "/proc/self/ns/pid", to: "pid:[4026532000]")
        #expect(!Holders(in: machine.roots).isComplete)
    }

    @Test("what a process calls itself can't disturb a terminal, and broken entries are passed over")
    func hostile() throws {
        let machine = try FakeMachine()
        defer { withExtendedLifetime(machine) {} }
        try machine.process(9, "a\u{1b}]0;x\u{7}", [3: "/dev/vfio/1", 5: "/dev/vfio/99999999999999999999"])
        try machine.file("proc/99999999999/comm", "x")
        try machine.file("proc/-4/comm", "x")
        try machine.file("proc/10", "x")
        try machine.file("proc/9/fdinfo/3", String(repeating: "\n", count: 1000))
        let holders = Holders(in: machine.roots)
        #expect(holders.entries.map(\.holder.name) == ["a?]0;x?"])
    }
}
