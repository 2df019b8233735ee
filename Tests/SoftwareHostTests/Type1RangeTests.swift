import Glibc
import IOVASpace
import LinuxSystem
import Testing
import VFIOABI
import VFIOHost

@testable import SoftwareHost

@Suite("addresses and page sizes follow the groups of a container")
struct Type1RangeTests {
    let page = UInt64(pageSize)

    /// The IOVA ranges that GET_INFO tells.
    private func ranges(_ rig: Rig, _ container: Int32) -> [ClosedRange<UInt64>] {
        var bytes = [UInt64](repeating: 0, count: 64)
        return bytes.withUnsafeMutableBytes { raw in
            raw.storeBytes(of: 512, as: UInt32.self)
            #expect(rig.ask(container, .iommuGetInfo, UInt(bitPattern: raw.baseAddress)) == 0)
            var next = Int(raw.load(fromByteOffset: 16, as: UInt32.self))
            while next != 0 {
                guard raw.load(fromByteOffset: next, as: UInt16.self) == 1 else {
                    next = Int(raw.load(fromByteOffset: next + 4, as: UInt32.self))
                    continue
                }
                return (0..<Int(raw.load(fromByteOffset: next + 8, as: UInt32.self))).map { index in
                    let at = next + 16 + 16 * index
                    return raw.load(
                        fromByteOffset: at, as: UInt64.self)...raw.load(
                            fromByteOffset: at + 8, as: UInt64.self)
                }
            }
            return []
        }
    }

    @Test("what a group reserves in the middle comes back when it leaves; what it reserves at an end doesn't")
    func reservedRanges() throws {
        let rig = try Rig {
            $0.iommu = IOMMU(apertures: [0...0xff_ffff], reserved: [])
            $0.groups[1].reserved = [
                ReservedRange(0...0xfff, .direct), ReservedRange(0x8000...0x8fff),
                ReservedRange(0xa000...0xafff, .relaxable),
            ]
        }
        let (container, group) = rig.ready()
        #expect(ranges(rig, container) == [0...0xff_ffff])
        let other = rig.open(.group(27))
        #expect(rig.setContainer(other, container) == 0)
        #expect(ranges(rig, container) == [0x1000...0x7fff, 0x9000...0xff_ffff])
        #expect(rig.map(container, 0) == -EINVAL)
        #expect(rig.map(container, 0xa000) == 0)
        #expect(rig.ask(other, .groupUnsetContainer) == 0)
        #expect(ranges(rig, container) == [0x1000...0xff_ffff])
        #expect(rig.map(container, 0) == -EINVAL)
        #expect(rig.map(container, 0x8000) == 0)
        #expect(rig.setContainer(other, container) == -EINVAL, "0x8000 is mapped")
        #expect(rig.ask(group, .groupUnsetContainer) == 0)
        #expect(rig.setContainer(group, container) == 0)
        #expect(rig.ask(container, .setIOMMU, 3) == 0)
        #expect(ranges(rig, container) == [0...0xff_ffff], "a new driver begins anew")
    }

    @Test("where the IOMMU's smallest page is larger than the processor's, that is the unit of everything")
    func largeUnit() throws {
        let unit: UInt64 = 1 << 16
        let rig = try Rig { $0.iommu = IOMMU(pageSizes: [.kib64, .mib2]) }
        let (container, _) = rig.ready()
        let memory = (rig.base + unit - 1) & ~(unit - 1)
        func map(_ iova: UInt64, _ vaddr: UInt64, _ size: UInt64) -> Int32 {
            rig.ask(
                container, .iommuMapDMA,
                with: DMAMap(flags: [.read, .write], vaddr: vaddr, iova: iova, size: size))
        }
        #expect(map(0, memory, page) == -EINVAL)
        #expect(map(page, memory, unit) == -EINVAL)
        #expect(map(0, memory + page, unit) == -EINVAL)
        #expect(map(0, memory, 3 * unit) == 0)
        #expect(rig.host.lockedByteCount == 3 * unit)
        #expect(rig.unmap(container, 0, size: page) == Int64(-EINVAL))
        #expect(rig.host.dmaMappings(ofGroup: 26)?.first?.entries == [.init(pageSize: unit, count: 3)])
        #expect(
            rig.ask(container, .iommuDirtyPages, with: VFIOABI.DirtyBitmap(argsz: 8, flags: .start)) == 0)
        var word: UInt64 = 0
        for (size, answer) in [(page, -EINVAL), (unit, 0)] {
            let got = withUnsafeMutablePointer(to: &word) { pointer in
                rig.ask(
                    container, .iommuDirtyPages,
                    with: DirtyBitmapWithGet(
                        iova: 0, size: 3 * unit,
                        bitmap: Bitmap(pageSize: size, size: 8, data: UInt64(UInt(bitPattern: pointer)))))
            }
            #expect(got == answer)
        }
        #expect(word == 0b111)
        #expect(rig.unmap(container, 0, size: 3 * unit) == Int64(3 * unit))
        rig.host.parameters.disableHugepages = true
        #expect(map(0, memory, unit) == 0)
        #expect(rig.host.dmaMappings(ofGroup: 26)?.first?.entries == [.init(pageSize: unit, count: 1)])
    }

    @Test(
        "a large unit that comes with the first IOMMU makes everything dirty that is tracked in a smaller one"
    )
    func unitChanges() throws {
        let unit: UInt64 = 1 << 16
        let it = try EmulatedRig { $0.iommu = IOMMU(pageSizes: [.kib64, .mib2]) }
        let (container, _, _) = it.ready()
        #expect(it.rig.map(container, 0) == 0)
        let group = it.rig.open(.group(26))
        #expect(it.rig.setContainer(group, container) == -EINVAL, "one page is less than the unit")
        #expect(it.rig.host.lockedByteCount == 0)
        #expect(it.rig.unmap(container, 0, size: page) == Int64(page))
        let memory = (it.rig.base + unit - 1) & ~(unit - 1)
        #expect(
            it.rig.ask(
                container, .iommuMapDMA, with: DMAMap(flags: .read, vaddr: memory, iova: 0, size: 2 * unit))
                == 0)
        #expect(it.dirty(container, 1) == 0)
        #expect(it.bits(container, 0, pages: 32) == 0)
        #expect(it.rig.setContainer(group, container) == 0)
        #expect(it.bits(container, 0, pages: 32) == nil, "the page size is another now")
        #expect(it.rig.ask(group, .groupUnsetContainer) == 0)
        #expect(it.bits(container, 0, pages: 32) == 0xffff_ffff)
        #expect(it.bits(container, 0, pages: 32) == 0)
    }

    @Test("interrupts that can be forged are refused, unless an administrator allows them")
    func isolatedInterrupts() throws {
        let rig = try Rig { $0.iommu.hasIsolatedMSI = false }
        let container = rig.open(.container)
        let group = rig.open(.group(26))
        #expect(rig.setContainer(group, container) == 0)
        #expect(rig.ask(container, .setIOMMU, 3) == -EPERM)
        #expect(rig.ask(container, .iommuGetInfo, 0) == -EINVAL, "there is no driver")
        rig.host.parameters.allowUnsafeInterrupts = true
        #expect(rig.ask(container, .setIOMMU, 3) == 0)
        rig.host.parameters.allowUnsafeInterrupts = false
        let other = rig.open(.group(27))
        #expect(rig.setContainer(other, container) == -EPERM, "looked at for each group")
        #expect(rig.map(container, 0) == 0)
    }
}
