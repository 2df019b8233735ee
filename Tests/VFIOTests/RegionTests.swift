import HostTestSupport
import LinuxSystem
import SoftwareHost
import Testing
import VFIO
import VFIOABI
import VFIOHost

@Suite("Regions")
struct RegionTests {
    private func open(_ host: FaultyHost) throws -> Device { try Device(opening: benchAddress, on: host) }

    @Test("registers that aren't mapped are reached with one call each")
    func registers() throws {
        let host = try machine()
        let region = try open(host).region(.bar0)
        #expect(region.isMapped == false)
        #expect(region.byteCount == 0x1000)
        let before = host.callCount
        try region.store32(8, 0xdead_beef)
        #expect(try region.load32(8) == 0xdead_beef)
        #expect(host.callCount - before == 2)
        try region.store64LowHigh(16, 0x0123_4567_89ab_cdef)
        #expect(try region.load64LowHigh(16) == 0x0123_4567_89ab_cdef)
        #expect(try region.load64(16) == 0x0123_4567_89ab_cdef)
        #expect(try region.load16(18) == 0x89ab)
        try region.store8(16, 1)
        #expect(try region.load8(16) == 1)
        try region.store16(18, 2)
        try region.store64(24, 3)
        #expect(try region.load64(24) == 3)
        #expect(region.window(at: 0, byteCount: 4) == nil)
    }

    @Test("memory that is mapped is reached without the host; the rest of the region through it")
    func mapped() throws {
        let host = try machine()
        let region = try open(host).region(.bar2)
        #expect(region.isMapped == false)
        #expect(region.mappedAreas.map { $0.offset } == [0])
        #expect(region.mappedAreas.map { $0.byteCount } == [0x2000])
        let before = host.callCount
        try region.store32(0x1ffc, 42)
        #expect(try region.load32(0x1ffc) == 42)
        #expect(host.callCount == before)
        #expect(region.window(at: 0x1ffc, byteCount: 4)?.load32(0) == 42)
        #expect(region.window(at: 0x1ffc, byteCount: 8) == nil)
        _ = try region.load32(0x3000)
        #expect(host.callCount == before + 1)
    }

    @Test("the MSI-X table can't be written, nor is a window on it handed out")
    func msixTable() throws {
        let region = try open(try machine()).region(.bar2)
        #expect(region.msixTable == 0x2000..<0x2040)
        let error = failure { () throws(VFIOError) in try region.store32(0x2000, 0xfee0_0000) }
        #expect(error?.code == .notSupported)
        #expect(error?.says("BAR 2 of 0000:01:00.0", "the MSI-X table lies there") == true)
        #expect(failure { () throws(VFIOError) in try region.register32(at: 0x203c) }?.code == .notSupported)
        #expect(region.window(at: 0x1000, byteCount: 0x1100) == nil)
        let bytes: [UInt8] = [1, 2, 3, 4]
        // SAFETY: the array's bytes are all initialised.
        let write = failure { () throws(VFIOError) in try region.write(at: 0x203e, unsafe bytes.span.bytes) }
        #expect(write?.code == .notSupported)
    }

    @Test(
        "offsets beyond the end, and crooked ones, are refused",
        arguments: [
            (-1, VFIOError.Code.outOfBounds), (0x1000, .outOfBounds), (0xffd, .outOfBounds), (2, .misaligned),
            (.max, .outOfBounds), (.min, .outOfBounds),
        ])
    func bounds(offset: Int, code: VFIOError.Code) throws {
        let region = try open(try machine()).region(.bar0)
        #expect(failure { () throws(VFIOError) in try region.load32(offset) }?.code == code)
        #expect(failure { () throws(VFIOError) in try region.store32(offset, 0) }?.code == code)
        #expect(failure { () throws(VFIOError) in try region.register32(at: offset) }?.code == code)
        #expect(region.window(at: offset, byteCount: 4) == nil)
    }

    @Test("a register for hot paths works mapped and unmapped, and is all ones when the host refuses")
    func register() throws {
        let host = try machine()
        let device = try open(host)
        let slow = try device.region(.bar0).register32(at: 8)
        let fast = try device.region(.bar2).register32(at: 8)
        #expect(slow.isMapped == false)
        #expect(fast.isMapped)
        slow.store(5)
        fast.store(6)
        #expect(slow.load() == 5)
        #expect(fast.load() == 6)
        host.fail(.read, with: .inputOutput)
        host.fail(.write, with: .inputOutput)
        slow.store(7)
        #expect(slow.load() == .max)
        #expect(fast.load() == 6)
    }

    @Test("bytes are read and written in bulk")
    func bulk() throws {
        let region = try open(try machine()).region(.bar0)
        let bytes: [UInt8] = [1, 2, 3, 4, 5, 6, 7, 8]
        // SAFETY: the array's bytes are all initialised.
        try region.write(at: 0, unsafe bytes.span.bytes)
        var back = [UInt8](repeating: 0, count: 8)
        do {
            var span = back.mutableSpan
            // SAFETY: any byte is a UInt8.
            var raw = unsafe span.mutableBytes
            try region.read(at: 0, into: &raw)
        }
        #expect(back == bytes)
    }

