import DeviceModel
import Glibc
import LinuxSystem
import Testing
import VFIOABI
import VFIOHost

@testable import SoftwareHost

@Suite("Containers, groups and devices come and go as in Linux")
struct CoreLifeCycleTests {
    @Test("a fresh container answers for the interface and refuses what needs an IOMMU")
    func freshContainer() throws {
        let rig = try Rig()
        let container = rig.open(.container)
        #expect(container >= 0)
        #expect(rig.ask(container, .getAPIVersion) == 0)
        for (number, answer) in [(1, 1), (2, 0), (3, 1), (4, 0), (6, 0), (8, 0), (9, 1), (10, 0), (30, 0)] {
            #expect(rig.ask(container, .checkExtension, UInt(number)) == answer, "extension \(number)")
        }
        #expect(rig.ask(container, .setIOMMU, 3) == -EINVAL)
        #expect(rig.ask(container, .iommuGetInfo, 1) == -EINVAL)
        #expect(rig.ask(container, Request(rawValue: 0x1234)) == -EINVAL)
    }

    @Test("a free group: one opening, viable, nothing to unset, no devices")
    func openedGroup() throws {
        let rig = try Rig()
        let group = rig.open(.group(26))
        #expect(group >= 0)
        #expect(rig.open(.group(26)) == -EBUSY)
        #expect(rig.open(.group(99)) == -ENOENT)
        #expect(rig.open(.unprotectedGroup(26)) == -ENOENT)
        #expect(rig.status(group) == 1)
        #expect(rig.ask(group, .groupUnsetContainer) == -EINVAL)
        #expect(rig.device(group) == -EINVAL)
        #expect(rig.device(group, "0000:09:00.0") == -ENODEV)
        #expect(rig.ask(group, Request(rawValue: 0x3bff)) == -ENOTTY)
        rig.host.close(group)
        let again = rig.open(.group(26))
        #expect(again >= 0)
    }

    @Test("a group in a container without IOMMU driver can leave, can't open devices")
    func containerSet() throws {
        let rig = try Rig()
        let container = rig.open(.container)
        let group = rig.open(.group(26))
        #expect(rig.setContainer(group, container) == 0)
        #expect(rig.status(group) == 3)
        #expect(rig.setContainer(group, container) == -EINVAL)
        #expect(rig.open(.group(26)) == -EBUSY)
        #expect(rig.device(group) == -EINVAL)
        #expect(rig.device(group, "0000:09:00.0") == -ENODEV)
        #expect(rig.ask(group, .groupUnsetContainer) == 0)
        #expect(rig.status(group) == 1)
        #expect(rig.ask(group, .groupUnsetContainer) == -EINVAL)
    }

    @Test("SET_IOMMU takes types 1 and 3, once, and names what it doesn't take")
    func setIOMMU() throws {
        let rig = try Rig()
        let container = rig.open(.container)
        let group = rig.open(.group(26))
        #expect(rig.setContainer(group, container) == 0)
        for (kind, answer) in [
            (2, ENODEV), (6, ENODEV), (8, ENODEV), (9, EINVAL), (10, ENODEV), (77, ENODEV),
        ] {
            #expect(rig.ask(container, .setIOMMU, UInt(kind)) == -answer, "type \(kind)")
        }
        #expect(rig.ask(container, .setIOMMU, 3) == 0)
        #expect(rig.ask(container, .setIOMMU, 3) == -EINVAL)
        #expect(rig.ask(container, .checkExtension, 4) == 1)
        #expect(rig.ask(container, .checkExtension, 10) == 1)
        #expect(rig.ask(container, .checkExtension, 6) == 0)
        #expect(rig.ask(container, Request(rawValue: 0x3bfe)) == -ENOTTY)
        // The last group takes the driver with it: the container is as new.
        #expect(rig.ask(group, .groupUnsetContainer) == 0)
        #expect(rig.ask(container, .checkExtension, 10) == 0)
        #expect(rig.setContainer(group, container) == 0)
        #expect(rig.ask(container, .setIOMMU, 1) == 0)
    }

    @Test("an open device holds its group in the container, and may be opened again")
    func openDevice() throws {
        let rig = try Rig()
        let (container, group) = rig.ready()
        let first = rig.device(group)
        let second = rig.device(group)
        #expect(first >= 0 && second >= 0 && first != second)
        #expect(rig.buses[0].opened == 1)
        #expect(rig.ask(first, .deviceGetInfo) == 7)
        #expect(rig.ask(group, .groupUnsetContainer) == -EBUSY)
        #expect(rig.open(.group(26)) == -EBUSY)
        #expect(rig.ask(container, .setIOMMU, 3) == -EINVAL)
        rig.host.close(first)
        #expect(rig.ask(group, .groupUnsetContainer) == -EBUSY)
        #expect(rig.buses[0].closed == 0)
        rig.host.close(second)
        #expect(rig.buses[0].closed == 1)
        #expect(rig.ask(second, .deviceGetInfo) == -EBADF)
        #expect(rig.ask(group, .groupUnsetContainer) == 0)
    }

