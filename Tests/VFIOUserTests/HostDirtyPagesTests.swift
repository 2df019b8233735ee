import DeviceModel
import IOVASpace
import LinuxSystem
import Testing
import VFIO
import VFIOABI
import VFIOHost

@testable import VFIOUser

@Suite("Dirty pages through a host behind a socket")
struct HostDirtyPagesTests {
    /// A device that writes, behind a server, with memory of both kinds: 16 pages that the server maps, and 16 that
    /// it reaches by messages.
    private final class Bench {
        let model: TestDevice
        let path: String
        var running: RunningServer?
        let host: VFIOUserHost
        let device: Device
        let shared: DMAMemory
        let mapped: DMAMapping
        let own: Mapping
        let ownStart = IOVA(0x4000_0000)

        init() throws {
            model = try TestDevice()
            path = unusedSocketPath()
            running = try RunningServer(try Server(model, at: path))
            host = try VFIOUserHost(connecting: path)
            device = try Device(opening: VFIOUserHost.deviceAddress, on: host)
            try device.setMemoryEnabled(true)
            try device.setBusMaster(true)
            shared = try device.addressSpace.allocate(byteCount: 16 * pageSize)
            own = try Mapping(anonymous: 16 * pageSize)
            mapped = try device.addressSpace.map(own.window, at: ownStart)
        }

        func write(_ address: UInt64) throws {
            let registers = try device.region(.bar0)
            try registers.store64(Int(TestDevice.Trigger.address), address)
            try registers.store64(Int(TestDevice.Trigger.store), 1)
            // Writes that take messages are answered before they are done.
            _ = try registers.load32(0x40)
        }

        var sharedRange: IOVARange { get throws { try range(shared.iova) } }
        var ownRange: IOVARange { get throws { try range(ownStart) } }
        private func range(_ start: IOVA) throws -> IOVARange {
            try #require(IOVARange(start, byteCount: UInt64(16 * pageSize)))
        }
    }

    private func numbers(_ pages: DirtyPages) -> [Int] {
        (0..<64 * pages.words.count).filter { pages.words[$0 / 64] >> UInt64($0 % 64) & 1 != 0 }
    }

    private func errno(_ body: () throws(VFIOError) -> Void) -> Errno? {
        do throws(VFIOError) {
            try body()
            return nil
        } catch {
            return error.errno
        }
    }

