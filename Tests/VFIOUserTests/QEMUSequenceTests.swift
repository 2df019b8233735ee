import DeviceModel
import LinuxSystem
import Testing
import VFIOABI
import VFIOUser

/// What QEMU 11.1.3's client was seen to send when a machine with the device starts, in that order. It has no room for
/// an answer that is longer than its question (except to reads and region information), and takes descriptors with
/// region information only.
@Suite("QEMU's client")
struct QEMUSequenceTests {
    private let rig: Rig
    private var client: RawClient { rig.connected }

    init() throws { rig = try Rig(negotiates: false) }

    /// A request whose answer QEMU would take.
    @discardableResult
    private func ask(
        _ command: UserCommand, _ body: [UInt8], descriptors: [Int32] = [], room: Int? = nil
    ) throws -> RawClient.Reply {
        let reply = try client.request(command, body, descriptors: descriptors)
        #expect(reply.errno == nil, "\(command)")
        #expect(reply.body.count <= room ?? body.count, "\(command): longer than its question")
        #expect(reply.descriptors.isEmpty || command == .deviceGetRegionInfo)
        return reply
    }

    private func read(_ region: UInt32, _ offset: UInt64, _ count: Int) throws -> [UInt8] {
        let access = UserRegionAccess(offset: offset, region: region, count: UInt32(count))
        let reply = try ask(.regionRead, RawClient.bytes(access), room: 16 + count)
        return Array(reply.body.dropFirst(16))
    }

    private func write(_ region: UInt32, _ offset: UInt64, _ bytes: [UInt8]) throws {
        let access = UserRegionAccess(offset: offset, region: region, count: UInt32(bytes.count))
        try ask(.regionWrite, RawClient.bytes(access) + bytes)
    }

    private func setInterrupts(
        _ index: UInt32, _ flags: UInt32, _ start: UInt32, _ count: UInt32, _ descriptors: [Int32] = []
    ) throws {
        let body = IRQSet(
            flags: IRQSetFlags(rawValue: flags), index: index, start: start, count: count)
        try ask(.deviceSetIRQs, RawClient.bytes(body), descriptors: descriptors)
    }

    private func map(_ address: UInt64, _ size: UInt64, _ flags: UInt32, _ offset: UInt64, _ file: Int32?)
        throws
    {
        let body = UserDMAMap(
            flags: UserDMAMapFlags(rawValue: flags), offset: offset, address: address, size: size)
        try ask(.dmaMap, RawClient.bytes(body), descriptors: file.map { [$0] } ?? [])
    }

    private func unmap(_ address: UInt64, _ size: UInt64) throws {
        try ask(.dmaUnmap, RawClient.bytes(UserDMAUnmap(address: address, size: size)))
    }

