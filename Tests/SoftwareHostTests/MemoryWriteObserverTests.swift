import DeviceModel
import IOVASpace
import LinuxSystem
import Testing

@testable import SoftwareHost

/// Keeps where devices wrote, and what was there when it was told.
private final class Witness: MemoryWriteObserver {
    struct Write: Equatable {
        var address: UInt64
        var byteCount: Int
        var first: UInt8
    }
    private let seen = Shared<[Write]>([])

    func deviceWrote(_ window: MemoryWindow) {
        seen.value += [
            Write(
                address: UInt64(window.address.rawValue), byteCount: window.byteCount,
                first: window.load8(0))
        ]
    }
    /// What came since the last call.
    func take() -> [Write] {
        defer { seen.value = [] }
        return seen.value
    }
}

@Suite("Who keeps something that follows from memory is told when a device writes there")
struct MemoryWriteObserverTests {
    let page = UInt64(pageSize)

    @Test("a write is told of once it is there, piece by piece; reads and refused writes aren't")
    func writes() throws {
        let witness = Witness()
        let rig = try Rig { $0.memoryWriteObserver = witness }
        let (container, group) = rig.ready()
        let device = rig.device(group)
        // Two pages next to each other for the device that aren't in memory.
        #expect(rig.map(container, 0x10000, from: 5) == 0)
        #expect(rig.map(container, 0x10000 + page, from: 2) == 0)
        let bus = rig.buses[0]
        #expect(bus.read(0x10000, 16) != nil)
        #expect(witness.take() == [])
        #expect(bus.write(0x10008, [7, 8, 9]) == nil)
        #expect(witness.take() == [.init(address: rig.base + 5 * page + 8, byteCount: 3, first: 7)])
        #expect(bus.write(0x10000 + page - 1, [1, 2]) == nil)
        #expect(
            witness.take() == [
                .init(address: rig.base + 6 * page - 1, byteCount: 1, first: 1),
                .init(address: rig.base + 2 * page, byteCount: 1, first: 2),
            ])
        #expect(bus.write(0x10000 + 2 * page - 1, [1, 2]) == .notMapped)
        #expect(witness.take() == [])
        rig.host.close(device)
    }

    @Test("memory that is lent for writing is told of when it is given back")
    func lending() throws {
        let witness = Witness()
        let rig = try Rig { $0.memoryWriteObserver = witness }
        let (container, group) = rig.ready()
        let device = rig.device(group)
        #expect(rig.map(container, 0) == 0)
        let space = try #require(rig.buses[0].space)
        try space.withMemory(at: IOVA(16), byteCount: 4, for: .write) { window in
            window.store8(0, 42)
            #expect(witness.take() == [])
            return true
        }
        #expect(witness.take() == [.init(address: rig.base + 16, byteCount: 4, first: 42)])
        try space.withMemory(at: IOVA(16), byteCount: 4, for: .read) { _ in true }
        #expect(witness.take() == [])
        rig.host.close(device)
    }

    @Test("what the kernel writes for a mediated device is told of, too")
    func mediated() throws {
        let witness = Witness()
        let emulated = try EmulatedRig { $0.memoryWriteObserver = witness }
        let (container, _, device) = emulated.ready()
        #expect(emulated.rig.map(container, 0) == 0)
        #expect(emulated.device.write(100, [5, 6]) == 0)
        #expect(witness.take() == [.init(address: emulated.rig.base + 100, byteCount: 2, first: 5)])
        emulated.rig.host.close(device)
    }
}
