import HostTestSupport
import IOVASpace
import LinuxSystem
import SoftwareHost
import Testing
import VFIO
import VFIOABI

@testable import VFIOGuest

@Suite("Mapping and unmapping, as the host is asked for it")
struct MappingRequestTests {
    private let page = UInt64(pageSize)

    private func range(_ first: UInt64, _ last: UInt64) -> IOVARange { IOVARange(first, through: last) }

    @Test("1.4 Mapping asks for reading, and for writing too unless the guest can only read")
    func permissions() throws {
        let machine = try FaultyMachine()
        let ram = try machine.ram(pages: 2, at: 0x10000)
        let block = try RAMBlock("rom", byteCount: pageSize)
        let rom = try MemoryRegion("rom", .rom(block), byteCount: 4096, in: machine.machine.memory)
        try machine.machine.system.add(rom, at: 0x20000)
        let device = try machine.attach()
        defer { withExtendedLifetime(device) {} }
        let address = try #require(ram.block).window.address
        #expect(
            machine.maps.value == [
                DMAMap(
                    flags: [.read, .write], vaddr: UInt64(address.rawValue), iova: 0x10000, size: 2 * page),
                DMAMap(
                    flags: .read, vaddr: UInt64(block.window.address.rawValue), iova: 0x20000, size: page),
            ])
    }

    @Test("1.4 Without a migration unmapping asks for no bitmap; with one for a bit per page, in whole words")
    func bitmap() throws {
        let machine = try FaultyMachine()
        let bitmaps = Box<[DMAUnmapWithBitmap]>([])
        machine.host.watch(.iommuUnmapDMA, DMAUnmapWithBitmap()) { unmap in
            if unmap.unmap.flags.contains(.getDirtyBitmap) { bitmaps.change { $0.append(unmap) } }
        }
        let first = try machine.ram("first", pages: 65, at: 0)
        let second = try machine.ram("second", pages: 64, at: 0x10_0000)
        let third = try machine.ram("third", pages: 1, at: 0x20_0000)
        let device = try machine.attach()
        defer { withExtendedLifetime(device) {} }
        try machine.machine.system.remove(third)
        #expect(machine.unmaps.value == [DMAUnmap(iova: 0x20_0000, size: page)])
        try machine.machine.memory.startMigrationLog()
        try machine.machine.system.remove(first)
        try machine.machine.system.remove(second)
        #expect(bitmaps.value.map(\.unmap.iova) == [0, 0x10_0000])
        #expect(bitmaps.value.map(\.unmap.size) == [65 * page, 64 * page])
        #expect(bitmaps.value.allSatisfy { $0.unmap.argsz == UInt32(DMAUnmapWithBitmap.byteCount) })
        #expect(bitmaps.value.map(\.bitmap.size) == [16, 8])
        #expect(bitmaps.value.map(\.bitmap.pageSize) == [page, page])
    }

    @Test("1.4 Linux 4.15 to 4.20, which refuse the last page of the space, are asked for one page less")
    func lastPage() throws {
        let machine = try FaultyMachine()
        let space = try Self.space(machine)
        // Nothing is mapped in the last page there.
        try space.map(HostAddress(rawValue: 0x10000), to: range(.max - 0x3fff, .max - 0x1000), .readWrite)
        machine.host.answer(.iommuUnmapDMA) { argument in
            guard let unmap = try? UserMemory.load(DMAUnmap(), from: HostAddress(rawValue: argument)) else {
                return nil
            }
            return unmap.iova &+ unmap.size == 0 ? .failure(.invalid) : .success(0)
        }
        try space.unmap(range(.max - 0x3fff, .max))
        #expect(machine.unmaps.value.map(\.size) == [0x4000, 0x3000])
        #expect(space.mappingCount == 0)
    }

    @Test("Fault 16: A range of one page that can't be unmapped never becomes one of no page")
    func neverNothing() throws {
        let machine = try FaultyMachine()
        let space = try Self.space(machine)
        try space.map(HostAddress(rawValue: 0x10000), to: range(.max - 0xfff, .max), .readWrite)
        machine.host.fail(.control(UInt32(Request.iommuUnmapDMA.rawValue)), with: .invalid)
        let error = thrown { () throws(VFIOError) in try space.unmap(range(.max - 0xfff, .max)) }
        #expect(error?.errno == .invalid)
        #expect(machine.unmaps.value.map(\.size) == [0x1000])
        #expect(space.mappingCount == 1, "devices may still reach it")
    }

    @Test("Fault 16: A host that unmaps less than it should is told of, and what is left counts as mapped")
    func unmappedSize() throws {
        let machine = try FaultyMachine()
        let ram = try machine.ram(pages: 2, at: 0)
        let failures = Box<[DMAMapper.Failure]>([])
        let device = try machine.attach { failure in failures.change { $0.append(failure) } }
        machine.host.amend(.iommuUnmapDMA) { argument in
            try? UserMemory.store(DMAUnmap(iova: 0, size: 4096), to: HostAddress(rawValue: argument))
        }
        try machine.machine.system.remove(ram)
        #expect(failures.value.map(\.error.code) == [.unmappedSizeDiffers])
        #expect(failures.value.first?.section.region.name == "ram")
        #expect(device.container?.iommu.mappingCount == 1)
        machine.host.healAll()
    }

    @Test("1.8 All 2^64 bytes are unmapped in one request where the host has it, and in two halves elsewhere")
    func allOfIt() throws {
        for hasRequest in [true, false] {
            let machine = try FaultyMachine()
            if !hasRequest {
                machine.host.answer(.checkExtension) { argument in
                    argument == VFIOABI.Extension.unmapAll.rawValue ? .success(0) : nil
                }
            }
            let space = try Self.space(machine)
            let half = UInt64(1) << 63
            try space.map(HostAddress(rawValue: 0x10000), to: range(0, half - 1), .readWrite)
            try space.map(HostAddress(rawValue: 0x10000), to: range(half, .max), .readWrite)
            machine.host.answer(.iommuUnmapDMA) { argument in
                let address = HostAddress(rawValue: argument)
                guard var unmap = try? UserMemory.load(DMAUnmap(), from: address) else { return nil }
                // 2^64 bytes, as far as 64 bits can say it.
                if unmap.flags.contains(.all) { unmap.size = 0 }
                try? UserMemory.store(unmap, to: address)
                return .success(0)
            }
            try space.unmap(.all)
            #expect(
                machine.unmaps.value
                    == (hasRequest
                        ? [DMAUnmap(flags: .all)]
                        : [DMAUnmap(iova: 0, size: half), DMAUnmap(iova: half, size: half)]))
            #expect(space.mappingCount == 0)
        }
    }

    /// The I/O address space of a device, in which anything can be mapped.
    private static func space(_ machine: FaultyMachine) throws -> VFIO.AddressSpace {
        let space = try VFIO.AddressSpace(on: machine.host, .group)
        let device = try Device(opening: GuestMachine.address(0), in: space)
        withExtendedLifetime(device) {}
        machine.host.accept(.iommuMapDMA)
        return space
    }

    @Test("1.7 The memory behind a section is found by its offset, also where neither begins on a page")
    func offsets() throws {
        let machine = try FaultyMachine()
        let ram = try machine.machine.ram("ram", pages: 8)
        let block = try #require(ram.block)
        let window = try MemoryRegion(
            "window", .alias(ram, offset: 0x2800), byteCount: 0x3000, in: machine.machine.memory)
        try machine.machine.system.add(window, at: 0x1_0800)
        let device = try machine.attach()
        defer { withExtendedLifetime(device) {} }
        // 0x10800 shows 0x2800: the whole pages are 0x11000...0x12fff, which show 0x3000...0x4fff.
        #expect(machine.maps.value.map(\.iova) == [0x1_1000])
        #expect(machine.maps.value.map(\.size) == [0x2000])
        #expect(machine.machine.probers[0].write(0x77, at: 0x1_1008))
        #expect(block.window.load64(0x3008) == 0x77)
        #expect(!machine.machine.probers[0].write(1, at: 0x1_0ff8))
        #expect(!machine.machine.probers[0].write(1, at: 0x1_3000))
    }

    @Test(
        "1.7 Device memory that isn't whole pages of the IOMMU is passed over; RAM that isn't, is a failure")
    func largePages() throws {
        let machine = try FaultyMachine(.group) { $0.iommu.pageSizes = .kib64 }
        let bar = try MemoryRegion(
            "bar", .ramDevice(RAMBlock("bar", byteCount: 4096)), byteCount: 4096, in: machine.machine.memory)
        try machine.machine.system.add(bar, at: 0x1_0000)
        let failures = Box<[String]>([])
        let device = try machine.attach { failure in
            failures.change { $0.append(failure.section.region.name) }
        }
        guard case .skipped(.partialPages)? = device.container?.mapper.outcomes.first?.outcome else {
            Issue.record("the BAR isn't passed over")
            return
        }
        #expect(machine.maps.value.isEmpty)
        try machine.machine.system.remove(bar)
        #expect(machine.unmaps.value.isEmpty && failures.value.isEmpty)
        try machine.ram("crumb", pages: 1, at: 0x2_0000)
        #expect(failures.value == ["crumb"])
    }

    @Test("1.8 What couldn't be unmapped is told with the section that it belonged to")
    func failingRemoval() throws {
        let machine = try FaultyMachine()
        let ram = try machine.ram(pages: 1, at: 0x4000)
        let failures = Box<[DMAMapper.Failure]>([])
        let device = try machine.attach { failure in failures.change { $0.append(failure) } }
        defer { withExtendedLifetime(device) {} }
        machine.host.fail(.control(UInt32(Request.iommuUnmapDMA.rawValue)), with: .inputOutput)
        try machine.machine.system.remove(ram)
        #expect(failures.value.map(\.error.errno) == [.inputOutput])
        #expect(failures.value.first?.error.object == "section ram+0x0 at 0x4000...0x4fff")
        machine.host.healAll()
    }

    @Test("1.8 A section that goes is unmapped once; memory that is plugged in blocks, by its own follower")
    func once() throws {
        let machine = try FaultyMachine()
        let region = try ramRegion(byteCount: 1 << 20, in: machine.machine.memory)
        let blocks = try MemoryBlocks(in: region, blockByteCount: 1 << 16, requestedByteCount: 1 << 20)
        try blocks.plug(0..<2 << 16)
        try machine.machine.system.add(region, at: 1 << 32)
        let ram = try machine.ram(pages: 4, at: 0)
        let device = try machine.attach()
        try machine.machine.system.remove(ram)
        #expect(machine.unmaps.value.map(\.iova) == [0])
        try machine.machine.system.remove(region)
        #expect(machine.unmaps.value.map(\.iova) == [0, 1 << 32])
        #expect(machine.unmaps.value.last?.size == 2 << 16)
        device.detach()
        #expect(machine.unmaps.value.count == 2)
    }
}
