import DeviceModel
import Glibc
import IOVASpace
import LinuxSystem
import Testing
import VFIOABI
import VFIOHost

@testable import SoftwareHost

@Suite("A guest's page table in front of a user's")
struct NestedTableTests {
    let page = UInt64(pageSize)
    private typealias Bench = SpaceBench

    @Test("devices reach what the guest's tables show, and nothing else")
    func translation() throws {
        let bench = try Bench()
        let bus = bench.rig.buses[0]
        let parent = bench.table(.nestParent)
        let nested = bench.nested(in: parent)
        #expect(nested > parent)
        // Four levels in pages 0 to 3: 0x1000 → page 16, 0x2000 → page 17 for reading, 0x3000 not for users.
        bench.set(0, 0, 1 << 12 | 7)
        bench.set(1, 0, 2 << 12 | 7)
        bench.set(2, 0, 3 << 12 | 7)
        bench.set(3, 1, 16 << 12 | 7)
        bench.set(3, 2, 17 << 12 | 5)
        bench.set(3, 3, 18 << 12 | 3)
        // Far behind what the guest has.
        bench.set(3, 4, 100 << 12 | 7)
        // A page of 2 MiB, which begins with the guest's memory.
        bench.set(2, 1, 0x80 | 7)
        #expect(bench.attach(nested) == nested)
        #expect(bus.read(0x1000, 2) == [16, 0])
        #expect(bus.write(0x1ffe, [1]) == nil)
        #expect(bus.read(0x1fff, 2) == [0, 17], "across two pages")
        #expect(bench.rig.memory.window.load8(16 * pageSize + 0xffe) == 1)
        #expect(bus.write(0x2000, [1]) == .notPermitted)
        #expect(bus.write(0x1fff, [1, 2]) == .notPermitted, "the second page of two")
        #expect(bench.rig.memory.window.load8(16 * pageSize + 0xfff) == 0, "and the first isn't touched")
        #expect(bus.read(0x3000) == nil, "not for users")
        #expect(bus.read(0x4000) == nil, "not the guest's memory")
        #expect(bus.read(0x5000) == nil, "no entry")
        #expect(bus.read(1 << 47) == nil, "no table")
        #expect(bus.read(1 << 48) == nil, "more bits than there are levels for")
        #expect(bus.read(0x20_0000 + 20 * page) == [20])
        // What was used is marked, what was written too.
        #expect(bench.entry(3, 1) & 0x60 == 0x60)
        #expect(bench.entry(3, 2) & 0x60 == 0x20)
        #expect(bench.entry(2, 1) & 0x60 == 0x20)
        // The guest changes an entry: nothing keeps the old one.
        bench.set(3, 1, 30 << 12 | 7)
        #expect(bus.read(0x1000) == [30])
        bench.set(0, 0, 0)
        #expect(bus.read(0x1000) == nil)
    }

    @Test("five levels, and the pages that are written through both stages")
    func fiveLevels() throws {
        let bench = try Bench()
        let bus = bench.rig.buses[0]
        let parent = bench.table([.nestParent, .dirtyTracking])
        let nested = bench.nested(in: parent, width: 57, length: 20)
        bench.set(0, 511, 1 << 12 | 7)
        bench.set(1, 0, 2 << 12 | 7)
        bench.set(2, 0, 3 << 12 | 7)
        bench.set(3, 0, 4 << 12 | 7)
        bench.set(4, 0, 40 << 12 | 7)
        #expect(bench.attach(nested) == nested)
        let track = HWPTSetDirtyTracking(flags: .enable, hwptID: UInt32(parent))
        #expect(bench.rig.ask(bench.fd, .hwptSetDirtyTracking, with: track) == 0)
        #expect(bus.write(511 << 48, [9]) == nil)
        #expect(bus.read(511 << 48) == [9])
        var word: UInt64 = 0
        let answer = withUnsafeMutablePointer(to: &word) {
            bench.rig.ask(
                bench.fd, .hwptGetDirtyBitmap,
                with: HWPTGetDirtyBitmap(
                    hwptID: UInt32(parent), iova: 0, length: 64 * page, pageSize: page,
                    data: UInt64(UInt(bitPattern: $0))))
        }
        #expect(answer == 0)
        // The page, and the tables that got their marks.
        #expect(word == 1 << 40 | 0b11111)
    }

    @Test("tables that lead back to themselves end, and those outside the guest are refused")
    func hostileTables() throws {
        let bench = try Bench()
        let bus = bench.rig.buses[0]
        let nested = bench.nested(in: bench.table(.nestParent))
        #expect(bench.attach(nested) == nested)
        for index in 0..<512 { bench.set(0, index, 7) }
        #expect(bus.read(0x1000) != nil, "a table that is its own page is memory")
        bench.set(0, 0, 0x000f_ffff_ffff_f007)
        #expect(bus.read(0x1000) == nil)
        bench.set(0, 0, .max)
        #expect(bus.read(0) == nil)
    }

