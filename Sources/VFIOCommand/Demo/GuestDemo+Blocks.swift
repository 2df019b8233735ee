import LinuxSystem
import VFIO
import VFIOGuest

extension GuestDemo {
    /// Memory that is plugged and unplugged in blocks.
    mutating func plugBlocks(_ engine: DemoEngine) throws {
        let place: UInt64 = 16 << 30
        let block: UInt64 = 2 << 20
        let memory = try RAMBlock("memory in blocks", byteCount: 64 << 20, isShared: true)
        let region = try MemoryRegion(ram: memory, in: guest.memory)
        let blocks = try MemoryBlocks(in: region, blockByteCount: block, requestedByteCount: 8 * block)
        try guest.system.add(region, at: place)
        let others = mappingCount(engine.device)
        story.say(
            "Memory in blocks, as virtio-mem has it",
            "up to \(Human.bytes(memory.byteCount)) in blocks of \(Human.bytes(block)) at \(Self.hex(place)); "
                + "\(Human.bytes(blocks.requestedByteCount)) of it offered to the guest")

        let plugged = try measured { try blocks.plug(0..<8 * block) }
        let last = place + 8 * block - 8
        try guest.space.store(UInt64(0x1122_3344), at: GuestAddress(0x3000))
        try allowed("a write to a block that was plugged") { try engine.copy(8, from: 0x3000, to: last) }
        let read = try guest.space.load(UInt64.self, at: GuestAddress(last))
        try require(read == 0x1122_3344, "the guest doesn't read what the device wrote to a block")
        story.detail(
            "the guest plugged \(Self.count(8, "block")) in \(plugged): "
                + "\(Self.count(mappingCount(engine.device) - others, "mapping")), the device reaches the last byte"
        )

        try blocks.unplug(5 * block..<8 * block)
        let record = try refused("a write to a block that was unplugged") { try engine.put(8, at: last) }
        try allowed("a write to a block beside it") { try engine.put(8, at: place + 5 * block - 8) }
        story.detail(
            "it gave back \(Self.count(3, "block")): \(Human.bytes(blocks.pluggedByteCount)) left in "
                + "\(Self.count(mappingCount(engine.device) - others, "mapping")); refused: \(record)")

        try blocks.plug(7 * block..<8 * block)
        let fresh = try guest.space.load(UInt64.self, at: GuestAddress(last))
        try require(fresh == 0, "a block that was plugged again holds what it held")
        try allowed("a write to a block that was plugged again") { try engine.put(8, at: last) }
        let again = try guest.space.load(UInt64.self, at: GuestAddress(last))
        try require(again == 0x1122_3344, "the device's write to a block plugged again doesn't arrive")
        story.detail("it plugged the last one again: it read as zeros, and what the device writes arrives")

        if let demand = try engine.device.container?.mappingDemand() {
            story.detail(
                "all blocks plugged would take \(Human.grouped(demand.sectionMappingCount)) mappings; "
                    + (demand.limit.map { "the IOMMU takes \(Human.grouped($0))" } ?? "the IOMMU has no limit")
            )
        }
        try guest.system.remove(region)
        try require(mappingCount(engine.device) == others, "mappings of the blocks are left")
    }
}
