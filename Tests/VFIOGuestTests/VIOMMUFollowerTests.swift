import IOVASpace
import LinuxSystem
import SoftwareHost
import Testing
import VFIO
import VFIOABI
import VFIOHost

@testable import VFIOGuest

@Suite("The machine's IOMMU follows the guest's")
struct VIOMMUFollowerTests {
    private static let routes: [RouteChoice] = [.group, .cdev]

    /// A machine with a vIOMMU whose table is in force.
    private func machine() throws -> (VIOMMUMachine, VIOMMU) {
        let machine = try VIOMMUMachine { try $0.vIOMMU() }
        let iommu = try #require(machine.iommu as? VIOMMU)
        try iommu.setTable(machine.guest.table)
        return (machine, iommu)
    }

    @Test(
        "1.9 A device reaches what the guest maps for it, where it maps it and while it does",
        arguments: routes)
    func follows(route: RouteChoice) throws {
        let (machine, iommu) = try machine()
        let (guest, block) = (machine.guest, machine.guest.block)
        let device = try machine.attach(route)
        #expect(!machine.write(1, at: 0x5008))
        guest.map(0x5000, to: 0x90_0000)
        iommu.invalidate(.all)
        #expect(machine.write(0x1122, at: 0x5008) && block.window.load64(0x90_0008) == 0x1122)
        #expect(!machine.write(1, at: 0x90_0008), "guest-physical addresses mean nothing to the device")
        guest.map(0x5000, to: 0x91_0000)
        iommu.invalidate(.all)
        #expect(machine.write(0x3344, at: 0x5008) && block.window.load64(0x91_0008) == 0x3344)
        guest.map(0x8000_0000, to: 0xa0_0000, level: 2)
        iommu.invalidate(.all)
        #expect(machine.write(0x55, at: 0x801f_fff8) && block.window.load64(0xbf_fff8) == 0x55)
        guest.unmap(0x5000)
        iommu.invalidate(.all)
        #expect(!machine.write(1, at: 0x5008) && machine.read(at: 0x8000_0000) != nil)
        #expect(device.container?.iommu.mappedByteCount == 2 << 20)
        device.detach()
        #expect(machine.machine.host.lockedByteCount == 0)
        #expect(iommu.notifiers.count == 0)
    }

    @Test("1.7 What is mapped before the device comes is there when it comes", arguments: routes)
    func replay(route: RouteChoice) throws {
        let (machine, _) = try machine()
        machine.guest.map(0x5000, to: 0x90_0000)
        machine.guest.map(0x4000_0000, to: 0xa0_0000, level: 2)
        let device = try machine.attach(route)
        #expect(machine.write(7, at: 0x5000) && machine.write(8, at: 0x4000_0000))
        #expect(device.followers.map(\.mappingCount) == [2])
        try (machine.iommu as? VIOMMU)?.setTable(nil)
        #expect(machine.read(at: 0x5000) == nil && machine.read(at: 0x4000_0000) == nil)
    }

    @Test("1.9 What the guest maps for reading, and what it can only read itself, a device can only read")
    func readOnly() throws {
        let (machine, iommu) = try machine()
        let rom = try MemoryRegion(
            "rom", .rom(RAMBlock("rom", byteCount: 4096)), byteCount: 4096, in: machine.guest.memory)
        try machine.guest.root.add(rom, at: 1 << 32)
        let device = try machine.attach()
        machine.guest.map(0x5000, to: 0x90_0000, .read)
        machine.guest.map(0x6000, to: 1 << 32)
        machine.guest.map(0x7000, to: 1 << 32, .write)
        iommu.invalidate(.all)
        #expect(machine.read(at: 0x5000) != nil && !machine.write(1, at: 0x5000))
        #expect(machine.read(at: 0x6000) != nil && !machine.write(1, at: 0x6000))
        #expect(machine.read(at: 0x7000) == nil)
        #expect(device.rejections == [.readOnly("rom")])
    }

