import Glibc
import IOVASpace
import LinuxSystem
import Testing
import VFIOABI
import VFIOHost

@testable import SoftwareHost

@Suite("Page tables of a user's own, and the pages that devices write")
struct PageTableTests {
    let page = UInt64(pageSize)
    private typealias Bench = SpaceBench

    @Test("a page table is made of an address space, and locks its memory until it is destroyed")
    func life() throws {
        let bench = try Bench()
        #expect(bench.map(0x10000, pages: 4) == 0)
        #expect(bench.rig.host.core.process.lockedPages == 0)
        let table = bench.table()
        #expect(table == 3)
        #expect(bench.rig.host.core.process.lockedPages == 4)
        #expect(bench.map(0x20001) == -EINVAL, "pages are the unit now")
        #expect(bench.destroy(Int32(bench.ioas)) == -EBUSY)
        #expect(bench.attach(table) == table)
        #expect(bench.rig.buses[0].canRead(0x10000))
        #expect(bench.destroy(table) == -EBUSY)
        let automatic = bench.attach(Int32(bench.ioas))
        #expect(automatic != table && automatic > 0, "the space makes one of its own")
        #expect(bench.rig.buses[0].canRead(0x10000))
        #expect(bench.attach(table) == table)
        #expect(bench.destroy(automatic) == -ENOENT, "and it goes with its last device")
        #expect(bench.rig.host.core.process.lockedPages == 4)
        #expect(bench.detach() == 0)
        #expect(!bench.rig.buses[0].canRead(0x10000))
        #expect(bench.rig.host.core.process.lockedPages == 4, "a user's own stays")
        #expect(bench.destroy(table) == 0)
        #expect(bench.rig.host.core.process.lockedPages == 0)
        #expect(bench.destroy(Int32(bench.ioas)) == 0)
    }

    @Test("what HWPT_ALLOC tests, and in which order")
    func allocation() throws {
        let bench = try Bench()
        #expect(bench.table(.init(rawValue: 16)) == -EOPNOTSUPP)
        #expect(bench.table(.nestParent) == -EOPNOTSUPP)
        #expect(bench.table(.faultIDValid) == -ENOENT)
        #expect(bench.table { $0.reserved = 1 } == -EOPNOTSUPP)
        #expect(bench.table { $0.dataType = .vtdStage1 } == -EINVAL)
        #expect(bench.table { $0.dataLength = 8 } == -EINVAL)
        #expect(bench.table(.init(rawValue: 16)) { $0.deviceID = 99 } == -ENOENT)
        #expect(bench.table(.init(rawValue: 16)) { $0.pageTableID = 99 } == -EINVAL)
        #expect(bench.table { $0.pageTableID = bench.deviceID } == -EINVAL)
        let plain = try Bench(tracksDirtyPages: false)
        #expect(plain.table(.dirtyTracking) == -EOPNOTSUPP)
        // Nothing of it stays.
        #expect(plain.table() == 3)
        let bad = IOASMap(
            flags: [.fixedIOVA, .readable], ioasID: plain.ioas, userVA: 0x1000, length: page, iova: 0x10000)
        #expect(plain.destroy(3) == 0)
        #expect(plain.rig.ask(plain.fd, .ioasMap, with: bad) == 0)
        #expect(plain.table() == -EFAULT, "memory that isn't there")
    }

    @Test("pages that a device writes are told once, until tracking ends")
    func written() throws {
        let bench = try Bench()
        let bus = bench.rig.buses[0]
        #expect(bench.map(0x10000, pages: 4) == 0)
        #expect(bench.map(0x14000, pages: 4, from: 4) == 0)
        let table = bench.table(.dirtyTracking)
        #expect(bench.attach(table) == table)
        #expect(bus.write(0x10000, [1]) == nil)
        #expect(bench.bits(table, 0x10000, length: 8 * page) == (0, 0), "tracking is off")
        #expect(bench.track(table, true) == 0)
        #expect(bench.bits(table, 0x10000, length: 8 * page) == (0, 0), "what came before doesn't count")
        #expect(bus.write(0x11fff, [1, 2]) == nil)
        #expect(bus.write(0x13ffc, [1, 2, 3, 4, 5, 6, 7, 8]) == nil)
        #expect(bus.canRead(0x16000))
        #expect(bus.write(0x30000, [1]) != nil)
        #expect(bench.bits(table, 0x10000, length: 8 * page, keeping: true) == (0, 0b1_1110))
        #expect(bench.bits(table, 0x10000, length: 8 * page, page: 2 * page) == (0, 0b111))
        #expect(bench.bits(table, 0x10000, length: 8 * page) == (0, 0))
        #expect(bus.write(0x12000, [1]) == nil)
        #expect(bench.track(table, true) == 0)
        #expect(bench.bits(table, 0x10000, length: 8 * page) == (0, 0), "starting again forgets")
        #expect(bus.write(0x15000, [1]) == nil)
        #expect(bench.unmap(0x14000, pages: 4) == 0)
        #expect(bench.map(0x14000, pages: 4) == 0)
        #expect(bench.bits(table, 0x10000, length: 8 * page) == (0, 0), "marks go with their mapping")
        #expect(bus.write(0x16000, [1]) == nil)
        #expect(bus.write(0x10000, [1]) == nil)
        #expect(bench.unmap(0x10000, pages: 4) == 0)
        #expect(bench.bits(table, 0x10000, length: 8 * page) == (0, 0), "a hole ends it")
        #expect(bench.bits(table, 0x14000, length: 4 * page) == (0, 0b100))
        #expect(bus.write(0x16000, [1]) == nil)
        #expect(bench.track(table, false) == 0)
        #expect(bench.track(table, false) == 0)
        #expect(bench.bits(table, 0x14000, length: 4 * page) == (0, 0))
    }

