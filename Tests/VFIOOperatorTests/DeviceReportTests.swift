import JSONText
import LinuxSystem
import NVMeController
import PCIDecoder
import SoftwareDevices
import SoftwareHost
import Testing
import VFIO
import VFIOHost
import VFIOOperator

@Suite("A report of a device")
struct DeviceReportTests {
    private static let address = "0000:01:00.0"

    private static func host() throws -> SoftwareHost {
        let namespace = try NVMeNamespace(try MemoryStore(byteCount: 1 << 20))
        return try SoftwareHost(
            MachineDescription {
                IOMMUGroup(26) { PCIDevice(NVMeController([namespace]), at: "0000:01:00.0") }
                IOMMUGroup(27) { PCIDevice(Educational(), at: "0000:02:00.0") }
            })
    }

    private static func report(_ name: String = address, opening: Bool = true) throws -> DeviceReport {
        let id = try #require(DeviceID(name))
        return try DeviceInspection(of: id, on: try host(), opening: opening).report
    }

    @Test("an open device tells its regions, interrupts, features, addresses and configuration space")
    func open() throws {
        let report = try Self.report()
        let opened = try #require(report.opened)
        #expect(report.facts.group == 26 && report.facts.vendor != nil && report.host == "soft")
        #expect(
            opened.regions.contains { $0.name == "BAR 0" && $0.byteCount == 16_384 && $0.access == "rw-" })
        #expect(opened.interrupts.contains { $0.name == "MSI-X" && $0.count > 0 })
        #expect(opened.features.contains { $0.word == "MIGRATION" })
        #expect(opened.addresses?.ranges.isEmpty == false)
        let configuration = try #require(report.configuration)
        #expect(configuration.source == "vfio" && configuration.decoded.problems.isEmpty)
        #expect(configuration.decoded.capability(0x11) != nil)
        #expect(configuration.decoded.register(at: 0)?.value == report.facts.vendor.map { UInt64($0) })
    }

    @Test("a device that isn't opened tells what the machine knows, and why the rest is missing")
    func closed() throws {
        let report = try Self.report(opening: false)
        #expect(report.opened == nil && report.facts.driver == "vfio-pci")
        #expect(report.missing.contains { $0.reason == "the device wasn't opened" })
    }

    @Test("a device that nobody knows is an error that names it")
    func unknown() throws {
        for isOpened in [false, true] {
            let id = try #require(DeviceID("0000:7f:00.0"))
            let host = try Self.host()
            #expect { _ = try DeviceInspection(of: id, on: host, opening: isOpened) } throws: { error in
                (error as? VFIOError)?.object.contains("0000:7f:00.0") == true
            }
        }
    }

    @Test("what is written is read back the same", arguments: [address, "0000:02:00.0"])
    func roundTrip(name: String) throws {
        for isOpened in [true, false] {
            let report = try Self.report(name, opening: isOpened)
            for text in [report.json.text, report.json.indentedText()] {
                #expect(try DeviceReport(file: Array(text.utf8)) == report)
            }
            #expect(try DeviceReport(file: Array(report.json.text.utf8), device: name) == report)
        }
    }

    @Test("a folder that shows 64 bytes to those without privileges is said to")
    func header() throws {
        let root = try FileSystem.makeTemporaryFolder("/tmp/vfio-test-")
        defer { FileSystem.removeFolder(root) }
        try SysfsTree.write(try Self.host().inventory(), to: root) { _ in [UInt8](repeating: 0x11, count: 64)
        }
        let roots = SystemRoots(sysfs: root + "/sys", devices: root + "/dev", processes: root + "/proc")
        let id = try #require(DeviceID(Self.address))
        let inspection = try DeviceInspection(of: id, on: roots.host, opening: false, roots: roots)
        #expect(inspection.report.configuration?.bytes.count == 64)
        #expect(inspection.report.configuration?.source == "sysfs")
        #expect(inspection.report.missing.contains { $0.reason.contains("CAP_SYS_ADMIN") })
    }

    @Test("a bridge isn't opened, and nobody is told to bind it")
    func bridge() throws {
        let root = try FileSystem.makeTemporaryFolder("/tmp/vfio-test-")
        defer { FileSystem.removeFolder(root) }
        let address = try #require(PCIAddress("0000:00:07.0"))
        let device = DeviceRecord(
            address: address, vendor: 0x1b36, device: 0x0c, classCode: 0x06_0400,
            driver: DriverRecord(named: "pcieport"), group: 5)
        let inventory = Inventory(
            devices: [device], groups: [GroupRecord(number: 5, devices: [address])], hasContainers: true,
            hasIOMMUFD: false)
        try SysfsTree.write(inventory, to: root) { _ in nil }
        let roots = SystemRoots(sysfs: root + "/sys", devices: root + "/dev", processes: root + "/proc")
        let inspection = try DeviceInspection(of: DeviceID(address), on: roots.host, roots: roots)
        #expect(inspection.refusal == nil && inspection.device == nil)
        #expect(inspection.report.missing.contains { $0.reason.hasPrefix("it is a bridge") })
    }
}
