import LinuxSystem
import VFIO
import VFIOABI
import VFIOHost

extension Scenario {
    /// Everything that is done with an `edu` device, in an order that goes from simple to involved.
    public static var educational: [Scenario] {
        eduBasics + eduConfiguration + eduDMA + eduRefusedDMA + eduInterrupts + eduMapping + eduLifeCycle
            + guests
    }

    /// What is done with a device that a guest has.
    static var guests: [Scenario] {
        guestBlocks + guestMemory + guestContainers + guestIOMMU + guestDevices + guestResets
    }

    static let eduBasics: [Scenario] = [
        Scenario("the inventory has the device, in its group, bound to vfio-pci") { lab in
            let inventory = try lab.host.inventory()
            guard let record = inventory.device(at: lab.address) else {
                throw Unexpected("no \(lab.address) among \(inventory.devices.count) devices")
            }
            try expectEqual(record.vendor, 0x1234, "the vendor")
            try expectEqual(record.device, 0x11e8, "the device ID")
            try expectEqual(record.driver?.name, "vfio-pci", "the driver")
            try expectEqual(record.driver?.isVFIO, true, "whether that is one of VFIO's")
            guard let number = record.group, let group = inventory.group(number) else {
                throw Unexpected("no group \(record.group.map { "\($0)" } ?? "at all")")
            }
            try expect(group.devices.contains(lab.address), "group \(number) has \(group.devices)")
            try expect(inventory.blockers(ofGroup: number).isEmpty, "something blocks group \(number)")
            let window = group.reservedRegions.first { $0.kind == "msi" }
            try expectEqual(window?.first, 0xfee0_0000, "where the window of messages begins")
            try expectEqual(window?.last, 0xfeef_ffff, "where the window of messages ends")
            if lab.choice == .group { try expect(inventory.hasContainers, "no /dev/vfio/vfio") }
            if lab.choice == .cdev {
                try expect(inventory.hasIOMMUFD, "no /dev/iommu")
                try expect(record.deviceNode != nil, "no node in /dev/vfio/devices")
            }
        },
        Scenario("the device is opened the way that was asked for") { lab in
            let device = try lab.open()
            switch lab.choice {
            case .group: try expectEqual(device.route.kind, .group, "the way in")
            case .cdev: try expectEqual(device.route.kind, .cdev, "the way in")
            case .automatic, .unprotected: break
            }
            try expect(!device.route.reason.isEmpty, "no reason is given")
            try expect(device.info.flags.contains(.pci), "it isn't a PCI device")
            try expect(device.info.regionCount >= 9, "only \(device.info.regionCount) regions")
            try expect(!device.addressSpace.usableRanges.isEmpty, "nothing can be mapped")
            try expect(device.addressSpace.pageSizes & UInt64(pageSize) != 0, "no pages of the usual size")
        },
        Scenario("the device says that it is an edu") { lab in
            let edu = try EduDevice(lab)
            try expectEqual(
                try edu.registers.load32(EduDevice.Register.identification), 0x0100_00ed, "identification")
        },
        Scenario("the device is alive: it answers with the complement") { lab in
            let edu = try EduDevice(lab)
            for value: UInt32 in [0, 0x1234_5678, 0xffff_fffe, 1] {
                try edu.registers.store32(EduDevice.Register.liveness, value)
                try expectEqual(try edu.registers.load32(EduDevice.Register.liveness), ~value, "of \(value)")
            }
        },
        Scenario("the device computes factorials") { lab in
            let edu = try EduDevice(lab)
            for (number, factorial): (UInt32, UInt32) in [(0, 1), (1, 1), (5, 120), (10, 3_628_800)] {
                try edu.registers.store32(EduDevice.Register.factorial, number)
                try edu.wait(EduDevice.Register.status, 1, set: false, "the factorial of \(number)")
                try expectEqual(
                    try edu.registers.load32(EduDevice.Register.factorial), factorial, "\(number)!")
            }
        },
        Scenario("BAR 0 is mapped on Linux, and both kinds of access agree") { lab in
            let edu = try EduDevice(lab)
            try expectEqual(edu.registers.byteCount, 1 << 20, "the length of BAR 0")
            if lab.host.kind == .linux { try expect(edu.registers.isMapped, "BAR 0 isn't mapped") }
            try edu.registers.store32(EduDevice.Register.liveness, 0x0f0f_1234)
            let liveness = try edu.registers.register32(at: EduDevice.Register.liveness)
            try expectEqual(liveness.isMapped, edu.registers.isMapped, "whether a register is mapped")
            try expectEqual(liveness.load(), ~0x0f0f_1234, "the register through a Register32")
            // Through the host, mapped or not.
            var word: [UInt32] = [0]
            var span = word.mutableSpan
            // SAFETY: any four bytes are a UInt32.
            var bytes = unsafe span.mutableBytes
            try edu.registers.read(at: EduDevice.Register.liveness, into: &bytes)
            try expectEqual(word[0], ~0x0f0f_1234, "the register through the host")
        },
        Scenario("a region's bounds and alignment are kept") { lab in
            let registers = try EduDevice(lab).registers
            try expectError(.outOfBounds, ["1048576 bytes"], "beyond the end") { () throws(VFIOError) in
                _ = try registers.load32(1 << 20)
            }
            try expectError(.misaligned, ["multiple of 4"], "an odd offset") { () throws(VFIOError) in
                _ = try registers.load32(2)
            }
            try expectError(.notSupported, ["no such region"], "BAR 3") { () throws(VFIOError) in
                _ = try registers.device.region(.bar3)
            }
        },
    ]

