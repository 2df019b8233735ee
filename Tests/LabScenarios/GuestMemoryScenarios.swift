import IOVASpace
import LinuxSystem
import VFIO
import VFIOGuest
import VFIOHost

extension Scenario {
    static let guestMemory: [Scenario] = [
        Scenario("a guest's device sees every byte of RAM and ROM where the guest sees it, and nothing else")
        {
            lab in
            try WholeGuest(lab).check()
        },
        Scenario("a guest's device follows memory that is added, moved, covered, locked and removed") { lab in
            let guest = try LabGuest(lab)
            let low = try guest.addRAM("low", pages: 2, at: 0)
            let edu = try guest.attachEdu(exchange: (low, IOVA(0)))
            let region = try guest.ram("movable", pages: 1)
            let movable = try guest.window(of: region)

            try guest.system.add(region, at: 0x10_0000)
            try edu.expectWrites(movable, at: 0x10_0000, 1, "RAM that was added")
            try region.move(to: 0x20_0000)
            try edu.expectWrites(movable, at: 0x20_0000, 2, "RAM that was moved")
            try edu.expectNoWrites(movable, at: 0x10_0000, 3, "RAM that was moved away")

            region.setReadOnly(true)
            try edu.expectNoWrites(movable, at: 0x20_0000, 4, "RAM that was locked")
            try edu.expectReads(
                movable.window(at: 0, byteCount: 512), at: 0x20_0000, "RAM that was locked")
            region.setReadOnly(false)
            try edu.expectWrites(movable, at: 0x20_0000, 5, "RAM that was unlocked")

            region.setHiddenFromDevices(true)
            try edu.expectNoWrites(movable, at: 0x20_0000, 6, "RAM that is kept from devices")
            region.setHiddenFromDevices(false)

            // Two changes at once: it goes to where something else covers one page of the other.
            let cover = try guest.ram("cover", pages: 1)
            let covering = try guest.window(of: cover)
            try guest.memory.transaction {
                try guest.system.add(cover, at: UInt64(pageSize), priority: 1)
                try region.move(to: 0x30_0000)
            }
            try edu.expectWrites(covering, at: UInt64(pageSize), 7, "RAM that covers other RAM")
            try edu.expectWrites(movable, at: 0x30_0000, 8, "RAM that was moved with other changes")
            cover.setEnabled(false)
            let covered = low.window(at: pageSize, byteCount: pageSize)
            try edu.expectWrites(covered, at: UInt64(pageSize), 9, "RAM that isn't covered any more")
            try Pattern.expect(
                covering.window(at: 0, byteCount: GuestEdu.usualByteCount), 7, "RAM that covered it")

            try guest.system.remove(region)
            try edu.expectNoWrites(movable, at: 0x30_0000, 10, "RAM that was removed")
            try edu.expectWrites(covered, at: UInt64(pageSize), 11, "the other RAM")
            edu.device.detach()
            try edu.expectNoWrites(
                covered, at: UInt64(pageSize), 12, "RAM of a guest that has lost the device")
        },
        Scenario("a guest with memory where devices can't see it doesn't get the device, and nothing is left")
        {
            lab in
            let guest = try LabGuest(lab)
            try guest.addRAM("low", pages: 1, at: 0)
            try guest.addRAM("high", pages: 1, at: 1 << 32)
            let bad = try guest.ram("bad", pages: 1)
            try guest.system.add(bad, at: 0xfee0_0000)
            try expectError(.outsideAperture, ["bad", "isn't within"], "the connection") {
                () throws(VFIOError) in
                _ = try guest.devices.attach(lab.address, to: guest.space)
            }
            try expectEqual(guest.devices.containers.count, 0, "containers")
            // Somebody else can have it at once.
            do {
                let edu = try EduDevice(lab)
                try expectEqual(edu.space.mappedByteCount, 0, "what is mapped")
                try edu.checkGoodTransfer(13, "for another user")
            }
            try guest.system.remove(bad)
            let device = try guest.devices.attach(lab.address, to: guest.space)
            try expectEqual(try guest.mappingCount(device), 2, "mappings, once the memory is right")
        },
        Scenario("memory that can't be mapped while the guest runs is told, and the rest goes on") { lab in
            let guest = try LabGuest(lab)
            let low = try guest.addRAM("low", pages: 1, at: 0)
            let failures = Failures()
            let edu = try guest.attachEdu(exchange: (low, IOVA(0)), onFailure: failures.hook)
            let bad = try guest.ram("bad", pages: 1)
            let good = try guest.ram("good", pages: 1)
            try guest.memory.transaction {
                try guest.system.add(bad, at: 0xfee0_0000)
                try guest.system.add(good, at: 0x10_0000)
            }
            try expectEqual(failures.texts, ["bad: outsideAperture"], "failures")
            try expectEqual(
                try guest.outcomes(edu.device),
                [
                    "low at 0x0: mapped", "good at 0x100000: mapped",
                    "bad at 0xfee00000: failed, outsideAperture",
                ],
                "what became of the sections")
            try edu.expectWrites(try guest.window(of: good), at: 0x10_0000, 14, "RAM beside it")
            try bad.move(to: 0x20_0000)
            try edu.expectWrites(try guest.window(of: bad), at: 0x20_0000, 15, "RAM moved to a better place")
            try expectEqual(failures.texts.count, 1, "failures in the end")
        },
        Scenario("neighbours that are mapped together stay reachable when one of them goes") { lab in
            var options = DMAMapper.Options()
            options.joinsNeighbours = true
            let guest = try LabGuest(lab, options)
            let low = try guest.addRAM("low", pages: 1, at: 0)
            let whole = try guest.ram("whole", pages: 4)
            let ram = try guest.window(of: whole)
            let page = UInt64(pageSize)
            let parts = try [0, 1, 2].map { (index: UInt64) in
                try MemoryRegion(
                    "part \(index)", .alias(whole, offset: index * page), byteCount: UInt128(page),
                    in: guest.memory)
            }
            // Side by side, yet apart for the guest: the middle one is another region's.
            try guest.memory.transaction {
                for (index, part) in parts.enumerated() {
                    try guest.system.add(part, at: 0x10_0000 + UInt64(index) * page)
                }
                parts[1].setReadOnly(true)
            }
            let edu = try guest.attachEdu(exchange: (low, IOVA(0)))
            try expectEqual(try guest.mappingCount(edu.device), 4, "mappings with a locked part")
            // The same memory in two blocks of its own, one behind the other.
            let halves = try [0, 2].map { (index: Int) in
                let window = ram.window(at: index * pageSize, byteCount: 2 * pageSize)
                let block = try RAMBlock("half \(index / 2)", window, keeping: whole.block)
                return try MemoryRegion(ram: block, in: guest.memory)
            }
            try guest.memory.transaction {
                for part in parts { try guest.system.remove(part) }
                try guest.system.add(halves[0], at: 0x20_0000)
                try guest.system.add(halves[1], at: 0x20_0000 + 2 * page)
            }
            try expectEqual(try guest.mappingCount(edu.device), 2, "mappings with neighbours")
            let border = ram.window(at: 2 * pageSize - 128, byteCount: GuestEdu.usualByteCount)
            try edu.expectWrites(border, at: 0x20_0000 + 2 * page - 128, 90, "both sides of the border")
            try guest.system.remove(halves[0])
            try expectEqual(try guest.mappingCount(edu.device), 2, "mappings without the first")
            let second = ram.window(at: 2 * pageSize, byteCount: pageSize)
            try edu.expectWrites(second, at: 0x20_0000 + 2 * page, 91, "the second, when the first is gone")
            try edu.expectNoWrites(
                ram.window(at: 0, byteCount: pageSize), at: 0x20_0000, 92, "the first, when it is gone")
        },
        Scenario("pages that a guest's device wrote are noted, also as their memory moves and goes") { lab in
            let guest = try LabGuest(lab)
            let low = try guest.addRAM("low", pages: 1, at: 0)
            let region = try guest.ram("ram", pages: 8)
            guard let block = region.block else { throw Unexpected("no block") }
            try guest.system.add(region, at: 0x10_0000)
            let edu = try guest.attachEdu(exchange: (low, IOVA(0)))
            try guest.memory.startMigrationLog()
            func check(_ page: Int, _ what: String, _ change: () throws -> Void) throws {
                try guest.memory.synchronizeDirtyLog()
                block.dirtyLog.clear(for: .migration)
                try edu.write(
                    16 + page, at: region.offset + UInt64(page * pageSize))
                try change()
                try expect(
                    block.dirtyLog.contains(page, for: .migration), "\(what): page \(page) isn't noted")
            }
            try check(3, "asked for") { try guest.memory.synchronizeDirtyLog() }
            try check(5, "moved") { try region.move(to: 0x20_0000) }
            try check(0, "moved before") { try guest.memory.synchronizeDirtyLog() }
            try check(7, "removed") { try guest.system.remove(region) }
            guest.memory.stopMigrationLog()
        },
    ]

