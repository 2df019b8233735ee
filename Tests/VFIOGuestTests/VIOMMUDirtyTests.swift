import IOVASpace
import LinuxSystem
import SoftwareHost
import Testing
import VFIO
import VFIOABI

@testable import VFIOGuest

@Suite("What devices write through a vIOMMU is known to a migration")
struct VIOMMUDirtyTests {
    private static let routes: [RouteChoice] = [.group, .cdev]
    let machine: VIOMMUMachine
    let iommu: VIOMMU
    /// RAM above 4 GiB, where a guest-physical address is no offset in any block.
    let high: RAMBlock

    init() throws {
        machine = try VIOMMUMachine { try $0.vIOMMU() }
        iommu = try #require(machine.iommu as? VIOMMU)
        try iommu.setTable(machine.guest.table)
        let region = try machine.machine.ram("high", pages: 64)
        high = try #require(region.block)
        try machine.guest.root.add(region, at: 1 << 32)
    }

    private func pages(_ block: RAMBlock) -> [Int] {
        (0..<block.dirtyLog.pageCount).filter { block.dirtyLog.contains($0, for: .migration) }
    }

    private func clear() {
        for block in [high, machine.guest.block] { block.dirtyLog.clear(for: .all) }
    }

    /// A device that knows itself what it writes.
    private final class Log: DeviceDirtyLog, @unchecked Sendable {
        var written: Set<UInt64> = []
        var asked: [IOVARange] = []
        var rangeLimit: Int { 1 }
        func start(_ ranges: [IOVARange]) throws(VFIOError) {}
        func stop() {}
        func quiesce() {}
        func report(_ range: IOVARange, into words: inout [UInt64]) throws(VFIOError) {
            asked.append(range)
            for iova in written where range.contains(IOVA(iova)) {
                let page = (iova - range.first.rawValue) / 4096
                words[Int(page / 64)] |= 1 << (page % 64)
                written.remove(iova)
            }
        }
    }

    @Test("1.11 What can be written through it counts, whatever addresses lead to it", arguments: routes)
    func everything(route: RouteChoice) throws {
        let device = try machine.attach(route)
        let guest = machine.guest
        guest.map(0x5000, to: (1 << 32) + 7 * 4096)
        guest.map(0x6000, to: 0x90_0000)
        guest.map(0x7000, to: (1 << 32) + 9 * 4096, .read)
        guest.map(0x80_0000, to: (1 << 32) + 3 * 4096)
        iommu.invalidate(.all)
        try machine.machine.memory.startMigrationLog()
        clear()
        try machine.machine.memory.synchronizeDirtyLog()
        // Without a log in the IOMMU or the device, Linux tells of all pages that are mapped.
        #expect(pages(high) == [3, 7])
        #expect(pages(guest.block) == [0x900])
        clear()
        guest.unmap(0x5000)
        iommu.invalidate(.all)
        #expect(pages(high) == [7] && pages(guest.block) == [])
        machine.machine.memory.stopMigrationLog()
        clear()
        guest.unmap(0x6000)
        iommu.invalidate(.all)
        #expect(pages(guest.block) == [], "nobody wants to know any more")
        _ = device
    }

    @Test(
        "Fault 11: Exactly the page of the block is marked that was written, also when it is unmapped or the device goes"
    )
    func exact() throws {
        let device = try machine.attach()
        let guest = machine.guest
        let log = Log()
        let tracker = try #require(device.container?.mapper.tracker)
        tracker.remove(ObjectIdentifier(device))
        tracker.add(ObjectIdentifier(device), log)
        // Neighbours that lie the other way round in memory, and one far away.
        for page in 0..<UInt64(8) { guest.map(0x5000 + page << 12, to: (1 << 32) + (20 - page) * 4096) }
        guest.map(0x4000_0000, to: 0xa0_0000, level: 2)
        iommu.invalidate(.all)
        try machine.machine.memory.startMigrationLog()
        clear()
        log.written = [0x7000, 0xa000, 0x4000_3000]
        try machine.machine.memory.synchronizeDirtyLog()
        #expect(pages(high) == [15, 18])
        #expect(pages(guest.block) == [0xa03])
        #expect(log.asked.map(\.byteCount) == [0x8000, 2 << 20], "neighbours are asked for together")
        clear()
        log.written = [0x5000, 0x8000, 0x9000]
        for page in 0..<UInt64(4) { guest.unmap(0x5000 + page << 12) }
        iommu.invalidate(.all)
        #expect(pages(high) == [17, 20])
        clear()
        log.written.formUnion([0xc000, 0x401f_f000])
        device.detach()
        #expect(pages(high) == [13, 16] && pages(guest.block) == [0xbff])
    }

    @Test(
        "Fault 10: Where the dirty pages can't be had with the unmapping, all that was mapped counts as written"
    )
    func unmapWithoutBitmap() throws {
        let device = try machine.attach()
        machine.guest.map(0x5000, to: (1 << 32) + 7 * 4096)
        machine.guest.map(0x6000, to: (1 << 32) + 8 * 4096, .read)
        iommu.invalidate(.all)
        try machine.machine.memory.startMigrationLog()
        clear()
        machine.machine.host.inject(FaultRule(.request(.iommuUnmapDMA, .noMemory), .nth(1)))
        try iommu.setTable(nil)
        #expect(machine.read(at: 0x5000) == nil)
        #expect(pages(high) == [7], "what can only be read wasn't written")
        _ = device
    }

    @Test("Fault 12: A dirty log that can't be read fails the synchronisation, and names the section")
    func syncFails() throws {
        let device = try machine.attach()
        machine.guest.map(0x5000, to: (1 << 32) + 7 * 4096)
        machine.guest.map(0x9000, to: (1 << 32) + 8 * 4096)
        iommu.invalidate(.all)
        try machine.machine.memory.startMigrationLog()
        try machine.machine.memory.synchronizeDirtyLog()
        clear()
        machine.machine.host.inject(FaultRule(.request(.iommuDirtyPages, .badAddress), .nth(1)))
        #expect(machine.write(1, at: 0x9000))
        let error = #expect(throws: VFIOGuestError.self) { try machine.machine.memory.synchronizeDirtyLog() }
        #expect(error?.errno == .badAddress && error?.object.contains("iommu") == true)
        #expect(pages(high) == [8], "the others were asked all the same")
        _ = device
    }
}
