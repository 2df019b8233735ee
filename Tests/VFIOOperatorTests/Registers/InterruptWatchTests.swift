import LinuxSystem
import NVMeController
import SoftwareDevices
import SoftwareHost
import Testing
import VFIO
import VFIOHost
import VFIOOperator

@Suite("Interrupts as they come")
struct InterruptWatchTests {
    private static func registers(_ name: String) throws -> DeviceRegisters {
        let namespace = try NVMeNamespace(try MemoryStore(byteCount: 1 << 20))
        let host = try SoftwareHost(
            MachineDescription {
                IOMMUGroup(26) { PCIDevice(NVMeController([namespace]), at: "0000:01:00.0") }
                IOMMUGroup(27) { PCIDevice(Educational(), at: "0000:02:00.0") }
            })
        return try DeviceRegisters(of: try #require(DeviceID(name)), on: host, roots: nil)
    }

    @Test("each vector that is triggered comes once, those that aren't watched don't")
    func trigger() throws {
        let device = try #require(try Self.registers("0000:01:00.0").device)
        let watch = try InterruptWatch(device)
        try watch.enable(try device.interruptKind(.msix), vectors: 2..<5)
        try watch.trigger()
        var vectors: [Int] = []
        while vectors.count < 3 {
            let arrivals = try #require(try watch.wait(milliseconds: 10_000))
            try #require(!arrivals.isEmpty)
            for arrival in arrivals { vectors.append(arrival.vector) }
        }
        #expect(vectors.sorted() == [2, 3, 4])
        #expect(watch.sums.map(\.total) == [1, 1, 1] && watch.vectorCount == 3)
        #expect(try watch.wait(milliseconds: 0)?.isEmpty == true)
        try watch.end()
        // The vectors are free again.
        try InterruptWatch(device).enable(try device.interruptKind(.intx))
    }

    @Test("a line comes again after it was unmasked, until the device lowers it")
    func line() throws {
        let registers = try Self.registers("0000:02:00.0")
        let device = try #require(registers.device)
        let raise = try RegisterPlace("bar0:0x60")
        let lower = try RegisterPlace("bar0:0x64")
        let watch = try InterruptWatch(device)
        try watch.enable(try device.interruptKind(.intx))
        try registers.store(1, to: raise)
        for total in 1...3 {
            let arrivals = try #require(try watch.wait(milliseconds: 10_000))
            #expect(arrivals.map(\.total) == [UInt64(total)])
        }
        watch.acknowledge = { () throws(VFIOError) in try registers.store(1, to: lower) }
        while try watch.wait(milliseconds: 10_000)?.isEmpty == false {
            if try registers.read(try RegisterPlace("bar0:0x24")).values == [0] { break }
        }
        _ = try watch.wait(milliseconds: 0)
        #expect(try watch.wait(milliseconds: 0)?.isEmpty == true)
    }

    @Test("waiting ends when the alarm is raised")
    func alarm() throws {
        let device = try #require(try Self.registers("0000:02:00.0").device)
        let alarm = try EventDescriptor()
        let watch = try InterruptWatch(device, endedBy: alarm.number)
        try watch.enable(try device.interruptKind(.msi))
        alarm.signal()
        #expect(try watch.wait(milliseconds: nil) == nil)
    }

    @Test("kinds are named by words and by numbers, and tell the uAPI's flags")
    func kinds() throws {
        let device = try #require(try Self.registers("0000:02:00.0").device)
        let kinds = try device.interruptKinds()
        #expect(kinds.map(\.word) == ["intx", "msi", "req"])
        #expect(kinds.first?.flags == ["eventfd", "maskable", "automasked"])
        for (word, index) in [("msix", 2), ("MSI-X", 2), ("err", 3), ("error", 3), ("req", 4), ("0x1", 1)] {
            #expect(InterruptKind.index(word, isPCI: true)?.rawValue == UInt32(index), "\(word)")
        }
        #expect(InterruptKind.index("msi", isPCI: false) == nil)
        #expect(InterruptKind.index("4294967296", isPCI: true) == nil)
    }
}
