import HostTestSupport
import LinuxSystem
import SoftwareHost
import Testing
import VFIO
import VFIOABI

@testable import VFIOGuest

/// What decides whether the host is asked which pages were written.
@Suite("When a migration counts")
struct MigrationPredicateTests {
    /// The requests about the container's log.
    private func requests(_ machine: FaultyMachine) -> Box<[DirtyBitmapFlags]> {
        let flags = Box<[DirtyBitmapFlags]>([])
        machine.host.watch(.iommuDirtyPages, DirtyBitmap()) { request in
            // The features of a device have the same number, and larger flags.
            if request.flags.rawValue < 8 { flags.change { $0.append(request.flags) } }
        }
        return flags
    }

    @Test("1.3 The host is asked for written pages while the guest's log runs, and not before or after")
    func asked() throws {
        let machine = try FaultyMachine()
        try machine.ram(pages: 4, at: 0)
        let device = try machine.attach()
        defer { withExtendedLifetime(device) {} }
        let flags = requests(machine)
        try machine.machine.memory.synchronizeDirtyLog()
        #expect(flags.value == [])
        try machine.machine.memory.startMigrationLog()
        #expect(flags.value == [.start])
        try machine.machine.memory.synchronizeDirtyLog()
        #expect(flags.value == [.start, .getBitmap])
        machine.machine.memory.stopMigrationLog()
        #expect(flags.value == [.start, .getBitmap, .stop])
        try machine.machine.memory.synchronizeDirtyLog()
        #expect(flags.value.count == 3)
    }

    @Test("1.3 What goes is unmapped with its written pages while the log runs, and without them otherwise")
    func unmapped() throws {
        let machine = try FaultyMachine()
        let before = try machine.ram("before", pages: 4, at: 0)
        let during = try machine.ram("during", pages: 4, at: 0x10_0000)
        let after = try machine.ram("after", pages: 4, at: 0x20_0000)
        let device = try machine.attach()
        defer { withExtendedLifetime(device) {} }
        try machine.machine.system.remove(before)
        try machine.machine.memory.startMigrationLog()
        try machine.machine.system.remove(during)
        machine.machine.memory.stopMigrationLog()
        try machine.machine.system.remove(after)
        #expect(machine.unmaps.value.map(\.flags) == [[], .getDirtyBitmap, []])
    }

    @Test("1.3 Without devices nobody is asked, and a device that comes while the log runs is asked too")
    func late() throws {
        let machine = try FaultyMachine()
        let ram = try machine.ram(pages: 4, at: 0)
        let flags = requests(machine)
        try machine.machine.memory.startMigrationLog()
        try machine.machine.memory.synchronizeDirtyLog()
        #expect(flags.value == [])
        let device = try machine.attach()
        defer { withExtendedLifetime(device) {} }
        #expect(flags.value == [.start])
        ram.block?.dirtyLog.clear(for: .all)
        #expect(machine.machine.probers[0].write(1, at: 0x1000))
        try machine.machine.memory.synchronizeDirtyLog()
        #expect(flags.value.last == .getBitmap)
        #expect(ram.block?.dirtyLog.contains(1, for: .migration) == true)
    }
}
