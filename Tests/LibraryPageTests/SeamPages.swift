import DeviceModel
import IOVASpace
import LinuxSystem
import SoftwareDevices
import SoftwareHost
import Testing
import VFIOABI
import VFIOHost
import VFIOTrace

@Suite("The pages about the two seams")
struct SeamPages {
    func machine() throws -> SoftwareHost {
        try SoftwareHost { IOMMUGroup(26) { PCIDevice(Educational(), at: "0000:01:00.0") } }
    }
    /// Asks whoever answers which version of the interface there is.
    func version(of host: any Host) throws(Errno) -> Int32 {
        let container = try host.open(.container)
        defer { host.close(container) }
        let request = UInt32(Request.getAPIVersion.rawValue)
        return try host.control(container, request, 0)
    }
    /// The groups and the devices in them.
    func groups(of host: any Host) throws(InventoryError) {
        for group in try host.inventory().groups {
            print(group.number, group.devices.map { "\($0)" })
        }
    }

    @Test("ask a host at the level of the uAPI")
    func uapi() throws {
        #expect(try version(of: machine()) == 0)
        try groups(of: machine())
    }
    /// A register that counts down and interrupts at zero.
    final class Countdown: DeviceModel {
        let function: PCIFunction
        private var value: UInt32 = 0

        init() {
            function = PCIFunction(
                PCIIdentity(vendor: 0x1234, device: 0x0c0d, classCode: 0x08_8000),
                bars: [0: BAR(.memory32, byteCount: 4096)])
            function.addMSI(vectors: 1, hasMasks: false)
        }

        func readRegister(bar: Int, offset: UInt64, width: Int) -> UInt64 {
            offset == 0 ? UInt64(value) : 0
        }

        func writeRegister(bar: Int, offset: UInt64, width: Int, value: UInt64) {
            switch offset {
            case 0: self.value = UInt32(truncatingIfNeeded: value)
            case 4 where self.value > 0:
                self.value -= 1
                if self.value == 0 { function.signal(vector: 0) }
            default: break
            }
        }

        func reset(_ kind: ResetKind) { value = 0 }
    }

    @Test("a device model works on a software machine")
    func model() throws {
        let model = Countdown()
        model.storeBAR(0, offset: 0, width: 4, value: 2)
        model.storeBAR(0, offset: 4, width: 4, value: 1)
        #expect(model.loadBAR(0, offset: 0, width: 4) == 1)
        model.performReset(.function)
        #expect(model.loadBAR(0, offset: 0, width: 4) == 0)
    }

    @Test("a trace tells what was asked")
    func traces() throws {
        let host = try machine()
        let path = "/tmp/documentation-\(ProcessLimits.processID)-\(Clock.now)"
        defer { try? FileSystem.unlink(path) }
        let traced = TracingHost(host, writingTo: try TraceWriter(creating: path))
        _ = try version(of: traced)

        let trace = try Trace(path)
        for event in trace.events where event.isCall {
            print(event.verb, event.object)
        }
        print(TraceSummary(trace).calls.count, "kinds of calls")
        #expect(trace.events.filter(\.isCall).count == 3)
    }
}
