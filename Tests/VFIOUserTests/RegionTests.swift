import DeviceModel
import LinuxSystem
import Testing
import VFIOABI
import VFIOUser

@Suite("Regions over a socket")
struct RegionTests {
    @Test("are described: BARs, ROM and configuration space; nothing else is there")
    func description() throws {
        let rig = try Rig()
        let client = rig.connected
        let info = try client.request(.deviceGetInfo, UserDeviceInfo())
        #expect(
            info.value(UserDeviceInfo.self)
                == UserDeviceInfo(flags: [.pci, .reset], regionCount: 9, irqCount: 5))
        #expect(info.body.count == 16)
        let expected: [(UInt64, RegionFlags)] = [
            (0x2000, [.read, .write]), (32, [.read, .write]), (0x10000, [.read, .write, .mmap]), (0, []),
            (0, []),
            (0, []), (2048, .read), (4096, [.read, .write]), (0, []),
        ]
        for (index, region) in expected.enumerated() {
            let reply = try client.request(.deviceGetRegionInfo, RegionInfo(index: UInt32(index)))
            let info = try #require(reply.value(RegionInfo.self))
            #expect(info.size == region.0, "region \(index)")
            #expect(info.flags == region.1, "region \(index)")
            #expect(reply.body.count == 32)
            #expect(reply.descriptors.isEmpty)
        }
        #expect(try client.request(.deviceGetRegionInfo, RegionInfo(index: 9)).errno == .invalid)
        #expect(try client.request(.deviceGetRegionInfo, RegionInfo(argsz: 31, index: 0)).errno == .invalid)
    }

    @Test("that are plain memory in parts can be mapped by the descriptor that comes along")
    func mapping() throws {
        let rig = try Rig()
        let client = rig.connected
        let short = try client.request(.deviceGetRegionInfo, RegionInfo(index: 2))
        let needed = try #require(short.value(RegionInfo.self)?.argsz)
        #expect(needed == 64)
        let reply = try client.request(.deviceGetRegionInfo, RegionInfo(argsz: needed, index: 2))
        let info = try #require(reply.value(RegionInfo.self))
        #expect(info.flags == [.read, .write, .mmap, .caps])
        #expect(info.capabilityOffset == 32)
        #expect(reply.value(SparseMmapCapability.self, at: 32)?.areaCount == 1)
        let area = try #require(reply.value(SparseMmapArea.self, at: 48))
        #expect(area == SparseMmapArea(offset: 0xe000, size: 0x2000))
        #expect(reply.descriptors.count == 1)
        let file = Descriptor(owning: try #require(reply.descriptors.first))
        let mapping = try Mapping(
            sharing: file.number, at: info.offset + area.offset, byteCount: Int(area.size))
        mapping.window.store32(0x10, 0x1234_5678)
        #expect(try client.read32(.bar2, 0xe010) == 0x1234_5678)
        try client.write32(.bar2, 0xfffc, 42)
        #expect(mapping.window.load32(0x1ffc) == 42)
        #expect(rig.device.accesses.isEmpty, "the model isn't asked for plain memory")
    }

    @Test("are accessed in aligned pieces, each register with its own width")
    func pieces() throws {
        let rig = try Rig()
        let client = rig.connected
        _ = try client.read(.bar0, 1, 15)
        #expect(rig.device.accesses == ["read 0:1 1", "read 0:2 2", "read 0:4 4", "read 0:8 8"])
        rig.device.accesses = []
        try client.write(.bar0, 0x10, [1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 3, 0, 4])
        #expect(
            rig.device.accesses == ["write 0:16 8 1", "write 0:24 4 2", "write 0:28 2 3", "write 0:30 1 4"])
        rig.device.accesses = []
        // Ports have 32 bits at most.
        _ = try client.read(.bar1, 0, 8)
        #expect(rig.device.accesses == ["read 1:0 4", "read 1:4 4"])
    }

    @Test("end where they end")
    func bounds() throws {
        let rig = try Rig()
        let client = rig.connected
        func read(_ region: UInt32, _ offset: UInt64, _ count: UInt32) throws -> Errno? {
            try client.request(
                .regionRead, UserRegionAccess(offset: offset, region: region, count: count)
            ).errno
        }
        #expect(try read(0, 0x1ffc, 4) == nil)
        #expect(try read(0, 0x1ffd, 4) == .invalid)
        #expect(try read(0, 0x2000, 1) == .invalid)
        #expect(try read(0, .max, 2) == .invalid)
        #expect(try read(0, .max - 3, 4) == .invalid)
        #expect(try read(3, 0, 4) == .invalid)
        #expect(try read(8, 0, 1) == .invalid)
        #expect(try read(9, 0, 1) == .invalid)
        #expect(try read(.max, 0, 1) == .invalid)
        #expect(try read(7, 4096, 1) == .invalid)
        #expect(try read(0, 0, 2 << 20) == .invalid)
        #expect(try read(0, 0, 0) == nil)
        #expect(try client.read(.bar0, 0, 0).isEmpty)
        let access = UserRegionAccess(offset: 0, region: 0, count: 4)
        #expect(try client.request(.regionWrite, access, [1, 2, 3]).errno == .invalid)
        #expect(try client.request(.regionWrite, access, [1, 2, 3, 4, 5]).errno == .invalid)
        #expect(throws: Errno.invalid) { try client.write(.rom, 0, [1]) }
        #expect(rig.device.accesses.allSatisfy { $0.hasPrefix("read 0:8188") })
    }

    @Test("carry as much as the limit in one message")
    func large() throws {
        let rig = try Rig(limits: Limits(transferByteCount: 65_536))
        let client = rig.connected
        let bytes = (0..<0x2000).map { UInt8(truncatingIfNeeded: $0 * 7) }
        try client.write(.bar2, 0xe000, bytes)
        #expect(try client.read(.bar2, 0xe000, 0x2000) == bytes)
        let reply = try client.request(
            .regionRead, UserRegionAccess(offset: 0, region: 2, count: 65_536))
        #expect(reply.body.count == 16 + 65_536)
        #expect(Array(reply.body.suffix(0x2000)) == bytes)
    }

    @Test("are memory and registers in one access, whatever its length")
    func mixed() throws {
        let rig = try Rig()
        let client = rig.connected
        for (start, count) in [(0xdffb, 17), (0xe001, 9), (0xe003, 5), (0xfff5, 11), (0xdff8, 16)] {
            let bytes = (1...count).map { UInt8($0) }
            rig.device.accesses = []
            try client.write(.bar2, UInt64(start), bytes)
            let registers = max(0, 0xe000 - start)
            // Read by the kernel: that the answer came after the server's writes is nothing that the thread sanitizer
            // knows.
            let memory = rig.device.memory.mapping.window.address + max(start, 0xe000)
            #expect(
                try (0..<count - registers).map { try UserMemory.load(UInt8(0), from: memory + $0) }
                    == Array(bytes[registers...]))
            #expect(rig.device.accesses.isEmpty == (registers == 0))
            #expect(
                try client.read(.bar2, UInt64(start), count).suffix(count - registers) == bytes[registers...])
        }
    }

    @Test("of configuration space are the device's own registers, sized as hardware sizes them")
    func configuration() throws {
        let rig = try Rig()
        let client = rig.connected
        let whole = try client.read(.config, 0, 4096)
        #expect(Array(whole[..<4]) == [0x34, 0x12, 0x42, 0x42])
        try client.write32(.config, 0x10, .max)
        #expect(try client.read32(.config, 0x10) == 0xffff_e000)
        try client.write32(.config, 0x18, .max)
        try client.write32(.config, 0x1c, .max)
        #expect(try client.read32(.config, 0x18) == 0xffff_0004)
        #expect(try client.read32(.config, 0x1c) == .max)
        try client.write32(.config, 0x14, .max)
        #expect(try client.read32(.config, 0x14) == 0xffff_ffe1)
        try client.write32(.config, 0x30, 0xffff_f800)
        #expect(try client.read32(.config, 0x30) == 0xffff_f800)
        try client.write(.config, 0, [0, 0])
        #expect(try client.read(.config, 0, 2) == [0x34, 0x12])
    }

    @Test("of an expansion ROM are its image, and ones up to the end")
    func rom() throws {
        let rig = try Rig()
        let bytes = try rig.connected.read(.rom, 0, 2048)
        #expect(Array(bytes[..<3]) == [0x55, 0xaa, 7])
        #expect(bytes[1001] == 7)
        #expect(bytes[1002] == 0xff)
        #expect(bytes[2047] == 0xff)
    }

    private func record(_ offset: UInt64, _ count: UInt32, _ data: UInt64, region: UInt32 = 0) -> [UInt8] {
        RawClient.bytes(
            UserRegionWrite(
                access: UserRegionAccess(offset: offset, region: region, count: count), data: data))
    }

    @Test("take several writes in one message, in order")
    func multiple() throws {
        let rig = try Rig()
        let client = rig.connected
        var body = RawClient.bytes(UserRegionWriteMulti(writeCount: 3))
        body += record(0, 4, 0x1_0000_0001) + record(8, 8, 0x1_0000_0001) + record(2, 1, 0x1ff)
        let reply = try client.request(.regionWriteMulti, body)
        #expect(reply.value(UserRegionWriteMulti.self)?.writeCount == 3)
        #expect(reply.body.count == 8)
        #expect(rig.device.accesses == ["write 0:0 4 1", "write 0:8 8 4294967297", "write 0:2 1 255"])
        // As QEMU sends them: 200, and no answer.
        body = RawClient.bytes(UserRegionWriteMulti(writeCount: 200))
        for index in 0..<200 { body += record(UInt64(4 * index), 4, UInt64(index)) }
        rig.device.accesses = []
        try client.send(RawClient.message(.regionWriteMulti, body, flags: .noReply))
        #expect(try client.read32(.bar0, 0x20) == 8)
        #expect(rig.device.accesses.count == 201)
    }

    @Test("refuse several writes that aren't as many as they say, or too wide, or outside")
    func badMultiple() throws {
        let rig = try Rig()
        let client = rig.connected
        func send(_ count: UInt64, _ records: [UInt8]) throws -> Errno? {
            try client.request(
                .regionWriteMulti, RawClient.bytes(UserRegionWriteMulti(writeCount: count)) + records
            )
            .errno
        }
        #expect(try send(2, record(0, 4, 1)) == .invalid)
        #expect(try send(.max, record(0, 4, 1)) == .invalid)
        #expect(try send(1, record(0, 4, 1).dropLast()) == .invalid)
        #expect(try send(1, record(0, 9, 1)) == .invalid)
        #expect(rig.device.accesses.isEmpty)
        // Nothing is done unless all of it can be.
        #expect(try send(2, record(0, 4, 1) + record(0x2000, 4, 1)) == .invalid)
        #expect(rig.device.accesses.isEmpty)
        #expect(try send(0, []) == nil)
    }
}
