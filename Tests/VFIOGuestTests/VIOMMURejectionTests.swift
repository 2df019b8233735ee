import IOVASpace
import LinuxSystem
import SoftwareHost
import Testing
import VFIO
import VFIOABI

@testable import VFIOGuest

/// Chapter 1.9 of the guest layer's specification: what an entry of a guest's IOMMU must be for a device to get it.
@Suite("A translation that devices can't be given is rejected for a reason")
struct VIOMMURejectionTests {
    let machine: VIOMMUMachine
    let iommu: ScriptedIOMMU
    let device: GuestDevice
    private var guest: VIOMMUGuest { machine.guest }
    private let high: UInt64 = 1 << 32

    init() throws {
        machine = try VIOMMUMachine { ScriptedIOMMU($0.space) }
        iommu = try #require(machine.iommu as? ScriptedIOMMU)
        device = try machine.attach()
    }

    /// Puts a region at 4 GiB, maps 64 KiB that lead there, and gives back why they aren't mapped.
    private func rejections(
        of kind: MemoryRegion.Kind, byteCount: UInt128 = 0x1_0000, _ change: (MemoryRegion) -> Void = { _ in }
    ) throws -> [IOMMURejection] {
        let region = try MemoryRegion("thing", kind, byteCount: byteCount, in: guest.memory)
        change(region)
        try guest.root.add(region, at: high)
        iommu.map(0x10_0000, 0x1_0000, to: high)
        let isMapped = machine.read(at: 0x10_0000) != nil
        let reasons = device.rejections
        #expect(isMapped == reasons.isEmpty)
        iommu.unmap(0x10_0000, 0x1_0000)
        try guest.root.remove(region)
        return reasons
    }

    private func block(isProtected: Bool = false) throws -> RAMBlock {
        try RAMBlock("block", byteCount: 0x1_0000, isProtected: isProtected)
    }

    @Test("1.9 RAM is taken")
    func ram() throws {
        #expect(try rejections(of: .ram(block())) == [])
        #expect(try rejections(of: .rom(block())) == [])
        #expect(try rejections(of: .ramDevice(block())) == [])
    }

    @Test("1.9 It must lead to system memory")
    func otherSpace() throws {
        let other = GuestAddressSpace("elsewhere", showing: guest.root)
        iommu.map(0x10_0000, 0x1000, to: 0x90_0000, in: other)
        #expect(device.rejections == [.otherSpace("elsewhere")])
        #expect(machine.read(at: 0x10_0000) == nil)
    }

