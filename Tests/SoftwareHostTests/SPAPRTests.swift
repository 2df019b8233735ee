import DeviceModel
import Glibc
import IOVASpace
import LinuxSystem
import Testing
import VFIOABI
import VFIOHost

@testable import SoftwareHost

/// A machine with an sPAPR IOMMU, and short ways to ask its container.
struct WindowRig {
    let rig: Rig
    let container: Int32
    let group: Int32

    init(version: UInt = 7, limit: UInt64? = nil, _ iommu: SPAPRIOMMU = SPAPRIOMMU()) throws {
        rig = try Rig {
            $0.iommu = IOMMU(.spapr(iommu))
            $0.process.lockedMemoryLimit = limit
        }
        container = rig.open(.container)
        group = rig.open(.group(26))
        precondition(rig.setContainer(group, container) == 0)
        precondition(rig.ask(container, .setIOMMU, version) == 0)
    }

    var bus: RecordingBus { rig.buses[0] }

    func memory(_ request: Request, from page: Int = 0, pages: Int) -> Int32 {
        rig.ask(
            container, request,
            with: SPAPRRegisterMemory(
                vaddr: rig.base + UInt64(page * pageSize), size: UInt64(pages * pageSize)))
    }

    /// Where the window begins, or the negative error number.
    func create(shift: UInt32 = 12, size: UInt64 = 1 << 20, levels: UInt32 = 1) -> Int64 {
        var request = SPAPRTCECreate(pageShift: shift, windowSize: size, levels: levels)
        let answer = rig.ask(container, .spaprTCECreate, &request)
        return answer < 0 ? Int64(answer) : Int64(request.startAddress)
    }

    func remove(_ start: UInt64) -> Int32 {
        rig.ask(container, .spaprTCERemove, with: SPAPRTCERemove(startAddress: start))
    }
}

@Suite("sPAPR: DMA windows as in Linux")
struct SPAPRTests {
    let page = UInt64(pageSize)
    let second = SPAPRIOMMU.secondWindowStart

    @Test("a POWER machine has windows and no type 1, and neither an iommufd nor device nodes")
    func extensions() throws {
        let rig = try Rig { $0.iommu = IOMMU(.spapr(SPAPRIOMMU())) }
        let container = rig.open(.container)
        for (number, answer) in [(1, 0), (2, 1), (3, 0), (4, 0), (5, 1), (7, 1), (9, 0)] as [(UInt, Int32)] {
            #expect(rig.ask(container, .checkExtension, number) == answer, "\(number)")
        }
        let group = rig.open(.group(26))
        #expect(rig.setContainer(group, container) == 0)
        #expect(rig.ask(container, .setIOMMU, 3) == -ENODEV)
        #expect(rig.ask(container, .setIOMMU, 5) == -EINVAL, "an extension, no kind")
        #expect(rig.ask(container, .setIOMMU, 2) == 0)
        #expect(rig.ask(container, .checkExtension, 7) == 1)
        #expect(rig.open(.iommu) == -ENOENT)
        #expect(rig.open(.device(0)) == -ENOENT)
        let inventory = try rig.host.inventory()
        #expect(!inventory.hasIOMMUFD && inventory.devices.allSatisfy { $0.deviceNode == nil })
        #expect(inventory.groups.allSatisfy { $0.reservedRegions.isEmpty })
    }

    @Test("version 1 takes one group, version 2 several, and only where there are dynamic windows")
    func groups() throws {
        let one = try WindowRig(version: 2)
        let other = one.rig.open(.group(27))
        #expect(one.rig.setContainer(other, one.container) == -EBUSY)
        #expect(one.rig.ask(one.group, .groupUnsetContainer) == 0)
        #expect(one.rig.setContainer(one.group, one.container) == 0)
        #expect(one.rig.setContainer(other, one.container) == 0)
        #expect(one.rig.ask(one.container, .setIOMMU, 2) == -EBUSY, "both at once")
        #expect(one.rig.ask(one.container, .setIOMMU, 7) == 0)

        let old = try Rig { $0.iommu = IOMMU(.spapr(SPAPRIOMMU(dynamicWindows: 0))) }
        let container = old.open(.container)
        #expect(old.setContainer(old.open(.group(26)), container) == 0)
        #expect(old.ask(container, .setIOMMU, 7) == -EINVAL)
        #expect(old.ask(container, .setIOMMU, 2) == 0)
    }

