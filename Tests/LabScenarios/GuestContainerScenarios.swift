import IOVASpace
import LinuxSystem
import VFIO
import VFIOGuest
import VFIOHost

extension Scenario {
    static let guestContainers: [Scenario] = [
        Scenario("two devices of a guest share a container, and what one writes the other reads") { lab in
            let guest = try LabGuest(lab)
            let low = try guest.addRAM("low", pages: 4, at: 0)
            // The disk's part lies where the other device can't look.
            let high = try guest.addRAM("high", pages: DiskDevice.pageCount, at: 1 << 32)
            let edu = try guest.attachEdu(exchange: (low, IOVA(0)))
            let attached = try guest.devices.attach(try lab.diskAddress(), to: guest.space)
            let disk = try DiskDevice(lab, attached.device)
            try expectEqual(guest.devices.containers.count, 1, "containers")
            try expect(edu.device.container === attached.container, "they are in different containers")
            try expectEqual(try guest.mappingCount(attached), 2, "mappings")

            try disk.expectIdentifies(in: high, at: 1 << 32, "RAM beyond 4 GiB")
            let shared = low.window(at: pageSize, byteCount: 3 * pageSize)
            try disk.expectIdentifies(in: shared, at: UInt64(pageSize), "low RAM")
            try edu.expectReads(
                shared.window(at: 2 * pageSize, byteCount: 1024), at: UInt64(3 * pageSize),
                "what the disk wrote")

            edu.device.detach()
            try disk.expectIdentifies(in: high, at: 1 << 32, "RAM, when the other device is gone")
            try expectEqual(try guest.mappingCount(attached), 2, "mappings, when the other device is gone")
            attached.detach()
            try expectEqual(guest.devices.containers.count, 0, "containers in the end")
        },
        Scenario("two devices in different address spaces of a guest see each its own memory") { lab in
            let guest = try LabGuest(lab)
            let low = try guest.addRAM("low", pages: 4, at: 0)
            let root = try MemoryRegion("private", .container, byteCount: 1 << 64, in: guest.memory)
            let region = try guest.ram("own", pages: 4)
            let own = try guest.window(of: region)
            try root.add(region, at: 0)
            let space = GuestAddressSpace("private memory", showing: root)

            let edu = try guest.attachEdu(exchange: (low, IOVA(0)))
            let attached = try guest.devices.attach(try lab.diskAddress(), to: space)
            let disk = try DiskDevice(lab, attached.device)
            try expectEqual(guest.devices.containers.count, 2, "containers")
            let address = UInt64(pageSize)
            let pattern = low.window(at: pageSize, byteCount: GuestEdu.usualByteCount)
            try edu.expectWrites(pattern, at: address, 40, "the one's memory")
            try disk.expectIdentifies(
                in: own.window(at: pageSize, byteCount: 3 * pageSize), at: address, "the other's memory")
            try Pattern.expect(pattern, 40, "the other device has written the one's memory")
            try edu.expectReads(pattern, at: address, "the one's memory")

            // Only the one that sees it hears of a change.
            try root.remove(region)
            try expectEqual(try guest.mappingCount(attached), 0, "mappings of the other")
            try expectEqual(try guest.mappingCount(edu.device), 1, "mappings of the one")
            let answer = try disk.identify(
                in: own.window(at: pageSize, byteCount: 3 * pageSize), at: address, milliseconds: 300)
            try expect(answer == nil, "the other device has reached memory that was removed")
            try edu.expectWrites(pattern, at: address, 41, "the one's memory, afterwards")
        },
        Scenario("a guest's device reads another one's registers by DMA where the host can map them") { lab in
            let guest = try LabGuest(lab)
            let low = try guest.addRAM("low", pages: 2, at: 0)
            let edu = try guest.attachEdu(exchange: (low, IOVA(0)))
            let attached = try guest.devices.attach(try lab.diskAddress(), to: guest.space)
            try attached.device.setMemoryEnabled(true)
            let bar = try GuestRegion(.bar0, of: attached.device, in: guest.memory)
            let place: UInt64 = 0xe00_0000
            try guest.system.add(bar.memory, at: place)
            let version = try guest.space.load(UInt32.self, at: GuestAddress(place + 8))
            try expect((1...0x20_0000).contains(version >> 8), "version \(version) of the disk")

            // So that what was read before isn't taken for what is read now.
            try edu.write(50, at: UInt64(pageSize))
            let outcome = try guest.outcomes(edu.device).last
            let read = try edu.read(at: place, 16).load32(8)
            if lab.host.kind == .linux { try expect(bar.isMapped, "the host maps no registers") }
            if outcome?.hasSuffix(": mapped") == true {
                guard lab.hasPeerToPeer else { throw Skipped("the device's DMA reaches memory only") }
                try expectEqual(read, version, "the version that the other device read")
            } else {
                let reason = bar.isMapped ? ": unreachable" : ": skipped, notMemory"
                try expect(outcome?.hasSuffix(reason) == true, "\(outcome ?? "nothing")")
                try expect(read != version, "registers were read that aren't mapped")
            }
            // Not to be had any more, and no failure either way.
            try guest.system.remove(bar.memory)
            try edu.write(51, at: UInt64(pageSize))
            try expect(
                try edu.read(at: place, 16).load32(8) != version, "registers were read that are gone")
            try edu.expectWrites(
                low.window(at: pageSize, byteCount: pageSize), at: UInt64(pageSize), 52, "RAM")
        },
    ]

    /// What only a real kernel can be asked, since KVM looks at the files that it is given.
    public static let onRealKernels: [Scenario] = [
        Scenario("a virtual machine of KVM's knows of a guest's devices, and lets go of them") { lab in
            let machine: Descriptor
            do throws(Errno) {
                machine = try KVMDevice.makeMachine()
            } catch {
                throw Skipped("no virtual machine can be made: \(error)")
            }
            let files: KVMDevice
            do throws(Errno) {
                files = try KVMDevice(of: machine.number)
            } catch {
                throw Skipped("KVM has no VFIO device: \(error)")
            }
            // Twice: what isn't taken out the first time can't be added the second time.
            for round in 1...2 {
                let guest = try LabGuest(lab, machine: files)
                let low = try guest.addRAM("low", pages: 2, at: 0)
                let edu = try guest.attachEdu(exchange: (low, IOVA(0)))
                try edu.expectWrites(
                    low.window(at: pageSize, byteCount: pageSize), at: UInt64(pageSize), 60 + round, "RAM")
            }
            let file = try Descriptor(opening: "/dev/null", .readWrite)
            try expectErrno(.invalid, "a file that isn't VFIO's") { () throws(Errno) in
                try files.add(file.number)
            }
        }
    ]
}