    /// What a guest hears whose memory grows beyond what the process may lock.
    /// - Parameters:
    ///   - limit: how much it may lock, in bytes.
    ///   - restrict: puts the limit into force, once the guest has the device.
    public static func guestLockedMemoryLimit(
        _ limit: UInt64, restrict: @escaping @Sendable () throws -> Void
    ) -> Scenario {
        Scenario("a guest whose memory grows beyond the limit of locked memory is told, and goes on") { lab in
            let guest = try LabGuest(lab)
            let low = try guest.addRAM("low", pages: 1, at: 0)
            let failures = Failures()
            let edu = try guest.attachEdu(exchange: (low, IOVA(0)), onFailure: failures.hook)
            try restrict()
            let large = try guest.ram("large", pages: Int(limit) * 4 / pageSize)
            try guest.system.add(large, at: 0x10_0000)
            try expectEqual(failures.texts, ["large: memlockLimit"], "failures")
            try expect(
                failures.messages.first?.contains("RLIMIT_MEMLOCK") == true,
                "no word of RLIMIT_MEMLOCK in \(failures.messages)")
            try expectEqual(try guest.mappingCount(edu.device), 1, "mappings")
            try guest.system.remove(large)
            let small = try guest.addRAM("small", pages: 2, at: 0x20_0000)
            try edu.expectWrites(small, at: 0x20_0000, 30, "RAM below the limit")
            try expectEqual(failures.texts.count, 1, "failures in the end")
        }
    }
}

