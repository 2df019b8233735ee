import LinuxSystem
import SoftwareHost
import Testing
import VFIO
import VFIOABI
import VFIOHost

@Suite("Registers that eventfds write")
struct EventWriteTests {
    /// Whether something becomes so; machines may be slow.
    private func eventually(_ condition: () throws -> Bool) rethrows -> Bool {
        for _ in 0..<4000 {
            if try condition() { return true }
            Clock.sleep(nanoseconds: 5_000_000)
        }
        return try condition()
    }

    @Test("get the value in 8, 16 and 32 bits, and no more once it is taken back")
    func widths() throws {
        let device = try Device(opening: benchAddress, on: try machine())
        try device.setMemoryEnabled(true)
        let registers = try device.region(.bar0)
        let event = try EventDescriptor()
        var writes = [
            try registers.store(0x11 as UInt8, at: 1, whenever: event),
            try registers.store(0x3322 as UInt16, at: 4, whenever: event),
            try registers.store(0x7766_5544 as UInt32, at: 8, whenever: event),
        ]
        #expect(writes.map(\.width) == [1, 2, 4])
        event.signal()
        #expect(try eventually { try registers.load32(8) == 0x7766_5544 })
        #expect(try registers.load32(0) == 0x1100)
        #expect(try registers.load32(4) == 0x3322)
        writes = []
        try registers.store32(8, 0)
        event.signal()
        // The eventfd is nobody's now: its count stays.
        #expect(try event.take() == 1)
        #expect(try registers.load32(8) == 0)
    }

    @Test("are refused where nothing can be written, with the reason")
    func refused() throws {
        let device = try Device(opening: benchAddress, on: try machine())
        let registers = try device.region(.bar0)
        let event = try EventDescriptor()
        let beyond = failure { () throws(VFIOError) in
            try registers.store(1 as UInt32, at: 0xffd, whenever: event)
        }
        #expect(beyond?.code == .outOfBounds)
        let wide = failure { () throws(VFIOError) in
            try registers.store(1 as UInt64, at: 0, whenever: event)
        }
        #expect(wide?.code == .notSupported && wide?.says("1, 2 or 4 bytes") == true)
        let configuration = try device.region(.configuration)
        let elsewhere = failure { () throws(VFIOError) in
            try configuration.store(1 as UInt8, at: 0x40, whenever: event)
        }
        #expect(elsewhere?.code == .notSupported && elsewhere?.says("no BAR") == true)
        let table = try device.region(.bar2)
        let vectors = failure { () throws(VFIOError) in
            try table.store(1 as UInt32, at: Int(Bench.tableOffset), whenever: event)
        }
        #expect(vectors?.code == .notSupported && vectors?.says("MSI-X table") == true)
        let first = try registers.store(1 as UInt32, at: 0, whenever: event)
        let again = failure { () throws(VFIOError) in
            try registers.store(1 as UInt32, at: 0, whenever: event)
        }
        #expect(again?.errno == .exists)
        withExtendedLifetime(first) {}
    }
}
