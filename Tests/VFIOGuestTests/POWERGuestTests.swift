import IOVASpace
import LinuxSystem
import Testing
import VFIO
import VFIOABI
import VFIOHost

@testable import SoftwareHost
@testable import VFIOGuest

@Suite("A guest on a POWER host")
struct POWERGuestTests {
    private let page = UInt64(pageSize)

    @Test("1.17 version 2 is chosen where it can be had, and version 1 where it is only announced")
    func choice() throws {
        for (windows, version) in [(2, 2), (0, 1)] {
            let machine = try POWERMachine(SPAPRIOMMU(dynamicWindows: windows))
            let device = try machine.attach()
            #expect(device.container?.iommu.tce?.version == version)
            #expect(device.container?.iommu.route?.kind == .group)
            device.takeAway()
            #expect(machine.host.lockedByteCount == 0)
        }
    }

    @Test("1.18 version 1: enabled, with one window of 4 KiB pages, all of which counts as locked")
    func version1() throws {
        let machine = try POWERMachine(
            SPAPRIOMMU(.pSeries, defaultWindowByteCount: 1 << 30, dynamicWindows: 0))
        let devices = machine.devices()
        let device = try machine.attach(to: devices)
        #expect(machine.host.lockedByteCount == 1 << 30)
        #expect(device.container?.mapper.windows.map { "\($0)" } == ["0x0...0x3fffffff"])
        #expect(device.container?.mapper.windows.first?.pageSizes == 4096)
        machine.block.window.store64(0x5008, 77)
        #expect(machine.read(at: 0x8008) == nil)
        #expect(machine.table.put(0x5000 | 3, at: 0x8000) == .success)
        #expect(machine.read(at: 0x8008) == 77)
        // A container of version 1 has one group.
        let other = try machine.attach(2, to: devices)
        #expect(devices.containers.count == 2)
        #expect(machine.host.lockedByteCount == 2 << 30)
        #expect(machine.machine.probers[2].read(at: 0x8008) == 77)
        #expect(machine.table.put(0, at: 0x8000) == .success)
        #expect(machine.read(at: 0x8008) == nil && machine.machine.probers[2].read(at: 0x8008) == nil)
        device.takeAway()
        other.takeAway()
        #expect(machine.host.lockedByteCount == 0)
    }