    @Test("1.9 Memory that the guest unplugs stays with those mappings that lead to it, until they go")
    func unplug() throws {
        let (machine, iommu) = try machine()
        let more = try machine.machine.ram("more", pages: 1)
        try machine.guest.root.add(more, at: 1 << 32)
        let device = try machine.attach()
        machine.guest.map(0x5000, to: 1 << 32)
        iommu.invalidate(.all)
        try machine.guest.root.remove(more)
        #expect(machine.write(0x77, at: 0x5000) && more.block?.window.load64(0) == 0x77)
        machine.guest.map(0x6000, to: 1 << 32)
        iommu.invalidate(.all)
        #expect(device.rejections == [.nothingThere(GuestAddress(1 << 32))])
        machine.guest.unmap(0x5000)
        iommu.invalidate(.all)
        #expect(machine.read(at: 0x5000) == nil)
    }

    @Test(
        "1.7 A hole in the region leaves two sections, and what lies across the hole is mapped on both sides")
    func sections() throws {
        let (machine, iommu) = try machine()
        let hole = try MemoryRegion("doorbells", .container, byteCount: 0x1000, in: machine.guest.memory)
        let registers = try MemoryRegion(
            "registers", .io(IgnoredRegisters()), byteCount: 0x1000, in: machine.guest.memory)
        try hole.add(registers, at: 0)
        try machine.deviceRoot.add(hole, at: 0x4010_0000, priority: 1)
        let device = try machine.attach()
        #expect(device.followers.count == 2)
        machine.guest.map(0x4000_0000, to: 0xa0_0000, level: 2)
        iommu.invalidate(.all)
        #expect(machine.write(1, at: 0x400f_fff8) && machine.guest.block.window.load64(0xaf_fff8) == 1)
        #expect(!machine.write(2, at: 0x4010_0000))
        #expect(machine.write(3, at: 0x4010_1000) && machine.guest.block.window.load64(0xb0_1000) == 3)
        // Without the hole it is one section again; what is mapped stays so.
        try machine.deviceRoot.remove(hole)
        #expect(device.followers.count == 1)
        #expect(machine.write(2, at: 0x4010_0000) && machine.guest.block.window.load64(0xb0_0000) == 2)
        // And when the region goes all goes with it.
        try machine.deviceRoot.remove(machine.region)
        #expect(machine.read(at: 0x4000_0000) == nil && device.container?.iommu.mappingCount == 0)
    }

    @Test("1.7 A region that doesn't begin at 0, seen through an alias, is followed at its addresses")
    func alias() throws {
        let (machine, iommu) = try machine()
        try machine.deviceRoot.remove(machine.region)
        let window = try MemoryRegion(
            "window", .alias(machine.region, offset: 0x4000_0000), byteCount: 0x20_0000,
            in: machine.guest.memory)
        try machine.deviceRoot.add(window, at: 0x1_0000_0000)
        let device = try machine.attach()
        machine.guest.map(0x4000_5000, to: 0x90_0000)
        machine.guest.map(0x5000, to: 0x91_0000)
        iommu.invalidate(.all)
        #expect(machine.write(9, at: 0x1_0000_5000) && machine.guest.block.window.load64(0x90_0000) == 9)
        #expect(device.container?.iommu.mappingCount == 1)
    }

    @Test("1.7 A vIOMMU that can't be followed refuses the device, and nothing is left of it")
    func refusedConnection() throws {
        let machine = try VIOMMUMachine { try $0.vIOMMU { $0.hasCachingMode = false } }
        let error = #expect(throws: VFIOGuestError.self) { try machine.attach() }
        #expect(error?.code == .notSupported && error?.remedy?.contains("caching mode") == true)
        #expect(machine.iommu.notifiers.count == 0 && machine.machine.host.lockedByteCount == 0)
        // One whose pages are smaller than the machine's.
        let small = try VIOMMUMachine { ScriptedIOMMU($0.space) }
        (small.iommu as? ScriptedIOMMU)?.page = 1024
        #expect(throws: VFIOGuestError.self) { try small.attach() }
        // One that leads into another guest.
        let other = try VIOMMUGuest()
        let foreign = try VIOMMUMachine { _ in ScriptedIOMMU(other.space) }
        #expect(throws: VFIOGuestError.self) { try foreign.attach() }
    }

    @Test("1.7 What the machine refuses before the start fails the connection, with the first cause")
    func failureBeforeStart() throws {
        let (machine, iommu) = try machine()
        machine.guest.map(0x5000, to: 0x90_0000)
        machine.guest.map(0x6000, to: 0x91_0000)
        machine.machine.host.inject(FaultRule(.request(.iommuMapDMA, .noMemory), .nth(2)))
        let error = #expect(throws: VFIOGuestError.self) { try machine.attach() }
        #expect(error?.errno == .noMemory && error?.object.contains("iommu") == true)
        #expect(machine.machine.host.lockedByteCount == 0 && iommu.notifiers.count == 0)
        #expect(throws: Never.self) { _ = try machine.attach() }
    }

