import LinuxSystem
import NVMeController
import SoftwareDevices
import SoftwareHost
import Testing
import VFIO
import VFIOHost
import VFIOOperator

@Suite("The benchmark of a device")
struct DeviceBenchmarkTests {
    private func host() throws -> SoftwareHost {
        let namespace = try NVMeNamespace(try MemoryStore(byteCount: 1 << 20))
        return try SoftwareHost {
            IOMMUGroup(26) { PCIDevice(NVMeController([namespace]), at: "0000:01:00.0") }
            IOMMUGroup(27) { PCIDevice(Educational(), at: "0000:02:00.0") }
        }
    }

    /// What a benchmark found; the device is closed then.
    private func benchmark(
        _ address: String, on host: SoftwareHost, _ change: (inout DeviceBenchmark) -> Void = { _ in }
    ) throws -> (results: [DeviceBenchmark.Result], omissions: [DeviceBenchmark.Omission]) {
        let address = try #require(PCIAddress(address))
        var benchmark = DeviceBenchmark(of: try Device(opening: address, on: host))
        benchmark.milliseconds = 1
        benchmark.mostMemory = 8 << 20
        change(&benchmark)
        benchmark.run()
        return (benchmark.results, benchmark.omissions)
    }

    @Test("A disk: everything is measured and compared, and nothing but two registers is written")
    func disk() throws {
        let host = try host()
        let benchmark = try benchmark("0000:01:00.0", on: host)
        let names = benchmark.results.map(\.identifier)
        #expect(
            names == [
                "device-get-info", "config-read", "config-write", "register-read", "register-write",
                "map-4KiB", "map-2MiB", "map-8MiB", "interrupt",
            ])
        for result in benchmark.results {
            #expect(!result.nanoseconds.isEmpty && result.quantile(0.5) > 0, "\(result.title)")
            #expect(result.ratio != nil, "\(result.title)")
            #expect(result.nanoseconds == result.nanoseconds.sorted())
        }
        #expect(benchmark.omissions.count == 1, "\(benchmark.omissions)")
        // All that was mapped is unmapped, and the disk itself never moved a byte.
        let statistics = host.statistics
        #expect(statistics.lockedByteCount == 0)
        let disk = try #require(statistics.devices.first)
        #expect(disk.dmaWriteCount == 0 && disk.dmaReadCount == 0)
    }

    @Test("A device that isn't known to bear it: no register is touched unless one is named")
    func otherDevice() throws {
        let host = try host()
        let careful = try benchmark("0000:02:00.0", on: host)
        #expect(!careful.results.contains { $0.identifier.hasPrefix("register") })
        #expect(careful.omissions.contains { $0.reason.contains("--register bar0:0x0") })
        let told = try benchmark("0000:02:00.0", on: host) { $0.register = .init(.bar0, at: 0) }
        #expect(told.results.contains { $0.identifier == "register-read" })
        #expect(!told.results.contains { $0.identifier == "register-write" })
        let wrong = try benchmark("0000:02:00.0", on: host) { $0.register = .init(.bar0, at: 1 << 40) }
        #expect(wrong.omissions.contains { $0.title.contains("BAR 0") }, "\(wrong.omissions)")
    }

    @Test("Little memory may be locked: the largest piece that is allowed is measured, and the refusal told")
    func limit() throws {
        let namespace = try NVMeNamespace(try MemoryStore(byteCount: 1 << 20))
        var machine = MachineDescription {
            IOMMUGroup(26) { PCIDevice(NVMeController([namespace]), at: "0000:01:00.0") }
        }
        machine.process.lockedMemoryLimit = 5 << 20
        machine.process.mayExceedLockedMemory = false
        let benchmark = try benchmark("0000:01:00.0", on: try SoftwareHost(machine))
        #expect(benchmark.results.contains { $0.identifier == "map-4MiB" })
        #expect(benchmark.omissions.contains { $0.title == "map and unmap 8 MiB" }, "\(benchmark.omissions)")
    }
}