    @Test("what can't be told stays marked, and bad questions are refused")
    func questions() throws {
        let bench = try Bench()
        let table = bench.table(.dirtyTracking)
        #expect(bench.map(0x10000, pages: 4) == 0)
        #expect(bench.attach(table) == table)
        #expect(bench.track(table, true) == 0)
        #expect(bench.rig.buses[0].write(0x12000, [1]) == nil)
        var question = HWPTGetDirtyBitmap(
            hwptID: UInt32(table), iova: 0x10000, length: 4 * page, pageSize: page, data: 0x1000)
        #expect(bench.rig.ask(bench.fd, .hwptGetDirtyBitmap, with: question) == 0)
        #expect(bench.bits(table, 0x10000, length: 4 * page, keeping: true) == (0, 0b100))
        question.data = .max - 7
        #expect(bench.rig.ask(bench.fd, .hwptGetDirtyBitmap, with: question) == 0)
        #expect(bench.bits(table, 0x10010, length: page).answer == -EINVAL)
        #expect(bench.bits(table, 0x10000, length: 100).answer == -EINVAL)
        #expect(bench.bits(table, 0x10000, length: page, page: 0).answer == -EINVAL)
        #expect(bench.bits(table, 0x11000, length: page, page: 2 * page).answer == -EINVAL)
        #expect(bench.bits(table, 0x10000, length: .max - 0xfff).answer == -EOVERFLOW)
        #expect(bench.bits(table, 0x10000, length: 0).answer == -EOVERFLOW)
        #expect(bench.bits(table, 0, length: 0).answer == 0)
        #expect(bench.bits(99, 0x10000, length: page).answer == -ENOENT)
        #expect(bench.bits(Int32(bench.ioas), 0x10000, length: page).answer == -ENOENT)
        let plain = bench.table()
        #expect(bench.bits(plain, 0x10000, length: page).answer == -EOPNOTSUPP)
        #expect(bench.track(plain, true) == -EOPNOTSUPP)
        #expect(bench.bits(table, 0x10000, length: 4 * page) == (0, 0b100))
    }