    @Test("1.9 It must lead to memory: not to nothing, nor to registers")
    func notMemory() throws {
        iommu.map(0x10_0000, 0x1000, to: high)
        #expect(device.rejections == [.nothingThere(GuestAddress(high))])
        #expect(
            try rejections(of: .io(IgnoredRegisters())) == [.notMemory(GuestAddress(high), "thing")])
    }

    @Test("1.9 It must not lead to one more IOMMU, of whose changes nobody would hear")
    func translatedAgain() throws {
        let second = ScriptedIOMMU(guest.space)
        #expect(try rejections(of: .iommu(second)) == [.translatedAgain(GuestAddress(high), "thing")])
    }

    @Test("1.9 Memory of confidential guests and memory that is kept from devices is out of reach")
    func outOfReach() throws {
        #expect(try rejections(of: .ram(block(isProtected: true))) == [.protected("thing")])
        #expect(try rejections(of: .ram(block())) { $0.setHiddenFromDevices(true) } == [.hidden("thing")])
    }

    @Test("1.9 All of it must be seen in one piece: nothing is mapped that is shorter than the guest says")
    func truncated() throws {
        #expect(
            try rejections(of: .ram(block()), byteCount: 0xf000)
                == [.truncated("thing", available: 0xf000)])
        // Two blocks next to each other aren't one piece either.
        let second = try MemoryRegion("second", .ram(block()), byteCount: 0x1000, in: guest.memory)
        try guest.root.add(second, at: high + 0xf000)
        #expect(
            try rejections(of: .ram(block()), byteCount: 0xf000)
                == [.truncated("thing", available: 0xf000)])
    }

    @Test(
        "1.9 Memory plugged in blocks must be populated throughout, and who maps it is told of what it may pin"
    )
    func notPopulated() throws {
        let region = try MemoryRegion(ram: block(), in: guest.memory)
        let blocks = try MemoryBlocks(
            in: region, blockByteCount: 0x4000, requestedByteCount: 0x1_0000)
        try guest.root.add(region, at: high)
        try blocks.plug(0x4000..<0xc000)
        let follower = try #require(device.followers.first)
        for (offset, count) in [(0, 0x1000), (0, 0x1_0000), (0x3000, 0x2000), (0xb000, 0x2000)]
            as [(UInt64, UInt64)]
        {
            iommu.map(0x10_0000, count, to: high + offset)
            #expect(device.rejections == [.notPopulated("block")])
            #expect(machine.read(at: 0x10_0000) == nil)
        }
        #expect(!follower.pinsDiscardableMemory)
        iommu.map(0x10_0000, 0x8000, to: high + 0x4000)
        #expect(device.rejections.isEmpty && machine.write(1, at: 0x10_7ff8))
        #expect(follower.pinsDiscardableMemory)
        // What was unplugged can't be brought back.
        iommu.unmap(0x10_0000, 0x8000)
        try blocks.unplug(0x4000..<0x8000)
        iommu.map(0x10_0000, 0x1000, to: high + 0x4000)
        #expect(device.rejections == [.notPopulated("block")])
    }

    @Test("1.9 What can only be read can't be mapped for writing alone")
    func readOnly() throws {
        let rom = try MemoryRegion("rom", .rom(block()), byteCount: 0x1000, in: guest.memory)
        try guest.root.add(rom, at: high)
        iommu.map(0x10_0000, 0x1000, to: high, .write)
        #expect(device.rejections == [.readOnly("rom")])
        iommu.map(0x10_0000, 0x1000, to: high, .read)
        #expect(device.rejections.isEmpty && machine.read(at: 0x10_0000) != nil)
    }

    @Test("1.9 An entry that allows nothing maps nothing, and one that goes beyond the last address neither")
    func badEntries() throws {
        iommu.map(0x10_0000, 0x1000, to: 0x90_0000, [])
        #expect(device.rejections == [.noPermissions])
        iommu.map(0x10_0000, 0x2000, to: .max - 0xfff)
        #expect(device.rejections == [.wraps])
        iommu.map(0x10_0000, 0x1000, to: .max - 0xfff)
        #expect(device.rejections == [.nothingThere(GuestAddress(.max - 0xfff))])
    }

    @Test("1.9 It must be whole pages of the machine's IOMMU, which translates the addresses")
    func pages() throws {
        iommu.map(0x10_0000, 0x800, to: 0x90_0000)
        iommu.map(0x10_0800, 0x1000, to: 0x90_0800)
        iommu.map(0x10_0000, 0x1000, to: 0x90_0800)
        #expect(device.rejections == [.misaligned(4096), .misaligned(4096), .misaligned(4096)])
        // Where messages of interrupts go.
        iommu.map(0xfee0_0000, 0x1000, to: 0x90_0000)
        iommu.map(0xfed0_0000, 0x20_0000, to: 0xa0_0000)
        #expect(device.rejections == [.outsideWindows, .outsideWindows])
        #expect(device.container?.iommu.mappingCount == 0)
    }

    @Test("1.9 A part of another device that can't be mapped is no failure")
    func unreachableDevice() throws {
        let bar = try MemoryRegion("bar", .ramDevice(block()), byteCount: 0x1_0000, in: guest.memory)
        try guest.root.add(bar, at: high)
        machine.machine.host.inject(FaultRule(.request(.iommuMapDMA, .badAddress), .nth(1)))
        iommu.map(0x10_0000, 0x1000, to: high)
        let reasons = device.rejections
        guard case .unreachableDevice(let text)? = reasons.first else {
            Issue.record("\(reasons)")
            return
        }
        #expect(text.contains("EFAULT"))
        #expect(device.followers.first?.firstFailure == nil)
        iommu.map(0x10_0000, 0x1000, to: high)
        #expect(machine.write(5, at: 0x10_0000) && bar.block?.window.load64(0) == 5)
    }

    @Test("1.9 What was mapped where something is rejected is unmapped")
    func replaced() {
        iommu.map(0x10_0000, 0x2000, to: 0x90_0000)
        iommu.map(0x10_0000, 0x1000, to: high)
        #expect(machine.read(at: 0x10_0000) == nil && machine.read(at: 0x10_1000) != nil)
    }

    @Test("1.9 A flood of rejections keeps the oldest")
    func flood() {
        for page in 0..<UInt64(100) { iommu.map(page << 12, 0x1000, to: high) }
        let log = device.followers[0].takeRejections()
        #expect(log.entries.count == 64 && log.hasOverflowed)
        #expect(log.entries[0].range.first == IOVA(0))
        #expect("\(log.entries[1])" == "IOVA 0x1000...0x1fff: there is nothing at 0x100000000")
    }
}
