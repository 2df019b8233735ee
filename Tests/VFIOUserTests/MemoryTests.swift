import DeviceModel
import LinuxSystem
import SoftwareDevices
import Testing
import VFIOABI
import VFIOUser

@Suite("Memory over a socket")
struct MemoryTests {
    /// A client's memory, in a file that it can hand over.
    private final class Memory {
        let file: Descriptor
        let window: MemoryWindow
        private let mapping: Mapping

        init(pages: Int = 16) throws {
            file = try MemoryFile.create("guest", byteCount: UInt64(pages * pageSize))
            mapping = try Mapping(sharing: file.number, at: 0, byteCount: pages * pageSize)
            window = mapping.window
        }
    }

    /// Has the device read 8 bytes.
    private func load(_ rig: Rig, _ address: UInt64) throws -> UInt64 {
        try rig.connected.write64(.bar0, TestDevice.Trigger.address, address)
        try rig.connected.write64(.bar0, TestDevice.Trigger.load, 1)
        return try rig.connected.read64(.bar0, TestDevice.Trigger.data)
    }

    private func store(_ rig: Rig, _ address: UInt64, _ value: UInt64) throws {
        try rig.connected.write64(.bar0, TestDevice.Trigger.address, address)
        try rig.connected.write64(.bar0, TestDevice.Trigger.store, value)
    }

    private func lastFault(_ rig: Rig) throws -> DMAFault.Reason? {
        // A request and its answer lie between the device's access and this look.
        _ = try rig.connected.read32(.bar0, 0)
        return rig.device.faults.last?.reason
    }