    @Test("memory of a file is mapped without the process's help")
    func files() throws {
        let bench = try Bench()
        let bus = bench.rig.buses[0]
        #expect(bench.attach(Int32(bench.ioas)) > 0)
        let file = try MemoryFile.create("file", byteCount: 4 * page)
        func map(
            _ iova: UInt64, at start: UInt64, pages: UInt64 = 1, _ number: Int32? = nil,
            _ flags: IOASMapFlags = [.fixedIOVA, .readable, .writeable]
        ) -> Int32 {
            bench.rig.ask(
                bench.fd, .ioasMapFile,
                with: IOASMapFile(
                    flags: flags, ioasID: bench.ioas, fd: number ?? file.number, start: start,
                    length: pages * page, iova: iova))
        }
        #expect(map(0x10000, at: page, pages: 2) == 0)
        #expect(bench.rig.host.core.process.lockedPages == 2)
        #expect(bus.write(0x10ffe, [1, 2, 3]) == nil)
        let view = try Mapping(sharing: file.number, at: 0, byteCount: 4 * pageSize)
        #expect((0..<3).map { view.window.load8(2 * pageSize - 2 + $0) } == [1, 2, 3])
        let change = IOASChangeProcess()
        #expect(bench.rig.ask(bench.fd, .ioasChangeProcess, with: change) == 0, "nothing but files")
        // A copy keeps the file's memory, when the first mapping has gone too.
        let copy = IOASCopy(
            flags: [.fixedIOVA, .readable], destinationIOASID: bench.ioas, sourceIOASID: bench.ioas,
            length: page,
            destinationIOVA: 0x30000, sourceIOVA: 0x11000)
        #expect(bench.rig.ask(bench.fd, .ioasCopy, with: copy) == 0)
        #expect(bench.unmap(0x10000, pages: 2) == 0)
        #expect(bus.read(0x30000) == [3])
        #expect(bus.write(0x30000, [9]) != nil)
        #expect(bench.unmap(0x30000) == 0)
        #expect(bench.rig.host.core.process.lockedPages == 0)
        #expect(bench.map(0x10000) == 0)
        #expect(bench.rig.ask(bench.fd, .ioasChangeProcess, with: change) == -EINVAL)

        #expect(map(0x20000, at: 3 * page, pages: 2) == -EINVAL, "beyond the end")
        #expect(map(0x20000, at: 1) == -EINVAL, "not a page's beginning")
        #expect(map(0x20000, at: 0, pages: 0) == -EINVAL)
        #expect(map(0x20000, at: 0, 9999) == -EBADF)
        #expect(map(0x20000, at: .max, pages: 1) == -EOVERFLOW)
        #expect(map(0x20000, at: 0, nil, [.fixedIOVA]) == -EINVAL)
        #expect(map(0x20000, at: 0, nil, .init(rawValue: 0xf)) == -EOPNOTSUPP)
        #expect(map(0x10000, at: 0) == -EEXIST)
        let text = try Descriptor(opening: "/proc/self/status")
        #expect(map(0x20000, at: 0, text.number) == -EINVAL, "not memory")
        #expect(map(0x20000, at: 0, bench.device) == -EINVAL, "not a file")
        #expect(bench.rig.host.core.process.lockedPages == 1, "nothing stays of what failed")
    }

    @Test("the IOMMU tells what it is")
    func hardware() throws {
        let bench = try Bench()
        var data = [UInt8](repeating: 0xff, count: 40)
        var info = HWInfo(deviceID: bench.deviceID, dataLength: 40)
        data.withUnsafeMutableBytes { raw in
            info.dataAddress = UInt64(UInt(bitPattern: raw.baseAddress))
            #expect(bench.rig.ask(bench.fd, .iommufdGetHWInfo, &info) == 0)
        }
        #expect(info.outputType == .intelVTD)
        #expect(info.dataLength == 24)
        #expect(info.capabilities == [.dirtyTracking, .pciATSNotSupported])
        #expect(data[24...].allSatisfy { $0 == 0 }, "what is too much is cleared")
        #expect(data[10] & 0x3f == 47, "addresses have 48 bits")
        info = HWInfo(deviceID: bench.deviceID)
        #expect(bench.rig.ask(bench.fd, .iommufdGetHWInfo, &info) == 0, "no data wanted")
        info = HWInfo(deviceID: bench.deviceID, dataLength: .max, dataAddress: 0x1000)
        #expect(bench.rig.ask(bench.fd, .iommufdGetHWInfo, &info) == -EFAULT)
        info = HWInfo(flags: .inputType, deviceID: bench.deviceID, inputType: .amd)
        #expect(bench.rig.ask(bench.fd, .iommufdGetHWInfo, &info) == -EOPNOTSUPP)
        info.flags = []
        #expect(bench.rig.ask(bench.fd, .iommufdGetHWInfo, &info) == 0, "nobody asked")
        let plain = try Bench(tracksDirtyPages: false)
        info = HWInfo(deviceID: plain.deviceID)
        #expect(plain.rig.ask(plain.fd, .iommufdGetHWInfo, &info) == 0)
        #expect(info.capabilities == .pciATSNotSupported)
    }
}

extension SpaceBench {
    fileprivate init(tracksDirtyPages: Bool = true) throws {
        try self.init { $0.iommu.tracksDirtyPages = tracksDirtyPages }
    }

    fileprivate func track(_ table: Int32, _ on: Bool) -> Int32 {
        rig.ask(
            fd, .hwptSetDirtyTracking,
            with: HWPTSetDirtyTracking(flags: on ? .enable : [], hwptID: UInt32(table)))
    }
    /// The answer, and a word of bits that were 0 before.
    fileprivate func bits(
        _ table: Int32, _ iova: UInt64, length: UInt64, page: UInt64 = UInt64(pageSize),
        keeping: Bool = false
    ) -> (answer: Int32, bits: UInt64) {
        var word: UInt64 = 0
        let answer = withUnsafeMutablePointer(to: &word) {
            rig.ask(
                fd, .hwptGetDirtyBitmap,
                with: HWPTGetDirtyBitmap(
                    hwptID: UInt32(table), flags: keeping ? .noClear : [], iova: iova, length: length,
                    pageSize: page, data: UInt64(UInt(bitPattern: $0))))
        }
        return (answer, word)
    }
}