    @Test("1.18 version 2: RAM is registered, and the default window gives way to the guest's")
    func version2() throws {
        for platform in [SPAPRIOMMU.Platform.powerNV, .pSeries] {
            let machine = try POWERMachine(SPAPRIOMMU(platform))
            let devices = machine.devices()
            let device = try machine.attach(to: devices)
            #expect(
                device.windows == [
                    TCEWindow(IOVARange(0, through: POWERMachine.windowByteCount - 1), pageSize: 4096)
                ])
            #expect(machine.host.lockedByteCount == machine.lockedAtRest)
            // Mapping locks nothing more, and devices of other groups share it all.
            #expect(machine.table.stuff(3, at: 0, entryCount: 16) == .success)
            let other = try machine.attach(3, to: devices)
            #expect(devices.containers.count == 1)
            #expect(machine.host.lockedByteCount == machine.lockedAtRest)
            #expect(machine.write(5, at: 0x3000) && machine.machine.probers[3].read(at: 0x4000) == 5)
            device.takeAway()
            other.takeAway()
            #expect(machine.host.lockedByteCount == 0 && devices.containers.isEmpty)
        }
    }

    @Test(
        "1.20 what the guest enters into its table is what the device reaches, through a window at each place"
    )
    func bytes() throws {
        let machine = try POWERMachine()
        let device = try machine.attach()
        let (table, region) = try machine.window("window 1")
        #expect(!machine.write(1, at: POWERMachine.second))
        try machine.deviceRoot.add(region, at: POWERMachine.second)
        #expect(device.windows.map(\.range.first.rawValue) == [0, POWERMachine.second])
        #expect(machine.table.put(0x7000 | 3, at: 0x1000) == .success)
        #expect(table.put(0x8000 | 3, at: 0x1000) == .success)
        #expect(table.put(0x7000 | 1, at: 0x2000) == .success)
        #expect(machine.write(11, at: 0x1010) && machine.write(12, at: POWERMachine.second + 0x1010))
        #expect(machine.block.window.load64(0x7010) == 11)
        #expect(machine.block.window.load64(0x8010) == 12)
        // The first page is seen at a second place, where it can only be read.
        #expect(machine.read(at: POWERMachine.second + 0x2010) == 11)
        #expect(!machine.write(1, at: POWERMachine.second + 0x2010))
        // An entry that is changed leads elsewhere at once.
        #expect(machine.table.put(0x8000 | 3, at: 0x1000) == .success)
        #expect(machine.read(at: 0x1010) == 12)
        // With its section goes a window, and all that is mapped there.
        try machine.deviceRoot.remove(region)
        #expect(device.windows.map(\.range.first.rawValue) == [0])
        #expect(machine.read(at: POWERMachine.second + 0x1010) == nil && machine.read(at: 0x1010) == 12)
        #expect(machine.host.lockedByteCount == machine.lockedAtRest)
        // What is in the table is mapped again with the next one.
        try machine.deviceRoot.add(region, at: POWERMachine.second)
        #expect(machine.read(at: POWERMachine.second + 0x1010) == 12)
        device.takeAway()
    }

    @Test(
        "1.20 a window's pages are the longest of the host's that neither the guest's TCEs nor its RAM are shorter than"
    )
    func pages() throws {
        let kib64: UInt64 = 0x10000
        let cases: [(tce: UInt64, ram: Mapping.PageKind, window: UInt64)] = [
            (kib64, .ordinary, 4096), (kib64, .huge2MiB, kib64), (16 << 20, .huge2MiB, 2 << 20),
            (4096, .huge2MiB, 4096),
        ]
        for (tce, ram, window) in cases where pageSize == 4096 {
            let machine = try POWERMachine(pageSize: tce, ram: ram)
            let device = try machine.attach()
            #expect(device.windows.map(\.pageSize) == [window])
            #expect(machine.table.put(3, at: 0) == .success)
            #expect(machine.write(9, at: 0x8) == (tce <= 2 << 20), "a page beyond RAM isn't mapped")
            device.takeAway()
        }
        // Windows with long pages only are none for a guest with short ones.
        let machine = try POWERMachine(SPAPRIOMMU(defaultWindowByteCount: 0, pageSizes: [.mib2]))
        let error = #expect(throws: VFIOGuestError.self) { _ = try machine.attach() }
        #expect(error?.code == .notSupported && error?.object.contains("window 0") == true)
        #expect(machine.host.lockedByteCount == 0)
    }

    @Test("1.20 a table has as many levels as suit its length, and more where the host can't have so few")
    func levels() throws {
        // 2^29 entries are two levels of what 256 pages of 4 KiB hold.
        guard pageSize == 4096 else { return }
        for (refusals, levels) in [(0, 2), (1, 3), (2, 4)] as [(Int, UInt32)] {
            let machine = try POWERMachine(SPAPRIOMMU(.powerNV))
            let (_, region) = try machine.window("long", byteCount: 1 << 39)
            let device = try machine.attach()
            for number in 0..<refusals {
                machine.host.inject(
                    FaultRule(.request(.spaprTCECreate, .noMemory), .nth(UInt64(number + 1))))
            }
            try machine.deviceRoot.add(region, at: POWERMachine.second)
            #expect(device.windows.count == 2)
            #expect(
                machine.host.lockedByteCount == machine.lockedAtRest + machine.charge(1 << 39, levels: levels)
            )
            device.takeAway()
        }
    }

    @Test("1.7 RAM that devices see as it is gets a window of its own, if that can be one")
    func bypass() throws {
        let machine = try POWERMachine()
        let devices = machine.devices()
        let device = GivenDevice(try machine.machine.attach(0, to: devices))
        #expect(device.windows.map(\.range.byteCount) == [UInt64(POWERMachine.ramByteCount)])
        #expect(machine.write(3, at: 0x1238) && machine.block.window.load64(0x1238) == 3)
        // More RAM would have to lie where the host's second window is, and be a power of two long.
        let failures = Box<[VFIOGuestError]>([])
        device.container?.mapper.onFailure = { failure in failures.change { $0.append(failure.error) } }
        let more = try machine.machine.ram("more", pages: 3)
        try machine.machine.system.add(more, at: 1 << 32)
        #expect(failures.value.map(\.code) == [.misaligned])
        try machine.machine.system.remove(more)
        let right = try machine.machine.ram("right", pages: 4)
        try machine.machine.system.add(right, at: POWERMachine.second)
        #expect(device.windows.count == 2 && failures.value.count == 1)
        #expect(machine.write(4, at: POWERMachine.second + 8))
        #expect(right.block?.window.load64(8) == 4)
        device.takeAway()
        #expect(machine.host.lockedByteCount == 0)
    }

    @Test("1.10 such a host forbids all discards of the guest's RAM, also those that others could follow")
    func discards() throws {
        for windows in [0, 2] {
            let machine = try POWERMachine(SPAPRIOMMU(dynamicWindows: windows))
            let policy = machine.machine.memory.discardPolicy
            let device = try machine.attach()
            #expect(policy.count(of: .forbidsDiscards) == 1)
            #expect(throws: VFIOError.self) {
                _ = try policy.hold(.needsCoordinatedDiscards, for: "a memory device")
            }
            device.takeAway()
            #expect(policy.count(of: .forbidsDiscards) == 0)
            let need = try policy.hold(.needsCoordinatedDiscards, for: "a memory device")
            defer { withExtendedLifetime(need) {} }
            let error = #expect(throws: VFIOGuestError.self) { _ = try machine.attach() }
            #expect(error?.errno == .busy && "\(error!)".contains("a memory device"))
            #expect(machine.host.lockedByteCount == 0)
        }
    }

    @Test(
        "1.11 while a migration is on, all that devices can write counts as written: such a host tracks nothing"
    )
    func dirty() throws {
        let machine = try POWERMachine()
        let device = try machine.attach()
        #expect(machine.table.put(0x3000 | 3, at: 0) == .success)
        #expect(machine.table.put(0x5000 | 1, at: 0x1000) == .success)
        try machine.machine.memory.startMigrationLog()
        let log = machine.block.dirtyLog
        for _ in 0..<2 {
            log.clear(for: .all)
            try machine.machine.memory.synchronizeDirtyLog()
            #expect(log.contains(Int(0x3000 / page), for: .migration))
            #expect(log.count(for: .migration) == 1)
        }
        machine.machine.memory.stopMigrationLog()
        device.takeAway()
    }
}
