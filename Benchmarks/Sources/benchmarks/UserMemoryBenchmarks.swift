import DeviceModel
import Glibc
import IOVASpace
import LinuxSystem
import SoftwareDevices
import VFIOABI
import VFIOUser

let userMemorySuite = Suite(
    name: "user-memory", summary: "a client's memory behind a socket: mapping, messages, dirty pages"
) { options in
    do {
        try measureMaps(options)
        try measureDMAMessages(options)
        try measureOwnClientsMemory(options)
        try measureDirtyReports(options)
    } catch {
        print("the server can't be measured: \(error)")
    }
}

// MARK: mapping

/// Mapping and unmapping with other mappings present.
private func measureMaps(_ options: Options) throws {
    for hasDescriptor in [false, true] {
        var table = Table([
            "map and unmap 4 KiB with\(hasDescriptor ? "" : "out") a descriptor", "ns (minimum)",
            "ns (median)", "to the first",
        ])
        let file = try MemoryFile.create("guest", byteCount: 4096)
        try WorkerThread.bindCaller(toProcessors: Placement.together.near)
        // In turns, as all that is compared.
        // A process has 65,530 mappings of memory, by default.
        let counts = options.isQuick ? [16, 4096] : [16, 256, 4096, hasDescriptor ? 60_000 : 65_000]
        let benches = try counts.map { try MapBench(present: $0, hasDescriptor ? file.number : -1) }
        var samples = counts.map { _ in [Double]() }
        for _ in 0..<options.repeats * 6 {
            for (index, bench) in benches.enumerated() {
                let begin = now()
                for _ in 0..<500 { try bench.mapAndUnmap() }
                samples[index].append(Double(now() - begin) / 500)
            }
        }
        for (index, count) in counts.enumerated() {
            let ratios = zip(samples[index], samples[0]).map { $0 / $1 }.sorted()
            let timing = Timing(samples[index])
            table.add([
                "\(grouped(count)) present", fixed(timing.minimum), fixed(timing.median),
                fixed(ratios[ratios.count / 2], 2),
            ])
        }
        try WorkerThread.bindCaller(toProcessors: .max)
        table.print()
    }
}

/// A server with mappings, and one more that comes and goes.
private struct MapBench {
    private let peer: SocketPeer
    private let file: Int32
    private let address: UInt64
    private let map: [UInt8]
    private let unmap: [UInt8]

    /// - Parameter file: what is mapped; -1 for memory without a descriptor.
    init(present: Int, _ file: Int32) throws {
        peer = try SocketPeer.client(of: try Server(connected: Educational()), .together)
        self.file = file
        for index in 0..<present {
            let address = UInt64(index) << 13
            if file >= 0 {
                try peer.map(file, 4096, at: address)
            } else {
                let body = UserDMAMap(flags: [.read, .write], address: address, size: 4096)
                peer.exchange(message(.dmaMap, body), reply: 16)
            }
            // The errno of the answer's header.
            guard peer.byte(12) == 0 else { throw Errno(rawValue: Int32(peer.byte(12))) }
        }
        address = UInt64(present / 2) << 13 | 4096
        map = message(.dmaMap, UserDMAMap(flags: [.read, .write], address: address, size: 4096))
        unmap = message(.dmaUnmap, UserDMAUnmap(address: address, size: 4096))
    }

    func mapAndUnmap() throws(Errno) {
        if file >= 0 { try peer.map(file, 4096, at: address) } else { peer.exchange(map, reply: 16) }
        peer.exchange(unmap, reply: 40)
    }
}

// MARK: dirty pages

/// A device that says of all memory in so many GiB at once that it wrote it.
private final class Writer: DeviceModel {
    let function = PCIFunction(
        PCIIdentity(vendor: 0x1234, device: 1, classCode: 0xff_0000),
        bars: [0: BAR(.memory32, byteCount: 4096)])
    func readRegister(bar: Int, offset: UInt64, width: Int) -> UInt64 { 0 }
    func writeRegister(bar: Int, offset: UInt64, width: Int, value: UInt64) {
        // Lent memory counts as written, so nothing has to be touched.
        try? function.dma.withMemory(IOVA(0), byteCount: Int(value) << 30, for: .write) { _ in false }
    }
    func reset(_ kind: ResetKind) {}
}

/// Reports of dirty pages, bitmap and all, beside bare answers of as many bytes, both as the client waits for
/// them; what the server takes is the difference.
private func measureDirtyReports(_ options: Options) throws {
    var table = Table([
        "report of dirty 4 KiB pages", "µs (minimum)", "µs (median)", "the same bytes", "server's time, µs",
    ])
    for placement in Placement.all where placement.polls == 0 {
        try WorkerThread.bindCaller(toProcessors: placement.near)
        for gibibytes in [1, 16] {
            let bitmap = gibibytes << 15
            let room = bitmap + 64
            let file = try MemoryFile.create("guest", byteCount: UInt64(gibibytes) << 30)
            let device = try SocketPeer.client(
                of: try Server(connected: Writer()), placement, roomByteCount: room)
            try device.map(file.number, UInt64(gibibytes) << 30)
            device.enableDevice()
            let start = FeatureFlags(.dmaLoggingStart, .set)
            device.exchange(
                message(
                    .deviceFeature, DeviceFeature(argsz: 24, flags: start),
                    bytes(UserDMALoggingControl(pageSize: 4096))),
                reply: 40)
            let report = message(
                .deviceFeature,
                DeviceFeature(argsz: UInt32(32 + bitmap), flags: FeatureFlags(.dmaLoggingReport, .get)),
                bytes(UserDMALoggingReport(iova: 0, length: UInt64(gibibytes) << 30, pageSize: 4096)))
            let access = UserRegionAccess(offset: 0, region: 0, count: 4)
            let dirtying = message(.regionWrite, access, [UInt8(gibibytes), 0, 0, 0])
            let reply = bitmap + 48
            let bare = try SocketPeer.echo(report.count, reply, placement, roomByteCount: room)
            for isDirty in [false, true] {
                var samples: [Double] = []
                var bareSamples: [Double] = []
                for _ in 0..<options.repeats * 20 {
                    if isDirty { device.exchange(dirtying, reply: 32) }
                    let begin = now()
                    device.exchange(report, reply: reply)
                    let middle = now()
                    bare.exchange(report, reply: reply)
                    samples.append(Double(middle - begin))
                    bareSamples.append(Double(now() - middle))
                    guard device.byte(48) == (isDirty ? 0xff : 0),
                        device.byte(reply - 1) == device.byte(48)
                    else {
                        print("the report is wrong")
                        return
                    }
                }
                let timing = Timing(samples)
                let differences = zip(samples, bareSamples).map { $0 - $1 }.sorted()
                table.add([
                    "\(gibibytes) GiB, \(isDirty ? "fully dirty" : "clean"), \(placement.name)",
                    fixed(timing.minimum / 1000), fixed(timing.median / 1000),
                    fixed(Timing(bareSamples).median / 1000),
                    fixed(differences[differences.count / 2] / 1000),
                ])
            }
        }
    }
    try WorkerThread.bindCaller(toProcessors: .max)
    table.print()
}
