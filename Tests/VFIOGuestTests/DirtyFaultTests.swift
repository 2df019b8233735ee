import HostTestSupport
import IOVASpace
import LinuxSystem
import SoftwareHost
import Testing
import VFIO
import VFIOABI

@testable import VFIOGuest

/// The faults of chapter 1.22 that are about what devices write; a test for the absence of each.
@Suite("No written page is lost where the host, the guest or the sections are odd")
struct DirtyFaultTests {
    /// A device that knows itself what it writes.
    private final class Log: DeviceDirtyLog, @unchecked Sendable {
        var written: Set<UInt64> = []
        var asked: [IOVARange] = []
        var started: [[IOVARange]] = []
        var startError: VFIOError?
        var reportError: VFIOError?
        var rangeLimit: Int { 8 }
        func start(_ ranges: [IOVARange]) throws(VFIOError) {
            if let startError { throw startError }
            started.append(ranges)
        }
        func stop() {}
        func quiesce() {}
        func report(_ range: IOVARange, into words: inout [UInt64]) throws(VFIOError) {
            asked.append(range)
            if let reportError { throw reportError }
            for iova in written where range.contains(IOVA(iova)) {
                let page = (iova - range.first.rawValue) / 4096
                words[Int(page / 64)] |= 1 << (page % 64)
                written.remove(iova)
            }
        }
    }

    /// Puts a log of the test's in the place of a device's.
    private func watch(_ device: GuestDevice) throws -> Log {
        let log = Log()
        let tracker = try #require(device.container?.mapper.tracker)
        tracker.remove(ObjectIdentifier(device))
        tracker.add(ObjectIdentifier(device), log)
        return log
    }

    private func pages(_ block: RAMBlock) -> [Int] {
        (0..<block.dirtyLog.pageCount).filter { block.dirtyLog.contains($0, for: .migration) }
    }

    /// What a container is asked about its log, as far as it is asked. A device's features have the same number; their
    /// flags are larger.
    private func watchRequests(_ machine: FaultyMachine) -> Box<[DirtyBitmapFlags]> {
        let flags = Box<[DirtyBitmapFlags]>([])
        machine.host.watch(.iommuDirtyPages, DirtyBitmap()) { request in
            if request.flags.rawValue < 8 { flags.change { $0.append(request.flags) } }
        }
        return flags
    }

    private static let dirtyPages = FaultyHost.Call.control(UInt32(Request.iommuDirtyPages.rawValue))

