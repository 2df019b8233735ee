import DeviceModel
import IOVASpace
import LinuxSystem
import SoftwareDevices
import SoftwareHost
import Testing
import VFIO
import VFIOABI
import VFIOHost

@Suite("An iommufd, request by request")
struct IOMMUFDTests {
    private func host(_ iommu: IOMMU = IOMMU()) throws -> SoftwareHost {
        try SoftwareHost {
            iommu
            IOMMUGroup(26) { PCIDevice(Educational(), at: PCIAddress(bus: 1, device: 0, function: 0)) }
        }
    }

    /// The errno that a body fails with.
    private func errno(_ body: () throws(Errno) -> Void) -> Errno? {
        do throws(Errno) {
            try body()
            return nil
        } catch {
            return error
        }
    }

    @Test("spaces are told where to choose addresses, how large pages may be, and who pays for locked memory")
    func options() throws {
        let iommufd = try IOMMUFD(on: try host())
        #expect(try iommufd.countsLockedMemoryByProcess == false)
        try iommufd.setCountsLockedMemoryByProcess(true)
        #expect(try iommufd.countsLockedMemoryByProcess)
        let space = try iommufd.makeIOAS()
        #expect(errno { () throws(Errno) in try iommufd.setCountsLockedMemoryByProcess(false) } == .busy)
        #expect(try iommufd.usesLargePages(in: space))
        try iommufd.setUsesLargePages(false, in: space)
        #expect(try !iommufd.usesLargePages(in: space))
        let range = try #require(IOVARange(first: IOVA(0x10000), last: IOVA(0x1ffff)))
        try iommufd.allow([range], in: space)
        #expect(errno { () throws(Errno) in try iommufd.allow([range, range], in: space) } == .invalid)
        try iommufd.allow([], in: space)
        #expect(try iommufd.containerSpace == nil)
        try iommufd.setContainerSpace(space)
        #expect(try iommufd.containerSpace == space)
        try iommufd.setContainerSpace(nil)
        #expect(try iommufd.containerSpace == nil)
        try iommufd.destroy(space)
        #expect(errno { () throws(Errno) in try iommufd.destroy(space) } == .noSuchEntry)
    }

    @Test("memory of a file is mapped, copied to another space, and may go to another process")
    func files() throws {
        let host = try host()
        let iommufd = try IOMMUFD(on: host)
        let (first, second) = (try iommufd.makeIOAS(), try iommufd.makeIOAS())
        let file = try MemoryFile.create("memory", byteCount: UInt64(4 * pageSize))
        let device = try Handle(opening: .device(0), on: host)
        try iommufd.bind(device)
        try iommufd.attach(device, to: second)
        let range = try #require(IOVARange(IOVA(0x10000), byteCount: UInt64(2 * pageSize)))
        try iommufd.map(file: file.number, at: UInt64(pageSize), to: range, [.read, .write], in: first)
        try iommufd.map(copyOf: range, in: first, to: IOVA(0x20000), .read, in: second)
        try iommufd.changeProcess()
        #expect(try iommufd.unmapAll(in: first) == range.byteCount)
        #expect(try iommufd.unmapAll(in: second) == range.byteCount)
        let behind = errno { () throws(Errno) in
            try iommufd.map(file: file.number, at: UInt64(3 * pageSize), to: range, .read, in: second)
        }
        #expect(behind == .invalid, "beyond the file's end")
        try iommufd.detach(device)
        try iommufd.detach(device)
        try iommufd.destroy(second)
    }

    @Test("page tables are made, put in front of others, attached and destroyed")
    func tables() throws {
        let host = try host(IOMMU(tracksDirtyPages: true, nestsPageTables: true))
        let iommufd = try IOMMUFD(on: host)
        let space = try iommufd.makeIOAS()
        let device = try Handle(opening: .device(0), on: host)
        let id = try iommufd.bind(device)
        let info = try iommufd.hardwareInfo(of: id)
        #expect(info.capabilities.contains(.dirtyTracking))
        #expect(info.pasidBits == 0)
        #expect(try #require(info.vtd).capabilityRegister >> 16 & 0x3f == 47)
        let table = try iommufd.makePageTable(of: space, for: id, [.nestParent, .dirtyTracking])
        try iommufd.attach(device, to: table)
        try iommufd.setDirtyTracking(true, of: table)
        let range = try #require(IOVARange(IOVA(0), byteCount: UInt64(128 * pageSize)))
        var words = [UInt64](repeating: 0, count: 1)
        let short = errno { () throws(Errno) in
            try iommufd.addDirtyBits(of: range, pageSize: UInt64(pageSize), in: table, to: &words)
        }
        #expect(short == .invalid, "a word is too short for 128 pages")
        words = [0, 1]
        try iommufd.addDirtyBits(of: range, pageSize: UInt64(pageSize), in: table, to: &words)
        #expect(words == [0, 1])
        let stage = HWPTVTDStage1(pageTableAddress: 0x1000, addressWidth: 48)
        let front = try iommufd.makePageTable(stage, inFrontOf: table, for: id)
        try iommufd.attach(device, to: front)
        #expect(errno { () throws(Errno) in try iommufd.destroy(front) } == .busy)
        #expect(iommufd.invalidate([HWPTVTDStage1Invalidate(pageCount: .max)], in: front) == (1, nil))
        let bad = iommufd.invalidate(
            [HWPTVTDStage1Invalidate(), HWPTVTDStage1Invalidate(address: 5)], in: front)
        #expect(bad == (1, .invalid))
        #expect(iommufd.invalidate([HWPTVTDStage1Invalidate()], in: table) == (0, .invalid))
        #expect(
            errno { () throws(Errno) in _ = try iommufd.attach(device, pasid: 1, to: space) } == .invalid)
        try iommufd.detach(device, pasid: 1)
        try iommufd.attach(device, to: space)
        try iommufd.destroy(front)
        try iommufd.destroy(table)
        let plain = IOPageTable(id: try iommufd.attach(device, to: space))
        #expect(
            errno { () throws(Errno) in try iommufd.setDirtyTracking(true, of: plain) } == .notSupported)
        let other = try Handle(opening: .device(0), on: host)
        let token = try DeviceUUID.random()
        #expect(
            errno { () throws(Errno) in _ = try iommufd.bind(other, token: token) } == .invalid,
            "it is bound already")
    }

    @Test("a fault queue is empty where no device asks for pages")
    func faults() throws {
        let host = try host()
        let iommufd = try IOMMUFD(on: host)
        let space = try iommufd.makeIOAS()
        let device = try Handle(opening: .device(0), on: host)
        let id = try iommufd.bind(device)
        let queue = try iommufd.makeFaultQueue()
        #expect(try queue.take().isEmpty)
        #expect(errno { () throws(Errno) in try queue.answer([PageResponse(cookie: 7)]) } == .invalid)
        try queue.answer([])
        let table = try iommufd.makePageTable(of: space, for: id, faults: queue)
        #expect(errno { () throws(Errno) in try iommufd.attach(device, to: table) } == .noDevice)
        try iommufd.destroy(table)
        try iommufd.destroy(queue)
    }
}
