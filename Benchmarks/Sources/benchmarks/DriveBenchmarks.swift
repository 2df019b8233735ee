import IOVASpace
import LinuxSystem
import NVMeController
import NVMeDriver
import SoftwareHost
import VFIO
import VFIOHost

let driveSuite = Suite(
    name: "drive", summary: "registers, memory for DMA and NVMe reads through the software kernel"
) { options in
    let references = References(options)
    references.print()
    do {
        try measureDriving(references, options)
    } catch {
        print("the software machine can't be driven: \(error)")
    }
}

private func measureDriving(_ references: References, _ options: Options) throws {
    let namespace = try NVMeNamespace(try MemoryStore(byteCount: 64 << 20))
    let model = NVMeController([namespace])
    let host = try SoftwareHost {
        IOMMUGroup(26) { PCIDevice(model, at: "0000:01:00.0") }
    }
    var table = Table(["operation", "ns (minimum)", "ns (median)", "compared with", "ratio"])
    func add(_ name: String, _ timing: Timing, _ reference: String, _ other: Timing) {
        table.add([
            name, fixed(timing.minimum), fixed(timing.median), reference,
            fixed(timing.minimum / other.minimum, 2),
        ])
    }

    do {
        let device = try Device(opening: PCIAddress(bus: 1, device: 0, function: 0), on: host)
        try device.setMemoryEnabled(true)
        let version = try device.region(.bar0).register32(at: 8)
        add(
            "read of a register that isn't mapped",
            measure(operations: 100_000, repeats: options.repeats) {
                var sum: UInt64 = 0
                for _ in 0..<100_000 { sum &+= UInt64(version.load()) }
                keep(sum)
            }, "getppid", references.systemCall)
        let space = device.addressSpace
        let memory = try Mapping(anonymous: 4096)
        add(
            "map and unmap 4 KiB for DMA",
            measure(operations: 2000, repeats: options.repeats) {
                for _ in 0..<2000 {
                    guard let mapping = try? space.map(memory.window) else { return }
                    keep(mapping.iova.rawValue)
                    try? mapping.release()
                }
            }, "getppid", references.systemCall)
    }

    let controller = try Controller(opening: "0000:01:00.0", on: host)
    for depth in [1, 8, 64] {
        let count = options.isQuick ? 20_000 : 100_000
        var samples: [Double] = []
        for _ in 0..<options.repeats {
            let measured = try controller.measure(
                Workload(.read, .random, blocksPerRequest: 8, queueDepth: depth, limit: .requests(count)))
            samples.append(Double(measured.nanoseconds) / Double(measured.requestCount))
        }
        add("read of 4 KiB, \(depth) in flight", Timing(samples), "memcpy of 4 KiB", references.copy)
    }
    try controller.close()
    print("Nanoseconds per operation; ratios of minimums to a reference of this run.\n")
    table.print()
}