    @Test("1.7 What the machine refuses later is told, kept, and doesn't keep other pages from being mapped")
    func failureAtRunTime() throws {
        let (machine, iommu) = try machine()
        let failures = Box<[VFIOGuestError]>([])
        let device = try machine.attach { failure in failures.change { $0.append(failure.error) } }
        let follower = try #require(device.followers.first)
        machine.guest.map(0x5000, to: 0x90_0000)
        machine.guest.map(0x6000, to: 0x91_0000)
        machine.machine.host.inject(FaultRule(.request(.iommuMapDMA, .noSpace), .nth(1)))
        iommu.invalidate(.all)
        #expect(failures.value.map(\.errno) == [.noSpace])
        #expect(follower.firstFailure?.errno == .noSpace)
        #expect(machine.read(at: 0x5000) == nil && machine.write(1, at: 0x6000))
        // The guest unmaps both; there is nothing to fail.
        machine.guest.unmap(0x5000)
        machine.guest.unmap(0x6000)
        iommu.invalidate(.all)
        #expect(failures.value.count == 1 && machine.read(at: 0x6000) == nil)
        #expect(device.rejections.isEmpty)
    }

    @Test("1.9 A page that can't be unmapped counts as mapped, is told, and is unmapped at the next occasion")
    func unmapFails() throws {
        let (machine, iommu) = try machine()
        let failures = Box<[VFIOGuestError]>([])
        let device = try machine.attach { failure in failures.change { $0.append(failure.error) } }
        machine.guest.map(0x5000, to: 0x90_0000)
        iommu.invalidate(.all)
        machine.machine.host.inject(FaultRule(.request(.iommuUnmapDMA, .busy), .nth(1)))
        machine.guest.unmap(0x5000)
        iommu.invalidate(.all)
        #expect(failures.value.map(\.errno) == [.busy])
        #expect(device.followers.first?.mappingCount == 1)
        machine.guest.map(0x5000, to: 0x91_0000)
        iommu.invalidate(.all)
        #expect(machine.write(4, at: 0x5000) && machine.guest.block.window.load64(0x91_0000) == 4)
        #expect(failures.value.count == 1)
    }

    @Test("1.9 A part of a mapping that is unmapped alone leaves the rest mapped")
    func partialUnmap() throws {
        let machine = try VIOMMUMachine { ScriptedIOMMU($0.space) }
        let iommu = try #require(machine.iommu as? ScriptedIOMMU)
        try machine.region.setByteCount(1 << 30)
        let device = try machine.attach()
        iommu.map(0x20_0000, 0x1_0000, to: 0x90_0000)
        iommu.map(0x21_0000, 0x1_0000, to: 0xa0_0000)
        iommu.unmap(0x20_4000, 0x1_0000)
        let window = machine.guest.block.window
        #expect(machine.write(1, at: 0x20_3ff8) && window.load64(0x90_3ff8) == 1)
        #expect(!machine.write(2, at: 0x20_4000) && !machine.write(2, at: 0x21_3ff8))
        #expect(machine.write(3, at: 0x21_4000) && window.load64(0xa0_4000) == 3)
        iommu.unmap(0x20_1000, 0x1000)
        #expect(machine.write(4, at: 0x20_0000) && !machine.write(4, at: 0x20_1000))
        #expect(machine.write(5, at: 0x20_2000) && window.load64(0x90_2000) == 5)
        #expect(device.followers.first?.mappingCount == 3)
        // Told the same twice, or something else over it: the last word counts.
        iommu.map(0x20_0000, 0x1000, to: 0x90_0000)
        iommu.map(0x20_0000, 0x1_0000, to: 0xb0_0000)
        #expect(machine.write(6, at: 0x20_2000) && window.load64(0xb0_2000) == 6)
        device.detach()
        #expect(machine.machine.host.lockedByteCount == 0)
    }
}

/// Registers that do nothing.
final class IgnoredRegisters: RegisterAccess {
    func read(at offset: UInt64, width: Int) -> UInt64 { 0 }
    func write(_ value: UInt64, at offset: UInt64, width: Int) {}
}