    @Test("version 1 counts all of its window while it is enabled, and maps only then")
    func enabling() throws {
        let size: UInt32 = 1 << 20
        let iommu = SPAPRIOMMU(.pSeries, defaultWindowByteCount: size)
        let one = try WindowRig(version: 2, limit: UInt64(size), iommu)
        let (rig, container) = (one.rig, one.container)
        #expect(rig.map(container, 0) == -EPERM)
        #expect(rig.unmap(container, 0, size: page) == Int64(-EPERM))
        #expect(rig.ask(container, .iommuDisable) == 0)
        #expect(rig.ask(container, .iommuEnable) == 0)
        #expect(rig.host.lockedByteCount == UInt64(size))
        #expect(rig.ask(container, .iommuEnable) == -EBUSY)
        #expect(rig.map(container, 0) == 0)
        #expect(rig.host.lockedByteCount == UInt64(size), "mapping costs nothing more")
        #expect(rig.ask(container, .iommuDisable) == 0)
        #expect(rig.host.lockedByteCount == 0)
        #expect(rig.map(container, page) == -EPERM)
        #expect(one.bus.canRead(0), "what is mapped stays")
        rig.host.rights.lockedMemoryLimit = UInt64(size) - page
        #expect(rig.ask(container, .iommuEnable) == -ENOMEM)
        rig.host.rights.lockedMemoryLimit = nil
        #expect(rig.ask(container, .iommuEnable) == 0)
        #expect(rig.ask(one.group, .groupUnsetContainer) == 0)
        #expect(rig.host.lockedByteCount == 0, "leaving disables")
        let none = try WindowRig(version: 2, SPAPRIOMMU(defaultWindowByteCount: 0))
        #expect(none.rig.ask(none.container, .iommuEnable) == -EPERM)
    }

    @Test("requests of the other version don't exist")
    func versions() throws {
        let one = try WindowRig(version: 2)
        // Of type 1's requests DIRTY_PAGES has the number of REGISTER_MEMORY.
        for request in [
            .spaprRegisterMemory, .spaprUnregisterMemory, .spaprTCECreate, .spaprTCERemove,
            Request(index: 22), Request(index: 99),
        ] as [Request] {
            #expect(one.rig.ask(one.container, request) == -ENOTTY)
        }
        let two = try WindowRig()
        for request in [.iommuEnable, .iommuDisable, Request(index: 22)] as [Request] {
            #expect(two.rig.ask(two.container, request) == -ENOTTY)
        }
    }

    @Test("GET_INFO tells of dynamic windows to version 2 only, and where there is room")
    func info() throws {
        let two = try WindowRig()
        #expect(two.rig.ask(two.container, .spaprTCEGetInfo, 8) == -EFAULT)
        for argsz in [0, 15, 16, 31, 32, 100] as [UInt32] {
            var info = SPAPRTCEInfo(argsz: argsz, dma32WindowSize: 7)
            info.ddw.levels = 77
            let answer = two.rig.ask(two.container, .spaprTCEGetInfo, &info)
            #expect(answer == (argsz < 16 ? -EINVAL : 0), "\(argsz)")
            guard argsz >= 16 else { continue }
            #expect(info.argsz == argsz && info.flags == .ddw)
            #expect(info.dma32WindowStart == 0 && info.dma32WindowSize == 1 << 31)
            #expect(info.ddw.levels == (argsz < 32 ? 77 : 5))
            guard argsz >= 32 else { continue }
            #expect(info.ddw.maxDynamicWindows == 2)
            #expect(info.ddw.pageSizes == 1 << 12 | 1 << 16 | 1 << 21 | 1 << 30)
        }
        let one = try WindowRig(version: 2)
        var info = SPAPRTCEInfo()
        #expect(one.rig.ask(one.container, .spaprTCEGetInfo, &info) == 0)
        #expect(info.flags == [] && info.ddw.levels == 0)
    }

