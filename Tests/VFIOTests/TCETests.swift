import HostTestSupport
import DeviceModel
import IOVASpace
import LinuxSystem
import SoftwareDevices
import SoftwareHost
import Testing
import VFIO
import VFIOABI
import VFIOHost

/// An educational device on a POWER machine, opened through the typed API.
private struct PowerBench {
    let host: SoftwareHost
    let device: Device
    let model = Educational()
    var space: AddressSpace { device.addressSpace }

    static let address = PCIAddress(bus: 2, device: 0, function: 0)
    static let second: UInt64 = 1 << 59

    init(_ iommu: SPAPRIOMMU = SPAPRIOMMU(), limit: UInt64? = nil) throws {
        let model = model
        host = try SoftwareHost {
            IOMMU(.spapr(iommu))
            IOMMUGroup(7) { PCIDevice(model, at: Self.address) }
            IOMMUGroup(8) { PCIDevice(Educational(), at: "0000:03:00.0") }
            ProcessRights(lockedMemoryLimit: limit)
        }
        device = try Device(opening: Self.address, on: host)
        try device.setBusMaster(true)
    }

    /// Lets the device copy eight bytes through its buffer; whether it was refused nothing.
    func copy(from source: UInt64, to destination: UInt64) throws -> Bool {
        typealias Register = Educational.Register
        let refused = model.refusedTransferCount
        let region = try device.region(.bar0)
        for (from, to, command) in [
            (source, Educational.bufferAddress, Educational.Command.start),
            (
                Educational.bufferAddress, destination,
                Educational.Command.start | Educational.Command.toMemory
            ),
        ] {
            try region.store64(Int(Register.source), from)
            try region.store64(Int(Register.destination), to)
            try region.store64(Int(Register.count), 8)
            try region.store64(Int(Register.command), command)
        }
        return model.refusedTransferCount == refused
    }
}

@Suite("The typed API on a POWER machine")
struct TCETests {
    private let page = UInt64(pageSize)

    @Test(
        "allocating and mapping work as anywhere else",
        arguments: [SPAPRIOMMU(), SPAPRIOMMU(.pSeries), SPAPRIOMMU(dynamicWindows: 0)])
    func plain(iommu: SPAPRIOMMU) throws {
        let bench = try PowerBench(iommu)
        let space = bench.space
        let tce = try #require(space.tce)
        #expect(tce.version == (iommu.dynamicWindows > 0 ? 2 : 1))
        #expect(space.route?.kind == .group)
        #expect(space.usableRanges.map { "\($0)" } == ["0x0...0x7fffffff"] && space.pageSizes == 4096)
        let memory = try space.allocate(byteCount: 8192, below: IOVA(1 << 28))
        memory.window.store64(0, 0x1234)
        #expect(try bench.copy(from: memory.iova.rawValue, to: memory.iova.rawValue + 4096))
        #expect(memory.window.load64(4096) == 0x1234)
        #expect(space.mappedByteCount == 8192)
        try memory.release()
        #expect(space.mappedByteCount == 0)
        // Two mappings that share a page, and one of the page alone.
        let own = try Mapping(anonymous: 3 * pageSize)
        let front = try space.map(own.window.window(at: 0, byteCount: 2 * pageSize), at: IOVA(0x10000))
        let back = try space.map(own.window.window(at: pageSize, byteCount: 2 * pageSize), at: IOVA(0x20000))
        own.window.store64(pageSize, 0x77)
        #expect(try bench.copy(from: 0x11000, to: 0x21000))
        #expect(own.window.load64(2 * pageSize) == 0x77)
        try front.release()
        #expect(try bench.copy(from: 0x20000, to: 0x21000))
        try back.release()
        if iommu.dynamicWindows > 0 && iommu.platform == .pSeries {
            #expect(bench.host.lockedByteCount == 0, "what was registered for them isn't any more")
        }
    }

    @Test("version 1 needs as much locked memory as its window is long, and says so")
    func enabling() throws {
        let error = failure { () throws(VFIOError) in
            do {
                _ = try PowerBench(SPAPRIOMMU(dynamicWindows: 0), limit: 1 << 20)
            } catch let error as VFIOError { throw error } catch { return }
        }
        #expect(error?.code == .memlockLimit && error?.says("DMA window", "ulimit") == true)
    }