    @Test("that a client maps is reached by the device where the client has it")
    func sharing() throws {
        let rig = try Rig()
        let memory = try Memory()
        try rig.connected.enable()
        #expect(
            try rig.connected.map(
                0x10_0000, UInt64(8 * pageSize), offset: UInt64(pageSize), file: memory.file.number) == nil)
        memory.window.store64(pageSize + 0x18, 0x1122_3344_5566_7788)
        #expect(try load(rig, 0x10_0018) == 0x1122_3344_5566_7788)
        try store(rig, 0x10_0000 + UInt64(8 * pageSize - 8), 99)
        #expect(memory.window.load64(9 * pageSize - 8) == 99)
        #expect(try lastFault(rig) == nil)
        // Neither before nor behind it.
        #expect(try load(rig, 0x10_0000 - 1) == .max)
        #expect(try load(rig, 0x10_0000 + UInt64(8 * pageSize - 7)) == .max)
        #expect(try lastFault(rig) == .notMapped)
        #expect(try rig.connected.unmap(0x10_0000, UInt64(8 * pageSize)) == nil)
        #expect(try load(rig, 0x10_0018) == .max)
    }

    @Test("may be mapped at any address, offset and length, across which the device goes on")
    func unaligned() throws {
        let rig = try Rig()
        let memory = try Memory()
        try rig.connected.enable()
        let number = memory.file.number
        #expect(try rig.connected.map(0x1003, 13, offset: 5, file: number) == nil)
        #expect(try rig.connected.map(0x1010, 100, offset: UInt64(3 * pageSize) + 1, file: number) == nil)
        for index in 0..<5 { memory.window.store8(13 + index, UInt8(index + 1)) }
        for index in 0..<3 { memory.window.store8(3 * pageSize + 1 + index, UInt8(index + 6)) }
        #expect(try load(rig, 0x100b) == 0x0807_0605_0403_0201)
    }

    @Test("is protected: read-only stays read-only, and nothing works without bus mastering")
    func permissions() throws {
        let rig = try Rig()
        let memory = try Memory()
        #expect(try rig.connected.map(0, UInt64(pageSize), .read, file: memory.file.number) == nil)
        memory.window.store64(0, 5)
        #expect(try load(rig, 0) == .max)
        #expect(try lastFault(rig) == .busMasterDisabled)
        try rig.connected.enable()
        #expect(try load(rig, 0) == 5)
        try store(rig, 0, 6)
        #expect(try lastFault(rig) == .notPermitted)
        #expect(memory.window.load64(0) == 5)
    }

    @Test("without a descriptor is accepted, whether the client gives it or not")
    func withoutDescriptor() throws {
        let rig = try Rig()
        let memory = RemoteMemory(at: 0, byteCount: 0)
        memory.refusal = .noDevice
        rig.connected.memory = memory
        try rig.connected.enable()
        #expect(try rig.connected.map(0xfe00_0000, 0x2_0000) == nil)
        #expect(try load(rig, 0xfe00_0000) == .max)
        #expect(try lastFault(rig) == .remote(.refused(.noDevice)))
        #expect(try rig.connected.unmap(0xfe00_0000, 0x2_0000) == nil)
        #expect(try load(rig, 0xfe00_0000) == .max)
        #expect(try lastFault(rig) == .notMapped)
    }

    @Test("isn't mapped twice, cut, or mapped in ways that make no sense")
    func refused() throws {
        let rig = try Rig()
        let client = rig.connected
        let memory = try Memory()
        let number = memory.file.number
        let page = UInt64(pageSize)
        #expect(try client.map(0x10000, 4 * page, file: number) == nil)
        #expect(try client.map(0x10000, 4 * page, file: number) == .exists)
        #expect(try client.map(0x10000 + page, page) == .exists)
        #expect(try client.map(0, .max) == .exists)
        #expect(try client.map(0x100000, 0, file: number) == .invalid)
        #expect(try client.map(0x100000, 0) == .invalid)
        #expect(try client.map(.max, 2) == .invalid)
        #expect(try client.map(.max - 4095, 4096) == nil)
        #expect(try client.map(0x100000, page, [], file: number) == .invalid)
        #expect(try client.map(0x100000, page, UserDMAMapFlags(rawValue: 0x13), file: number) == .invalid)
        #expect(try client.map(0x100000, page, [.read, .mmap]) == .invalid)
        #expect(try client.map(0x100000, page, [.read, .mmap], file: number) == nil)
        #expect(try client.map(0x200000, 17 * page, file: number) == .invalid, "the file is shorter")
        #expect(try client.map(0x200000, page, offset: 16 * page, file: number) == .invalid)
        #expect(try client.map(0x200000, page, offset: .max - 10, file: number) == .invalid)
        let event = try EventDescriptor()
        #expect(try client.map(0x200000, page, file: event.number) == .invalid)
        #expect(try client.request(.dmaMap, UserDMAMap(argsz: 31, flags: .read, size: 1)).errno == .invalid)
        #expect(try client.unmap(0x10000, page) == .invalid)
        #expect(try client.unmap(0x10000 + page, 4 * page) == .invalid)
        #expect(try client.unmap(0x300000, page) == .noSuchEntry)
        #expect(try client.unmap(0x10000, 0) == .invalid)
        #expect(try client.unmap(.max, 2) == .invalid)
        #expect(try client.unmap(1, 0, .all) == .invalid)
        #expect(try client.unmap(0x10000, 4 * page, .getDirtyBitmap) == .invalid)
        #expect(try client.unmap(0x10000, 4 * page, UserDMAUnmapFlags(rawValue: 4)) == .invalid)
        // More than was mapped in one piece is fine.
        #expect(try client.unmap(0, 0x1000_0000) == nil)
        #expect(try client.unmap(0, 0, .all) == nil)
        #expect(try client.unmap(0, 0, .all) == nil)
        let reply = try client.request(.dmaUnmap, UserDMAUnmap(flags: .all))
        #expect(reply.value(UserDMAUnmap.self) == UserDMAUnmap(flags: .all))
        #expect(reply.body.count == 24)
    }

    @Test("has a limit, and what was refused leaves nothing behind")
    func limit() throws {
        let rig = try Rig(limits: Limits(mappingCount: 100))
        let client = rig.connected
        let memory = try Memory()
        let number = memory.file.number
        for index in 0..<100 {
            #expect(try client.map(UInt64(index) << 16, 4096, file: index % 2 == 0 ? number : nil) == nil)
        }
        #expect(try client.map(1 << 40, 4096, file: number) == .noSpace)
        #expect(try client.map(1 << 40, 4096) == .noSpace)
        #expect(try client.unmap(3 << 16, 4096) == nil)
        #expect(try client.map(1 << 40, 4096, file: number) == nil)
    }

    @Test("that the client cuts off from under the device ends nothing but the mapping")
    func cutShort() throws {
        let rig = try Rig()
        let memory = try Memory()
        try rig.connected.enable()
        #expect(try rig.connected.map(0, UInt64(8 * pageSize), file: memory.file.number) == nil)
        #expect(try rig.connected.map(0x100_0000, 64, offset: 0, file: memory.file.number) == nil)
        memory.window.store64(0, 77)
        #expect(try load(rig, 0) == 77)
        try memory.file.resize(to: UInt64(pageSize))
        #expect(try load(rig, UInt64(4 * pageSize)) == 0, "zeros, where the memory was")
        #expect(try load(rig, UInt64(4 * pageSize)) == .max)
        #expect(try lastFault(rig) == .notMapped)
        #expect(try load(rig, 0x100_0000) == 77, "other mappings stay")
    }

    @Test("leaves no descriptor open")
    func descriptors() throws {
        let rig = try Rig()
        let client = rig.connected
        let canary = try Canary()
        #expect(try client.map(0, 4096, file: canary.number) == .invalid)
        let memory = try Memory()
        for _ in 0..<3 {
            #expect(
                try client.request(
                    .dmaMap, UserDMAMap(flags: .read, address: 0, size: 4096),
                    descriptors: [memory.file.number, canary.number, canary.number]
                ).errno == nil)
            #expect(try client.unmap(0, 4096) == nil)
        }
        #expect(canary.isClosedEverywhere())
    }

    @Test("moves through the educational device's DMA engine")
    func educational() throws {
        let edu = try Served(Educational())
        let memory = try Memory()
        let client = edu.client
        try client.negotiate()
        try client.enable()
        #expect(try client.map(0x10000, UInt64(16 * pageSize), file: memory.file.number) == nil)
        for index in 0..<1000 { memory.window.store8(index, UInt8(truncatingIfNeeded: index * 3)) }
        func transfer(_ source: UInt64, _ destination: UInt64, _ command: UInt64) throws {
            try client.write64(.bar0, Educational.Register.source, source)
            try client.write64(.bar0, Educational.Register.destination, destination)
            try client.write64(.bar0, Educational.Register.count, 1000)
            try client.write64(.bar0, Educational.Register.command, command)
        }
        let event = try EventDescriptor()
        try client.setInterrupts(.msi, [.dataEventFD, .actionTrigger], count: 1, descriptors: [event.number])
        try transfer(0x10000, Educational.bufferAddress, Educational.Command.start)
        try transfer(
            Educational.bufferAddress, 0x12000,
            Educational.Command.start | Educational.Command.toMemory | Educational.Command.interruptWhenDone)
        #expect(try event.take() == 1)
        for index in 0..<1000 {
            #expect(memory.window.load8(0x2000 + index) == UInt8(truncatingIfNeeded: index * 3))
        }
    }
}