    @Test("what MAP_DMA tests, and in which order")
    func mapOrder() throws {
        let one = try WindowRig(version: 2)
        let (rig, container) = (one.rig, one.container)
        let base = rig.base
        func map(
            _ iova: UInt64, _ size: UInt64, vaddr: UInt64? = nil, flags: UInt32 = 3, argsz: UInt32 = 32
        ) -> Int32 {
            rig.ask(
                container, .iommuMapDMA,
                with: DMAMap(
                    argsz: argsz, flags: DMAMapFlags(rawValue: flags), vaddr: vaddr ?? base, iova: iova,
                    size: size))
        }
        #expect(rig.ask(container, .iommuMapDMA, 8) == -EPERM)
        #expect(rig.ask(container, .iommuEnable) == 0)
        #expect(rig.ask(container, .iommuMapDMA, 8) == -EFAULT)
        #expect(map(1 << 40, 1, flags: 0, argsz: 31) == -EINVAL)
        #expect(map(1 << 40, 1, flags: 4) == -EINVAL)
        #expect(map(1 << 40, 1, flags: 0) == -ENXIO, "no window")
        #expect(map(0, 1, flags: 0) == -EINVAL)
        #expect(map(0, page, vaddr: base + 1) == -EINVAL)
        #expect(map(0, page, flags: 0) == -EINVAL)
        #expect(map(1, page) == -EINVAL, "Linux says 1")
        #expect(map(0, 0) == 0, "nothing")
        #expect(map(0, page, vaddr: 0) == -EFAULT)
        #expect(map((1 << 31) - page, 2 * page) == -EINVAL, "beyond the window")
        #expect(!one.bus.canRead((1 << 31) - page), "the page before its end is empty again")
        #expect(map((1 << 31) - page, page) == 0)
        #expect(one.bus.canRead((1 << 31) - page))
    }

