import LinuxSystem
import Testing
import VFIO

@testable import VFIOGuest

@Suite("What an address space shows")
struct FlatViewTests {
    private let memory = GuestMemory()

    private func container(_ name: String, _ byteCount: UInt128 = 1 << 64) throws -> MemoryRegion {
        try MemoryRegion(name, .container, byteCount: byteCount, in: memory)
    }

    private func ram(_ name: String, pages: Int) throws -> MemoryRegion {
        try MemoryRegion(ram: RAMBlock(name, byteCount: pages * pageSize), in: memory)
    }

    private func alias(_ name: String, _ target: MemoryRegion, _ offset: UInt64, _ byteCount: UInt128) throws
        -> MemoryRegion
    {
        try MemoryRegion(name, .alias(target, offset: offset), byteCount: byteCount, in: memory)
    }

    private func shown(_ space: GuestAddressSpace) -> [String] { space.sections.map(\.description) }

    @Test("RAM below a hole and above it, ROM on top, as a PC has it")
    func pc() throws {
        let system = try container("system")
        let ram = try ram("ram", pages: 32)
        try system.add(alias("low", ram, 0, 0x10000), at: 0)
        try system.add(alias("high", ram, 0x10000, 0x10000), at: 0x1_0000_0000)
        let rom = try MemoryRegion(
            "bios", .rom(RAMBlock("bios", byteCount: pageSize)), byteCount: 0x1000, in: memory)
        try system.add(rom, at: 0x2000, priority: 1)
        let space = GuestAddressSpace("memory", showing: system)
        #expect(
            shown(space) == [
                "ram+0x0 at 0x0...0x1fff", "bios+0x0 at 0x2000...0x2fff", "ram+0x3000 at 0x3000...0xffff",
                "ram+0x10000 at 0x100000000...0x10000ffff",
            ])
        #expect(space.section(at: GuestAddress(0x2fff))?.isReadOnly == true)
        #expect(space.section(at: GuestAddress(0x3000))?.isReadOnly == false)
        #expect(space.section(at: GuestAddress(0x10000)) == nil)
        // What the ROM covered is one piece again without it.
        try system.remove(rom)
        #expect(shown(space).first == "ram+0x0 at 0x0...0xffff")
    }

    @Test("the child with the higher priority is seen, and among equals the one added last")
    func priorities() throws {
        let system = try container("system")
        let (a, b, c) = (try ram("a", pages: 4), try ram("b", pages: 4), try ram("c", pages: 1))
        try system.add(a, at: 0)
        try system.add(b, at: 0x2000)
        try system.add(c, at: 0x3000, priority: -1)
        let space = GuestAddressSpace("memory", showing: system)
        #expect(shown(space) == ["a+0x0 at 0x0...0x1fff", "b+0x0 at 0x2000...0x5fff"])
        b.setEnabled(false)
        #expect(shown(space) == ["a+0x0 at 0x0...0x3fff"])
        try a.setByteCount(0x3000)
        #expect(shown(space) == ["a+0x0 at 0x0...0x2fff", "c+0x0 at 0x3000...0x3fff"])
    }

    @Test("a container clips its children and lets through what lies below")
    func containers() throws {
        let system = try container("system")
        let below = try ram("below", pages: 8)
        let window = try container("window", 0x2000)
        let inside = try ram("inside", pages: 4)
        try window.add(inside, at: 0x1000)
        try system.add(below, at: 0)
        try system.add(window, at: 0x2000, priority: 1)
        let space = GuestAddressSpace("memory", showing: system)
        #expect(
            shown(space) == [
                "below+0x0 at 0x0...0x2fff", "inside+0x0 at 0x3000...0x3fff",
                "below+0x4000 at 0x4000...0x7fff",
            ])
        window.setReadOnly(true)
        #expect(space.section(at: GuestAddress(0x3000))?.isReadOnly == true)
        #expect(space.section(at: GuestAddress(0x2000))?.isReadOnly == false)
    }

    @Test("a range of all 2^64 bytes is one section, and one that ends with them keeps its last byte")
    func edges() throws {
        final class Nothing: RegisterAccess {
            func read(at offset: UInt64, width: Int) -> UInt64 { 0 }
            func write(_ value: UInt64, at offset: UInt64, width: Int) {}
        }
        let all = try MemoryRegion("all", .io(Nothing()), byteCount: 1 << 64, in: memory)
        let space = GuestAddressSpace("everything", showing: all)
        #expect(space.sections.map(\.range) == [.all])
        let top = try ram("top", pages: 1)
        try all.add(top, at: .max - 0xfff)
        #expect(
            shown(space) == [
                "all+0x0 at 0x0...0xffffffffffffefff", "top+0x0 at 0xfffffffffffff000...0xffffffffffffffff",
            ])
        #expect(throws: GuestMemoryError.beyondEnd("b")) {
            try all.add(ram("b", pages: 2), at: .max - 0xfff)
        }
    }

    @Test("changes that make no sense are refused and change nothing")
    func refusals() throws {
        let system = try container("system")
        let inner = try container("inner")
        let ram = try ram("ram", pages: 1)
        try system.add(inner, at: 0)
        try inner.add(ram, at: 0)
        #expect(throws: GuestMemoryError.hasParent("ram")) { try system.add(ram, at: 0) }
        #expect(throws: GuestMemoryError.notChild("ram")) { try system.remove(ram) }
        #expect(throws: GuestMemoryError.cycle("system")) { try inner.add(system, at: 0) }
        let mirror = try alias("mirror", system, 0, 0x1000)
        #expect(throws: GuestMemoryError.cycle("mirror")) { try inner.add(mirror, at: 0) }
        #expect(throws: GuestMemoryError.wrongKind("mirror")) {
            try mirror.add(container("child"), at: 0)
        }
        #expect(throws: GuestMemoryError.foreignRegion("else")) {
            try system.add(MemoryRegion("else", .container, byteCount: 1, in: GuestMemory()), at: 0)
        }
        #expect(throws: GuestMemoryError.badLength("none")) { try container("none", 0) }
        #expect(throws: GuestMemoryError.badLength("ram")) { try ram.setByteCount(0x2000) }
        #expect(system.subregions.count == 1 && inner.subregions.count == 1)
    }

    @Test("a transaction is heard as one difference: removals first, then additions, each ascending")
    func transactions() throws {
        let system = try container("system")
        let (a, b) = (try ram("a", pages: 1), try ram("b", pages: 1))
        try system.add(a, at: 0x5000)
        try system.add(b, at: 0x1000)
        let space = GuestAddressSpace("memory", showing: system)
        let recorder = Recorder()
        try space.register(recorder)
        #expect(
            recorder.take() == [
                .begin, .added("b", 0x1000, 0x1fff, 0), .added("a", 0x5000, 0x5fff, 0), .end,
            ])
        try memory.transaction {
            try a.move(to: 0x1000)
            try b.move(to: 0x7000)
            try system.add(ram("c", pages: 1), at: 0x6000)
            a.setEnabled(false)
            a.setEnabled(true)
        }
        #expect(
            recorder.take() == [
                .begin, .removed("b", 0x1000, 0x1fff, 0), .removed("a", 0x5000, 0x5fff, 0),
                .added("a", 0x1000, 0x1fff, 0), .added("c", 0x6000, 0x6fff, 0),
                .added("b", 0x7000, 0x7fff, 0), .end,
            ])
        // Nothing that is seen has changed: nothing is told but that there was a change.
        memory.transaction {
            b.setEnabled(false)
            b.setEnabled(true)
        }
        #expect(recorder.take() == [.begin, .end])
        space.unregister(recorder)
        #expect(recorder.known.isEmpty)
        #expect(recorder.mistakes.isEmpty)
    }

    @Test("listeners hear of additions by priority and of removals the other way round")
    func order() throws {
        let system = try container("system")
        let space = GuestAddressSpace("memory", showing: system)
        final class Named: MemoryListener {
            let name: String
            let priority: Int
            let heard: Heard
            init(_ name: String, _ priority: Int, _ heard: Heard) {
                self.name = name
                self.priority = priority
                self.heard = heard
            }
            func added(_ section: MemorySection) { heard.names.append("+" + name) }
            func removed(_ section: MemorySection) { heard.names.append("-" + name) }
        }
        final class Heard { var names: [String] = [] }
        let heard = Heard()
        let listeners = [("kvm", 10), ("vfio", 0), ("vhost", 10), ("vfio2", 0)].map { Named($0, $1, heard) }
        for listener in listeners { try space.register(listener) }
        let ram = try ram("ram", pages: 1)
        try system.add(ram, at: 0)
        #expect(heard.names == ["+vfio", "+vfio2", "+kvm", "+vhost"])
        heard.names = []
        try system.remove(ram)
        #expect(heard.names == ["-vhost", "-kvm", "-vfio2", "-vfio"])
    }

    @Test("a listener may change the map while it is told of a change: it hears of that afterwards")
    func reentry() throws {
        let system = try container("system")
        let (a, b) = (try ram("a", pages: 1), try ram("b", pages: 1))
        let space = GuestAddressSpace("memory", showing: system)
        let recorder = Recorder()
        recorder.onAdd = { section in
            if section.region === a { try? system.add(b, at: 0x4000) }
        }
        try space.register(recorder)
        _ = recorder.take()
        try system.add(a, at: 0)
        #expect(
            recorder.take() == [
                .begin, .added("a", 0, 0xfff, 0), .end, .begin, .added("b", 0x4000, 0x4fff, 0), .end,
            ])
    }

    @Test("a region that is no longer in the map stays alive while a listener is told of its removal")
    func lifetime() throws {
        let system = try container("system")
        let space = GuestAddressSpace("memory", showing: system)
        weak var gone: RAMBlock?
        let recorder = Recorder()
        do {
            let block = try RAMBlock("ram", byteCount: pageSize)
            gone = block
            let ram = try MemoryRegion(ram: block, in: memory)
            try system.add(ram, at: 0)
            try space.register(recorder)
            try system.remove(ram)
        }
        #expect(recorder.events.last == .end)
        #expect(gone == nil, "nobody maps it any more")
    }

    @Test("clients of the dirty log are told where they are wanted, and a migration everywhere there is RAM")
    func logging() throws {
        let system = try container("system")
        let ram = try ram("ram", pages: 1)
        try system.add(ram, at: 0)
        let space = GuestAddressSpace("memory", showing: system)
        let recorder = Recorder()
        try space.register(recorder)
        _ = recorder.take()
        try ram.setLogging(.display, true)
        #expect(recorder.take() == [.begin, .logging(0, 1), .end])
        try memory.startMigrationLog()
        #expect(recorder.isLogging)
        #expect(recorder.take() == [.begin, .logging(1, 5), .end])
        // Late comers learn of it too.
        let late = Recorder()
        try space.register(late)
        #expect(late.isLogging)
        #expect(late.take() == [.begin, .added("ram", 0, 0xfff, 0), .logging(0, 5), .end])
        try memory.synchronizeDirtyLog()
        #expect(recorder.synchronized == ["ram+0x0 at 0x0...0xfff"])
        memory.stopMigrationLog()
        #expect(!recorder.isLogging && !late.isLogging)
    }

    @Test("a listener that can't log keeps the migration from starting, and those before it are stopped")
    func loggingRefused() throws {
        let space = GuestAddressSpace("memory", showing: try container("system"))
        let (first, second) = (Recorder(), Recorder())
        second.refusal = VFIOGuestError(operation: "log", object: "it")
        try space.register(first)
        try space.register(second)
        #expect(throws: VFIOGuestError.self) { try memory.startMigrationLog() }
        #expect(!first.isLogging)
        #expect(!memory.isLoggingForMigration)
    }
}
