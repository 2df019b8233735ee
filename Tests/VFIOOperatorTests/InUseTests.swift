import LinuxSystem
import Testing
import VFIOHost
import VFIOOperator

@Suite("What a machine uses a device for")
struct InUseTests {
    let device = DeviceID("0000:01:00.0")!

    /// A machine with an NVMe disk of three partitions.
    private func diskMachine() throws -> FolderMachine {
        let machine = try FolderMachine()
        let path = try machine.function("0000:01:00.0", driver: "nvme")
        try machine.part(path + "/nvme/nvme0", "nvme")
        let disk = path + "/nvme/nvme0/nvme0n1"
        try machine.block(disk, "259:0")
        for number in 1...3 {
            try machine.block("\(disk)/nvme0n1p\(number)", "259:\(number)")
            try machine.file("\(disk)/nvme0n1p\(number)/partition", "\(number)\n")
        }
        return machine
    }

    @Test("a disk that nothing is mounted from is free")
    func freeDisk() throws {
        let machine = try diskMachine()
        try machine.mounts("22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n")
        let use = InUse(of: device, in: machine.roots)
        #expect(use.uses.isEmpty)
        #expect(use.undetermined.isEmpty)
    }

    @Test("mounted partitions are named with their places, and how to unmount them")
    func mounted() throws {
        let machine = try diskMachine()
        try machine.mounts(
            """
            22 1 259:2 / / rw,relatime shared:1 - ext4 /dev/root rw
            23 22 259:1 / /mnt/two\\040words rw,relatime shared:2 master:4 - vfat /dev/nvme0n1p1 rw
            24 22 0:21 / /proc rw - proc proc rw

            """)
        let use = InUse(of: device, in: machine.roots)
        #expect(
            use.active.map(\.sentence) == [
                "nvme0n1p1 is mounted at /mnt/two words", "nvme0n1p2 is mounted at /",
            ])
        #expect(use.active.map(\.kind) == [.mounted, .mounted])
        // Nobody can unmount what the machine runs from.
        #expect(use.active.map(\.remedy) == ["umount /mnt/two words", nil])
    }

    @Test("swap is found by its node and by the links that lead to it")
    func swap() throws {
        let machine = try diskMachine()
        try machine.link("dev/disk/by-label/swap", to: "dev/nvme0n1p3")
        try machine.mounts("", swaps: "/dev/disk/by-label/swap partition\t1048572\t\t0\t\t-2\n")
        let use = InUse(of: device, in: machine.roots)
        #expect(use.active.map(\.sentence) == ["nvme0n1p3 is in use as swap"])
        #expect(use.active.first?.remedy == "swapoff /dev/nvme0n1p3")
    }

    @Test("a kernel without swap has none in use")
    func noSwap() throws {
        let machine = try diskMachine()
        try machine.file("proc/self/mountinfo", "")
        let use = InUse(of: device, in: machine.roots)
        #expect(use.uses.isEmpty)
        #expect(use.undetermined.isEmpty)
    }

    @Test("volumes are followed to what is mounted from them")
    func volumes() throws {
        let machine = try diskMachine()
        try machine.block("sys/class/block/dm-0", "253:0")
        try machine.file("sys/class/block/dm-0/dm/name", "vg-root\n")
        try machine.block("sys/class/block/md0", "9:0")
        try machine.link("sys/class/block/nvme0n1p3/holders/dm-0", to: "sys/class/block/dm-0")
        try machine.link("sys/class/block/nvme0n1p2/holders/md0", to: "sys/class/block/md0")
        try machine.mounts("22 1 253:0 / /home rw - xfs /dev/mapper/vg-root rw\n")
        let use = InUse(of: device, in: machine.roots)
        #expect(
            use.active.map(\.sentence) == [
                "nvme0n1p3 carries dm-0 (vg-root), which is mounted at /home", "nvme0n1p2 belongs to md0",
            ])
    }

    @Test("volumes in a ring come to an end")
    func ring() throws {
        let machine = try diskMachine()
        for (one, other) in [("dm-0", "dm-1"), ("dm-1", "dm-0")] {
            try machine.block("sys/class/block/" + one, "253:9")
            try machine.link("sys/class/block/\(one)/holders/\(other)", to: "sys/class/block/" + other)
        }
        try machine.link("sys/class/block/nvme0n1/holders/dm-0", to: "sys/class/block/dm-0")
        try machine.mounts("")
        #expect(InUse(of: device, in: machine.roots).active.map(\.sentence) == ["nvme0n1 belongs to dm-0"])
    }

    @Test("btrfs, whose file systems have no device number, is found by its nodes")
    func btrfs() throws {
        let machine = try diskMachine()
        // Of a file system on two partitions `mountinfo` names one only.
        for name in ["nvme0n1p1", "nvme0n1p2"] {
            try machine.link("sys/fs/btrfs/5f0c/devices/\(name)", to: "sys/class/block/" + name)
        }
        try machine.mounts("22 1 0:30 /@ /data rw - btrfs /dev/nvme0n1p1 rw,subvol=/@\n")
        #expect(
            InUse(of: device, in: machine.roots).active.map(\.sentence) == [
                "nvme0n1p1 is mounted at /data", "nvme0n1p2 is part of a mounted btrfs file system",
            ])
    }

    @Test("a disk that several controllers lead to is used by the disk's own name")
    func multipath() throws {
        let machine = try FolderMachine()
        let path = try machine.function("0000:01:00.0", driver: "nvme")
        try machine.part(path + "/nvme/nvme1", "nvme")
        try machine.part(path + "/nvme/nvme1/nvme0c1n1", "block")
        let disk = "sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1"
        try machine.block(disk, "259:0")
        try machine.block(disk + "/nvme0n1p1", "259:1")
        try machine.file(disk + "/nvme0n1p1/partition", "1\n")
        try machine.mounts("22 1 259:1 / /srv rw - ext4 /dev/nvme0n1p1 rw\n")
        #expect(
            InUse(of: device, in: machine.roots).active.map(\.sentence) == ["nvme0n1p1 is mounted at /srv"])
    }

    @Test("mounts of other namespaces count, and what can't be read is said")
    func namespaces() throws {
        let machine = try diskMachine()
        try machine.mounts("22 1 8:1 / / rw - ext4 /dev/sda1 rw\n")
        try FileSystem.makeFolders(machine.root + "/proc/self/ns")
        try FileSystem.makeLink(machine.root + "/proc/self/ns/mnt", to: "mnt:[1]")
        for (process, space) in [(7, 1), (1234, 2), (1235, 2)] {
            try machine.file("proc/\(process)/mountinfo", "22 1 259:1 / /data rw - ext4 /dev/x rw\n")
            try FileSystem.makeFolders(machine.root + "/proc/\(process)/ns")
            try FileSystem.makeLink(machine.root + "/proc/\(process)/ns/mnt", to: "mnt:[\(space)]")
        }
        let use = InUse(of: device, in: machine.roots)
        #expect(
            use.active.map(\.sentence) == [
                "nvme0n1p1 is mounted at /data (in the mount namespace of process 1234)"
            ])
        #expect(use.active.first?.remedy == nil)
        #expect(use.undetermined.isEmpty)

        let other = try diskMachine()
        #expect(
            InUse(of: device, in: other.roots).undetermined == [
                "what is mounted: the table of mounts can't be read whole",
                "what is in use as swap: the list can't be read",
            ])
    }

    @Test("an interface that is up is a reason, one that is down is a fact")
    func network() throws {
        let machine = try FolderMachine()
        let path = try machine.function("0000:01:00.0", classCode: "0x020000", driver: "e1000e")
        let net = path + "/net/eth0"
        try machine.part(net, "net")
        try machine.file(net + "/flags", "0x1003\n")
        try machine.file(net + "/operstate", "up\n")
        try machine.link(net + "/master", to: "sys/class/net/br0")
        let up = InUse(of: device, in: machine.roots)
        #expect(up.active.map(\.sentence) == ["eth0 is up and belongs to br0"])
        #expect(up.active.first?.remedy == "ip link set eth0 down")
        try machine.file(net + "/flags", "0x1002\n")
        let down = InUse(of: device, in: machine.roots)
        #expect(down.active.isEmpty)
        #expect(down.uses.map(\.sentence) == ["eth0 is down and belongs to br0"])
        try machine.file(net + "/flags", "gibberish\n")
        #expect(
            InUse(of: device, in: machine.roots).undetermined == [
                "whether eth0 is up: its flags can't be read"
            ])
    }

    @Test("a network card without an interface to be seen may be used elsewhere")
    func hiddenInterface() throws {
        let machine = try FolderMachine()
        try machine.function("0000:01:00.0", classCode: "0x020000", driver: "e1000e")
        try machine.function("0000:02:00.0", classCode: "0x020000", driver: "vfio-pci")
        #expect(
            InUse(of: device, in: machine.roots).undetermined == [
                "no network interface of it is to be seen here: it may be up in another network namespace"
            ])
        #expect(InUse(of: DeviceID("0000:02:00.0")!, in: machine.roots).undetermined.isEmpty)
    }

    @Test("other uses are told by class: displays, sound, input, USB, consoles, mediated devices")
    func others() throws {
        let machine = try FolderMachine()
        let path = try machine.function("0000:01:00.0", classCode: "0x030000", driver: "card")
        try machine.part(path + "/drm/card0", "drm")
        try machine.part(path + "/drm/card0/card0-DP-1", "drm")
        try machine.file(path + "/drm/card0/card0-DP-1/enabled", "enabled\n")
        try machine.part(path + "/sound/card1", "sound")
        try machine.file(path + "/sound/card1/id", "HDMI\n")
        try machine.part(path + "/usb1", "usb")
        try machine.part(path + "/usb1/1-2", "usb")
        try machine.file(path + "/usb1/1-2/product", "A \u{1b}[31mkeyboard\n")
        try machine.part(path + "/usb1/1-2/1-2:1.0/input/input5", "input")
        try machine.part(path + "/tty/ttyS4", "tty")
        try machine.file("sys/class/tty/console/active", "tty0 ttyS4\n")
        try machine.part(path + "/5f0c3b1e-8a3d-4c53-9d1e-7b9f7f7e1a01", "mdev")
        try machine.file(path + "/sriov_numvfs", "2\n")
        let use = InUse(of: device, in: machine.roots)
        #expect(
            use.active.map(\.sentence) == [
                "ttyS4 is a console of this machine",
                "the mediated device 5f0c3b1e-8a3d-4c53-9d1e-7b9f7f7e1a01 is made from it",
                "2 virtual functions of it are enabled",
            ])
        #expect(
            use.uses.filter { !$0.isActive }.map(\.sentence) == [
                "card0 shows a picture at DP-1", "card1 (HDMI) is a sound card",
                "input5 takes a person's input", "usb1 is a USB bus with A ?[31mkeyboard",
            ])
    }

    @Test("what is behind a bridge isn't the bridge's own")
    func bridge() throws {
        let machine = try FolderMachine()
        let bridge = try machine.function("0000:00:1c.0", classCode: "0x060400", driver: "pcieport")
        let card = try machine.function(
            "0000:01:00.0", classCode: "0x020000", driver: "e1000e", below: bridge)
        try machine.part(card + "/net/eth0", "net")
        try machine.file(card + "/net/eth0/flags", "0x1003\n")
        #expect(InUse(of: DeviceID("0000:00:1c.0")!, in: machine.roots).uses.isEmpty)
        #expect(InUse(of: device, in: machine.roots).active.count == 1)
    }

    @Test("a device that isn't there can't be told")
    func missing() throws {
        let machine = try FolderMachine()
        #expect(InUse(of: device, in: machine.roots).undetermined.count == 1)
    }
}
