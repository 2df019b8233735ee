import DeviceModel
import Glibc
import IOVASpace
import LinuxSystem
import Testing
import VFIOABI
import VFIOHost

@testable import SoftwareHost

/// A device that pins memory: it keeps its services, and what it was told.
final class PinningDevice: EmulatedDMAClient, @unchecked Sendable {
    private(set) var dma: EmulatedDMA?
    private(set) var asked: [IOVARange] = []
    private(set) var disconnections = 0
    /// What it does when a range is about to be unmapped.
    var whenAsked: (EmulatedDMA, IOVARange) -> Void = { _, _ in }

    func connectDMA(_ dma: EmulatedDMA) { self.dma = dma }
    func prepareUnmap(_ range: IOVARange) {
        asked.append(range)
        if let dma { whenAsked(dma, range) }
    }
    func disconnectDMA() { disconnections += 1 }

    /// How many pages were pinned, or the negative error number.
    func pin(_ iova: UInt64, _ count: Int = 1, _ permissions: IOVAPermissions = .readWrite) -> Int32 {
        guard let dma else { return -ENODEV }
        do throws(Errno) {
            return Int32(try dma.pin(at: IOVA(iova), pageCount: count, for: permissions).count)
        } catch { return -error.rawValue }
    }
    func unpin(_ iova: UInt64, _ count: Int = 1) { dma?.unpin(at: IOVA(iova), pageCount: count) }
    /// 0, or the negative error number.
    func write(_ iova: UInt64, _ bytes: [UInt8]) -> Int32 {
        guard let dma else { return -ENODEV }
        do throws(Errno) {
            try dma.write(bytes.span.bytes, at: IOVA(iova))
            return 0
        } catch { return -error.rawValue }
    }
    /// The bytes, or nothing and the negative error number.
    func read(_ iova: UInt64, _ count: Int = 1) -> (bytes: [UInt8], answer: Int32) {
        var bytes = [UInt8](repeating: 0, count: count)
        guard let dma else { return (bytes, -ENODEV) }
        do throws(Errno) {
            var span = bytes.mutableSpan
            var raw = span.mutableBytes
            try dma.read(at: IOVA(iova), into: &raw)
            return (bytes, 0)
        } catch { return (bytes, -error.rawValue) }
    }
}

/// A machine with group 30 besides, which is emulated and has a device that pins memory.
struct EmulatedRig {
    let rig: Rig
    let device = PinningDevice()
    let page = UInt64(pageSize)
    static let address = "0000:03:00.0"

    init(clientInGroup26: Bool = false, _ change: (inout MachineDescription) -> Void = { _ in }) throws {
        let client = device
        rig = try Rig { machine in
            var member = PCIDevice(PlainModel(), at: EmulatedRig.address)
            member.dmaClient = clientInGroup26 ? nil : client
            machine.groups.append(IOMMUGroup(30, devices: [member], isEmulated: true))
            if clientInGroup26 { machine.groups[0].devices[0].dmaClient = client }
            change(&machine)
        }
    }

    /// A container with the emulated group, and the device open.
    func ready(_ kind: UInt = 3) -> (container: Int32, group: Int32, device: Int32) {
        let container = rig.open(.container)
        let group = rig.open(.group(30))
        precondition(rig.setContainer(group, container) == 0)
        precondition(rig.ask(container, .setIOMMU, kind) == 0)
        let device = rig.device(group, EmulatedRig.address)
        precondition(device >= 0)
        return (container, group, device)
    }

    func dirty(_ container: Int32, _ flags: UInt32) -> Int32 {
        rig.ask(
            container, .iommuDirtyPages,
            with: VFIOABI.DirtyBitmap(argsz: 8, flags: DirtyBitmapFlags(rawValue: flags)))
    }

    /// The dirty bits of up to 64 pages; nil for an error.
    func bits(_ container: Int32, _ iova: UInt64, pages: Int) -> UInt64? {
        var word: UInt64 = 0
        let answer = withUnsafeMutablePointer(to: &word) { pointer in
            rig.ask(
                container, .iommuDirtyPages,
                with: DirtyBitmapWithGet(
                    iova: iova, size: UInt64(pages) * page,
                    bitmap: Bitmap(pageSize: page, size: 8, data: UInt64(UInt(bitPattern: pointer)))))
        }
        return answer == 0 ? word : nil
    }
}

@Suite("devices that pin and copy memory without an IOMMU")
struct EmulatedDMATests {
    let page = UInt64(pageSize)

