import DeviceModel
import IOVASpace
import LinuxSystem
import SoftwareDevices
import Testing
import VFIO
import VFIOABI
import VFIOHost

@testable import VFIOUser

@Suite("Migration through a host behind a socket")
struct HostMigrationTests {
    /// An educational device behind a server, opened by the typed API.
    private final class Bench {
        let running: RunningServer
        let host: VFIOUserHost
        let device: Device

        init(_ model: any DeviceModel = Educational()) throws {
            running = try RunningServer(try Server(model, at: unusedSocketPath()))
            host = try VFIOUserHost(connecting: try #require(running.server.path))
            device = try Device(opening: VFIOUserHost.deviceAddress, on: host)
            try device.setMemoryEnabled(true)
            try device.setBusMaster(true)
        }
    }

    private func errno(_ body: () throws(VFIOError) -> Void) -> Errno? {
        do throws(VFIOError) {
            try body()
            return nil
        } catch {
            return error.errno
        }
    }

    @Test("takes a device from one server to another, which goes on where the first one stopped")
    func moves() throws {
        let from = try Bench()
        let to = try Bench()
        #expect(try from.device.migrationCapabilities() == [.stopCopy, .p2p, .preCopy])
        #expect(try from.device.migrationState() == .running)
        let source = try from.device.region(.bar0)
        try source.store32(Int(Educational.Register.factorial), 6)
        let out = try #require(try from.device.setMigrationState(.preCopy))
        #expect(try from.device.setMigrationState(.preCopy) == nil, "no second one")
        var stream = try out.readAll()
        #expect(!stream.isEmpty)
        #expect(try out.readAll().isEmpty)
        #expect(try out.precopyInfo() == nil)
        // It works still.
        try source.store64(Int(Educational.Register.source), 0xabcd_ef01)
        #expect(try from.device.setMigrationState(.stopCopy) == nil, "the same goes on")
        stream += try out.readAll()
        #expect(try out.readAll().isEmpty)
        #expect(errno { () throws(VFIOError) in try out.write([1]) } == .badDescriptor)

        let into = try #require(try to.device.setMigrationState(.resuming))
        // In pieces, with one longer than a message.
        try into.write(Array(stream.prefix(7)))
        try into.write(Array(stream.dropFirst(7)))
        try to.device.setMigrationState(.running)
        let target = try to.device.region(.bar0)
        #expect(try target.load32(Int(Educational.Register.factorial)) == 720)
        #expect(try target.load64(Int(Educational.Register.source)) == 0xabcd_ef01)
        #expect(errno { () throws(VFIOError) in try into.write([1]) } == .noDevice)
        try from.device.setMigrationState(.running)
        #expect(errno { () throws(VFIOError) in _ = try out.readAll() } == .noDevice)
    }

    @Test("ends with a reset, and gives a new transfer its own descriptor")
    func resets() throws {
        let bench = try Bench()
        let first = try #require(try bench.device.setMigrationState(.stopCopy))
        try bench.device.reset()
        #expect(try bench.device.migrationState() == .running)
        #expect(errno { () throws(VFIOError) in _ = try first.readAll() } == .noDevice)
        let second = try #require(try bench.device.setMigrationState(.preCopy))
        #expect(try !second.readAll().isEmpty)
        // A reset by configuration space is one that the host doesn't see.
        try bench.device.setMigrationState(.stopCopy)
        try bench.host.device.perform { (client) throws(ClientFailure) in try client.reset() }
        #expect(errno { () throws(VFIOError) in _ = try second.readAll() } == .noDevice)
        let third = try #require(try bench.device.setMigrationState(.resuming))
        #expect(
            errno { () throws(VFIOError) in try third.write([UInt8](repeating: 1, count: 500)) } == .invalid)
        #expect(errno { () throws(VFIOError) in try bench.device.setMigrationState(.running) } == .invalid)
        #expect(errno { () throws(VFIOError) in try bench.device.setMigrationState(.error) } == .invalid)
        #expect(try bench.device.migrationState() == .resuming)
    }

    @Test("is refused for a device that can't be moved, and ends when the server goes")
    func refusals() throws {
        let fixed = try Bench(try TestDevice())
        #expect(try fixed.device.migrationCapabilities() == [])
        #expect(errno { () throws(VFIOError) in _ = try fixed.device.migrationState() } == .noSuchRequest)
        #expect(errno { () throws(VFIOError) in try fixed.device.setMigrationState(.stop) } == .noSuchRequest)
        #expect(try !fixed.device.has(.migrationDeviceState, .set))
        #expect(try fixed.device.has(.dmaLoggingStart, .set))
        let bench = try Bench()
        let out = try #require(try bench.device.setMigrationState(.stopCopy))
        bench.running.stop()
        #expect(errno { () throws(VFIOError) in _ = try out.readAll() } == .connectionReset)
        #expect(errno { () throws(VFIOError) in _ = try out.readAll() } == .noDevice)
    }
}