    static let eduConfiguration: [Scenario] = [
        Scenario("the configuration space says who the device is") { lab in
            let configuration = try lab.open().configuration
            try expectEqual(try configuration.vendor, 0x1234, "the vendor")
            try expectEqual(try configuration.deviceID, 0x11e8, "the device ID")
            try expectEqual(try configuration.classCode, 0x00_ff00, "the class")
            try expectEqual(try configuration.revision, 0x10, "the revision")
            try expectEqual(try configuration.load8(0x0e) & 0x7f, 0, "the header's type")
            try expectEqual(try configuration.load8(0x3d), 1, "the interrupt pin")
            try expectEqual(try configuration.load16(0), 0x1234, "16 bits")
            try expectEqual(try configuration.load32(0), 0x11e8_1234, "32 bits")
        },
        Scenario("sizing a BAR doesn't disturb the device") { lab in
            let edu = try EduDevice(lab)
            let configuration = edu.device.configuration
            let before = try configuration.load32(0x10)
            try configuration.store32(0x10, .max)
            try expectEqual(try configuration.load32(0x10), 0xfff0_0000, "the size of BAR 0")
            try expectEqual(
                try edu.registers.load32(EduDevice.Register.identification), 0x0100_00ed,
                "a register meanwhile")
            try configuration.store32(0x10, before)
            try expectEqual(try configuration.load32(0x10), before, "BAR 0 afterwards")
            // A BAR that isn't there has no bits that could be set.
            try configuration.store32(0x14, .max)
            try expectEqual(try configuration.load32(0x14), 0, "the size of BAR 1")
            try expectEqual(
                try edu.registers.load32(EduDevice.Register.identification), 0x0100_00ed,
                "a register afterwards")
        },
        Scenario("read-only fields of the configuration space stay as they are") { lab in
            let configuration = try lab.open().configuration
            try configuration.store32(0, 0)
            try configuration.store32(8, 0)
            try expectEqual(try configuration.load32(0), 0x11e8_1234, "the IDs")
            try expectEqual(try configuration.classCode, 0x00_ff00, "the class")
        },
        Scenario("the capabilities can be walked") { lab in
            let configuration = try lab.open().configuration
            let found = try configuration.capabilities()
            try expect(found.contains { $0.id == 0x05 }, "no MSI among \(found)")
            guard let offset = try configuration.capability(0x05) else { throw Unexpected("no MSI") }
            try expect((0x40..<0x100).contains(offset), "MSI at \(offset)")
            try expectEqual(try configuration.load8(offset), 0x05, "the ID at \(offset)")
            try expectEqual(try configuration.capability(0x11), nil, "where MSI-X is")
            if configuration.byteCount <= 256 {
                try expectEqual(
                    try configuration.extendedCapabilities().count, 0, "the number of extended capabilities")
            }
        },
        Scenario("memory and bus mastering can be turned off and on") { lab in
            let edu = try EduDevice(lab)
            let command = try edu.device.configuration.command
            try expect(command.isSuperset(of: [.memory, .busMaster]), "not both are on: \(command)")
            try edu.device.setBusMaster(false)
            try expect(try !edu.device.configuration.command.contains(.busMaster), "it is still on")
            try edu.device.setBusMaster(true)
            try edu.device.setMemoryEnabled(false)
            try expect(try !edu.device.configuration.command.contains(.memory), "memory is still on")
            // Through the host, because touching a mapped BAR would end the process.
            let registers = edu.registers
            try expectError(.refused, ["memory may be disabled"], "a register") { () throws(VFIOError) in
                var word: [UInt32] = [0]
                var span = word.mutableSpan
                // SAFETY: any four bytes are a UInt32.
                var bytes = unsafe span.mutableBytes
                try registers.read(at: EduDevice.Register.identification, into: &bytes)
            }
            try edu.device.setMemoryEnabled(true)
            try expectEqual(
                try registers.load32(EduDevice.Register.identification), 0x0100_00ed, "a register after all")
        },
    ]
}