    @Test("memory that is switched off is told apart from other refusals")
    func memoryOff() throws {
        let device = try open(try machine())
        let region = try device.region(.bar0)
        try device.setMemoryEnabled(false)
        let error = failure { () throws(VFIOError) in try region.load32(0) }
        #expect(error?.errno == .inputOutput)
        #expect(error?.says("its memory may be disabled", "setMemoryEnabled(true)") == true)
        try device.setMemoryEnabled(true)
        #expect(try region.load32(0) == 0)
    }

    @Test("a region that the device doesn't have is refused by name")
    func missing() throws {
        let device = try open(try machine())
        let error = failure { () throws(VFIOError) in try device.region(.bar5) }
        #expect(error?.code == .notSupported)
        #expect(error?.says("BAR 5 of 0000:01:00.0", "no such region") == true)
        #expect(failure { () throws(VFIOError) in try device.region(99) }?.code == .notSupported)
    }

    @Test("keeps its device open")
    func keepsDevice() throws {
        let host = try machine()
        var region: Region? = try open(host).region(.bar2)
        #expect(host.openCount > 0)
        #expect(try region?.load32(0) == 0)
        region = nil
        #expect(host.openCount == 0)
        #expect(host.mappingCount == 0)
    }
}

@Suite("Configuration space")
struct ConfigurationTests {
    private func open(_ host: FaultyHost) throws -> Device { try Device(opening: benchAddress, on: host) }

    @Test("is read by width and tells who the device is")
    func identity() throws {
        let configuration = try open(try machine()).configuration
        #expect(configuration.byteCount == 4096)
        #expect(try configuration.vendor == 0x1b36)
        #expect(try configuration.deviceID == 1)
        #expect(try configuration.classCode == 0xff0000)
        #expect(try configuration.revision == 3)
    }

    @Test("bus mastering is switched without touching other bits")
    func command() throws {
        let device = try open(try machine())
        let before = try device.configuration.command
        #expect(before.contains(.busMaster) == false)
        try device.setBusMaster(true)
        #expect(try device.configuration.command == before.union(.busMaster))
        try device.setBusMaster(false)
        #expect(try device.configuration.command == before)
    }

    @Test("capabilities are found by their number")
    func capabilities() throws {
        let configuration = try open(try machine()).configuration
        let all = try configuration.capabilities()
        #expect(Set(all.map { $0.id }).isSuperset(of: [0x05, 0x10, 0x11]))
        let msix = try #require(try configuration.capability(0x11))
        #expect(try configuration.load16(msix + 2) & 0x7ff == 3)
        #expect(try configuration.capability(0x7f) == nil)
        #expect(try configuration.extendedCapability(0x7f) == nil)
    }

    @Test("offsets beyond the end, and crooked ones, are refused")
    func bounds() throws {
        let configuration = try open(try machine()).configuration
        #expect(failure { () throws(VFIOError) in try configuration.load32(4096) }?.code == .outOfBounds)
        #expect(failure { () throws(VFIOError) in try configuration.load32(4093) }?.code == .outOfBounds)
        #expect(failure { () throws(VFIOError) in try configuration.load32(2) }?.code == .misaligned)
        #expect(failure { () throws(VFIOError) in try configuration.store8(-1, 0) }?.code == .outOfBounds)
    }

    /// Answers all reads of the configuration space from bytes.
    private func make(_ host: FaultyHost, up space: [UInt8]) {
        host.madeUpRead = { offset, bytes in
            guard offset >> 40 == 7 else { return nil }
            let start = Int(offset & 0xffff)
            for index in 0..<bytes.byteCount {
                let value = start + index < space.count ? space[start + index] : 0
                bytes.storeBytes(of: value, toByteOffset: index, as: UInt8.self)
            }
            return bytes.byteCount
        }
    }

    @Test(
        "a list of capabilities that loops, or leads into the header, ends in an error",
        arguments: [
            UInt8(0x40), 0x50, 0x20,
        ])
    func loop(next: UInt8) throws {
        var space = [UInt8](repeating: 0, count: 4096)
        space[6] = 0x10
        space[0x34] = 0x40
        space[0x40] = 1
        space[0x41] = 0x50
        space[0x50] = 2
        space[0x51] = next
        let host = try machine()
        make(host, up: space)
        let configuration = try open(host).configuration
        #expect(try configuration.capability(2) == 0x50)
        let error = failure { () throws(VFIOError) in try configuration.capability(9) }
        #expect(error?.code == .malformed)
        #expect(error?.says("the list of capabilities loops or leaves the configuration space") == true)
    }

    @Test("a list of extended capabilities that loops ends in an error")
    func extendedLoop() throws {
        var space = [UInt8](repeating: 0, count: 4096)
        // ID 1 at 0x100, next 0x200; ID 2 at 0x200, next 0x100.
        space[0x100] = 1
        space[0x103] = 0x20
        space[0x200] = 2
        space[0x203] = 0x10
        let host = try machine()
        make(host, up: space)
        let configuration = try open(host).configuration
        #expect(try configuration.extendedCapability(2) == 0x200)
        #expect(
            failure { () throws(VFIOError) in try configuration.extendedCapability(9) }?.code == .malformed)
    }

    @Test("a device that is gone has malformed lists, not endless ones")
    func gone() throws {
        let host = try machine()
        make(host, up: [UInt8](repeating: 0xff, count: 4096))
        let configuration = try open(host).configuration
        #expect(failure { () throws(VFIOError) in try configuration.capability(9) }?.code == .malformed)
        #expect(
            failure { () throws(VFIOError) in try configuration.extendedCapability(9) }?.code == .malformed)
    }
}
