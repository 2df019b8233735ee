import LinuxSystem
import NVMeController
import NVMeDriver
import SoftwareHost
import VFIO
import VFIOABI
import VFIOUser

let userDiskSuite = Suite(
    name: "user-disk", summary: "an NVMe disk behind a socket, against the same disk in the process"
) { options in
    do {
        try measureDisk(options)
    } catch {
        print("the disk can't be measured: \(error)")
    }
}

private func makeDisk() throws -> NVMeController {
    NVMeController([try NVMeNamespace(try MemoryStore(byteCount: 64 << 20))])
}

private func measureDisk(_ options: Options) throws {
    let disk = try makeDisk()
    let host = try SoftwareHost { IOMMUGroup(26) { PCIDevice(disk, at: "0000:01:00.0") } }
    let near = try Controller(opening: "0000:01:00.0", on: host)
    var table = Table([
        "4 KiB at random places", "ns (minimum)", "ns (median)", "in the process", "ratio",
        "requests in a bare exchange",
    ])
    for placement in Placement.all {
        try WorkerThread.bindCaller(toProcessors: placement.near)
        let running = try RunningServer(try makeDisk(), placement)
        let remote = try Controller(
            opening: "\(VFIOUserHost.deviceAddress)",
            on: try VFIOUserHost(running.takeSocket(), limits: placement.limits))
        // A doorbell's message, which the driver has to wait for.
        let bare = try SocketPeer.echo(36, 32, placement)
        let doorbell = [UInt8](repeating: 0, count: 36)
        let exchange = measure(operations: 2000, repeats: options.repeats) {
            for _ in 0..<2000 { bare.exchange(doorbell, reply: 32) }
        }
        for operation in [Workload.Operation.read, .write] {
            for depth in [1, 32, 128] {
                func run(_ controller: Controller, _ count: Int) throws {
                    _ = try controller.measure(
                        Workload(
                            operation, .random, blocksPerRequest: 8, queueDepth: depth,
                            limit: .requests(count)))
                }
                let comparison = try Comparison(
                    turns: options.turns / 3 + 1, operations: 2000
                ) { count in
                    try run(remote, count)
                } against: { count in
                    try run(near, count)
                }
                table.add([
                    "\(operation == .read ? "read" : "write"), \(depth) in flight, \(placement.name)",
                    fixed(comparison.timing.minimum), fixed(comparison.timing.median),
                    fixed(comparison.reference.median), fixed(comparison.ratio, 2),
                    fixed(exchange.median / comparison.timing.median, 1),
                ])
            }
        }
        try remote.close()
    }
    try near.close()
    try WorkerThread.bindCaller(toProcessors: .max)
    print("Nanoseconds per request. The setup of queues is part of it, spread over the requests.\n")
    table.print()
}