    @Test("mapping for an emulated group alone is a mere note: nothing is looked at or locked")
    func mappingIsANote() throws {
        let it = try EmulatedRig { $0.process.lockedMemoryLimit = 0 }
        let (container, _, _) = it.ready()
        #expect(it.rig.map(container, 0, pages: 4) == 0)
        #expect(
            it.rig.ask(
                container, .iommuMapDMA,
                with: DMAMap(flags: [.read], vaddr: 4096, iova: 0xfee0_0000, size: page)) == 0,
            "neither the memory nor the address matters")
        #expect(it.rig.host.lockedByteCount == 0)
        #expect(it.rig.host.dmaMappings(ofGroup: 30)?.map(\.entries.count) == [0, 0])
        #expect(it.rig.ask(container, .checkExtension, 10) == 0)
        #expect(it.rig.ask(container, .checkExtension, 4) == 1)
        var info = IOMMUType1Info(argsz: 24)
        #expect(it.rig.ask(container, .iommuGetInfo, &info) == 0)
        #expect(info.argsz == 72, "no ranges are told")
        #expect(info.pageSizes == ~(page - 1))
        #expect(it.rig.unmap(container, 0, size: 4 * page, flags: .vaddr) == Int64(-EBUSY))
        #expect(it.rig.unmap(container, 0, size: 4 * page) == Int64(4 * page))
    }

    @Test("what pinning tests, and in which order")
    func pinOrder() throws {
        let it = try EmulatedRig()
        let (container, _, handle) = it.ready()
        #expect(it.rig.map(container, 0, pages: 2) == 0)
        #expect(it.rig.map(container, 2 * page, flags: .read) == 0)
        #expect(
            it.rig.ask(
                container, .iommuMapDMA,
                with: DMAMap(flags: [.read, .write], vaddr: 4096, iova: 3 * page, size: page)) == 0)
        #expect(it.device.pin(0, 0) == -EINVAL)
        #expect(it.device.pin(0, 513) == -E2BIG)
        #expect(it.device.pin(1) == -EINVAL)
        #expect(it.device.pin(9 * page) == -EINVAL)
        #expect(it.device.pin(UInt64.max - page + 1) == -EINVAL)
        #expect(it.device.pin(page, 2) == -EPERM, "the second page is read-only")
        #expect(it.device.pin(page, 2, .read) == 2)
        #expect(it.device.pin(3 * page, 1, []) == -EFAULT)
        #expect(it.device.pin(page, 3, .read) == -EFAULT)
        #expect(it.rig.host.lockedByteCount == 2 * page, "a failure leaves nothing pinned")
        it.device.unpin(page, 2)
        #expect(it.rig.host.lockedByteCount == 0)
        it.rig.host.close(handle)
        #expect(it.device.disconnections == 1)
        #expect(it.device.pin(0) == -EINVAL, "the device is closed")
    }

    @Test("version 1 has no pinning")
    func version1() throws {
        let it = try EmulatedRig()
        let (container, _, _) = it.ready(1)
        #expect(it.rig.map(container, 0) == 0)
        #expect(it.device.pin(0) == -EACCES)
        #expect(it.device.read(0).answer == 0, "copying works")
    }

    @Test("a page is pinned as often as it was pinned, counted once, and limited")
    func counting() throws {
        let it = try EmulatedRig { $0.process.lockedMemoryLimit = 2 * UInt64(pageSize) }
        let (container, _, _) = it.ready()
        #expect(it.rig.map(container, 0, pages: 8) == 0)
        #expect(it.device.pin(0) == 1)
        #expect(it.device.pin(0) == 1)
        #expect(it.rig.host.lockedByteCount == page)
        #expect(it.device.pin(page, 2) == -ENOMEM)
        #expect(it.rig.host.lockedByteCount == page)
        it.device.unpin(0)
        #expect(it.rig.host.lockedByteCount == page)
        it.device.unpin(0)
        it.device.unpin(0)
        #expect(it.rig.host.lockedByteCount == 0, "once too often is harmless")
        // The right to exceed the limit counts as it was when the memory was mapped.
        it.rig.host.rights.mayExceedLockedMemory = true
        #expect(it.device.pin(0, 3) == -ENOMEM)
        #expect(it.rig.map(container, 8 * page, pages: 4) == 0)
        it.rig.host.rights.mayExceedLockedMemory = false
        #expect(it.device.pin(8 * page, 4) == 4)
        #expect(it.rig.host.lockedByteCount == 4 * page)
    }

    @Test("copying goes across mappings, wants readable ones even for writing, and keeps what was done")
    func copying() throws {
        let it = try EmulatedRig()
        let (container, _, _) = it.ready()
        #expect(it.rig.map(container, 0, from: 5) == 0)
        #expect(it.rig.map(container, page, from: 3, flags: .read) == 0)
        #expect(it.rig.map(container, 3 * page, from: 7, flags: .write) == 0)
        #expect(it.device.read(page - 1, 2).bytes == [0, 3])
        #expect(it.device.write(0, [1, 2]) == 0)
        #expect(it.rig.memory.window.load8(5 * pageSize + 1) == 2)
        #expect(it.device.write(page, [1]) == -EPERM)
        #expect(it.device.write(3 * page, [1]) == -EPERM)
        #expect(it.device.read(3 * page).answer == -EPERM)
        #expect(it.device.read(2 * page).answer == -EINVAL)
        #expect(it.device.write(page - 1, [0x77, 0x78]) == -EPERM)
        #expect(it.rig.memory.window.load8(6 * pageSize - 1) == 0x77)
        #expect(it.device.read(0, 0).answer == -EINVAL)
        // Registers' DMA goes the same way.
        let bus = it.rig.buses[3]
        #expect(bus.read(page) == [3])
        #expect(bus.write(page - 1, [1, 2]) == .notPermitted)
        #expect(it.rig.memory.window.load8(6 * pageSize - 1) == 0x77, "all or nothing")
        #expect(bus.read(2 * page) == nil)
    }

    @Test("unmapping asks devices to unpin, and is refused if they don't")
    func unmapAsks() throws {
        let it = try EmulatedRig()
        let (container, _, handle) = it.ready()
        #expect(it.rig.map(container, 0, pages: 4) == 0)
        #expect(it.rig.map(container, 4 * page, pages: 4) == 0)
        #expect(it.device.pin(5 * page) == 1)
        #expect(it.rig.unmap(container, 0, size: 8 * page) == Int64(-EBUSY))
        #expect(it.device.asked.count == 10)
        #expect(it.device.asked.first == IOVARange(IOVA(4 * page), byteCount: 4 * page))
        #expect(it.rig.host.dmaMappings(ofGroup: 30)?.count == 1, "what came before is gone")
        // The second time that it is asked it does.
        var count = 0
        it.device.whenAsked = { dma, _ in
            count += 1
            if count == 2 { dma.unpin(at: IOVA(5 * UInt64(pageSize)), pageCount: 1) }
        }
        #expect(it.rig.unmap(container, 0, size: 8 * page) == Int64(4 * page))
        #expect(count == 2 && it.rig.host.lockedByteCount == 0)
        // What a closed device has left pinned is in nobody's way.
        #expect(it.rig.map(container, 0, pages: 4) == 0)
        #expect(it.device.pin(0, 4) == 4)
        it.rig.host.close(handle)
        #expect(it.rig.unmap(container, 0, size: 0, flags: .all) == Int64(4 * page))
        #expect(it.rig.host.lockedByteCount == 0)
    }

    @Test("only what devices pin and copy is dirty, and what stays pinned stays dirty")
    func dirtyPages() throws {
        let it = try EmulatedRig()
        let (container, _, _) = it.ready()
        #expect(it.rig.map(container, 0, pages: 8) == 0)
        #expect(it.device.pin(0) == 1)
        #expect(it.dirty(container, 1) == 0)
        #expect(it.device.pin(page) == 1)
        it.device.unpin(page)
        #expect(it.device.write(3 * page - 1, [1, 2]) == 0)
        #expect(it.device.read(6 * page).answer == 0)
        #expect(it.bits(container, 0, pages: 8) == 0b1111)
        #expect(it.bits(container, 0, pages: 8) == 0b1, "page 0 is still pinned")
        it.device.unpin(0)
        #expect(it.bits(container, 0, pages: 8) == 0b1)
        #expect(it.bits(container, 0, pages: 8) == 0)
    }

    @Test("a group with an IOMMU pins what was noted, and gives it back when it leaves")
    func mixed() throws {
        let it = try EmulatedRig()
        let (container, _, handle) = it.ready()
        #expect(it.rig.map(container, 0, pages: 8, from: 2) == 0)
        #expect(it.device.pin(0, 2) == 2)
        #expect(it.rig.host.lockedByteCount == 2 * page)
        let group = it.rig.open(.group(26))
        #expect(it.rig.setContainer(group, container) == 0)
        #expect(it.rig.host.lockedByteCount == 8 * page)
        #expect(it.rig.buses[0].read(0) == [2])
        // Pinned with the mapping: more pins cost nothing, fewer give nothing back.
        #expect(it.device.pin(2 * page) == 1)
        it.device.unpin(0)
        #expect(it.rig.host.lockedByteCount == 8 * page)
        // The group with an IOMMU may write anywhere.
        #expect(it.dirty(container, 1) == 0)
        #expect(it.bits(container, 0, pages: 8) == 0xff)
        #expect(it.bits(container, 0, pages: 8) == 0xff)
        #expect(it.rig.ask(group, .groupUnsetContainer) == 0)
        #expect(it.rig.host.lockedByteCount == 2 * page, "pages 1 and 2")
        #expect(it.bits(container, 0, pages: 8) == 0xff, "it may have written until it left")
        #expect(it.bits(container, 0, pages: 8) == 0b110)
        it.device.unpin(page, 2)
        #expect(it.rig.host.lockedByteCount == 0)
        it.rig.host.close(handle)
        #expect(it.rig.host.dmaMappings(ofGroup: 30)?.count == 1)
    }

    @Test("a group with an IOMMU is refused what was noted if that can't be pinned or placed")
    func mixedRefusals() throws {
        func attach(
            _ iova: UInt64, vaddr: UInt64? = nil, limit: UInt64? = nil, flags: DMAMapFlags = [.read, .write]
        ) throws -> Int32 {
            let it = try EmulatedRig { $0.process.lockedMemoryLimit = limit }
            let (container, _, _) = it.ready()
            #expect(it.rig.map(container, 0, pages: 1) == 0)
            #expect(
                it.rig.ask(
                    container, .iommuMapDMA,
                    with: DMAMap(flags: flags, vaddr: vaddr ?? it.rig.base, iova: iova, size: 2 * page)) == 0)
            let group = it.rig.open(.group(26))
            let answer = it.rig.setContainer(group, container)
            #expect(it.rig.host.lockedByteCount == (answer == 0 ? 3 * page : 0))
            #expect(it.rig.status(group) == (answer == 0 ? 3 : 1))
            return answer
        }
        #expect(try attach(0x10000) == 0)
        #expect(try attach(0x10000, vaddr: 4096) == -EFAULT)
        #expect(try attach(0x10000, limit: 2 * page) == -ENOMEM)
        #expect(try attach(0xfee0_0000) == -EINVAL)
        #expect(try attach(1 << 50) == -ERANGE)
    }

    @Test("a device behind an IOMMU that pins what it writes limits what its group dirties")
    func pinnedScope() throws {
        let it = try EmulatedRig(clientInGroup26: true)
        let (container, group) = it.rig.ready()
        let handle = it.rig.device(group)
        #expect(handle >= 0)
        #expect(it.rig.map(container, 0, pages: 8) == 0)
        #expect(it.dirty(container, 1) == 0)
        #expect(it.bits(container, 0, pages: 8) == 0xff)
        #expect(it.device.pin(4 * page) == 1)
        #expect(it.rig.host.lockedByteCount == 8 * page)
        #expect(it.bits(container, 0, pages: 8) == 0b1_0000)
        let other = it.rig.open(.group(27))
        #expect(it.rig.setContainer(other, container) == 0)
        #expect(it.bits(container, 0, pages: 8) == 0xff, "the other group doesn't say what it writes")
        #expect(it.rig.ask(container, .checkExtension, 10) == 1)
        it.device.unpin(4 * page)
        #expect(it.rig.unmap(container, 0, size: 8 * page, flags: .vaddr) == Int64(8 * page))
        #expect(it.device.pin(4 * page) == -EBUSY)
        #expect(it.device.read(0).answer == -EBUSY)
    }

    @Test("whatever order things go in, nothing stays locked")
    func randomOrders() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SplitMix(state: seed)
        for _ in 0..<40 {
            let it = try EmulatedRig { $0.process.lockedMemoryLimit = 40 * UInt64(pageSize) }
            let client = it.device
            client.whenAsked = { dma, range in
                // As often as pages may have been pinned here.
                for _ in 0..<40 {
                    dma.unpin(at: range.first, pageCount: Int(range.byteCount / UInt64(pageSize)))
                }
            }
            let (container, emulated, handle) = it.ready()
            var group: Int32 = -1
            for _ in 0..<40 {
                let iova = UInt64.random(in: 0..<8, using: &random) * 8 * page
                switch Int.random(in: 0..<7, using: &random) {
                case 0, 1: _ = it.rig.map(container, iova, pages: Int.random(in: 1...8, using: &random))
                case 2: _ = it.rig.unmap(container, iova, size: 8 * page)
                case 3: _ = client.pin(iova, Int.random(in: 1...4, using: &random))
                case 4: client.unpin(iova, Int.random(in: 1...4, using: &random))
                case 5 where group < 0:
                    group = it.rig.open(.group(26))
                    if it.rig.setContainer(group, container) != 0 {
                        it.rig.host.close(group)
                        group = -1
                    }
                default:
                    if group >= 0 { it.rig.host.close(group) }
                    group = -1
                }
                let mapped = it.rig.host.dmaMappings(ofGroup: 30) ?? []
                let all = mapped.reduce(0) { $0 + $1.range.byteCount }
                if group >= 0 { #expect(it.rig.host.lockedByteCount == all, "seed \(seed)") }
                #expect(it.rig.host.lockedByteCount <= min(all, 40 * page), "seed \(seed)")
            }
            for file in [container, emulated, handle, group].shuffled(using: &random) where file >= 0 {
                it.rig.host.close(file)
            }
            #expect(it.rig.host.lockedByteCount == 0, "seed \(seed)")
        }
    }
}
