import IOVASpace
import LinuxSystem
import SoftwareHost
import Testing
import VFIO
import VFIOABI
import VFIOHost

@testable import VFIOGuest

@Suite("What a guest's devices see follows what the guest has")
struct DMAMapperTests {
    private static let routes: [RouteChoice] = [.group, .cdev]

    private func outcomes(_ device: GuestDevice) -> [String] {
        (device.container?.mapper.outcomes ?? []).map { "\($0.section.region.name): \(name($0.outcome))" }
    }

    private func name(_ outcome: DMAMapper.Outcome) -> String {
        switch outcome {
        case .mapped: "mapped"
        case .skipped(let reason): "\(reason)"
        case .unreachable: "unreachable"
        case .failed: "failed"
        case .followed: "followed"
        }
    }

    @Test(
        "1.7 RAM is reached at the guest's addresses, wherever it is plugged, moved and unplugged",
        arguments: routes)
    func follows(route: RouteChoice) throws {
        let machine = try GuestMachine()
        let ram = try machine.ram("ram", pages: 4)
        let block = try #require(ram.block)
        try machine.system.add(ram, at: 0)
        let devices = machine.devices(route)
        let device = try machine.attach(0, to: devices)
        let prober = machine.probers[0]
        #expect(prober.write(0x1122, at: 0x3008))
        #expect(block.window.load64(0x3008) == 0x1122)
        #expect(!prober.write(1, at: 0x4000))
        try ram.move(to: 0x1_0000_0000)
        #expect(!prober.write(3, at: 0x3008))
        #expect(prober.read(at: 0x1_0000_3008) == 0x1122)
        let more = try machine.ram("more", pages: 1)
        try machine.system.add(more, at: 0x2000)
        #expect(prober.write(5, at: 0x2000) && more.block?.window.load64(0) == 5)
        try machine.system.remove(more)
        #expect(prober.read(at: 0x2000) == nil)
        device.detach()
        #expect(machine.host.lockedByteCount == 0)
        #expect(devices.containers.isEmpty)
    }

    @Test("1.4 What the guest can only read, its devices can only read", arguments: routes)
    func readOnly(route: RouteChoice) throws {
        let machine = try GuestMachine()
        let rom = try MemoryRegion(
            "rom", .rom(RAMBlock("rom", byteCount: pageSize)), byteCount: UInt128(pageSize),
            in: machine.memory)
        rom.block?.window.store64(0, 77)
        try machine.system.add(rom, at: 0xf000)
        let device = try machine.attach(0, to: machine.devices(route))
        #expect(machine.probers[0].read(at: 0xf000) == 77)
        #expect(!machine.probers[0].write(1, at: 0xf000))
        #expect(rom.block?.window.load64(0) == 77)
        #expect(outcomes(device) == ["rom: mapped"])
    }

