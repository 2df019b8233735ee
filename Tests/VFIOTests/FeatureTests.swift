import HostTestSupport
import IOVASpace
import LinuxSystem
import SoftwareHost
import Testing
import VFIO
import VFIOABI
import VFIOHost

@Suite("Features of a device")
struct FeatureTests {
    private func code(_ body: () throws(VFIOError) -> Void) -> VFIOError.Code? {
        do throws(VFIOError) {
            try body()
            return nil
        } catch {
            return error.code
        }
    }

    @Test(
        "that isn't moved and keeps no log are told as not supported", arguments: [RouteChoice.group, .cdev])
    func without(choice: RouteChoice) throws {
        let device = try Device(opening: benchAddress, on: try machine(), choice)
        let range = try #require(IOVARange(IOVA(0x10000), byteCount: 0x4000))
        #expect(try device.has(.lowPowerEntry, .set))
        #expect(try !device.has(.lowPowerEntry, .get))
        #expect(try !device.has(.migration, .get))
        #expect(try device.migrationCapabilities() == [])
        #expect(code { () throws(VFIOError) in _ = try device.migrationState() } == .notSupported)
        #expect(code { () throws(VFIOError) in try device.setMigrationState(.stop) } == .notSupported)
        #expect(code { () throws(VFIOError) in try device.startDMALogging(of: [range]) } == .notSupported)
        #expect(code { () throws(VFIOError) in try device.stopDMALogging() } == .notSupported)
        #expect(code { () throws(VFIOError) in _ = try device.takeLoggedPages(in: range) } == .notSupported)
    }

    @Test("whose ranges or pages make no sense are refused before the host is asked")
    func nonsense() throws {
        let host = try machine()
        let device = try Device(opening: benchAddress, on: host)
        let before = host.callCount
        let odd = try #require(IOVARange(IOVA(0x10000), byteCount: 0x800))
        #expect(code { () throws(VFIOError) in try device.startDMALogging(of: [odd]) } == .misaligned)
        #expect(
            code { () throws(VFIOError) in _ = try device.takeLoggedPages(in: odd, pageSize: 2048) }
                == .misaligned)
        #expect(code { () throws(VFIOError) in _ = try device.takeLoggedPages(in: .all) } == .outOfBounds)
        #expect(host.callCount == before)
    }
}
