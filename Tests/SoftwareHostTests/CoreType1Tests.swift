import DeviceModel
import Glibc
import IOVASpace
import LinuxSystem
import Testing
import VFIOABI
import VFIOHost

@testable import SoftwareHost

@Suite("type1 maps and unmaps as in Linux")
struct CoreType1Tests {
    let page = UInt64(pageSize)

    @Test("GET_INFO writes what there is room for, and tells what it needs")
    func info() throws {
        let rig = try Rig()
        let (container, _) = rig.ready()
        #expect(rig.ask(container, .iommuGetInfo, 8) == -EFAULT)
        for argsz in [0, 15, 16, 20, 24, 119, 120, 200] as [UInt32] {
            var bytes = [UInt8](repeating: 0xaa, count: 208)
            bytes.withUnsafeMutableBytes { raw in
                raw.storeBytes(of: argsz, as: UInt32.self)
                let answer = rig.ask(container, .iommuGetInfo, UInt(bitPattern: raw.baseAddress))
                if argsz < 16 {
                    #expect(answer == -EINVAL)
                    return
                }
                #expect(answer == 0)
                let words = raw.bindMemory(to: UInt32.self)
                let wide = raw.bindMemory(to: UInt64.self)
                // MIGRATION 32, DMA_AVAIL 16, and IOVA_RANGE with two ranges 48 bytes, after 24.
                #expect(words[0] == (argsz >= 120 ? argsz : 120))
                #expect(words[1] == 3)
                #expect(wide[1] == 1 << 12 | 1 << 21 | 1 << 30)
                if argsz >= 20 { #expect(words[4] == (argsz >= 120 ? 24 : 0)) }
                if argsz == 16 { #expect(words[4] == 0xaaaa_aaaa) }
                guard argsz >= 120 else {
                    #expect(words[6] == 0xaaaa_aaaa, "nothing is written beyond argsz")
                    return
                }
                #expect(words[6] == 2 | 1 << 16 && words[7] == 56 && wide[5] == page && wide[6] == 256 << 20)
                #expect(words[14] == 3 | 1 << 16 && words[15] == 72 && words[16] == 65535)
                #expect(words[18] == 1 | 1 << 16 && words[19] == 0 && words[20] == 2)
                #expect(wide[11] == 0 && wide[12] == 0xfedf_ffff)
                #expect(wide[13] == 0xfef0_0000 && wide[14] == 0xffff_ffff_ffff)
                #expect(words[30] == 0xaaaa_aaaa)
            }
        }
    }

    @Test("what MAP_DMA tests, and in which order")
    func mapOrder() throws {
        let rig = try Rig { $0.parameters.dmaEntryLimit = 2 }
        let (container, _) = rig.ready()
        func map(
            _ iova: UInt64, _ size: UInt64, vaddr: UInt64? = nil, flags: UInt32 = 3, argsz: UInt32 = 32
        ) -> Int32 {
            rig.ask(
                container, .iommuMapDMA,
                with: DMAMap(
                    argsz: argsz, flags: DMAMapFlags(rawValue: flags), vaddr: vaddr ?? rig.base, iova: iova,
                    size: size))
        }
        let end = UInt64.max - page + 1
        #expect(rig.ask(container, .iommuMapDMA, 24) == -EFAULT)
        #expect(map(end, 0, flags: 8, argsz: 31) == -EINVAL)
        #expect(map(1, 0, flags: 3) == -EINVAL)
        // A wrap comes before wrong flags and alignment.
        #expect(map(end, 2 * page, flags: 0) == -EOVERFLOW)
        #expect(map(0, 2 * page, vaddr: end, flags: 7) == -EOVERFLOW)
        #expect(map(1, page, flags: 0) == -EINVAL)
        #expect(map(0, page, flags: 7) == -EINVAL)
        #expect(map(1, page) == -EINVAL)
        #expect(map(0, page + 1) == -EINVAL)
        #expect(map(0, page, vaddr: rig.base + 1) == -EINVAL)
        #expect(map(0, 2 * page) == 0)
        // An overlap comes before the reserved range, that before bad memory.
        #expect(map(page, 0xfee0_0000) == -EEXIST)
        #expect(map(0, 2 * page) == -EEXIST)
        #expect(map(0xfee0_0000, page, vaddr: 1 << 46) == -EINVAL)
        #expect(map(0xfedf_f000, 2 * page) == -EINVAL)
        #expect(map(1 << 48, page) == -EINVAL)
        #expect(map(0x10_0000, page, vaddr: 1 << 46) == -EFAULT)
        #expect(map(0x10_0000, page) == 0)
        // Two are all that there may be; that comes before the reserved range.
        #expect(map(0xfee0_0000, page) == -ENOSPC)
        #expect(rig.unmap(container, 0, size: 2 * page) == Int64(2 * page))
        #expect(map((1 << 48) - page, page) == 0)
        #expect(rig.host.lockedByteCount == 2 * page)
    }

    @Test("the last page of all addresses can be mapped where the IOMMU reaches it")
    func lastPage() throws {
        let rig = try Rig { $0.iommu = IOMMU(apertures: [0...UInt64.max], reserved: []) }
        let (container, _) = rig.ready()
        let last = UInt64.max - page + 1
        #expect(rig.map(container, last, from: 3) == 0)
        #expect(rig.buses[0].read(last) == [3])
        #expect(rig.buses[0].read(UInt64.max, 2) == nil)
        #expect(rig.unmap(container, last, size: page) == Int64(page))
    }

    @Test("memory that is read-only can be mapped for reading and not for writing")
    func readOnlyMemory() throws {
        let rig = try Rig()
        let (container, _) = rig.ready()
        try rig.memory.protect(.read)
        #expect(rig.map(container, 0, flags: .read) == 0)
        #expect(rig.map(container, page, flags: .write) == -EFAULT)
        #expect(rig.map(container, page) == -EFAULT)
        #expect(rig.buses[0].read(0) == [0])
        #expect(rig.buses[0].write(0, [1]) == .notPermitted)
        #expect(rig.host.lockedByteCount == page)
    }

    @Test("devices get what is mapped, and every refused access is counted")
    func faults() throws {
        let rig = try Rig()
        let (container, _) = rig.ready()
        #expect(rig.map(container, 0x1000, pages: 1, from: 7) == 0)
        #expect(rig.map(container, 0x2000, pages: 1, from: 3, flags: .read) == 0)
        #expect(rig.map(container, 0x3000, pages: 1, from: 4, flags: .write) == 0)
        let bus = rig.buses[0]
        #expect(bus.write(0x1fff, [0x55]) == nil)
        #expect(bus.read(0x1fff, 2) == [0x55, 3], "across two mappings")
        #expect(rig.memory.window.load8(8 * pageSize - 1) == 0x55)
        #expect(rig.host.dmaFaults.count == 0)
        #expect(bus.write(0x1fff, [1, 2]) == .notPermitted)
        #expect(rig.memory.window.load8(8 * pageSize - 1) == 0x55, "all or nothing")
        #expect(bus.read(0x3000) == nil)
        #expect(bus.read(0x2fff, 2) == nil)
        #expect(bus.read(0x9000) == nil)
        let faults = rig.host.dmaFaults
        #expect(faults.count == 4)
        #expect(faults.last?.iova == IOVA(0x9000) && faults.last?.reason == .notMapped)
        #expect(rig.host.dmaFaults(ofGroup: 26) == faults)
        #expect(rig.host.dmaFaults(ofGroup: 27) == nil)
    }

    @Test("locked memory is counted, limited, and given back")
    func lockedMemory() throws {
        let limit = UInt64(10 * pageSize)
        let rig = try Rig { $0.process.lockedMemoryLimit = limit }
        let (container, _) = rig.ready()
        #expect(rig.map(container, 0, pages: 8) == 0)
        // The same memory counts again at another address.
        #expect(rig.map(container, 0x10_0000, pages: 3) == -ENOMEM)
        #expect(rig.host.lockedByteCount == 8 * page)
        #expect(rig.map(container, 0x10_0000, pages: 2) == 0)
        // What goes wrong first on the way is the answer.
        let hole = try Mapping(anonymous: 4 * pageSize)
        let base = UInt64(hole.window.address.rawValue)
        #expect(mprotect(UnsafeMutableRawPointer(bitPattern: UInt(base + page)), pageSize, PROT_NONE) == 0)
        _ = rig.unmap(container, 0, size: 8 * page)
        let request = DMAMap(flags: .read, vaddr: base, iova: 0, size: 4 * page)
        #expect(rig.ask(container, .iommuMapDMA, with: request) == -EFAULT)
        #expect(rig.map(container, 0, pages: 8) == 0)
        #expect(
            rig.ask(
                container, .iommuMapDMA,
                with: DMAMap(flags: .read, vaddr: base, iova: 0x20_0000, size: 4 * page)) == -ENOMEM)
        #expect(rig.unmap(container, 0, size: 0, flags: .all) == Int64(10 * page))
        #expect(rig.host.lockedByteCount == 0)
        let free = try Rig {
            $0.process.lockedMemoryLimit = 0
            $0.process.mayExceedLockedMemory = true
        }
        let (unlimited, _) = free.ready()
        #expect(free.map(unlimited, 0, pages: 8) == 0)
        #expect(free.host.lockedByteCount == 8 * page)
    }

    @Test("what UNMAP_DMA tests, and in which order")
    func unmapOrder() throws {
        let rig = try Rig()
        let (container, _) = rig.ready()
        func unmap(
            _ iova: UInt64, _ size: UInt64, _ flags: UInt32 = 0, argsz: UInt32 = 24, bitmap: Bitmap = Bitmap()
        ) -> Int32 {
            var request = DMAUnmapWithBitmap(iova: iova, size: size, bitmap: bitmap)
            request.unmap.argsz = argsz
            request.unmap.flags = DMAUnmapFlags(rawValue: flags)
            return rig.ask(container, .iommuUnmapDMA, with: request)
        }
        #expect(rig.ask(container, .iommuUnmapDMA, 24) == -EFAULT)
        #expect(unmap(0, page, argsz: 23) == -EINVAL)
        #expect(unmap(0, page, 8) == -EINVAL)
        #expect(unmap(0, 0, 3, argsz: 48) == -EINVAL)
        #expect(unmap(0, page, 1, argsz: 47) == -EINVAL)
        #expect(unmap(1, 0, 2) == -EINVAL)
        #expect(unmap(0, page, 2) == -EINVAL)
        #expect(unmap(page, 0, 2) == -EINVAL)
        #expect(unmap(0, 0) == -EINVAL)
        #expect(unmap(0, page + 1) == -EINVAL)
        #expect(unmap(UInt64.max - page + 1, 2 * page) == -EOVERFLOW)
        // Dirty bits while they aren't tracked.
        var word: UInt64 = 0
        withUnsafeMutablePointer(to: &word) { pointer in
            let bitmap = Bitmap(pageSize: page, size: 8, data: UInt64(UInt(bitPattern: pointer)))
            #expect(unmap(0, page, 1, argsz: 48, bitmap: bitmap) == -EINVAL)
        }
        #expect(unmap(0, page) == 0)
        #expect(rig.unmap(container, 0, size: page) == 0, "nothing there is no error")
        #expect(rig.unmap(container, 0, size: 0, flags: .all) == 0)
    }

    @Test("version 2 removes whole mappings or nothing")
    func unmapVersion2() throws {
        let rig = try Rig()
        let (container, _) = rig.ready(3)
        for iova in [0x0, 0x4000, 0x8000] as [UInt64] { #expect(rig.map(container, iova, pages: 4) == 0) }
        #expect(rig.unmap(container, 0x1000, size: page) == Int64(-EINVAL))
        #expect(rig.unmap(container, 0, size: page) == Int64(-EINVAL))
        #expect(rig.unmap(container, 0, size: 5 * page) == Int64(-EINVAL))
        #expect(rig.unmap(container, 0x3000, size: 5 * page) == Int64(-EINVAL))
        #expect(rig.buses[0].canRead(0) && rig.buses[0].canRead(0x4000))
        #expect(rig.unmap(container, 0x4000, size: 4 * page) == Int64(4 * page))
        #expect(rig.unmap(container, 0, size: 64 * page) == Int64(8 * page), "holes are fine")
        #expect(!rig.buses[0].canRead(0))
    }

    @Test("version 1 removes mappings that begin in the range, whole, and stops at one that begins before")
    func unmapVersion1() throws {
        let rig = try Rig()
        let (container, _) = rig.ready(1)
        for iova in [0x0, 0x4000, 0x8000] as [UInt64] { #expect(rig.map(container, iova, pages: 4) == 0) }
        #expect(
            rig.unmap(container, 0x1000, size: 16 * page) == 0, "begins inside: nothing after it goes either")
        #expect(rig.buses[0].canRead(0x4000))
        #expect(rig.unmap(container, 0x4000, size: page) == Int64(4 * page), "more than was asked for")
        #expect(!rig.buses[0].canRead(0x7000))
        #expect(rig.unmap(container, 0, size: 9 * page) == Int64(8 * page))
        #expect(rig.host.lockedByteCount == 0)
    }

    @Test("on an error UNMAP_DMA leaves the user's structure alone")
    func unmapWriteBack() throws {
        let rig = try Rig()
        let (container, _) = rig.ready()
        #expect(rig.map(container, 0, pages: 4) == 0)
        var request = DMAUnmap(iova: 0, size: page)
        #expect(rig.ask(container, .iommuUnmapDMA, &request) == -EINVAL)
        #expect(request.size == page)
    }

    @Test("addresses of mappings are replaced in two steps")
    func vaddr() throws {
        let rig = try Rig()
        let (container, _) = rig.ready()
        #expect(rig.map(container, 0x1000, pages: 2, from: 10) == 0)
        #expect(rig.map(container, 0x8000, pages: 1, from: 20) == 0)
        #expect(rig.map(container, 0x1000, pages: 2, from: 30, flags: .vaddr) == -EINVAL)
        #expect(rig.map(container, 0x4000, pages: 2, from: 30, flags: .vaddr) == -ENOENT)
        #expect(rig.unmap(container, 0x4000, size: page, flags: .vaddr) == 0)
        #expect(rig.unmap(container, 0x1000, size: 2 * page, flags: .vaddr) == Int64(2 * page))
        // One of them is marked already: none of this call's marks stays.
        #expect(rig.unmap(container, 0, size: 0, flags: [.vaddr, .all]) == Int64(-EINVAL))
        #expect(rig.unmap(container, 0x8000, size: page, flags: .vaddr) == Int64(page))
        let second = rig.open(.group(27))
        #expect(rig.setContainer(second, container) == -EBUSY)
        #expect(rig.map(container, 0x1000, pages: 1, from: 30, flags: .vaddr) == -EINVAL)
        #expect(rig.map(container, 0x1000, pages: 2, from: 30, flags: .vaddr) == 0)
        #expect(rig.buses[0].read(0x1000) == [30])
        #expect(rig.map(container, 0x1000, pages: 2, from: 40, flags: .vaddr) == -EINVAL)
        #expect(rig.unmap(container, 0x8000, size: page) == Int64(page), "a marked mapping can be removed")
        #expect(rig.setContainer(second, container) == 0)
    }

    @Test("a second group must be able to use all mappings; without isolated interrupts it needs a permit")
    func attach() throws {
        let rig = try Rig { $0.groups[1].reserved = [ReservedRange(0x4000...0x4fff, .direct)] }
        let (container, _) = rig.ready()
        let second = rig.open(.group(27))
        #expect(rig.map(container, 0x4000) == 0)
        #expect(rig.setContainer(second, container) == -EINVAL)
        #expect(rig.status(second) == 1)
        #expect(rig.unmap(container, 0x4000, size: page) == Int64(page))
        #expect(rig.setContainer(second, container) == 0)
        #expect(rig.map(container, 0x4000) == -EINVAL)
        #expect(rig.ask(second, .groupUnsetContainer) == 0)
        #expect(rig.map(container, 0x4000) == 0)

        let unsafe = try Rig { $0.iommu.hasIsolatedMSI = false }
        let bare = unsafe.open(.container)
        let group = unsafe.open(.group(26))
        #expect(unsafe.setContainer(group, bare) == 0)
        #expect(unsafe.ask(bare, .setIOMMU, 3) == -EPERM)
        let permitted = try Rig {
            $0.iommu.hasIsolatedMSI = false
            $0.parameters.allowUnsafeInterrupts = true
        }
        _ = permitted.ready()
    }

    @Test("an IOMMU with large pages only has them as its unit")
    func largeUnit() throws {
        let rig = try Rig { $0.iommu.pageSizes = [.kib64, .mib2] }
        let (container, _) = rig.ready()
        #expect(rig.map(container, 0x1000, pages: 16) == -EINVAL)
        #expect(rig.map(container, 0x10000, pages: 1) == -EINVAL)
        let tiny = try Rig { $0.iommu.pageSizes = IOMMU.PageSizes(rawValue: 1 << 9 | 1 << 21) }
        let (small, _) = tiny.ready()
        #expect(tiny.map(small, 0x1000) == 0, "smaller pages count as the processor's")
    }
}