    @Test("a type 1 machine has no windows, and windows of version 1 can't be changed")
    func absence() throws {
        let device = try Device(opening: benchAddress, on: try machine(), .group)
        #expect(device.addressSpace.tce == nil)
        #expect(
            failure { () throws(VFIOError) in _ = try device.partitionableEndpoint }?.code == .notSupported)
        let bench = try PowerBench(SPAPRIOMMU(dynamicWindows: 0))
        let tce = try #require(bench.space.tce)
        #expect(tce.mostWindows == 1 && tce.windows.count == 1)
        #expect(
            failure { () throws(VFIOError) in try tce.createWindow(pageSize: 4096, byteCount: 1 << 20) }?.code
                == .notSupported)
        #expect(failure { () throws(VFIOError) in try tce.remove(tce.windows[0]) }?.code == .notSupported)
    }

    @Test("a guest's windows: memory registered once, the default window replaced, pages of its own choice")
    func windows() throws {
        let bench = try PowerBench()
        let tce = try #require(bench.space.tce)
        #expect(tce.mostWindows == 2 && tce.mostLevels == 5 && tce.pageSizes & 0x10000 != 0)
        let memory = try Mapping(anonymous: 1 << 20)
        let start = memory.window.address
        let skip = (0x10000 - Int(start.rawValue % 0x10000)) % 0x10000
        try tce.register(start + skip, byteCount: 0x80000)
        #expect(bench.host.lockedByteCount == 0x80000)
        #expect(failure { () throws(VFIOError) in try tce.register(start + skip, byteCount: 0x80000) } != nil)
        try tce.remove(tce.windows[0])
        #expect(bench.space.usableRanges.isEmpty)
        #expect(
            failure { () throws(VFIOError) in _ = try bench.space.allocate(byteCount: 4096) }?.code
                == .noSpace)
        let small = try tce.createWindow(pageSize: 4096, byteCount: 1 << 20)
        #expect(small.range.first == IOVA(0) && small.pageSize == 4096)
        let large = try tce.createWindow(pageSize: 0x10000, byteCount: 1 << 30, levels: 2)
        #expect(large.range.first == IOVA(PowerBench.second))
        #expect(tce.windows == [small, large] && bench.space.pageSizes == 0x11000)
        #expect(
            failure { () throws(VFIOError) in try tce.createWindow(pageSize: 4096, byteCount: 1 << 20) }?.code
                == .noSpace)

        let window = memory.window.window(at: skip, byteCount: 0x10000)
        let mapped = try bench.space.map(window, at: large.range.first)
        #expect(
            failure { () throws(VFIOError) in
                _ = try bench.space.map(
                    memory.window.window(at: skip + 0x1000, byteCount: 0x1000),
                    at: IOVA(PowerBench.second + 0x10000))
            }?.code == .misaligned)
        // One page fits only into the window with small pages.
        let one = try bench.space.map(memory.window.window(at: skip + 0x1000, byteCount: 0x1000))
        #expect(small.range.contains(one.iova))
        #expect(failure { () throws(VFIOError) in try tce.remove(large) }?.code == .busy)
        try mapped.release()
        try one.release()
        try tce.remove(large)
        try tce.remove(small)
        try tce.unregister(start + skip, byteCount: 0x80000)
        #expect(bench.host.lockedByteCount == 0)
    }

    @Test("a registration that is ended stays as long as something of it is mapped")
    func lateEnd() throws {
        let bench = try PowerBench(SPAPRIOMMU(.pSeries))
        let tce = try #require(bench.space.tce)
        let memory = try Mapping(anonymous: 4 * pageSize)
        try tce.register(memory.window.address, byteCount: 4 * page)
        let mapped = try bench.space.map(memory.window.window(at: 0, byteCount: pageSize), at: IOVA(0))
        try tce.unregister(memory.window.address, byteCount: 4 * page)
        #expect(bench.host.lockedByteCount == 4 * page)
        #expect(try bench.copy(from: 0, to: 8))
        #expect(
            failure { () throws(VFIOError) in
                try tce.unregister(memory.window.address, byteCount: 4 * page)
            }?.errno == .noSuchEntry)
        try mapped.release()
        #expect(bench.host.lockedByteCount == 0)
    }

    @Test("a mapping that the host refuses is an error, and leaves nothing behind", arguments: [0, 2])
    func refusedMapping(windows: Int) throws {
        let bench = try PowerBench(SPAPRIOMMU(.pSeries, dynamicWindows: windows))
        let before = bench.host.lockedByteCount
        let memory = try Mapping(anonymous: pageSize)
        bench.host.inject(FaultRule(.request(.iommuMapDMA, .noMemory), .nth(1)))
        let error = failure { () throws(VFIOError) in
            _ = try bench.space.map(memory.window, at: IOVA(0x10000))
        }
        #expect(error?.errno == .noMemory)
        #expect(bench.host.lockedByteCount == before && bench.space.mappedByteCount == 0)
        let mapped = try bench.space.map(memory.window, at: IOVA(0x10000))
        #expect(try bench.copy(from: 0x10000, to: 0x10008))
        try mapped.release()
        #expect(bench.host.lockedByteCount == before)
    }

    @Test("a frozen device is recovered by the book")
    func recovery() throws {
        let bench = try PowerBench()
        let endpoint = try bench.device.partitionableEndpoint
        try endpoint.enable()
        #expect(try endpoint.state() == .normal)
        let memory = try bench.space.allocate(byteCount: 4096, below: IOVA(1 << 28))
        let region = try bench.device.region(.bar0)
        try endpoint.inject(EEHError(function: 0))
        #expect(try region.load32(0) == 0xffff_ffff)
        #expect(try endpoint.state() == .stopped)
        try endpoint.recover(by: .fundamental)
        #expect(try endpoint.state() == .normal)
        #expect(try region.load32(0) == UInt32(Educational.identification))
        #expect(try bench.copy(from: memory.iova.rawValue, to: memory.iova.rawValue))
        let other = try Device(opening: PCIAddress(bus: 3, device: 0, function: 0), in: bench.space)
        #expect(failure { () throws(VFIOError) in _ = try endpoint.state() }?.code == .notSupported)
        _ = other
    }
}