    @Test("1.6 Sections that can't or needn't be mapped are passed over, each for its reason")
    func skips() throws {
        final class Registers: RegisterAccess {
            func read(at offset: UInt64, width: Int) -> UInt64 { 0 }
            func write(_ value: UInt64, at offset: UInt64, width: Int) {}
        }
        let machine = try GuestMachine()
        let (memory, system) = (machine.memory, machine.system)
        try system.add(
            MemoryRegion("registers", .io(Registers()), byteCount: 0x1000, in: memory), at: 0x1000)
        try system.add(
            MemoryRegion(ram: RAMBlock("secret", byteCount: pageSize, isProtected: true), in: memory),
            at: 0x10000)
        let hidden = try machine.ram("hidden", pages: 1)
        hidden.setHiddenFromDevices(true)
        try system.add(hidden, at: 0x20000)
        let sizing = try machine.ram("sizing", pages: 1)
        try system.add(sizing, at: 0xffff_ffff_ffff_0000)
        try system.add(machine.ram("crooked", pages: 2), at: 0x30800)
        let short = try machine.ram("short", pages: 1)
        try short.setByteCount(0x800)
        try system.add(short, at: 0x40000)
        let bar = try MemoryRegion(
            "bar", .ramDevice(RAMBlock("bar", byteCount: 2 * pageSize)), byteCount: 0x1800, in: memory)
        try system.add(bar, at: 0x50000)
        // Not whole pages: only the whole ones are mapped.
        let ragged = try machine.ram("ragged", pages: 3)
        try ragged.setByteCount(0x2800)
        try system.add(ragged, at: 0x60000)
        let device = try machine.attach(0, to: machine.devices())
        #expect(
            outcomes(device) == [
                "registers: notMemory", "secret: protected", "hidden: hidden", "crooked: misaligned",
                "short: shorterThanPage", "bar: mapped", "ragged: mapped", "sizing: sizing",
            ])
        #expect(machine.probers[0].write(1, at: 0x61ff8) && !machine.probers[0].write(1, at: 0x62000))
        #expect(device.container?.iommu.mappedByteCount == 3 * UInt64(pageSize))
        hidden.setHiddenFromDevices(false)
        #expect(machine.probers[0].write(1, at: 0x20000))
    }

    @Test("1.5 Memory outside the host's windows fails the connection with both named, and leaves nothing")
    func outsideWindow() throws {
        let machine = try GuestMachine()
        let ram = try machine.ram("ram", pages: 2)
        try machine.system.add(ram, at: 0xfee0_0000)
        let devices = machine.devices()
        let error = #expect(throws: VFIOGuestError.self) { _ = try machine.attach(0, to: devices) }
        #expect(error?.code == .outsideAperture)
        #expect(error?.object.contains("ram+0x0 at 0xfee00000...0xfee01fff") == true)
        #expect(error?.cause?.contains("0xfee00000") == true, "\(error?.cause ?? "")")
        #expect(machine.host.lockedByteCount == 0)
        #expect(devices.containers.isEmpty)
        // The device is free again.
        try ram.move(to: 0)
        _ = try machine.attach(0, to: devices)
    }

    @Test("1.7 The first of several failures is the one that is told")
    func firstFailure() throws {
        let machine = try GuestMachine()
        for index in 0..<3 {
            try machine.system.add(
                machine.ram("ram\(index)", pages: 1), at: 0xfee0_0000 + UInt64(index) * 8192)
        }
        let error = #expect(throws: VFIOGuestError.self) {
            _ = try machine.attach(0, to: machine.devices())
        }
        #expect(error?.object.contains("ram0") == true)
    }

    @Test("1.7 A failure while the guest runs is told, and the rest goes on")
    func lateFailure() throws {
        let machine = try GuestMachine()
        let failures = Box<[String]>([])
        let device = try machine.attach(0, to: machine.devices()) { failure in
            failures.change { $0.append("\(failure.section.region.name): \(failure.error.code)") }
        }
        let bad = try machine.ram("bad", pages: 1)
        try machine.system.add(bad, at: 0xfee0_0000)
        let good = try machine.ram("good", pages: 1)
        try machine.system.add(good, at: 0)
        #expect(failures.value == ["bad: outsideAperture"])
        #expect(outcomes(device) == ["good: mapped", "bad: failed"])
        #expect(machine.probers[0].write(9, at: 0))
        // It goes as quietly as it never came.
        try machine.system.remove(bad)
        #expect(failures.value.count == 1)
        machine.host.inject(FaultRule(.request(.iommuMapDMA, .noMemory), .nth(1)))
        machine.host.inject(FaultRule(.request(.ioasMap, .noMemory), .nth(1)))
        try machine.system.add(machine.ram("refused", pages: 1), at: 0x10000)
        #expect(failures.value == ["bad: outsideAperture", "refused: noMemory"])
    }

    @Test("1.7 Another device's memory that can't be mapped is noted, and nothing fails")
    func peerToPeer() throws {
        let machine = try GuestMachine()
        let bar = try MemoryRegion(
            "bar", .ramDevice(RAMBlock("bar", byteCount: pageSize)), byteCount: UInt128(pageSize),
            in: machine.memory)
        try machine.system.add(bar, at: 0x8000)
        machine.host.inject(FaultRule(.request(.iommuMapDMA, .badAddress), .nth(1)))
        let device = try machine.attach(0, to: machine.devices(.group)) { _ in
            Issue.record("not a failure")
        }
        #expect(outcomes(device) == ["bar: unreachable"])
        // Outside the windows: the same, and its removal is no surprise (fault 6).
        try bar.move(to: 0xfee0_0000)
        #expect(outcomes(device) == ["bar: unreachable"])
        try bar.move(to: 0x9000)
        #expect(outcomes(device) == ["bar: mapped"])
        try machine.system.remove(bar)
        #expect(device.container?.iommu.mappingCount == 0)
    }

    @Test(
        "1.4 A host that says that a place is taken is asked to clear it, and once more",
        arguments: [Errno.busy, .exists])
    func retry(errno: Errno) throws {
        let machine = try GuestMachine()
        try machine.system.add(machine.ram("ram", pages: 1), at: 0)
        machine.host.inject(FaultRule(.request(.iommuMapDMA, errno), .nth(1)))
        let kept2 = try machine.attach(0, to: machine.devices(.group))
        defer { withExtendedLifetime(kept2) {} }
        #expect(machine.probers[0].write(1, at: 0))
        // Twice is a failure, and it is the mapping's errno that is told (fault 15).
        let other = try GuestMachine()
        try other.system.add(other.ram("ram", pages: 1), at: 0)
        other.host.inject(FaultRule(.request(.iommuMapDMA, errno), .always))
        other.host.inject(FaultRule(.request(.iommuUnmapDMA, .inputOutput), .always))
        let error = #expect(throws: VFIOGuestError.self) {
            _ = try other.attach(0, to: other.devices(.group))
        }
        #expect(error?.errno == errno)
    }

    @Test("1.7 Memory stays while it is mapped, also when nobody else has it any more")
    func keepsAlive() throws {
        let machine = try GuestMachine()
        weak var block: RAMBlock?
        let devices = machine.devices()
        let device: GuestDevice
        do {
            let ram = try machine.ram("ram", pages: 1)
            block = ram.block
            try machine.system.add(ram, at: 0)
            device = try machine.attach(0, to: devices)
        }
        #expect(block != nil)
        #expect(machine.probers[0].write(1, at: 0))
        if let region = machine.system.subregions.first { try machine.system.remove(region) }
        #expect(block == nil)
        #expect(!machine.probers[0].write(1, at: 0))
        device.detach()
    }

    @Test("neighbours in the guest and in this process become one mapping where that is wanted")
    func joining() throws {
        let machine = try GuestMachine()
        var options = DMAMapper.Options()
        options.joinsNeighbours = true
        let whole = try RAMBlock("whole", byteCount: 8 * pageSize)
        var parts: [MemoryRegion] = []
        for index in 0..<8 {
            let window = whole.window.window(at: index * pageSize, byteCount: pageSize)
            let block = try RAMBlock("part\(index)", window, keeping: whole)
            parts.append(try MemoryRegion(ram: block, in: machine.memory))
        }
        try machine.memory.transaction {
            for index in 0..<8 { try machine.system.add(parts[index], at: UInt64(index * pageSize)) }
        }
        let device = try machine.attach(0, to: machine.devices(.group, options))
        let iommu = try #require(device.container?.iommu)
        #expect(iommu.mappingCount == 1 && iommu.mappedByteCount == 8 * UInt64(pageSize))
        // A written page is marked in the log of the part that has it.
        try machine.memory.startMigrationLog()
        try machine.memory.synchronizeDirtyLog()
        for part in parts { part.block?.dirtyLog.clear(for: .all) }
        #expect(machine.probers[0].write(1, at: UInt64(5 * pageSize)))
        try machine.memory.synchronizeDirtyLog()
        #expect(parts[5].block?.dirtyLog.contains(0, for: .migration) == true)
        // Without one of them two are left, and what was written to it isn't lost.
        parts[3].block?.dirtyLog.clear(for: .all)
        #expect(machine.probers[0].write(1, at: UInt64(3 * pageSize)))
        try machine.system.remove(parts[3])
        #expect(parts[3].block?.dirtyLog.contains(0, for: .migration) == true)
        #expect(iommu.mappingCount == 2 && iommu.mappedByteCount == 7 * UInt64(pageSize))
        #expect(machine.probers[0].write(2, at: 0) && machine.probers[0].write(2, at: UInt64(7 * pageSize)))
        #expect(!machine.probers[0].write(2, at: UInt64(3 * pageSize)))
        machine.memory.transaction {
            for part in parts where part.parent != nil { try? machine.system.remove(part) }
        }
        #expect(iommu.mappingCount == 0)
    }

    @Test(
        "1.11 Written pages are told, also of memory that goes while a migration watches", arguments: routes)
    func dirtyPages(route: RouteChoice) throws {
        let machine = try GuestMachine()
        let ram = try machine.ram("ram", pages: 100)
        let log = try #require(ram.block).dirtyLog
        try machine.system.add(ram, at: 0x10000)
        let device = try machine.attach(0, to: machine.devices(route))
        try machine.memory.startMigrationLog()
        try machine.memory.synchronizeDirtyLog()
        log.clear(for: .all)
        _ = machine.probers[0].write(1, at: 0x10000 + 70 * UInt64(pageSize))
        try machine.memory.synchronizeDirtyLog()
        #expect(log.contains(70, for: .migration))
        log.clear(for: .all)
        _ = machine.probers[0].write(1, at: 0x10000 + 71 * UInt64(pageSize))
        try machine.system.remove(ram)
        #expect(log.contains(71, for: .migration))
        machine.memory.stopMigrationLog()
        _ = device
    }

    @Test(
        "Fault 10: A host that can't unmap with a bitmap unmaps all the same, and all of it counts as written"
    )
    func unmapWithoutBitmap() throws {
        let machine = try GuestMachine()
        let ram = try machine.ram("ram", pages: 10)
        try machine.system.add(ram, at: 0)
        let kept3 = try machine.attach(0, to: machine.devices(.group))
        defer { withExtendedLifetime(kept3) {} }
        try machine.memory.startMigrationLog()
        ram.block?.dirtyLog.clear(for: .all)
        machine.host.inject(FaultRule(.request(.iommuUnmapDMA, .noMemory), .nth(1)))
        try machine.system.remove(ram)
        #expect(!machine.probers[0].write(1, at: 0), "no hole for DMA stays (fault 10)")
        #expect(ram.block?.dirtyLog.count(for: .migration) == 10)
    }

    @Test("Fault 12: A dirty log that can't be read fails the synchronisation")
    func syncFails() throws {
        let machine = try GuestMachine()
        try machine.system.add(machine.ram("ram", pages: 10), at: 0)
        let kept4 = try machine.attach(0, to: machine.devices(.group))
        defer { withExtendedLifetime(kept4) {} }
        try machine.memory.startMigrationLog()
        machine.host.inject(FaultRule(.request(.iommuDirtyPages, .badAddress), .nth(1)))
        let error = #expect(throws: VFIOGuestError.self) { try machine.memory.synchronizeDirtyLog() }
        #expect(error?.errno == .badAddress)
        #expect(error?.object.contains("ram") == true)
        try machine.memory.synchronizeDirtyLog()
    }
}