    @Test("finds what it needs, from its first message to a driver's interrupt")
    func realise() throws {
        let text =
            #"{"capabilities": {"pgsizes": 4096, "max_msg_fds": 16, "max_dma_maps": 65535, "#
            + #""max_data_xfer_size": 1048576, "migration": {"max_bitmap_size": 268435456, "pgsize": 4096}, "#
            + #""write_multiple": true}}"#
        let version = try ask(.version, RawClient.bytes(UserVersion()) + Array(text.utf8) + [0])
        #expect(version.value(UserVersion.self) == UserVersion(major: 0, minor: 0), "exactly 0.0")
        #expect(version.body.last == 0)

        // Memory as it lies before firmware runs: RAM with its file, ROM without.
        let ram = try MemoryFile.create("ram", byteCount: 256 << 20)
        try map(0, 0xc_0000, 3, 0, ram.number)
        try map(0xc_0000, 0x2_0000, 1, 0, nil)
        try map(0xe_0000, 0x2_0000, 1, 0, nil)
        try map(0x10_0000, 0xff0_0000, 3, 0x10_0000, ram.number)
        try map(0xfffc_0000, 0x4_0000, 1, 0, nil)

        let info = try ask(.deviceGetInfo, RawClient.bytes(UserDeviceInfo())).value(UserDeviceInfo.self)
        #expect(info?.flags.contains([.pci, .reset]) == true)
        #expect((8...100).contains(info?.regionCount ?? 0))
        #expect((3...50).contains(info?.irqCount ?? 0))
        for index: UInt32 in [0, 1, 2, 3, 4, 5, 7] {
            var request = RegionInfo(index: index)
            var reply = try ask(.deviceGetRegionInfo, RawClient.bytes(request), room: 32)
            let needed = reply.value(RegionInfo.self)?.argsz ?? 0
            if needed > 32 {
                request.argsz = needed
                reply = try ask(.deviceGetRegionInfo, RawClient.bytes(request), room: Int(needed))
                #expect(reply.descriptors.count == 1)
                for number in reply.descriptors { _ = Descriptor(owning: number) }
            }
        }
        let error = try ask(.deviceGetIRQInfo, RawClient.bytes(IRQInfo(index: 3))).value(IRQInfo.self)
        #expect(error?.count == 1)
        let configuration = try read(7, 0, 4096)
        let saved = try read(7, 0x30, 4)
        try write(7, 0x30, [0x00, 0xf8, 0xff, 0xff])
        #expect(try read(7, 0x30, 4) == [0x00, 0xf8, 0xff, 0xff], "a ROM of 2 KiB")
        try write(7, 0x30, saved)
        #expect(try read(7, 0x10, 4)[0] & 0xf == 0)
        #expect(try read(7, 0x14, 4)[0] & 0x3 == 1)
        #expect(try read(7, 0x18, 4)[0] & 0xf == 4)
        // The MSI-X capability, found by the chain.
        var at = Int(configuration[0x34])
        while at != 0 && configuration[at] != 0x11 { at = Int(configuration[at + 1]) }
        try #require(at != 0)
        _ = try read(7, UInt64(at + 2), 2)
        _ = try read(7, UInt64(at + 4), 4)
        _ = try read(7, UInt64(at + 8), 4)
        let vectors = try ask(.deviceGetIRQInfo, RawClient.bytes(IRQInfo(index: 2))).value(IRQInfo.self)
        #expect(vectors?.flags.contains(.noResize) == false)
        #expect(try read(7, 0x3d, 1) == [1])
        let line = try EventDescriptor()
        let notice = try EventDescriptor()
        try setInterrupts(0, 0x24, 0, 1, [line.number])
        try setInterrupts(3, 0x24, 0, 1, [notice.number])

        // The machine's reset.
        try setInterrupts(0, 0x21, 0, 0)
        _ = try read(7, 4, 2)
        try write(7, 4, [0, 0])
        try ask(.deviceReset, [])
        #expect(try read(7, 0x3d, 1) == [1])
        try setInterrupts(0, 0x24, 0, 1, [line.number])
        for index in 0..<6 { try write(7, UInt64(0x10 + 4 * index), [0, 0, 0, 0]) }
        // Firmware shadows its ROM.
        try unmap(0xc_0000, 0x2_0000)
        try unmap(0xe_0000, 0x2_0000)
        try map(0xc_0000, 0x4_0000, 3, 0xc_0000, ram.number)

        // A driver: BARs, bus mastering, MSI-X with all masked, then its vectors.
        try write(7, 0x10, [0, 0, 0, 0xfe])
        try write(7, 4, [6, 4])
        try map(0xfe00_0000, 0x2000, 3, 0, nil)  // the device's own BAR
        try write(7, UInt64(at + 2), [0, 0xc0])
        try setInterrupts(0, 0x21, 0, 0)
        let event = try EventDescriptor()
        try setInterrupts(2, 0x24, 0, 1)
        try setInterrupts(2, 0x24, 0, 1, [event.number])
        try setInterrupts(2, 0x24, 1, 2)
        try write(7, UInt64(at + 2), [0, 0x80])
        // Its writes to registers are posted.
        let access = UserRegionAccess(offset: TestDevice.Trigger.vector, region: 0, count: 4)
        try client.send(
            RawClient.message(.regionWrite, RawClient.bytes(access) + [0, 0, 0, 0], flags: .noReply))
        #expect(try read(2, 0x1000, 8) == [0, 0, 0, 0, 0, 0, 0, 0], "nothing is pending")
        #expect(try event.take() == 1)
    }
}
