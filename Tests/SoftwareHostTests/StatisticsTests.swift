import DeviceModel
import Foundation
import IOVASpace
import LinuxSystem
import SoftwareDevices
import Testing
import VFIO
import VFIOHost

@testable import SoftwareHost

@Suite("What is counted of devices")
struct StatisticsTests {
    private let folder = FileManager.default.temporaryDirectory.appending(path: "vfio-\(UUID().uuidString)")
        .path

    private func machine(_ file: String? = nil, devices: Int = 1) throws -> SoftwareHost {
        var machine = MachineDescription {
            IOMMU(.type1, pageSizes: [.kib4])
            for index in 0..<devices {
                IOMMUGroup(index) {
                    PCIDevice(Educational(), at: PCIAddress(bus: UInt8(1 + index), device: 0, function: 0))
                }
            }
        }
        machine.counterFile = file
        return try SoftwareHost(machine)
    }

    /// Works with the device at 0000:01:00.0: some accesses, a transfer with an interrupt, a transfer that is refused.
    private func work(_ host: SoftwareHost) throws {
        let device = try Device(opening: PCIAddress(bus: 1, device: 0, function: 0), on: host)
        try device.setMemoryEnabled(true)
        try device.setBusMaster(true)
        let interrupts = try device.enableInterrupts(.msi, count: 1)
        let memory = try device.addressSpace.allocate(byteCount: 4096)
        let before = try #require(host.statistics.devices.first)
        let registers = try device.region(.bar0)
        _ = try registers.load32(0)
        let iova = memory.iova.rawValue
        for source in [iova, 0xdead_0000] {
            try registers.store64(Int(Educational.Register.source), source)
            try registers.store64(Int(Educational.Register.destination), Educational.bufferAddress)
            try registers.store64(Int(Educational.Register.count), 16)
            try registers.store64(Int(Educational.Register.command), 5)
        }
        let now = try #require(host.statistics.devices.first)
        #expect(now.readCount - before.readCount == 1)
        #expect(now.writeCount - before.writeCount == 8)
        #expect(now.dmaReadCount == 1 && now.dmaReadByteCount == 16 && now.dmaWriteCount == 0)
        #expect(now.dmaRefusedCount == 1)
        #expect(now.interruptCount >= 1)
        #expect(host.statistics.lockedByteCount == 4096)
        try interrupts.disable()
        try memory.release()
        let after = try #require(host.statistics.devices.first)
        #expect(after.requestCount > before.requestCount)
        #expect(host.statistics.lockedByteCount == 0)
    }

    @Test("Accesses, transfers, refusals and interrupts of a device are its own; others have nothing")
    func counts() throws {
        let host = try machine(devices: 2)
        try work(host)
        let other = host.statistics.devices[1]
        #expect(other.name == "0000:02:00.0" && other.readCount == 0 && other.requestCount == 0)
    }

    @Test("A request and an access that are refused are errors")
    func errors() throws {
        let host = try machine()
        let device = try Device(opening: PCIAddress(bus: 1, device: 0, function: 0), on: host)
        try device.setMemoryEnabled(false)
        let before = try #require(host.statistics.devices.first).errorCount
        #expect(throws: VFIOError.self) { try device.region(.bar0).load32(0) }
        let after = try #require(host.statistics.devices.first).errorCount
        #expect(after == before + 1)
    }

    @Test("A file shows the same, also after the machine has gone and another one goes on")
    func file() throws {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let path = folder + "/counters"
        let first: MachineStatistics
        do {
            let host = try machine(path)
            try work(host)
            first = host.statistics
            #expect(try MachineStatistics(readingFile: path) == first)
        }
        let host = try machine(path)
        #expect(host.statistics == first)
        try work(try machine(devices: 1))
        #expect(try MachineStatistics(readingFile: path) == first, "a machine without a file wrote to it")
    }

    @Test("More devices than the file has room for are counted all the same")
    func many() throws {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let host = try machine(folder + "/counters", devices: CounterTable.mostDevices + 2)
        let last = PCIAddress(bus: UInt8(CounterTable.mostDevices + 2), device: 0, function: 0)
        _ = try Device(opening: last, on: host)
        let statistics = host.statistics
        #expect(statistics.devices.count == CounterTable.mostDevices + 2)
        let opened = try #require(statistics.devices.last)
        #expect(opened.requestCount > 0)
        let shown = try MachineStatistics(readingFile: folder + "/counters").devices.count
        #expect(shown == CounterTable.mostDevices)
    }

    @Test("Files of something else are refused; one that can't be made keeps no machine from working")
    func wrongFiles() throws {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        for bytes in [Data(), Data(count: 100), Data(count: CounterTable.byteCount), Data(count: 1 << 20)] {
            let path = folder + "/other"
            try bytes.write(to: URL(filePath: path))
            #expect(throws: Errno.invalid) { try MachineStatistics(readingFile: path) }
        }
        #expect(throws: Errno.noSuchEntry) { try MachineStatistics(readingFile: folder + "/nowhere") }
        try work(try machine(folder + "/nowhere/counters"))
    }

    @Test("A file with any counters and names is read without harm")
    func hostileFile() throws {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        var bytes = [UInt8](repeating: 0xff, count: CounterTable.byteCount)
        for byte in 0..<8 { bytes[byte] = UInt8(truncatingIfNeeded: CounterTable.magic >> UInt64(byte * 8)) }
        try Data(bytes).write(to: URL(filePath: folder + "/counters"))
        let statistics = try MachineStatistics(readingFile: folder + "/counters")
        #expect(statistics.devices.count == CounterTable.mostDevices && statistics.lockedByteCount == .max)
        // A machine that is to go on with it finds no place there.
        try work(try machine(folder + "/counters"))
    }
}