    @Test("mapping replaces what was there; an error empties the pages that it came to")
    func replacing() throws {
        let one = try WindowRig(version: 2)
        let (rig, container) = (one.rig, one.container)
        #expect(rig.ask(container, .iommuEnable) == 0)
        #expect(rig.map(container, 0x10000, pages: 8) == 0)
        #expect(one.bus.read(0x12000) == [2])
        #expect(rig.map(container, 0x12000, from: 100) == 0)
        #expect(one.bus.read(0x11000) == [1] && one.bus.read(0x12000) == [100])
        #expect(one.bus.read(0x13000) == [3])
        // Three pages with nothing behind the second.
        let hole = try Mapping(anonymous: 3 * pageSize)
        let start = hole.window.address.rawValue
        #expect(
            mprotect(UnsafeMutableRawPointer(bitPattern: start + UInt(2 * pageSize)), pageSize, PROT_NONE)
                == 0)
        #expect(
            rig.ask(
                container, .iommuMapDMA,
                with: DMAMap(flags: [.read, .write], vaddr: UInt64(start), iova: 0x11000, size: 3 * page))
                == -EFAULT)
        #expect(one.bus.read(0x10000) == [0])
        #expect(!one.bus.canRead(0x11000) && !one.bus.canRead(0x12000), "they had been replaced")
        #expect(one.bus.read(0x13000) == [3], "it never came here")
        #expect(rig.unmap(container, 0x10000, size: 16 * page) == Int64(16 * page), "empty pages are fine")
        #expect(!one.bus.canRead(0x13000))
    }

    @Test("what devices may do is what was said")
    func permissions() throws {
        let one = try WindowRig(version: 2)
        #expect(one.rig.ask(one.container, .iommuEnable) == 0)
        #expect(one.rig.map(one.container, 0, flags: .read) == 0)
        #expect(one.rig.map(one.container, 0x1000, flags: .write) == 0)
        #expect(one.bus.canRead(0) && one.bus.write(0, [1]) == .notPermitted)
        #expect(!one.bus.canRead(0x1000) && one.bus.write(0x1000, [1]) == nil)
    }

    @Test("what UNMAP_DMA tests; it takes parts of mappings, and writes no size back")
    func unmapping() throws {
        let one = try WindowRig(version: 2)
        let (rig, container) = (one.rig, one.container)
        #expect(rig.ask(container, .iommuEnable) == 0)
        func unmap(_ iova: UInt64, _ size: UInt64, flags: UInt32 = 0, argsz: UInt32 = 24) -> Int32 {
            rig.ask(
                container, .iommuUnmapDMA,
                with: DMAUnmap(argsz: argsz, flags: DMAUnmapFlags(rawValue: flags), iova: iova, size: size))
        }
        #expect(rig.ask(container, .iommuUnmapDMA, 8) == -EFAULT)
        #expect(unmap(1 << 40, 1, argsz: 23) == -EINVAL)
        #expect(unmap(1 << 40, 1, flags: 2) == -EINVAL)
        #expect(unmap(1 << 40, 1) == -ENXIO)
        #expect(unmap(0, 1) == -EINVAL)
        #expect(unmap(1, page) == -EINVAL, "Linux says 1")
        #expect(unmap((1 << 31) - page, 2 * page) == -EINVAL, "Linux says 1")
        #expect(rig.map(container, 0, pages: 4) == 0)
        #expect(unmap(page, page) == 0)
        #expect(one.bus.canRead(0) && !one.bus.canRead(page) && one.bus.canRead(2 * page))
        #expect(unmap(0, 0) == 0)
        #expect(one.bus.canRead(0))
    }

    @Test("version 2 maps only what was registered, which locks it once")
    func registering() throws {
        let two = try WindowRig(limit: 64 << 20)
        let (rig, container) = (two.rig, two.container)
        #expect(rig.map(container, 0) == -EPERM)
        #expect(two.memory(.spaprUnregisterMemory, pages: 1) == -EPERM, "nobody is known yet")
        #expect(rig.ask(container, .spaprRegisterMemory, 8) == -EFAULT)
        #expect(rig.ask(container, .spaprRegisterMemory, with: SPAPRRegisterMemory(argsz: 23)) == -EINVAL)
        #expect(rig.ask(container, .spaprRegisterMemory, with: SPAPRRegisterMemory(flags: 1)) == -EINVAL)
        for (vaddr, size) in [(rig.base + 1, page), (rig.base, 1), (0 &- page, page)] as [(UInt64, UInt64)] {
            #expect(
                rig.ask(container, .spaprRegisterMemory, with: SPAPRRegisterMemory(vaddr: vaddr, size: size))
                    == -EINVAL)
        }
        #expect(two.memory(.spaprRegisterMemory, pages: 0) == -ENOMEM, "a list of nothing")
        #expect(two.memory(.spaprUnregisterMemory, pages: 1) == -ENOENT)
        #expect(rig.map(container, 0) == -EPERM)
        #expect(two.memory(.spaprRegisterMemory, from: 4, pages: 8) == 0)
        #expect(rig.host.lockedByteCount == 8 * page)
        #expect(two.memory(.spaprRegisterMemory, from: 4, pages: 8) == -EBUSY)
        #expect(two.memory(.spaprRegisterMemory, from: 3, pages: 2) == -EINVAL, "it overlaps")
        #expect(rig.host.lockedByteCount == 8 * page)
        let table: UInt64 = 2 * 8 * (1 << 19)
        #expect(rig.map(container, 0, pages: 8, from: 4) == 0)
        #expect(rig.host.lockedByteCount == 8 * page + table, "the default window's table, twice")
        #expect(two.bus.read(0x1000) == [5])
        #expect(rig.map(container, 0x10000, from: 3) == -EINVAL, "not registered")
        #expect(rig.map(container, 0x4000, pages: 2, from: 11) == -EINVAL, "in part")
        #expect(!two.bus.canRead(0x4000), "the page that was replaced first is empty")
        #expect(two.memory(.spaprUnregisterMemory, from: 4, pages: 7) == -ENOENT)
        #expect(two.memory(.spaprUnregisterMemory, from: 4, pages: 8) == -EBUSY)
        #expect(rig.unmap(container, 0, size: 0x10000) == 0x10000)
        #expect(two.memory(.spaprUnregisterMemory, from: 4, pages: 8) == 0)
        #expect(two.memory(.spaprUnregisterMemory, from: 4, pages: 8) == -ENOENT)
        #expect(rig.host.lockedByteCount == table)
        #expect(rig.ask(two.group, .groupUnsetContainer) == 0)
        #expect(rig.host.lockedByteCount == 0)
    }

    @Test("registering is refused over the limit first, then for memory that isn't there")
    func limits() throws {
        let two = try WindowRig(limit: 4 * page)
        #expect(two.memory(.spaprRegisterMemory, pages: 5) == -ENOMEM)
        let nothing = SPAPRRegisterMemory(vaddr: page, size: page)
        #expect(two.rig.ask(two.container, .spaprRegisterMemory, with: nothing) == -EFAULT)
        let everything = SPAPRRegisterMemory(vaddr: 0, size: 1 << 63)
        #expect(two.rig.ask(two.container, .spaprRegisterMemory, with: everything) == -ENOMEM)
        #expect(two.rig.host.lockedByteCount == 0)
        #expect(two.memory(.spaprRegisterMemory, pages: 4) == 0)
        #expect(two.rig.map(two.container, 0) == -ENOMEM, "the default window's table is too much")
        #expect(two.create() == Int64(-ENOMEM))
        #expect(two.remove(0) == 0, "nothing but a promise")
        #expect(two.create(size: 1 << 20) == Int64(-ENOMEM))
        two.rig.host.rights.lockedMemoryLimit = 6 * page
        #expect(two.create(size: 1 << 20) == 0)
        #expect(two.rig.host.lockedByteCount == 6 * page)
        #expect(two.rig.map(two.container, 0) == 0)
    }

    @Test("containers share what both have registered, and lock it once")
    func sharing() throws {
        let two = try WindowRig()
        let rig = two.rig
        let container = rig.open(.container)
        let group = rig.open(.group(27))
        #expect(rig.setContainer(group, container) == 0 && rig.ask(container, .setIOMMU, 7) == 0)
        #expect(two.memory(.spaprRegisterMemory, pages: 4) == 0)
        let region = SPAPRRegisterMemory(vaddr: rig.base, size: 4 * page)
        #expect(rig.ask(container, .spaprUnregisterMemory, with: region) == -EPERM)
        #expect(rig.ask(container, .spaprRegisterMemory, with: region) == 0)
        #expect(rig.host.lockedByteCount == 4 * page)
        #expect(rig.map(container, 0) == 0)
        #expect(two.memory(.spaprUnregisterMemory, pages: 4) == 0, "the other still holds it")
        #expect(rig.ask(container, .spaprUnregisterMemory, with: region) == -EBUSY)
        // Any registered memory will do, whoever registered it; the last mapping lets go of it.
        #expect(rig.map(two.container, 0) == 0)
        #expect(rig.ask(group, .groupUnsetContainer) == 0)
        #expect(two.bus.canRead(0))
        #expect(rig.unmap(two.container, 0, size: page) == Int64(page))
        #expect(rig.map(two.container, 0) == -EINVAL)
        #expect(rig.ask(two.group, .groupUnsetContainer) == 0)
        #expect(rig.host.lockedByteCount == 0)
    }

    @Test("windows: what is refused, where they begin, and what goes with them")
    func windows() throws {
        let two = try WindowRig()
        let (rig, container) = (two.rig, two.container)
        #expect(two.memory(.spaprRegisterMemory, pages: 256) == 0)
        let registered = rig.host.lockedByteCount
        #expect(rig.ask(container, .spaprTCECreate, 8) == -EFAULT)
        #expect(rig.ask(container, .spaprTCECreate, with: SPAPRTCECreate(argsz: 39)) == -EINVAL)
        #expect(rig.ask(container, .spaprTCECreate, with: SPAPRTCECreate(flags: 1)) == -EINVAL)
        #expect(rig.host.lockedByteCount == registered, "no default window before the request is understood")
        #expect(two.create(shift: 13) == Int64(-EINVAL))
        #expect(rig.host.lockedByteCount > registered, "but then")
        #expect(two.create(shift: 200) == Int64(-EINVAL))
        #expect(two.create(size: 0) == Int64(-EINVAL))
        #expect(two.create(size: 3 << 20) == Int64(-EINVAL))
        #expect(two.create(size: 2048) == Int64(-EINVAL), "less than a page")
        #expect(two.create(levels: 0) == Int64(-EINVAL))
        #expect(two.create(levels: 6) == Int64(-EINVAL))
        #expect(two.create(size: 1 << 63, levels: 5) == Int64(-EINVAL))
        #expect(two.create(shift: 16, size: 1 << 30, levels: 2) == Int64(second))
        #expect(two.create() == Int64(-ENOSPC))
        #expect(rig.map(container, second, pages: 1) == -EINVAL, "pages are longer there")
        #expect(two.remove(second + (1 << 30)) == -EINVAL)
        #expect(two.remove(second + 5) == 0, "any address inside")
        #expect(two.remove(0) == 0)
        #expect(two.remove(0) == -EINVAL)
        #expect(rig.map(container, 0) == -ENXIO)
        #expect(two.create(shift: 12, size: 1 << 20) == 0, "in the default window's place")
        #expect(rig.ask(container, .spaprTCERemove, 8) == -EFAULT)
        #expect(rig.ask(container, .spaprTCERemove, with: SPAPRTCERemove(argsz: 15)) == -EINVAL)
        #expect(rig.ask(container, .spaprTCERemove, with: SPAPRTCERemove(flags: 1)) == -EINVAL)
    }

    @Test("a window takes its mappings along, and gives back what its table cost")
    func removal() throws {
        let two = try WindowRig()
        #expect(two.remove(0) == 0)
        #expect(two.create(size: 1 << 24, levels: 2) == 0)
        // 4096 entries, and a page for the level above them; both twice.
        let before = two.rig.host.lockedByteCount
        #expect(before == 2 * (8 * 4096 + page))
        #expect(two.memory(.spaprRegisterMemory, pages: 2) == 0)
        #expect(two.rig.map(two.container, 0x5000, pages: 2) == 0)
        #expect(two.bus.canRead(0x6000))
        #expect(two.remove(0) == 0)
        #expect(!two.bus.canRead(0x6000))
        #expect(two.memory(.spaprUnregisterMemory, pages: 2) == 0, "nothing maps it any more")
        #expect(two.rig.host.lockedByteCount == 0)
    }

    @Test("pages of a window need memory that is made of such pages")
    func largePages() throws {
        let two = try WindowRig()
        #expect(two.remove(0) == 0)
        #expect(two.create(shift: 16, size: 1 << 24) == 0)
        let memory = try Mapping(anonymous: 0x30000)
        let start = (UInt64(memory.window.address.rawValue) + 0xffff) & ~0xffff
        func register(_ vaddr: UInt64, _ size: UInt64, _ request: Request = .spaprRegisterMemory) -> Int32 {
            two.rig.ask(two.container, request, with: SPAPRRegisterMemory(vaddr: vaddr, size: size))
        }
        func map(_ vaddr: UInt64, _ size: UInt64) -> Int32 {
            two.rig.ask(
                two.container, .iommuMapDMA,
                with: DMAMap(flags: [.read, .write], vaddr: vaddr, iova: 0x20000, size: size))
        }
        #expect(register(start, 0x11000) == 0)
        #expect(map(start, 0x10000) == -EINVAL, "its length is one of small pages")
        #expect(register(start, 0x11000, .spaprUnregisterMemory) == 0)
        #expect(register(start, 0x20000) == 0)
        #expect(map(start, 0x1000) == -EINVAL)
        #expect(map(start + 0x1000, 0x10000) == -EINVAL)
        #expect(map(start, 0x20000) == 0)
        #expect(two.bus.canRead(0x3ffff) && !two.bus.canRead(0x40000))
    }

    @Test("a group that joins finds the windows, and one that leaves loses them")
    func joining() throws {
        let two = try WindowRig()
        let rig = two.rig
        #expect(two.memory(.spaprRegisterMemory, pages: 1) == 0)
        #expect(rig.map(two.container, 0) == 0)
        let other = rig.open(.group(27))
        #expect(rig.setContainer(other, two.container) == 0)
        #expect(rig.buses[2].canRead(0))
        #expect(rig.ask(two.group, .groupUnsetContainer) == 0)
        #expect(!two.bus.canRead(0) && rig.buses[2].canRead(0))
        #expect(rig.ask(other, .groupUnsetContainer) == 0)
        #expect(rig.ask(two.container, .spaprTCEGetInfo, with: SPAPRTCEInfo()) == -EINVAL)
        #expect(rig.host.lockedByteCount == 0)
    }

    @Test("random requests are all answered, and nothing stays locked")
    func random() throws {
        let seed = UInt64.random(in: 0 ... .max)
        var dice = SplitMix(state: seed)
        let two = try WindowRig(limit: 32 << 20)
        let rig = two.rig
        let places: [UInt64] = [0, 0x1000, 0x10000, second, second + 0x10000, 1 << 31, .max, .max - 0xfff]
        let sizes: [UInt64] = [0, 1, 0x1000, 0x2000, 0x10000, 1 << 20, 1 << 30, 1 << 63, .max]
        for _ in 0..<3000 {
            let place = places.randomElement(using: &dice) ?? 0
            let size = sizes.randomElement(using: &dice) ?? 0
            let vaddr = Bool.random(using: &dice) ? place : rig.base &+ place % 0x20000
            switch Int.random(in: 0..<6, using: &dice) {
            case 0:
                _ = rig.ask(
                    two.container, .iommuMapDMA,
                    with: DMAMap(flags: [.read, .write], vaddr: vaddr, iova: place, size: size))
            case 1: _ = rig.unmap(two.container, place, size: size)
            case 2:
                let region = SPAPRRegisterMemory(vaddr: vaddr, size: size)
                _ = rig.ask(two.container, .spaprRegisterMemory, with: region)
            case 3:
                let region = SPAPRRegisterMemory(vaddr: vaddr, size: size)
                _ = rig.ask(two.container, .spaprUnregisterMemory, with: region)
            case 4:
                _ = two.create(
                    shift: [12, 16, 21, 64].randomElement(using: &dice) ?? 0, size: size,
                    levels: .random(in: 0...6, using: &dice))
            default: _ = two.remove(place)
            }
        }
        #expect(rig.ask(two.group, .groupUnsetContainer) == 0)
        #expect(rig.host.lockedByteCount == 0, "seed \(seed)")
    }

    @Test("IOMMUs that can't be are refused")
    func descriptions() {
        for iommu in [
            SPAPRIOMMU(defaultWindowByteCount: 3 << 20), SPAPRIOMMU(defaultWindowByteCount: 2048),
            SPAPRIOMMU(defaultWindowStart: 1, defaultWindowByteCount: 1 << 20),
            SPAPRIOMMU(defaultWindowStart: 0x8000_1000), SPAPRIOMMU(pageSizes: []),
            SPAPRIOMMU(pageSizes: [.kib64]), SPAPRIOMMU(dynamicWindows: 3), SPAPRIOMMU(dynamicWindows: -1),
            SPAPRIOMMU(levels: 0), SPAPRIOMMU(levels: 6),
        ] {
            #expect(throws: MachineError.impossibleWindows) {
                _ = try SoftwareHost(MachineDescription { IOMMU(.spapr(iommu)) })
            }
        }
    }
}
