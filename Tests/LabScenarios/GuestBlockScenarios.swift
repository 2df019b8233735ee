import IOVASpace
import LinuxSystem
import VFIO
import VFIOGuest
import VFIOHost

extension Scenario {
    static let guestBlocks: [Scenario] = [
        Scenario("a guest's device reaches memory while it is plugged, and never what was there before") {
            lab in
            for isShared in [true, false] { try BlockGuest(lab, isShared: isShared).checkReach() }
        },
        Scenario("the mappings that plugged memory takes are those that were foretold") { lab in
            try BlockGuest(lab, isShared: true).checkNumbers()
        },
        Scenario("what a device wrote to plugged memory is noted, also as that goes") { lab in
            try BlockGuest(lab, isShared: true).checkLog()
        },
    ]
}

/// A guest whose memory is plugged in blocks, and that has the device.
private struct BlockGuest {
    static let block: UInt64 = 1 << 16
    static let blockCount: UInt64 = 16
    /// Where the guest and its device see the memory.
    static let base: UInt64 = 1 << 20

    let memory = GuestMemory()
    let system: MemoryRegion
    let region: MemoryRegion
    let ram: RAMBlock
    let blocks: MemoryBlocks
    let device: GuestDevice
    let edu: EduDevice

    init(_ lab: Lab, isShared: Bool) throws {
        system = try MemoryRegion("system", .container, byteCount: 1 << 32, in: memory)
        ram = try RAMBlock("vmem0", byteCount: Int(Self.blockCount * Self.block), isShared: isShared)
        region = try MemoryRegion(ram: ram, in: memory)
        blocks = try MemoryBlocks(
            in: region, blockByteCount: Self.block, requestedByteCount: ram.byteCount)
        try system.add(region, at: Self.base)
        try blocks.plug(Self.range(2..<4))
        let space = GuestAddressSpace("memory", showing: system)
        device = try GuestDevices(on: lab.host, for: memory, lab.choice).attach(lab.address, to: space)
        edu = try EduDevice(lab, device.device)
    }

    static func range(_ blocks: Range<UInt64>) -> Range<UInt64> {
        blocks.lowerBound * block..<blocks.upperBound * block
    }

    private func iova(_ block: UInt64) -> IOVA { IOVA(Self.base + block * Self.block) }

    private func window(_ block: UInt64) -> MemoryWindow {
        ram.window.window(at: Int(block * Self.block), byteCount: 512)
    }

    func checkReach() throws {
        Pattern.fill(window(2), 1)
        try edu.transfer(.fromMemory, iova(2), 512)
        try edu.transfer(.toMemory, iova(3), 512)
        try Pattern.expect(window(3), 1, "what the device wrote to plugged memory didn't arrive")
        // One piece of two that were mapped together, and both sides of a hole in one request.
        try blocks.plug(Self.range(8..<12))
        try blocks.unplug(Self.range(9..<11))
        try blocks.unplug(Self.range(3..<4))
        try expect(!Pattern.hasTraces(window(3), 1), "unplugged memory still holds what it held")
        try edu.transfer(.toMemory, iova(3), 512)
        try expect(!Pattern.hasTraces(window(3), 1), "the device wrote to unplugged memory")
        try blocks.plug(Self.range(3..<4))
        try expect(!Pattern.hasTraces(window(3), 1), "memory that is plugged again isn't new")
        // The IOMMU must translate to the pages that the guest has now.
        try edu.transfer(.toMemory, iova(3), 512)
        try Pattern.expect(window(3), 1, "what the device wrote to memory plugged again didn't arrive")
        try edu.transfer(.toMemory, iova(11), 512)
        try Pattern.expect(window(11), 1, "what the device wrote behind a hole didn't arrive")
        try blocks.unplugAll()
        try expectEqual(device.container?.iommu.mappingCount, 0, "mappings with nothing plugged")
        try expectEqual(blocks.unreleased == nil, true, "whether all memory went back")
    }

    func checkNumbers() throws {
        guard let container = device.container else { throw Unexpected("no container") }
        let before = try container.mappingDemand()
        try expectEqual(before.sectionMappingCount, Self.blockCount, "mappings for all blocks")
        try expectEqual(before.inUse, 2, "mappings for two blocks")
        try expect(before.fits, "\(before)")
        let left = try container.iommu.mappingsLeft()
        try blocks.plug(Self.range(4..<Self.blockCount))
        try blocks.plug(Self.range(0..<2))
        try expectEqual(try container.mappingDemand().inUse, Self.blockCount, "mappings for all blocks")
        guard let left else {
            try expectEqual(before.limit, nil, "the limit")
            return
        }
        try expectEqual(before.limit, UInt64(left) + 2, "the limit")
        try expectEqual(
            try container.iommu.mappingsLeft(), left - 14, "what is left with 14 more mappings")
    }

    func checkLog() throws {
        let page = Int(3 * Self.block) / pageSize
        try memory.startMigrationLog()
        try memory.synchronizeDirtyLog()
        ram.dirtyLog.clear(for: .all)
        try edu.transfer(.toMemory, iova(3), 512)
        try memory.synchronizeDirtyLog()
        try expect(ram.dirtyLog.contains(page, for: .migration), "what the device wrote isn't noted")
        try expect(!ram.dirtyLog.contains(0, for: .migration), "unplugged memory counts as written")
        ram.dirtyLog.clear(for: .all)
        try edu.transfer(.toMemory, iova(3), 512)
        try system.remove(region)
        try expect(
            ram.dirtyLog.contains(page, for: .migration), "what was written before the memory went is lost")
        try expect(!ram.dirtyLog.contains(0, for: .migration), "unplugged memory counts as written")
        memory.stopMigrationLog()
    }
}
