import DeviceModel
import IOVASpace
import LinuxSystem
import Testing
import VFIO
import VFIOHost

@testable import VFIOUser

@Suite("A host whose server asks for memory at any time, or goes")
struct HostLossTests {
    private final class Bench {
        let model: TestDevice
        let path: String
        var running: RunningServer?
        let host: VFIOUserHost
        let device: Device

        init(_ limits: Limits = Limits()) throws {
            model = try TestDevice()
            path = unusedSocketPath()
            running = try RunningServer(try Server(model, at: path))
            host = try VFIOUserHost(connecting: path, limits: limits)
            device = try Device(opening: VFIOUserHost.deviceAddress, on: host)
            try device.setMemoryEnabled(true)
            try device.setBusMaster(true)
        }
    }

    @Test(
        "has a second socket for what the server asks for, so that a register read may need memory",
        arguments: [true, false])
    func twin(_ taken: Bool) throws {
        var limits = Limits()
        limits.takesTwinSocket = taken
        let bench = try Bench(limits)
        let registers = try bench.device.region(.bar0)
        let own = try Mapping(anonymous: pageSize)
        let mapped = try bench.device.addressSpace.map(own.window, at: IOVA(0x10000))
        own.window.store64(8, 0x1234_5678)
        try registers.store64(Int(TestDevice.Trigger.address), 0x10008)
        _ = try registers.load64(Int(TestDevice.Trigger.loadNow))
        if taken {
            #expect(try registers.load64(Int(TestDevice.Trigger.data)) == 0x1234_5678)
        } else {
            #expect(bench.model.faults.map(\.reason) == [.remote(.clientWaits)])
        }
        try registers.store64(Int(TestDevice.Trigger.store), 42)
        if taken { #expect(own.window.load64(8) == 42, "done when it is answered") }
        _ = try registers.load64(0x40)
        #expect(own.window.load64(8) == 42)
        withExtendedLifetime(mapped) {}
        _ = consume mapped
        _ = try registers.load64(Int(TestDevice.Trigger.loadNow))
        #expect(bench.model.faults.last?.reason == .notMapped)
    }

    @Test("serves several threads' requests while the server asks for memory")
    func threads() throws {
        let bench = try Bench()
        let own = try Mapping(anonymous: pageSize)
        let mapped = try bench.device.addressSpace.map(own.window, at: IOVA(0x10000))
        let registers = try bench.device.region(.bar0)
        try registers.store64(Int(TestDevice.Trigger.address), 0x10000)
        let device = bench.device
        var workers: [WorkerThread] = []
        for _ in 0..<3 {
            workers.append(
                try WorkerThread {
                    for _ in 0..<200 {
                        _ = try? device.region(.bar0).load64(Int(TestDevice.Trigger.loadNow))
                    }
                })
        }
        for value in 1...200 { try registers.store64(Int(TestDevice.Trigger.store), UInt64(value)) }
        workers = []
        #expect(own.window.load64(0) == 200)
        #expect(bench.model.faults.isEmpty)
        withExtendedLifetime(mapped) {}
    }

    @Test("tells a driver by its eventfd for errors that the server has gone, each time that one goes")
    func errors() throws {
        let bench = try Bench()
        let errors = try bench.device.enableInterrupts(.error, count: 1)
        #expect(try errors.wait(0, milliseconds: 20) == nil)
        bench.running?.stop()
        bench.running = nil
        #expect(try errors.wait(0, milliseconds: 5000) == 1)
        // Whoever asks afterwards isn't told twice by it.
        #expect(throws: VFIOError.self) { try bench.device.reset() }
        #expect(try errors.wait(0, milliseconds: 20) == nil)
        let model = try TestDevice()
        bench.running = try RunningServer(try Server(model, at: bench.path))
        try bench.device.reset()
        try errors.trigger(0)
        #expect(try errors.wait(0, milliseconds: 5000) == 1, "set up in the new server")
        bench.running?.stop()
        bench.running = nil
        #expect(try errors.wait(0, milliseconds: 5000) == 1)
    }

    @Test("tells nobody where the host itself ends the connection")
    func quiet() throws {
        let event = try EventDescriptor()
        let path = unusedSocketPath()
        let running = try RunningServer(try Server(try TestDevice(), at: path))
        let notice = LossNotice()
        notice.set(try PCITrigger(event.number))
        for _ in 0..<20 {
            let client = try Client(
                UnixSocket(connecting: path), ClientMappings(), Limits(), notice: notice,
                milliseconds: 5000)
            client.watch()
            #expect(!client.isLost)
        }
        let isSignalled = event.isSignalled
        #expect(!isSignalled)
        withExtendedLifetime(running) {}
    }
}