    @Test("Fault 3: A synchronisation asks each container for what it has mapped itself")
    func ownContainer() throws {
        let machine = try VIOMMUMachine { try $0.vIOMMU() }
        let iommu = try #require(machine.iommu as? VIOMMU)
        try iommu.setTable(machine.guest.table)
        let first = try machine.machine.attach(0, to: machine.machine.devices(.group), machine.space)
        let second = try machine.machine.attach(2, to: machine.machine.devices(.group), machine.space)
        #expect(first.container !== second.container)
        let logs = [try watch(first), try watch(second)]
        machine.guest.map(0x5000, to: 0x90_0000)
        machine.guest.map(0x9000, to: 0xa0_0000)
        iommu.invalidate(.all)
        try machine.machine.memory.startMigrationLog()
        machine.guest.block.dirtyLog.clear(for: .all)
        logs[0].written = [0x5000]
        logs[1].written = [0x9000]
        try machine.machine.memory.synchronizeDirtyLog()
        #expect(pages(machine.guest.block) == [0x900, 0xa00])
        for log in logs { #expect(log.asked.count == 2 && log.written.isEmpty) }
    }

    @Test(
        "Fault 10: Where the bitmap would be longer than the host takes, the range is unmapped all the same")
    func longBitmap() throws {
        let machine = try FaultyMachine()
        machine.amendMigration { $0.maxDirtyBitmapSize = 8 }
        let long = try machine.ram("long", pages: 65, at: 0)
        let short = try machine.ram("short", pages: 64, at: 0x10_0000)
        let device = try machine.attach()
        defer { withExtendedLifetime(device) {} }
        try machine.machine.memory.startMigrationLog()
        for ram in [long, short] { ram.block?.dirtyLog.clear(for: .all) }
        try machine.machine.system.remove(long)
        #expect(machine.unmaps.value == [DMAUnmap(iova: 0, size: 65 * 4096)])
        #expect(!machine.machine.probers[0].write(1, at: 0))
        #expect(long.block?.dirtyLog.count(for: .migration) == 65)
        try machine.machine.system.remove(short)
        #expect(machine.unmaps.value.last?.flags == .getDirtyBitmap)
        #expect(!machine.machine.probers[0].write(1, at: 0x10_0000))
    }

    @Test(
        "Fault 10: Whatever the request with the bitmap fails with, no device reaches what the guest has unmapped",
        arguments: [Errno.noMemory, .tooBig, .invalid, .badAddress, .inputOutput])
    func failingBitmap(errno: Errno) throws {
        let machine = try FaultyMachine()
        let ram = try machine.ram(pages: 10, at: 0)
        let failures = Box(0)
        let device = try machine.attach { _ in failures.value += 1 }
        try machine.machine.memory.startMigrationLog()
        ram.block?.dirtyLog.clear(for: .all)
        machine.host.answer(.iommuUnmapDMA) { argument in
            let unmap = try? UserMemory.load(DMAUnmap(), from: HostAddress(rawValue: argument))
            return unmap?.flags == .getDirtyBitmap ? .failure(errno) : nil
        }
        try machine.machine.system.remove(ram)
        #expect(!machine.machine.probers[0].write(1, at: 0))
        #expect(ram.block?.dirtyLog.count(for: .migration) == 10)
        #expect(device.container?.iommu.mappingCount == 0 && failures.value == 0)
    }

    @Test("Fault 12: What can't be asked when a device goes counts as written, all of it")
    func unknownAtTheEnd() throws {
        let machine = try FaultyMachine()
        let ram = try machine.ram(pages: 10, at: 0)
        let device = try machine.attach()
        let log = try watch(device)
        try machine.machine.memory.startMigrationLog()
        try machine.machine.memory.synchronizeDirtyLog()
        ram.block?.dirtyLog.clear(for: .all)
        log.reportError = VFIOError(operation: "tell", object: "the device", errno: .inputOutput)
        let error = thrown { () throws(VFIOGuestError) in try machine.machine.memory.synchronizeDirtyLog() }
        #expect(error?.errno == .inputOutput && error?.object.contains("ram") == true)
        device.detach()
        #expect(ram.block?.dirtyLog.count(for: .migration) == 10)
    }

    @Test(
        "Fault 13: In a section that doesn't begin on a page, the page that was written is the page that is marked"
    )
    func crookedSection() throws {
        let machine = try FaultyMachine()
        let ram = try machine.machine.ram("ram", pages: 8)
        let block = try #require(ram.block)
        let window = try MemoryRegion(
            "window", .alias(ram, offset: 0x2800), byteCount: 0x3c00, in: machine.machine.memory)
        try machine.machine.system.add(window, at: 0x1_0800)
        let device = try machine.attach()
        let log = try watch(device)
        try machine.machine.memory.startMigrationLog()
        block.dirtyLog.clear(for: .all)
        for (iova, page) in [(0x1_1000, 3), (0x1_2000, 4), (0x1_3000, 5)] as [(UInt64, Int)] {
            log.written = [iova]
            try machine.machine.memory.synchronizeDirtyLog()
            #expect(pages(block) == [page])
            block.dirtyLog.clear(for: .all)
        }
        log.written = [0x1_2000]
        try machine.machine.system.remove(window)
        #expect(pages(block) == [4])
    }

    @Test(
        "Fault 14: A host without tracking isn't asked to track, and all that devices can write counts as written"
    )
    func noTracking() throws {
        let machine = try FaultyMachine()
        // A log of other pages than the machine's is none.
        machine.amendMigration { $0.pageSizes = 1 << 16 }
        let requests = watchRequests(machine)
        let ram = try machine.ram(pages: 10, at: 0)
        let device = try machine.attach()
        #expect(device.container?.mapper.tracker.bestSource == .everything)
        try machine.machine.memory.startMigrationLog()
        ram.block?.dirtyLog.clear(for: .all)
        try machine.machine.memory.synchronizeDirtyLog()
        #expect(ram.block?.dirtyLog.count(for: .migration) == 10)
        machine.machine.memory.stopMigrationLog()
        #expect(requests.value.isEmpty)
    }

    @Test("Fault 14: A host that can't start to track keeps the migration from starting")
    func failingStart() throws {
        let machine = try FaultyMachine()
        let ram = try machine.ram(pages: 10, at: 0)
        let device = try machine.attach()
        #expect(device.container?.mapper.tracker.bestSource == .iommu)
        machine.host.fail(Self.dirtyPages, with: .inputOutput)
        let error = thrown { () throws(VFIOGuestError) in try machine.machine.memory.startMigrationLog() }
        #expect(error?.errno == .inputOutput)
        machine.host.healAll()
        try machine.machine.memory.startMigrationLog()
        ram.block?.dirtyLog.clear(for: .all)
        try machine.machine.memory.synchronizeDirtyLog()
        #expect(ram.block?.dirtyLog.count(for: .migration) == 10)
    }

    @Test(
        "Fault 14: A device whose log can't be started keeps the migration from starting, and stops the others"
    )
    func failingDeviceLog() throws {
        let machine = try FaultyMachine()
        try machine.ram(pages: 10, at: 0)
        let devices = [try machine.attach(0), try machine.attach(1)]
        let logs = [try watch(devices[0]), try watch(devices[1])]
        logs[1].startError = VFIOError(operation: "start", object: "the log", errno: .noMemory)
        let error = thrown { () throws(VFIOGuestError) in try machine.machine.memory.startMigrationLog() }
        #expect(error?.errno == .noMemory)
        #expect(devices[0].container?.mapper.tracker.source == nil)
        logs[1].startError = nil
        try machine.machine.memory.startMigrationLog()
        #expect(devices[0].container?.mapper.tracker.source == .devices)
    }

    @Test(
        "Fault 15: A bitmap that can't be had fails with the host's errno, as every other request",
        arguments: [
            Errno.inputOutput, .noMemory, .badAddress,
        ])
    func bitmapErrno(errno: Errno) throws {
        let machine = try FaultyMachine()
        try machine.ram(pages: 10, at: 0)
        let device = try machine.attach()
        defer { withExtendedLifetime(device) {} }
        try machine.machine.memory.startMigrationLog()
        machine.host.fail(Self.dirtyPages, with: errno)
        let error = thrown { () throws(VFIOGuestError) in try machine.machine.memory.synchronizeDirtyLog() }
        #expect(error?.errno == errno)
    }

    @Test("1.11 Tracking is started once and ended once, and asked for a bit per page of each mapped section")
    func requests() throws {
        let machine = try FaultyMachine()
        let flags = watchRequests(machine)
        let ranges = Box<[DirtyBitmapGet]>([])
        machine.host.watch(.iommuDirtyPages, DirtyBitmapWithGet()) { request in
            if request.request.flags == .getBitmap { ranges.change { $0.append(request.get) } }
        }
        try machine.ram("first", pages: 65, at: 0)
        let rom = try MemoryRegion(
            "rom", .rom(RAMBlock("rom", byteCount: pageSize)), byteCount: 4096, in: machine.machine.memory)
        try machine.machine.system.add(rom, at: 0x8_0000)
        let device = try machine.attach()
        defer { withExtendedLifetime(device) {} }
        try machine.machine.memory.startMigrationLog()
        try machine.machine.memory.startMigrationLog()
        try machine.machine.memory.synchronizeDirtyLog()
        machine.machine.memory.stopMigrationLog()
        machine.machine.memory.stopMigrationLog()
        #expect(flags.value == [.start, .getBitmap, .stop])
        #expect(ranges.value.map(\.iova) == [0] && ranges.value.map(\.size) == [65 * 4096])
        #expect(ranges.value.map(\.bitmap.size) == [16] && ranges.value.map(\.bitmap.pageSize) == [4096])
    }
}