/// What a guest was told of failures while it ran.
final class Failures: @unchecked Sendable {
    private let lock = Lock()
    // Guarded by `lock`.
    private var all: [DMAMapper.Failure] = []

    var hook: @Sendable (DMAMapper.Failure) -> Void {
        { failure in self.lock.withLock { self.all.append(failure) } }
    }
    var texts: [String] {
        lock.withLock { all.map { "\($0.section.region.name): \($0.error.code.rawValue)" } }
    }
    var messages: [String] { lock.withLock { all.map { "\($0.error)" } } }
}

/// A guest with all kinds of memory.
private struct WholeGuest {
    let guest: LabGuest
    let ram: MemoryWindow
    let rom: MemoryWindow
    let registers = CountedRegisters()

    /// Registers that a device can't reach by DMA.
    final class CountedRegisters: RegisterAccess, @unchecked Sendable {
        private let lock = Lock()
        // Guarded by `lock`.
        private var accesses = 0
        var count: Int { lock.withLock { accesses } }
        func read(at offset: UInt64, width: Int) -> UInt64 {
            lock.withLock { accesses += 1 }
            return 0
        }
        func write(_ value: UInt64, at offset: UInt64, width: Int) { lock.withLock { accesses += 1 } }
    }

    init(_ lab: Lab) throws {
        guest = try LabGuest(lab)
        let (memory, page) = (guest.memory, UInt64(pageSize))
        // One block, seen in two halves, and its second page once more; as a PC's RAM around its gap.
        let whole = try guest.ram("ram", pages: 4)
        ram = try guest.window(of: whole)
        for (name, offset, pages, place) in [
            ("lower half", 0, 2, 0), ("upper half", 2, 2, 0x20_0000), ("second page", 1, 1, 0x40_0000),
        ] as [(String, UInt64, UInt64, UInt64)] {
            let alias = try MemoryRegion(
                name, .alias(whole, offset: offset * page), byteCount: UInt128(pages * page), in: memory)
            try guest.system.add(alias, at: place)
        }
        let block = try RAMBlock("rom", byteCount: pageSize)
        rom = block.window
        try guest.system.add(
            MemoryRegion("rom", .rom(block), byteCount: UInt128(page), in: memory), at: 0xf0_0000)
        try guest.system.add(
            MemoryRegion("registers", .io(registers), byteCount: UInt128(page), in: memory), at: 0x50_0000)
        try guest.addRAM("beyond 4 GiB", pages: 1, at: 1 << 32)
        Pattern.fill(ram, 31)
        Pattern.fill(rom, 32)
    }

