import DeviceModel
import LinuxSystem
import Testing
import VFIOHost

@testable import SoftwareHost

@Suite("A host that has gone")
struct LifetimeTests {
    @Test("leaves nothing of its machine, whatever was open")
    func machine() throws {
        weak var core: Core?
        weak var model: PlainModel?
        do {
            let device = PlainModel()
            model = device
            var machine = MachineDescription()
            machine.groups = [IOMMUGroup(26, devices: [PCIDevice(device, at: Rig.address)])]
            machine.ungroupedDevices = [PCIDevice(PlainModel(), at: Rig.other, driver: nil)]
            let host = try SoftwareHost(machine)
            core = host.core
            _ = try host.open(.group(26))
            _ = try host.open(.container)
            _ = try host.open(.device(0))
            #expect(model != nil)
        }
        #expect(core == nil)
        #expect(model == nil)
    }
}
