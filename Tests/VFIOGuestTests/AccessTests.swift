import LinuxSystem
import Testing
import VFIO

@testable import VFIOGuest

@Suite("Reading and writing as the guest does")
struct AccessTests {
    /// Registers that remember how they were accessed.
    private final class Registers: RegisterAccess {
        let log = Box<[String]>([])
        func read(at offset: UInt64, width: Int) -> UInt64 {
            log.change { $0.append("r\(width)@\(offset)") }
            return 0x8877_6655_4433_2211
        }
        func write(_ value: UInt64, at offset: UInt64, width: Int) {
            log.change { $0.append("w\(width)@\(offset)=\(String(value, radix: 16))") }
        }
    }

    /// Lets the lower half through, one page further on, in pieces of a page; the first page for reading only.
    private final class Shift: GuestIOMMU, @unchecked Sendable {
        let target: GuestAddressSpace
        let notifiers = IOMMUNotifiers()
        init(_ target: GuestAddressSpace) { self.target = target }
        func translate(_ offset: UInt64, for access: DMAPermissions, index: Int) -> IOMMUEntry {
            let page = offset & ~0xfff
            return IOMMUEntry(
                target: target, iova: page, translated: GuestAddress(page + 0x1000), lastOffset: 0xfff,
                permissions: page >= 0x8000 ? [] : page == 0 ? .read : [.read, .write])
        }
    }

    private let memory = GuestMemory()
    private let system: MemoryRegion
    private let space: GuestAddressSpace
    private let low: RAMBlock
    private let rom: RAMBlock
    private let registers = Registers()

    init() throws {
        system = try MemoryRegion("system", .container, byteCount: 1 << 64, in: memory)
        space = GuestAddressSpace("memory", showing: system)
        low = try RAMBlock("low", byteCount: 4 * pageSize)
        rom = try RAMBlock("rom", byteCount: pageSize)
        try system.add(MemoryRegion(ram: low, in: memory), at: 0)
        try system.add(MemoryRegion("rom", .rom(rom), byteCount: 4096, in: memory), at: 0x4000)
        try system.add(MemoryRegion("io", .io(registers), byteCount: 0x100, in: memory), at: 0x5000)
    }

    private func read(_ address: UInt64, _ count: Int, from space: GuestAddressSpace? = nil) throws -> [UInt8]
    {
        var bytes = [UInt8](repeating: 0, count: count)
        var span = bytes.mutableSpan
        var raw = unsafe span.mutableBytes
        try (space ?? self.space).read(at: GuestAddress(address), into: &raw)
        return bytes
    }

    @Test("memory is read and written across sections; what can only be read stays as it is")
    func memoryAccess() throws {
        try space.store(UInt64(0x0102_0304_0506_0708), at: GuestAddress(0x3ffc))
        #expect(low.window.load32(0x3ffc) == 0x0506_0708)
        #expect(rom.window.load32(0) == 0, "writes to ROM are dropped")
        #expect(try space.load(UInt64.self, at: GuestAddress(0x3ffc)) == 0x0506_0708)
        #expect(throws: GuestAccessError.unassigned(GuestAddress(0x6000))) {
            try space.load(UInt8.self, at: GuestAddress(0x6000))
        }
        #expect(throws: GuestAccessError.unassigned(GuestAddress(0x5100))) { try read(0x50ff, 2) }
        #expect(throws: GuestAccessError.self) { try space.load(UInt64.self, at: GuestAddress(.max)) }
    }

    @Test("registers see accesses as wide as their alignment allows")
    func registerAccess() throws {
        #expect(try space.load(UInt32.self, at: GuestAddress(0x5004)) == 0x4433_2211)
        #expect(try read(0x5001, 9) == [0x11, 0x11, 0x22, 0x11, 0x22, 0x33, 0x44, 0x11, 0x22])
        try space.store(UInt16(0xbeef), at: GuestAddress(0x5007))
        #expect(
            registers.log.value == [
                "r4@4", "r1@1", "r2@2", "r4@4", "r2@8", "w1@7=ef", "w1@8=be",
            ])
    }

    @Test("a device behind the guest's IOMMU sees what that lets through")
    func translated() throws {
        let behind = GuestAddressSpace(
            "device",
            showing: try MemoryRegion(
                "iommu", .iommu(Shift(space)), byteCount: 1 << 32, in: memory))
        low.window.store64(0x1ff8, 0x55)
        low.window.store64(0x2000, 0x66)
        // One access, two pages.
        #expect(try read(0xff8, 16, from: behind).filter { $0 != 0 } == [0x55, 0x66])
        #expect(throws: GuestAccessError.notTranslated(GuestAddress(0))) {
            try behind.store(UInt8(1), at: GuestAddress(0))
        }
        try behind.store(UInt64(0x77), at: GuestAddress(0x1000))
        #expect(low.window.load64(0x2000) == 0x77)
        #expect(throws: GuestAccessError.notTranslated(GuestAddress(0x8000))) {
            try behind.load(UInt8.self, at: GuestAddress(0x8000))
        }
        // An IOMMU that leads to itself.
        let loop = try MemoryRegion("loop", .container, byteCount: 1 << 32, in: memory)
        let circle = GuestAddressSpace("circle", showing: loop)
        try loop.add(MemoryRegion("turn", .iommu(Shift(circle)), byteCount: 1 << 32, in: memory), at: 0)
        #expect(throws: GuestAccessError.tooManyTranslations(GuestAddress(0x1000))) {
            try circle.load(UInt8.self, at: GuestAddress(0x1000))
        }
    }

    @Test("written pages are noted for those who want to know")
    func dirty() throws {
        try space.store(UInt8(1), at: GuestAddress(0))
        #expect(low.dirtyLog.count(for: .migration) == 0)
        try memory.startMigrationLog()
        try space.store(UInt32(1), at: GuestAddress(0x1ffe))
        #expect(low.dirtyLog.contains(1, for: .migration) && low.dirtyLog.contains(2, for: .migration))
        #expect(low.dirtyLog.count(for: .migration) == 2)
        #expect(low.dirtyLog.count(for: .display) == 0)
    }
}
