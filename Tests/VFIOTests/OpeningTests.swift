import HostTestSupport
import DeviceModel
import LinuxSystem
import SoftwareHost
import Testing
import VFIO
import VFIOABI
import VFIOHost

@Suite("Opening a device")
struct OpeningTests {
    @Test("takes the device's own node where it can, and says why")
    func automatic() throws {
        let host = try machine()
        let device = try Device(opening: benchAddress, on: host)
        #expect(device.route.kind == .cdev)
        #expect(
            device.route.description == "cdev (the device has a node of its own, and /dev/iommu is there)")
        #expect(device.info.flags.contains(.pci))
        #expect(device.info.regionCount == 9)
        #expect(try device.configuration.vendor == 0x1b36)
    }

    @Test("goes through the group where there is no iommufd, and says why")
    func automaticWithoutIOMMUFD() throws {
        let host = try machine { $0.hasIOMMUFD = false }
        let device = try Device(opening: benchAddress, on: host)
        #expect(device.route == Route(kind: .group, reason: "/dev/iommu isn't there"))
    }

    @Test("goes through the group where the device has no node, and says why")
    func automaticWithoutNode() throws {
        let host = try machine { $0.hasDeviceNodes = false }
        let device = try Device(opening: benchAddress, on: host)
        #expect(device.route.description == "group (the device has no node in /dev/vfio/devices)")
    }

    @Test("goes through the group where the user may not open the iommufd, and says why")
    func automaticDenied() throws {
        let host = try machine { $0.nodes = [NodePermission(.iommu, .denied)] }
        let device = try Device(opening: benchAddress, on: host)
        #expect(device.route.kind == .group)
        #expect(device.route.reason.contains("/dev/iommu can't be used: this user may not read and write"))
    }

    @Test("tells of both ways where both are closed")
    func bothClosed() throws {
        let host = try machine {
            $0.nodes = [NodePermission(.iommu, .denied), NodePermission(.group(26), .denied)]
        }
        let error = failure { () throws(VFIOError) in try Device(opening: benchAddress, on: host) }
        #expect(error?.code == .permissionDenied)
        #expect(error?.says("/dev/vfio/26", "chown $USER /dev/vfio/26", "closed too: /dev/iommu") == true)
    }

    @Test("can be forced either way", arguments: [RouteChoice.group, .cdev])
    func forced(choice: RouteChoice) throws {
        let host = try machine()
        let device = try Device(opening: benchAddress, on: host, choice)
        #expect(device.route.kind == (choice == .group ? .group : .cdev))
        #expect(device.route.reason == "asked for")
    }

    @Test("fails where the forced way isn't there")
    func forcedMissing() throws {
        let without = try machine { $0.hasDeviceNodes = false }
        let error = failure { () throws(VFIOError) in try Device(opening: benchAddress, on: without, .cdev) }
        #expect(error?.code == .notSupported)
        #expect(error?.says("0000:01:00.0", "no node in /dev/vfio/devices", "through its group") == true)
        let none = try machine { $0.hasIOMMUFD = false }
        #expect(failure { () throws(VFIOError) in try AddressSpace(on: none, .cdev) }?.code == .noVFIO)
    }

    @Test("an address without a device is named")
    func noDevice() throws {
        let host = try machine()
        let address = PCIAddress(bus: 9, device: 0, function: 0)
        let error = failure { () throws(VFIOError) in try Device(opening: address, on: host) }
        #expect(error?.code == .noSuchDevice)
        #expect(
            error?.description
                == "0000:09:00.0: can't open the device: there is no PCI device at 0000:09:00.0; "
                + "remedy: look for its address with `vfio list`")
    }

    @Test("a device of another driver is named with that driver")
    func otherDriver() throws {
        let host = try machine {
            $0.groups = [IOMMUGroup(26, devices: [PCIDevice(try Bench(), at: benchAddress, driver: "nvme")])]
        }
        let error = failure { () throws(VFIOError) in try Device(opening: benchAddress, on: host) }
        #expect(error?.code == .boundToOtherDriver)
        #expect(error?.says("0000:01:00.0 is bound to nvme", "vfio-pci") == true)
    }

    @Test("a device without a driver is said to have none")
    func noDriver() throws {
        let host = try machine {
            $0.groups = [IOMMUGroup(26, devices: [PCIDevice(try Bench(), at: benchAddress, driver: nil)])]
        }
        let error = failure { () throws(VFIOError) in try Device(opening: benchAddress, on: host) }
        #expect(error?.code == .noDriver)
        #expect(error?.says("isn't bound to any driver") == true)
    }

    @Test(
        "the device that keeps a group from being used is named, with its driver",
        arguments: [
            RouteChoice.group, .cdev,
        ])
    func notViable(choice: RouteChoice) throws {
        let host = try machine {
            let sound = PCIIdentity(vendor: 0x10de, device: 0x0fbc, classCode: 0x040300)
            $0.groups = [
                IOMMUGroup(26) {
                    PCIDevice(try! Bench(), at: benchAddress)
                    PCIDevice(bystander: sound, at: "0000:01:00.1", driver: "snd_hda_intel")
                }
            ]
        }
        let error = failure { () throws(VFIOError) in try Device(opening: benchAddress, on: host, choice) }
        #expect(error?.code == .notViable)
        #expect(error?.object == "group 26")
        #expect(
            error?.says("group 26 isn't viable: 0000:01:00.1 is bound to snd_hda_intel", "remedy") == true)
        #expect(host.openCount == 0)
    }

    @Test("a machine without VFIO says that its modules are missing")
    func noVFIO() throws {
        let host = try machine {
            $0.hasContainers = false
            $0.hasIOMMUFD = false
        }
        let error = failure { () throws(VFIOError) in try Device(opening: benchAddress, on: host) }
        #expect(error?.code == .noVFIO)
        #expect(error?.says("neither /dev/vfio/vfio nor /dev/iommu is there", "modprobe vfio-pci") == true)
    }

    @Test("a group that is open elsewhere is busy")
    func busy() throws {
        let host = try machine()
        let first = try Device(opening: benchAddress, on: host, .group)
        let error = failure { () throws(VFIOError) in try Device(opening: benchAddress, on: host, .group) }
        #expect(error?.code == .busy)
        #expect(error?.says("/dev/vfio/26", "group 26 is open already") == true)
        #expect(first.address == benchAddress)
    }

    @Test("a device whose group is open can't be bound to an iommufd")
    func bindBusy() throws {
        let host = try machine()
        let first = try Device(opening: benchAddress, on: host, .group)
        let error = failure { () throws(VFIOError) in try Device(opening: benchAddress, on: host) }
        #expect(error?.code == .busy)
        #expect(error?.errno == .busy)
        #expect(error?.says("its group is open through /dev/vfio/26") == true)
        #expect(first.address == benchAddress)
    }

    @Test("devices share an address space, and a group in it")
    func shared() throws {
        let second = PCIAddress(bus: 1, device: 0, function: 1)
        let host = try machine {
            $0.groups = [
                IOMMUGroup(26) {
                    PCIDevice(try! Bench(), at: benchAddress)
                    PCIDevice(try! Bench(), at: second)
                }
            ]
        }
        for choice in [RouteChoice.group, .cdev] {
            let space = try AddressSpace(on: host, choice)
            let a = try Device(opening: benchAddress, in: space)
            let b = try Device(opening: second, in: space)
            let memory = try space.allocate(byteCount: 4096)
            #expect(a.addressSpace === b.addressSpace)
            #expect(memory.addressSpace === space)
        }
        #expect(host.openCount == 0)
    }

    @Test("a device without an IOMMU is refused, and opened when asked for")
    func unprotected() throws {
        let host = try machine {
            $0.iommu = IOMMU(.none)
            $0.groups = []
            $0.ungroupedDevices = [PCIDevice(try Bench(), at: benchAddress)]
            $0.parameters.enableUnsafeNoIOMMUMode = true
        }
        let error = failure { () throws(VFIOError) in try Device(opening: benchAddress, on: host) }
        #expect(error?.code == .noIOMMU)
        #expect(error?.says("has no IOMMU", "overwrite any memory", "intel_iommu=on") == true)
        let device = try Device(opening: benchAddress, on: host, .unprotected)
        #expect(device.route.kind == .unprotected)
        #expect(try device.configuration.vendor == 0x1b36)
        let refused = failure { () throws(VFIOError) in
            try device.addressSpace.allocate(byteCount: 4096).release()
        }
        #expect(refused?.code == .noIOMMU)
    }

    @Test("closes the device first, then the group, then the container")
    func closingOrder() throws {
        let host = try machine()
        do {
            let device = try Device(opening: benchAddress, on: host, .group)
            let memory = try device.addressSpace.allocate(byteCount: 4096)
            let region = try device.region(.bar2)
            #expect(region.byteCount == 0x4000)
            #expect(memory.byteCount == 4096)
        }
        #expect(host.closingOrder == ["device", "vfio/26", "vfio/vfio"])
        #expect(host.openCount == 0)
        #expect(host.mappingCount == 0)
    }

    @Test("keeps its mappings while another device comes and goes")
    func mappingsStay() throws {
        let host = try machine()
        let space = try AddressSpace(on: host, .group)
        var device: Device? = try Device(opening: benchAddress, in: space)
        let memory = try space.allocate(byteCount: 8192)
        #expect(device != nil)
        device = nil
        let again = try Device(opening: benchAddress, in: space)
        #expect(space.mappedByteCount == 8192)
        #expect(again.route.kind == .group)
        try memory.release()
        #expect(space.mappedByteCount == 0)
    }
}
