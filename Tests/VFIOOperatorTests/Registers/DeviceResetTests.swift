import LinuxSystem
import NVMeController
import SoftwareDevices
import SoftwareHost
import Testing
import VFIO
import VFIOHost
import VFIOOperator

@Suite("A reset of a device")
struct DeviceResetTests {
    /// Two devices of different groups on a bus, and one on another bus.
    private static func host() throws -> SoftwareHost {
        let namespace = try NVMeNamespace(try MemoryStore(byteCount: 1 << 20))
        return try SoftwareHost(
            MachineDescription {
                IOMMUGroup(5) { PCIDevice(NVMeController([namespace]), at: "0000:02:00.0") }
                IOMMUGroup(6) { PCIDevice(Educational(), at: "0000:02:00.1") }
                IOMMUGroup(7) { PCIDevice(Educational(), at: "0000:03:00.0") }
            })
    }

    private static let id = DeviceID(PCIAddress(bus: 2, device: 0, function: 0))

    @Test("alone leaves the others, and the device answers afterwards")
    func alone() throws {
        let reset = try DeviceReset(of: Self.id, on: try Self.host())
        #expect(reset.isOffered == true && reset.obstacle == nil && !reset.methods.isEmpty)
        let outcome = try reset.run(.device)
        #expect(outcome.functions == ["0000:02:00.0"] && outcome.silent.isEmpty)
    }

    @Test(
        "of the bus takes what nobody uses for it, by groups and by device nodes",
        arguments: ["group", "cdev"])
    func hot(_ route: String) throws {
        let reset = try DeviceReset(of: Self.id, on: try Self.host(), route == "group" ? .group : .cdev)
        #expect(reset.isScopeCertain && reset.functions.map(\.group) == [5, 6])
        let outcome = try reset.run(.hot)
        #expect(outcome.functions == ["0000:02:00.0", "0000:02:00.1"] && outcome.silent.isEmpty)
    }

    @Test(
        "of the bus is refused by name while somebody else has a function of it",
        arguments: ["group", "cdev"])
    func held(_ route: String) throws {
        let host = try Self.host()
        let choice: RouteChoice = route == "group" ? .group : .cdev
        let other = try Device(
            opening: PCIAddress(bus: 2, device: 0, function: 1), on: host, choice)
        let reset = try DeviceReset(of: Self.id, on: host, choice)
        do throws(VFIOError) {
            _ = try reset.run(.hot)
            Issue.record("reset what somebody uses")
        } catch {
            #expect("\(error)".contains("0000:02:00.1"), "\(error)")
        }
        // It is still reset alone.
        #expect(try reset.run(.device).silent.isEmpty)
        withExtendedLifetime(other) {}
    }

    @Test("is told without opening the device: the ways, and what shares its bus")
    func unopened() throws {
        let reset = try DeviceReset(of: Self.id, on: try Self.host(), opening: false)
        #expect(reset.device == nil && reset.isOffered == nil && !reset.isScopeCertain)
        #expect(reset.functions.map { "\($0.address)" } == ["0000:02:00.0", "0000:02:00.1"])
        #expect(throws: VFIOError.self) { try reset.run(.device) }
    }
}