    @Test("what there is in front of what, and what is refused")
    func objects() throws {
        let bench = try Bench()
        let parent = bench.table(.nestParent)
        let plain = bench.table()
        let nested = bench.nested(in: parent)
        #expect(bench.destroy(parent) == -EBUSY)
        #expect(bench.nested(in: nested) == -EINVAL)
        #expect(bench.nested(in: plain) == -EINVAL)
        #expect(bench.nested(in: parent, length: 19) == -EINVAL)
        #expect(bench.nested(in: parent) { $0.dataType = .amdGuest } == -EOPNOTSUPP)
        #expect(bench.nested(in: parent) { $0.dataAddress = 0x1000 } == -EFAULT)
        #expect(bench.nested(in: parent) { $0.flags = .dirtyTracking } == -EOPNOTSUPP)
        #expect(bench.nested(in: parent) { $0.flags = .faultIDValid } == -ENOENT)
        let odd = bench.nested(in: parent, width: 39)
        #expect(bench.attach(odd) == -EINVAL)
        #expect(bench.destroy(odd) == 0)
        #expect(bench.attach(nested) == nested)
        #expect(bench.destroy(nested) == -EBUSY)
        #expect(bench.attach(parent) == parent)
        #expect(bench.destroy(nested) == 0)
        #expect(bench.attach(plain) == plain)
        #expect(bench.destroy(parent) == 0)
        let none = try Bench(nests: false)
        #expect(none.table(.nestParent) == -EOPNOTSUPP)
    }

    @Test("invalidations are checked, and counted as far as they went")
    func invalidations() throws {
        let bench = try Bench()
        let nested = bench.nested(in: bench.table(.nestParent))
        func invalidate(
            _ entries: [HWPTVTDStage1Invalidate], _ change: (inout HWPTInvalidate) -> Void = { _ in }
        ) -> (answer: Int32, done: UInt32) {
            var entries = entries
            return entries.withUnsafeMutableBytes { raw in
                var request = HWPTInvalidate(
                    hwptID: UInt32(nested), dataAddress: UInt64(UInt(bitPattern: raw.baseAddress)),
                    dataType: .vtdStage1, entryLength: 24, entryCount: UInt32(raw.count / 24))
                change(&request)
                return (bench.rig.ask(bench.fd, .hwptInvalidate, &request), request.entryCount)
            }
        }
        let good = HWPTVTDStage1Invalidate(address: 0x1000, pageCount: 1)
        #expect(invalidate([good, good]) == (0, 2))
        #expect(invalidate([HWPTVTDStage1Invalidate(pageCount: .max)]) == (0, 1), "everything")
        #expect(invalidate([good, HWPTVTDStage1Invalidate(address: 1)]) == (-EINVAL, 1))
        #expect(invalidate([HWPTVTDStage1Invalidate(address: 0x1000, pageCount: .max)]) == (-EINVAL, 0))
        #expect(invalidate([good, HWPTVTDStage1Invalidate(flags: .init(rawValue: 2))]) == (-EOPNOTSUPP, 1))
        #expect(invalidate([good]) { $0.entryCount = 0 } == (0, 0))
        #expect(invalidate([good]) { $0.entryLength = 8 } == (-EINVAL, 0))
        #expect(invalidate([good]) { $0.dataType = .armSMMUv3 } == (-EINVAL, 0))
        #expect(invalidate([good]) { $0.dataAddress = 0x1000 } == (-EFAULT, 0))
        #expect(invalidate([good]) { $0.dataAddress = .max - 8 } == (-EFAULT, 0))
        #expect(invalidate([good]) { $0.reserved = 1 } == (-EOPNOTSUPP, 0))
    }
}

/// A guest whose memory are 64 pages from address 0 on, with tables in the first ones, and a device behind them.
extension SpaceBench {
    fileprivate init(nests: Bool = true) throws {
        try self.init {
            $0.iommu.nestsPageTables = nests
            $0.iommu.tracksDirtyPages = true
        }
        #expect(map(0, pages: 64) == 0)
        for word in 0..<5 * 512 { rig.memory.window.store64(word * 8, 0) }
    }

    fileprivate func nested(
        in parent: Int32, width: UInt32 = 48, length: UInt32 = 24,
        _ change: (inout HWPTAlloc) -> Void = { _ in }
    ) -> Int32 {
        var description = HWPTVTDStage1(pageTableAddress: 0, addressWidth: width)
        return withUnsafeMutablePointer(to: &description) {
            var request = HWPTAlloc(
                deviceID: deviceID, pageTableID: UInt32(parent), dataType: .vtdStage1, dataLength: length,
                dataAddress: UInt64(UInt(bitPattern: $0)))
            change(&request)
            let answer = rig.ask(fd, .hwptAlloc, &request)
            return answer < 0 ? answer : Int32(request.hwptID)
        }
    }

    /// Entry `index` of the table in a page of the guest's.
    fileprivate func set(_ table: Int, _ index: Int, _ value: UInt64) {
        rig.memory.window.store64(table * pageSize + index * 8, value)
    }
    fileprivate func entry(_ table: Int, _ index: Int) -> UInt64 {
        rig.memory.window.load64(table * pageSize + index * 8)
    }
}
