import Glibc
import LinuxSystem
import Testing
import VFIOABI
import VFIOHost

@testable import SoftwareHost

@Suite("Others in the kernel rely on groups and devices, as KVM does")
struct CoreExternalUserTests {
    @Test("a group that somebody relies on can't leave its container")
    func historic() throws {
        let rig = try Rig()
        let container = rig.open(.container)
        let group = rig.open(.group(26))
        #expect(throws: Errno.badDescriptor) { try rig.host.externalUser(ofGroup: 9999) }
        #expect(throws: Errno.invalid) { try rig.host.externalUser(ofGroup: container) }
        #expect(throws: Errno.invalid) { try rig.host.externalUser(ofGroup: group) }
        #expect(rig.setContainer(group, container) == 0)
        #expect(throws: Errno.invalid) { try rig.host.externalUser(ofGroup: group) }
        #expect(rig.ask(container, .setIOMMU, 3) == 0)
        let user = try rig.host.externalUser(ofGroup: group)
        var second: ExternalGroupUser? = try rig.host.externalUser(ofGroup: group)
        #expect(user.groupNumber == 26)
        #expect(user.checkExtension(4) == 1 && user.checkExtension(8) == 0)
        #expect(rig.ask(group, .groupUnsetContainer) == -EBUSY)
        user.release()
        user.release()
        #expect(user.checkExtension(4) == 0)
        #expect(rig.ask(group, .groupUnsetContainer) == -EBUSY)
        #expect(second?.groupNumber == 26)
        // Forgotten is released as well.
        second = nil
        #expect(rig.ask(group, .groupUnsetContainer) == 0)
    }

    @Test("a group whose file is closed stays in its container for those who rely on it")
    func historicOutlivesFile() throws {
        let rig = try Rig()
        let (container, group) = rig.ready()
        #expect(rig.map(container, 0x1000, from: 6) == 0)
        let user = try rig.host.externalUser(ofGroup: group)
        rig.host.close(group)
        rig.host.close(container)
        #expect(rig.open(.group(26)) == -EBUSY)
        #expect(rig.buses[0].read(0x1000) == [6])
        user.release()
        #expect(rig.host.lockedByteCount == 0)
        #expect(rig.open(.group(26)) >= 0)
    }

    @Test("a group that is unplugged leaves its container, whoever relies on it")
    func historicUnplugged() throws {
        let rig = try Rig()
        let container = rig.open(.container)
        let group = rig.open(.group(27))
        #expect(rig.setContainer(group, container) == 0)
        #expect(rig.ask(container, .setIOMMU, 3) == 0)
        let user = try rig.host.externalUser(ofGroup: group)
        try rig.host.unplug(CoreBindingTests.third)
        #expect(user.checkExtension(4) == 0)
        user.release()
        #expect(rig.status(group) == -ENODEV)
    }

    @Test("groups without an IOMMU can't be relied on")
    func historicUnprotected() throws {
        let rig = try Rig {
            $0.ungroupedDevices = [PCIDevice(PlainModel(), at: "0000:05:00.0")]
            $0.parameters.enableUnsafeNoIOMMUMode = true
        }
        let container = rig.open(.container)
        let group = rig.open(.unprotectedGroup(0))
        #expect(rig.setContainer(group, container) == 0)
        #expect(rig.ask(container, .setIOMMU, 8) == 0)
        #expect(throws: Errno.notPermitted) { try rig.host.externalUser(ofGroup: group) }
    }

    @Test("a set takes groups and devices, each file once, and nothing else")
    func set() throws {
        let rig = try Rig()
        let (container, group) = rig.ready()
        let device = rig.device(group)
        let node = rig.open(.device(2))
        let set = VFIODeviceFiles(of: rig.host)
        #expect(set.enforcesCoherency)
        for file in [group, device, node] {
            try set.add(file)
            #expect(throws: Errno.exists) { try set.add(file) }
        }
        #expect(set.count == 3 && set.enforcesCoherency)
        #expect(throws: Errno.invalid) { try set.add(container) }
        #expect(throws: Errno.noSuchEntry) { try set.remove(container) }
        let foreign = try MemoryFile.create("foreign", byteCount: 0)
        #expect(throws: Errno.invalid) { try set.add(foreign.number) }
        #expect(throws: Errno.noSuchEntry) { try set.remove(foreign.number) }
        #expect(throws: Errno.badDescriptor) { try set.add(9999) }
        #expect(throws: Errno.badDescriptor) { try set.remove(9999) }
        try set.remove(device)
        #expect(throws: Errno.noSuchEntry) { try set.remove(device) }
        #expect(set.count == 2)
    }

    @Test("files in a set stay open without their handles, until the set lets go of them")
    func setHolds() throws {
        let rig = try Rig()
        let (_, group) = rig.ready()
        let device = rig.device(group)
        var set: VFIODeviceFiles? = VFIODeviceFiles(of: rig.host)
        try set?.add(device)
        try set?.add(group)
        rig.host.close(device)
        rig.host.close(group)
        #expect(rig.buses[0].isOpen)
        #expect(rig.open(.group(26)) == -EBUSY)
        #expect(throws: Errno.timedOut) {
            try rig.host.bind(CoreBindingTests.first, to: nil, waitingAtMost: 0)
        }
        set = nil
        #expect(!rig.buses[0].isOpen)
        #expect(rig.open(.group(26)) >= 0)
    }

    @Test("a file says what it is, which devices it gives access to, and whether their DMA is coherent")
    func files() throws {
        for coherent in [true, false] {
            let rig = try Rig { $0.iommu.enforcesCoherency = coherent }
            let container = rig.open(.container)
            let group = rig.open(.group(26))
            #expect(rig.setContainer(group, container) == 0)
            #expect(rig.ask(container, .setIOMMU, 3) == 0)
            let held = try rig.host.holdFile(group)
            #expect(held.isValid && held.isGroup && held.enforcesCoherency == coherent)
            #expect(held.has(CoreBindingTests.first) && held.has(CoreBindingTests.second))
            #expect(!held.has(CoreBindingTests.third))
            let device = try rig.host.holdFile(rig.device(group))
            #expect(device.isValid && !device.isGroup && device.enforcesCoherency == coherent)
            #expect(device.has(CoreBindingTests.first) && !device.has(CoreBindingTests.second))
            let other = try rig.host.holdFile(container)
            #expect(!other.isValid && !other.isGroup && other.enforcesCoherency)
            #expect(!other.has(CoreBindingTests.first))
        }
    }
}