    func check() throws {
        let page = UInt64(pageSize)
        // The last page of the RAM is for the exchange.
        let exchange = ram.window(at: 3 * pageSize, byteCount: pageSize)
        let edu = try guest.attachEdu(exchange: (exchange, IOVA(0x20_0000 + page)))
        try expectEqual(
            try guest.outcomes(edu.device),
            [
                "ram at 0x0: mapped", "ram at 0x200000: mapped", "ram at 0x400000: mapped",
                "registers at 0x500000: skipped, notMemory", "rom at 0xf00000: mapped",
                "beyond 4 GiB at 0x100000000: mapped",
            ], "what became of the sections")
        try expectEqual(try guest.mappingCount(edu.device), 5, "mappings")

        try edu.expectReads(ram.window(at: 0, byteCount: 2 * pageSize), at: 0, "the lower half")
        try edu.expectReads(
            ram.window(at: 2 * pageSize, byteCount: pageSize), at: 0x20_0000, "the upper half")
        let second = ram.window(at: pageSize, byteCount: pageSize)
        try edu.expectReads(second, at: 0x40_0000, "the second page, seen once more")
        try edu.expectReads(rom, at: 0xf0_0000, "the ROM")

        // What is written through one view is read through the other, and by the guest.
        try edu.expectWrites(second, at: 0x40_0000, 33, "the second page, seen once more")
        try edu.expectReads(second.window(at: 0, byteCount: 512), at: page, "the second page")
        try expectEqual(
            try guest.space.load(UInt8.self, at: GuestAddress(page + 5)), Pattern.byte(5, 33),
            "what the guest reads")
        try edu.write(34, at: 0xf0_0000)
        try Pattern.expect(rom, 32, "the ROM has changed")
        try edu.write(35, at: 0x50_0000)
        try expectEqual(registers.count, 0, "accesses of the device to registers")
        // In the gap, and just behind the end.
        try edu.write(36, at: 0x18_0000)
        try edu.write(36, at: 2 * page)
        for index in 0..<3 {
            let part = ram.window(at: index * pageSize, byteCount: pageSize)
            try expect(!Pattern.hasTraces(part, 36), "what was written to a hole is on page \(index)")
        }
        try edu.expectWrites(ram, at: 0, 37, "RAM, after all that was refused")
        edu.device.detach()
        try edu.expectNoWrites(ram, at: 0, 38, "RAM of a guest that has lost the device")
    }
}
