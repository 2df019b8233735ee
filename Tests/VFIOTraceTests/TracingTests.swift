import LinuxSystem
import NVMeController
import NVMeDriver
import SoftwareDevices
import SoftwareHost
import Testing
import VFIO
import VFIOABI
import VFIOHost

@testable import VFIOTrace

/// A machine with a disk and an educational device.
func machine(_ faults: FaultRule...) throws -> SoftwareHost {
    let namespace = try NVMeNamespace(try MemoryStore(byteCount: 4 << 20))
    var machine = MachineDescription {
        IOMMUGroup(26) { PCIDevice(NVMeController([namespace]), at: "0000:01:00.0") }
        IOMMUGroup(27) { PCIDevice(Educational(), at: "0000:02:00.0") }
    }
    machine.faults.rules = faults
    return try SoftwareHost(machine)
}

/// Opens the disk, writes to it, reads that back, and closes it.
func drive(_ host: any Host) throws {
    let disk = try Controller(opening: "0000:01:00.0", on: host)
    let written = [UInt8]((0..<4096).map { UInt8(truncatingIfNeeded: $0 / 3) })
    try disk.write(blocks: 8..<16, from: written)
    #expect(try disk.read(blocks: 8..<16) == written)
    try disk.close()
}

@Suite("What a traced host writes down")
struct TracingTests {
    @Test("the NVMe driver at work leaves a trace of what it did, in order")
    func driver() throws {
        let file = TemporaryTrace()
        let host = TracingHost(try machine(), writingTo: try TraceWriter(creating: file.path))
        try drive(host)
        let trace = try Trace(file.path)
        #expect(trace.damage == nil)
        let events = trace.events
        let calls = events.filter(\.isCall)
        func first(_ verb: String) throws -> Int {
            try #require(calls.firstIndex { $0.verb == verb }, "no \(verb) in the trace")
        }
        let order = [
            "open", "DEVICE_BIND_IOMMUFD", "DEVICE_ATTACH_IOMMUFD_PT", "DEVICE_GET_INFO", "IOMMU_IOAS_MAP",
            "DEVICE_SET_IRQS",
        ]
        let places = try order.map { try first($0) }
        #expect(places == places.sorted(), "\(zip(order, places).map { "\($0)" })")
        let own = calls.filter { $0.device == "0000:01:00.0" }
        #expect(own.contains { $0.place?.register == "COMMAND" && $0.verb == "write" })
        // The controller is switched on, and only then are its queues' doorbells rung.
        func register(_ name: String, _ verb: String) throws -> Int {
            try #require(
                own.firstIndex { $0.place?.register == name && $0.verb == verb }, "no \(verb) of \(name)")
        }
        let enabled = try register("CC", "write")
        #expect(try register("AQA", "write") < register("SQ0TDBL", "write"))
        #expect(try enabled < register("SQ0TDBL", "write"))
        #expect(try register("SQ0TDBL", "write") < register("SQ1TDBL", "write"))
        let summary = TraceSummary(trace)
        #expect(summary.callCount == calls.count)
        #expect(summary.openHandles.isEmpty, "\(summary.openHandles)")
        #expect(summary.processes.count == 1)
        #expect(events.contains { $0.verb == "device" && $0.question.contains("class 010802") })
    }

    @Test("four threads on one device: every access is there, whole, and each thread's own are in order")
    func threads() throws {
        let file = TemporaryTrace()
        let host = TracingHost(try machine(), writingTo: try TraceWriter(creating: file.path))
        let container = try host.open(.container)
        let group = try host.open(.group(27))
        defer {
            host.close(group)
            host.close(container)
        }
        var fd = container
        let attach = UInt32(Request.groupSetContainer.rawValue)
        _ = try withUnsafeMutableBytes(of: &fd) {
            try host.control(group, attach, UInt(bitPattern: $0.baseAddress))
        }
        _ = try host.control(container, UInt32(Request.setIOMMU.rawValue), 3)
        let name = Array("0000:02:00.0".utf8) + [0]
        let device = try name.withUnsafeBytes {
            try host.control(
                group, UInt32(Request.groupGetDeviceFD.rawValue), UInt(bitPattern: $0.baseAddress))
        }
        let count = 200
        var threads: [WorkerThread] = []
        for number in 0..<4 {
            let thread = try WorkerThread {
                for index in 0..<count {
                    // The educational device inverts what is written at 4.
                    let bytes: [UInt8] = [UInt8(number), UInt8(index), 0, 0]
                    _ = try? host.write(device, at: 4, bytes.span.bytes)
                }
            }
            threads.append(thread)
        }
        // A thread is waited for when its owner goes.
        threads = []
        host.close(device)
        let trace = try Trace(file.path)
        #expect(trace.damage == nil)
        let writes = trace.events.filter { $0.verb == "write" }
        #expect(writes.count == 4 * count)
        for number in 0..<4 {
            let own = writes.filter { $0.record.data[0] == number }
            #expect(own.map { $0.record.data[1] } == (0..<count).map { UInt8($0) })
            #expect(Set(own.map(\.record.thread)).count == 1)
        }
        #expect(Set(writes.map(\.record.thread)).count == 4)
        #expect(writes.allSatisfy { $0.place == TracePlace(region: "BAR0", offset: 4, register: nil) })
    }

    @Test("a request that fails is told with its errno, and one with a wrong address does no harm")
    func failures() throws {
        let file = TemporaryTrace()
        let host = TracingHost(try machine(), writingTo: try TraceWriter(creating: file.path))
        #expect(throws: Errno.noSuchEntry) { _ = try host.open(.group(99)) }
        let container = try host.open(.container)
        for argument: UInt in [0, 1, 4096, 1 << 46, .max - 7, .max] {
            #expect(throws: Errno.self) {
                try host.control(container, UInt32(Request.iommuMapDMA.rawValue), argument)
            }
        }
        host.close(container)
        let calls = try Trace(file.path).events.filter(\.isCall)
        #expect(calls.map(\.verb).first == "open")
        #expect(calls[0].answer == "ENOENT")
        let maps = calls.filter { $0.verb == "IOMMU_MAP_DMA" }
        #expect(maps.count == 6)
        #expect(maps.allSatisfy { $0.record.errno != nil && $0.question == "IOMMU_MAP_DMA bad address" })
    }

    @Test("two writers of one file, as two processes are, lose nothing")
    func twoWriters() throws {
        let file = TemporaryTrace()
        let first = TracingHost(try machine(), writingTo: try TraceWriter(creating: file.path))
        let second = TracingHost(try machine(), writingTo: try TraceWriter(appendingTo: file.path))
        for _ in 0..<50 {
            for host in [first, second] { host.close(try host.open(.container)) }
        }
        let calls = try Trace(file.path).events.filter(\.isCall)
        #expect(calls.count == 200)
        #expect(TraceSummary(try Trace(file.path)).openHandles.isEmpty)
    }
}
