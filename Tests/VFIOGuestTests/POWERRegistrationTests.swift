import IOVASpace
import LinuxSystem
import Testing
import VFIO
import VFIOHost

@testable import SoftwareHost
@testable import VFIOGuest

@Suite("A guest's RAM is registered on a POWER host")
struct POWERRegistrationTests {
    private let page = UInt64(pageSize)

    @Test("1.20 registered is RAM in whole pages, wherever the guest sees it, and nothing else")
    func what() throws {
        let machine = try POWERMachine()
        let memory = machine.machine.memory
        let device = try machine.attach()
        let rest = machine.host.lockedByteCount
        func locked() -> UInt64 { machine.host.lockedByteCount - rest }
        func place(_ region: MemoryRegion, at offset: UInt64 = 1 << 32) throws -> UInt64 {
            try machine.machine.system.add(region, at: offset)
            defer { try? machine.machine.system.remove(region) }
            return locked()
        }
        let block = try RAMBlock("block", byteCount: 8 * pageSize)
        #expect(try place(MemoryRegion(ram: block, in: memory)) == 8 * page)
        #expect(
            try place(MemoryRegion("rom", .rom(block), byteCount: 8 * UInt128(page), in: memory)) == 8 * page)
        #expect(try place(MemoryRegion("BAR", .ramDevice(block), byteCount: UInt128(page), in: memory)) == 0)
        // Its place, its offset or its end isn't a page's.
        #expect(try place(MemoryRegion(ram: block, in: memory), at: 1 << 32 + 512) == 0)
        #expect(
            try place(MemoryRegion("short", .ram(block), byteCount: UInt128(page - 512), in: memory)) == 0)
        let whole = try MemoryRegion(ram: block, in: memory)
        #expect(
            try place(MemoryRegion("part", .alias(whole, offset: 512), byteCount: UInt128(page), in: memory))
                == 0)
        #expect(
            try place(
                MemoryRegion("part", .alias(whole, offset: page), byteCount: 2 * UInt128(page), in: memory))
                == 2 * page)
        // Kept from devices.
        let protected = try RAMBlock("secret", byteCount: 2 * pageSize, isProtected: true)
        #expect(try place(MemoryRegion(ram: protected, in: memory)) == 0)
        #expect(locked() == 0)
        // Memory that isn't registered beforehand can't be what keeps a device out.
        let odd = try MemoryRegion(ram: block, in: memory)
        try machine.machine.system.add(odd, at: 1 << 32 + 512)
        #expect(locked() == 0)
        device.takeAway()
        #expect(machine.host.lockedByteCount == 0)
    }

    @Test("1.20 RAM that is seen at several places, in part or as a whole, is locked once")
    func once() throws {
        let machine = try POWERMachine()
        let memory = machine.machine.memory
        let device = try machine.attach()
        let rest = machine.host.lockedByteCount
        let whole = UInt64(POWERMachine.ramByteCount)
        var aliases: [MemoryRegion] = []
        for (offset, byteCount) in [(0, whole), (page, 4 * page), (whole / 2, whole / 2)]
            as [(UInt64, UInt64)]
        {
            let alias = try MemoryRegion(
                "again", .alias(machine.ram, offset: offset), byteCount: UInt128(byteCount), in: memory)
            try machine.machine.system.add(alias, at: UInt64(aliases.count + 1) << 32)
            aliases.append(alias)
        }
        #expect(machine.host.lockedByteCount == rest)
        try machine.machine.system.remove(machine.ram)
        #expect(machine.host.lockedByteCount == rest)
        try machine.machine.system.remove(aliases[0])
        // A registration stays as long as somebody wants a part of it.
        #expect(machine.host.lockedByteCount == rest)
        try machine.machine.system.remove(aliases[2])
        try machine.machine.system.remove(aliases[1])
        #expect(machine.host.lockedByteCount == rest - whole)
        try machine.machine.system.add(aliases[1], at: 0)
        #expect(machine.host.lockedByteCount == rest - whole + 4 * page)
        try machine.machine.system.add(machine.ram, at: 1 << 32)
        #expect(machine.host.lockedByteCount == rest)
        device.takeAway()
    }

    @Test("1.20 RAM that is seen differently stays registered, and mapped where the guest mapped it")
    func split() throws {
        let machine = try POWERMachine()
        let failures = Box<[VFIOGuestError]>([])
        let device = try machine.attach { failure in failures.change { $0.append(failure.error) } }
        let rest = machine.host.lockedByteCount
        #expect(machine.table.stuff(0x8000 | 3, at: 0, entryCount: 2) == .success)
        // A ROM is laid over the middle of what is mapped, and taken away again.
        let rom = try MemoryRegion(
            "rom", .rom(RAMBlock("rom", byteCount: pageSize)), byteCount: UInt128(page),
            in: machine.machine.memory)
        for _ in 0..<3 {
            try machine.machine.system.add(rom, at: 0x10_0000, priority: 1)
            #expect(machine.write(21, at: 0x8) && machine.block.window.load64(0x8008) == 21)
            #expect(machine.host.lockedByteCount == rest + page)
            try machine.machine.system.remove(rom)
            #expect(machine.host.lockedByteCount == rest)
        }
        // RAM that goes while the guest's IOMMU has it mapped stays locked until it hasn't.
        try machine.machine.system.remove(machine.ram)
        #expect(machine.host.lockedByteCount == rest && machine.write(22, at: 0x8))
        #expect(machine.table.put(0, at: 0) == .success && machine.host.lockedByteCount == rest)
        #expect(machine.table.put(0, at: 0x1000) == .success)
        #expect(machine.host.lockedByteCount == rest - UInt64(POWERMachine.ramByteCount))
        #expect(failures.value.isEmpty)
        device.takeAway()
    }

    @Test("1.20 without the system's memory, what an IOMMU of the guest maps is registered page by page")
    func unknown() throws {
        let machine = try POWERMachine()
        let devices = machine.machine.devices()
        let device = try machine.attach(to: devices)
        #expect(machine.host.lockedByteCount == machine.charge(POWERMachine.windowByteCount))
        #expect(machine.table.put(0x8000 | 3, at: 0) == .success && machine.write(1, at: 0))
        #expect(machine.host.lockedByteCount == machine.charge(POWERMachine.windowByteCount) + page)
        #expect(machine.table.put(0, at: 0) == .success)
        #expect(machine.host.lockedByteCount == machine.charge(POWERMachine.windowByteCount))
        device.takeAway()
    }
}