    @Test("are those that the device wrote, whether the server maps them or sends messages")
    func logging() throws {
        let bench = try Bench()
        let ranges = [try bench.sharedRange, try bench.ownRange]
        #expect(try bench.device.startDMALogging(of: ranges) == 4096)
        #expect(errno { () throws(VFIOError) in try bench.device.startDMALogging(of: ranges) } == .invalid)
        for range in ranges {
            #expect(try bench.device.takeLoggedPages(in: range).count == 0)
            for page in [1, 3, 15] as [UInt64] { try bench.write(range.first.rawValue + page * 4096) }
            try bench.write(range.first.rawValue + 7 * 4096 - 4)
            #expect(try numbers(bench.device.takeLoggedPages(in: range)) == [1, 3, 6, 7, 15])
            #expect(try bench.device.takeLoggedPages(in: range).count == 0, "once only")
            // Of another size, and from within the mapping on.
            for page in [2, 5, 6] as [UInt64] { try bench.write(range.first.rawValue + page * 4096) }
            let part = try #require(
                IOVARange(range.first.advanced(by: 4096) ?? range.first, byteCount: 9 * 4096))
            #expect(try numbers(bench.device.takeLoggedPages(in: part, pageSize: 8192)) == [0, 2])
        }
        #expect(bench.model.faults.isEmpty)
        let sharedRange = ranges[0]
        try bench.device.stopDMALogging()
        try bench.device.stopDMALogging()
        #expect(
            errno { () throws(VFIOError) in _ = try bench.device.takeLoggedPages(in: sharedRange) }
                == .invalid)
    }

    @Test("of a whole address space are asked for at once, and bits that are set stay set")
    func sparse() throws {
        let bench = try Bench()
        try bench.device.startDMALogging(of: [try bench.ownRange])
        try bench.write(bench.ownStart.rawValue + 4096)
        let half = try #require(IOVARange(IOVA(0), byteCount: 1 << 43))
        let pages = try bench.device.takeLoggedPages(in: half, pageSize: 1 << 20)
        #expect(numbers(pages) == [0x4000_0000 >> 20])
    }

    @Test("are told by the container too, one user of the server's log at a time")
    func container() throws {
        let bench = try Bench()
        let space = bench.device.addressSpace
        let ranges = [try bench.sharedRange, try bench.ownRange]
        #expect(errno { () throws(VFIOError) in _ = try space.dirtyPages(in: ranges[0]) } == .invalid)
        try space.startDirtyTracking()
        try space.startDirtyTracking()
        #expect(errno { () throws(VFIOError) in try bench.device.startDMALogging(of: ranges) } == .busy)
        for range in ranges {
            for page in [0, 9] as [UInt64] { try bench.write(range.first.rawValue + page * 4096) }
            #expect(try numbers(space.dirtyPages(in: range)) == [0, 9])
            #expect(try space.dirtyPages(in: range).count == 0)
        }
        try space.stopDirtyTracking()
        try bench.device.startDMALogging(of: ranges)
        #expect(bench.model.faults.isEmpty)
    }

    @Test("are told in the step that unmaps them, or not at all where that is refused")
    func unmapping() throws {
        let model = try TestDevice()
        let running = try RunningServer(try Server(model, at: unusedSocketPath()))
        let host = try VFIOUserHost(connecting: try #require(running.server.path))
        let container = try Container(on: host)
        let group = try Group(0, on: host)
        try group.setContainer(container)
        try container.setIOMMU(.type1v2)
        #expect(try container.info().dirtyPageSizes == 4096)
        let device = try group.openDevice("0000:00:00.0")
        let window = try host.allocateMemory(byteCount: 16 * pageSize, pages: .ordinary)
        defer { host.freeMemory(window) }
        let own = try Mapping(anonymous: 16 * pageSize)
        func write(_ value: UInt64, _ region: UInt64, _ offset: UInt64, _ width: Int = 8) throws {
            var value = value
            try withUnsafeBytes(of: &value) {
                let bytes = RawSpan(_unsafeBytes: UnsafeRawBufferPointer(rebasing: $0.prefix(width)))
                _ = try device.write(at: region << 40 + offset, bytes)
            }
        }
        try write(6, UInt64(PCIRegion.config.rawValue), 4, 2)
        let range = try #require(IOVARange(IOVA(0x10000), byteCount: UInt64(16 * pageSize)))
        for memory in [window, own.window] {
            try container.map(memory.address, to: range, [.read, .write])
            var words: [UInt64] = [1 << 40]
            #expect(throws: Errno.invalid) {
                _ = try container.unmap(range, pageSize: 4096, dirtyBits: &words)
            }
            try container.setDirtyTracking(true)
            try write(0x10000 + 5 * 4096 - 4, 0, TestDevice.Trigger.address)
            try write(1, 0, TestDevice.Trigger.store)
            #expect(throws: Errno.invalid) {
                _ = try container.unmap(range, pageSize: 8192, dirtyBits: &words)
            }
            #expect(words == [1 << 40])
            #expect(try container.unmap(range, pageSize: 4096, dirtyBits: &words) == range.byteCount)
            #expect(words == [1 << 40 | 0b11_0000], "bits that were set stay set")
            try container.setDirtyTracking(false)
        }
        #expect(model.faults.isEmpty)
    }

    @Test("are all of them after a server has gone: nobody knows what it wrote")
    func lost() throws {
        let bench = try Bench()
        try bench.device.startDMALogging(of: [try bench.ownRange])
        bench.running?.stop()
        bench.running = nil
        let model = try TestDevice()
        let ownRange = try bench.ownRange
        bench.running = try RunningServer(try Server(model, at: bench.path))
        #expect(
            errno { () throws(VFIOError) in _ = try bench.device.takeLoggedPages(in: ownRange) }
                == .connectionReset)
        #expect(try bench.device.takeLoggedPages(in: bench.ownRange).count == 16)
        #expect(try bench.device.takeLoggedPages(in: bench.ownRange).count == 0)
        #expect(try bench.device.takeLoggedPages(in: bench.sharedRange).count == 16)
        try bench.device.setMemoryEnabled(true)
        try bench.device.setBusMaster(true)
        try bench.write(bench.shared.iova.rawValue + 5 * 4096)
        #expect(try numbers(bench.device.takeLoggedPages(in: bench.sharedRange)) == [5])
    }
}