    @Test("closed in any order, everything works until the device is closed, and then nothing is left")
    func closeOrders() throws {
        let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]
        for order in orders {
            let rig = try Rig()
            let (container, group) = rig.ready()
            let device = rig.device(group)
            #expect(rig.map(container, 0x10000, from: 5) == 0)
            let bus = rig.buses[0]
            for which in order {
                if bus.isOpen {
                    #expect(bus.read(0x10000) == [5], "\(order)")
                    // Somebody else can't have the group as long as the device is open.
                    #expect(rig.open(.group(26)) == -EBUSY)
                }
                rig.host.close([container, group, device][which])
            }
            #expect(bus.opened == 1 && bus.closed == 1)
            #expect(bus.dmaWorkedAtClose == [true], "\(order)")
            #expect(!bus.canRead(0x10000))
            #expect(bus.space == nil)
            #expect(rig.host.lockedByteCount == 0)
            let (again, _) = rig.ready()
            #expect(rig.map(again, 0x10000) == 0)
        }
    }

    @Test("mappings stay while a group is in the container, and go with the last one")
    func mappingsPersist() throws {
        let rig = try Rig()
        let (container, group) = rig.ready()
        let second = rig.open(.group(27))
        #expect(rig.setContainer(second, container) == 0)
        #expect(rig.map(container, 0x10000, from: 9) == 0)
        rig.host.close(container)
        #expect(rig.buses[2].read(0x10000) == [9])
        rig.host.close(group)
        #expect(!rig.buses[0].canRead(0x10000))
        #expect(rig.buses[2].read(0x10000) == [9])
        rig.host.close(second)
        #expect(!rig.buses[2].canRead(0x10000))
        #expect(rig.host.lockedByteCount == 0)
    }

    @Test("a mapping of a device keeps it open until it is unmapped")
    func mappingHoldsDevice() throws {
        let rig = try Rig()
        let (container, group) = rig.ready()
        let device = rig.device(group)
        let window = try rig.host.map(device, at: 0, byteCount: 100, protection: [.read, .write])
        for handle in [container, group, device] { rig.host.close(handle) }
        #expect(rig.buses[0].isOpen)
        #expect(rig.open(.group(26)) == -EBUSY)
        rig.host.unmap(window)
        #expect(!rig.buses[0].isOpen)
        #expect(rig.open(.group(26)) >= 0)
    }

    @Test("a device that fails to open leaves nothing behind")
    func failedOpen() throws {
        let rig = try Rig()
        let (_, group) = rig.ready()
        rig.buses[0].openError = .again
        #expect(rig.device(group) == -EAGAIN)
        #expect(rig.ask(group, .groupUnsetContainer) == 0)
    }

    @Test("SET_CONTAINER tells apart what isn't a container")
    func wrongDescriptors() throws {
        let rig = try Rig()
        let (container, group) = rig.ready()
        let other = rig.open(.group(27))
        let pipe = try EventDescriptor()
        #expect(rig.setContainer(other, -1) == -EBADF)
        #expect(rig.setContainer(other, 1_000_000) == -EBADF)
        #expect(rig.setContainer(other, pipe.number) == -EBADFD)
        #expect(rig.setContainer(other, group) == -EBADFD)
        #expect(rig.ask(other, .groupSetContainer, 8) == -EFAULT)
        // A group that has a container says so before it looks at the kind of file.
        #expect(rig.setContainer(group, pipe.number) == -EINVAL)
        #expect(rig.setContainer(group, -1) == -EBADF)
        #expect(rig.ask(container + 1000, .getAPIVersion) == -EBADF)
    }

    @Test("GET_STATUS looks at the address, then at argsz")
    func statusChecks() throws {
        let rig = try Rig()
        let group = rig.open(.group(26))
        #expect(rig.ask(group, .groupGetStatus, 16) == -EFAULT)
        #expect(rig.ask(group, .groupGetStatus, with: GroupStatus(argsz: 7)) == -EINVAL)
        var status = GroupStatus(argsz: 100)
        #expect(rig.ask(group, .groupGetStatus, &status) == 0)
        #expect(status.argsz == 100)
    }

    @Test(
        "a device's name may be followed by options, which a plain device doesn't take",
        arguments: [
            ("0000:01:00.0", 0), ("0000:01:00.0 ", 0), ("0000:01:00.0   ", 0), ("0000:01:00.0\t", ENODEV),
            ("0000:01:00.00", ENODEV), ("0000:01:00", ENODEV), ("", ENODEV), ("0000:01:00.0 x", EINVAL),
            ("0000:01:00.0 vf_token=1", EINVAL),
            ("0000:01:00.0 vf_token=00112233-4455-6677-8899-aabbccddeeff", EINVAL),
            ("0000:01:00.0 vf_token=00112233-4455-6677-8899-aabbccddeefg", EINVAL),
        ])
    func names(_ name: String, _ error: Int32) throws {
        let rig = try Rig()
        let (_, group) = rig.ready()
        let answer = rig.device(group, name)
        if error == 0 { #expect(answer >= 0) } else { #expect(answer == -error) }
    }

    @Test("a name that doesn't end within a page, or can't be read, is refused")
    func badNames() throws {
        let rig = try Rig()
        let (_, group) = rig.ready()
        #expect(rig.device(group, String(repeating: "x", count: pageSize)) == -EINVAL)
        #expect(rig.device(group, String(repeating: "x", count: pageSize - 1)) == -ENODEV)
        #expect(rig.ask(group, .groupGetDeviceFD, 64) == -EFAULT)
    }

    @Test("the frame of features checks size and flags before the driver sees anything")
    func features() throws {
        let rig = try Rig()
        let (_, group) = rig.ready()
        let device = rig.device(group)
        #expect(rig.ask(device, .deviceFeature, 8) == -EFAULT)
        let set: UInt32 = 1 << 17
        let get: UInt32 = 1 << 16
        for (argsz, flags, answer) in [
            (7, 5 | set, -EINVAL), (8, 5 | set | 1 << 19, -EINVAL), (8, 5 | set | get, -EINVAL),
            (8, 6 | set, -ENOTTY), (12, 5 | set, 4), (8, 5 | set | get | 1 << 18, 0),
        ] as [(UInt32, UInt32, Int32)] {
            let request = DeviceFeature(argsz: argsz, flags: FeatureFlags(rawValue: flags))
            #expect(rig.ask(device, .deviceFeature, with: request) == answer, "\(argsz) \(flags)")
        }
    }

    @Test("region information grows by capabilities only as far as there is room")
    func regionInfo() throws {
        let rig = try Rig()
        let (_, group) = rig.ready()
        let device = rig.device(group)
        var info = RegionInfo(index: 0)
        #expect(rig.ask(device, .deviceGetRegionInfo, with: RegionInfo(argsz: 31)) == -EINVAL)
        #expect(rig.ask(device, .deviceGetRegionInfo, with: RegionInfo(index: 9)) == -EINVAL)
        #expect(rig.ask(device, .deviceGetRegionInfo, &info) == 0)
        #expect(info.argsz == 32 && info.flags == [.read, .write] && info.capabilityOffset == 0)
        rig.buses[0].region.sparseAreas = [(0x1000, 0x2000), (0x8000, 0x1000)]
        rig.buses[0].region.isMSIXMappable = true
        // A sparse list of two areas takes 16 + 32 bytes, the header alone 8.
        #expect(rig.ask(device, .deviceGetRegionInfo, &info) == 0)
        #expect(info.argsz == 32 + 56 && info.flags.contains(.caps) && info.capabilityOffset == 0)
        var bytes = [UInt8](repeating: 0xaa, count: 96)
        bytes.withUnsafeMutableBytes { raw in
            raw.storeBytes(of: RegionInfo(argsz: 88, index: 0), as: RegionInfo.self)
            #expect(rig.ask(device, .deviceGetRegionInfo, UInt(bitPattern: raw.baseAddress)) == 0)
            let words = raw.bindMemory(to: UInt32.self)
            #expect(words[0] == 88 && words[3] == 32)
            #expect(words[8] == 1 | 1 << 16 && words[9] == 80 && words[10] == 2)
            #expect(words[12] == 0x1000 && words[14] == 0x2000 && words[16] == 0x8000)
            #expect(words[20] == 3 | 1 << 16 && words[21] == 0)
            #expect(words[22] == 0xaaaa_aaaa, "nothing is written beyond the chain")
        }
    }

    @Test("handles that aren't devices can't be read, written or mapped")
    func notDevices() throws {
        let rig = try Rig()
        let (container, group) = rig.ready()
        let iommufd = rig.open(.iommu)
        for (handle, error) in [(container, ENODEV), (group, ENODEV), (iommufd, ENXIO)] {
            #expect(throws: Errno(rawValue: error)) {
                try rig.host.map(handle, at: 0, byteCount: 1, protection: .read)
            }
            #expect(throws: Errno.invalid) {
                try rig.host.write(handle, at: 0, [UInt8](repeating: 0, count: 4).span.bytes)
            }
        }
        #expect(throws: Errno.badDescriptor) {
            try rig.host.map(9999, at: 0, byteCount: 1, protection: .read)
        }
    }
}
