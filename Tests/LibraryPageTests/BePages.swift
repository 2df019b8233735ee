import DeviceModel
import LinuxSystem
import NVMeController
import SoftwareDevices
import SoftwareHost
import Testing
import VFIO
import VFIOABI
import VFIOConformance
import VFIOHost
import VFIOUser

@Suite("The pages about being a device")
struct BePages {
    let address = PCIAddress(bus: 1, device: 0, function: 0)

    @Test("a machine in software, and what goes wrong on it")
    func machine() throws {
        let host = try SoftwareHost {
            IOMMU(.type1, pageSizes: [.kib4, .mib2])
            IOMMUGroup(26) { PCIDevice(Educational(), at: "0000:01:00.0") }
        }
        let device = try Device(opening: address, on: host)
        print(device.route)  // which way in was taken, and why
        #expect(device.info.regionCount == 9)
        let token = host.inject(FaultRule(.request(.deviceReset, .inputOutput), .nth(2)))
        try device.reset()
        do throws(VFIOError) {
            try device.reset()
        } catch {
            print(error)  // EIO, as the rule says
        }
        print(host.faultCount(of: token)?.fired ?? 0)  // 1
        host.withdraw(token)
        #expect(host.injectedFaults.count == 1)
    }

    @Test("an NVMe disk is a device model")
    func disk() throws {
        let store = try MemoryStore(byteCount: 64 << 20)
        let disk = NVMeController([try NVMeNamespace(store, blockSize: 4096)])
        let host = try SoftwareHost {
            IOMMUGroup(1) { PCIDevice(disk, at: "0000:01:00.0") }
        }
        #expect(try host.inventory().devices.first?.classCode == 0x01_0802)
    }

    @Test("two network cards on one wire")
    func wire() throws {
        let wire = NetworkWire()
        let first = Intel82574(MACAddress(local: 1), on: wire)
        let second = Intel82574(MACAddress(local: 2), on: wire)
        let host = try SoftwareHost {
            IOMMUGroup(1) { PCIDevice(first, at: "0000:01:00.0") }
            IOMMUGroup(2) { PCIDevice(second, at: "0000:02:00.0") }
        }
        #expect(try host.inventory().devices.count == 2)
    }

    @Test("a device behind a socket, and a driver at the other end")
    func socket() throws {
        let path = "/tmp/documentation-\(ProcessLimits.processID)-\(Clock.now)"
        let server = try Server(Educational(), at: path)
        let thread = try WorkerThread { try? server.run() }

        let identification: UInt32
        do {
            let host = try VFIOUserHost(connecting: path)
            let device = try Device(opening: VFIOUserHost.deviceAddress, on: host)
            identification = try device.region(.bar0).load32(0)
        }
        print(identification)  // 0x010000ed: QEMU's edu
        // The device is closed by now: that, too, is a message to its server.
        server.stop()
        #expect(identification == 0x0100_00ed)
        withExtendedLifetime(thread) {}
    }

    @Test("a host is compared with Linux")
    func conformance() throws {
        let host = try SoftwareHost { IOMMUGroup(26) { PCIDevice(Educational(), at: "0000:01:00.0") } }
        var run = Run(on: host, by: .group)
        run.filter = "A.1"  // a section of the specification
        let report = run.run { result in
            if result.status == .different { print(result.id) }
        }
        print(report.count(.equal), "as Linux 7.2", report.count(.explained), "explained")
        #expect(report.count(.equal) > 0 && report.count(.different) == 0)
    }
}
