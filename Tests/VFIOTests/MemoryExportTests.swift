import LinuxSystem
import SoftwareHost
import Testing
import VFIO
import VFIOABI
import VFIOHost

@Suite("Memory of a device that is exported, and its sleep")
struct MemoryExportTests {
    @Test("is a descriptor of its own, as long as its parts")
    func export() throws {
        let device = try Device(opening: benchAddress, on: try machine())
        try device.setMemoryEnabled(true)
        let memory = try device.exportMemory(of: .bar2, [0x1000..<0x2000, 0..<0x1000])
        #expect(memory.byteCount == 0x2000)
        #expect(memory.handle.number >= 0)
    }

    @Test("isn't made of what isn't memory, nor of parts of pages")
    func refused() throws {
        let device = try Device(opening: benchAddress, on: try machine())
        func code(_ index: RegionIndex, _ ranges: [Range<UInt64>]) -> VFIOError.Code? {
            failure { () throws(VFIOError) in try device.exportMemory(of: index, ranges) }?.code
        }
        #expect(code(.bar0, [0..<0x1000]) == .notSupported, "registers")
        #expect(code(.configuration, [0..<0x1000]) == .notSupported)
        #expect(code(.bar2, []) == .outOfBounds)
        #expect(code(.bar2, [0..<0x800]) == .outOfBounds)
        #expect(code(.bar2, [0x3000..<0x5000]) == .outOfBounds)
    }

    @Test("a device may sleep once, and is woken by whoever asks")
    func sleep() throws {
        let device = try Device(opening: benchAddress, on: try machine())
        try device.allowSleep()
        #expect(failure { () throws(VFIOError) in try device.allowSleep() }?.errno == .invalid)
        try device.forbidSleep()
        try device.forbidSleep()
        let event = try EventDescriptor()
        try device.allowSleep(untilSignalOf: event)
        _ = try device.configuration.load16(0)
        #expect(try event.take() == 1)
        try device.allowSleep()
    }
}
