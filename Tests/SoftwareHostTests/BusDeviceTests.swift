import Glibc
import LinuxSystem
import Testing
import VFIO
import VFIOABI
import VFIOHost

@testable import SoftwareHost

@Suite("Devices that aren't PCI functions")
struct BusDeviceTests {
    private static let name = DeviceID(.platform, "fff51000.ethernet")!

    /// A machine with a PCI function and a device of the platform in one group.
    private func rig(
        driver: String? = "vfio-platform", _ change: (inout MachineDescription) -> Void = { _ in }
    ) throws -> (rig: Rig, bus: RecordingBus) {
        let bus = try RecordingBus(PCIAddress(Rig.address)!)
        let rig = try Rig { machine in
            machine.groups.append(
                IOMMUGroup(30) {
                    BusDevice(Self.name, driver: driver, vfioDriver: "vfio-platform") { _ in bus }
                    BusDevice(bystander: DeviceID(.platform, "clock")!)
                })
            change(&machine)
        }
        return (rig, bus)
    }

    @Test("are listed, with their group, their driver and their node")
    func listed() throws {
        let (rig, _) = try rig()
        let inventory = try rig.host.inventory()
        #expect(inventory.devices.count == 3)
        #expect(inventory.otherDevices.map(\.id.name) == ["clock", "fff51000.ethernet"])
        let summary = try #require(inventory.summary(of: Self.name))
        #expect(summary.group == 30 && summary.deviceNode == 3 && summary.driver?.isVFIO == true)
        #expect(inventory.group(30)?.otherDevices.map(\.name) == ["fff51000.ethernet", "clock"])
        #expect(inventory.blockers(ofGroup: 30).isEmpty)
    }

    @Test("are opened by their name through their group")
    func throughGroup() throws {
        let (rig, bus) = try rig()
        let container = rig.open(.container)
        let group = rig.open(.group(30))
        #expect(rig.setContainer(group, container) == 0)
        #expect(rig.ask(container, .setIOMMU, 3) == 0)
        #expect(rig.device(group, "clock") == -ENODEV)
        let device = rig.device(group, "fff51000.ethernet")
        #expect(device >= 0 && bus.isOpen)
        #expect(rig.map(container, 0x10000, from: 9) == 0)
        #expect(bus.read(0x10000) == [9])
        rig.host.close(device)
        #expect(!bus.isOpen)
    }

    @Test(
        "are opened through the typed API, and have no place on PCI", arguments: [RouteChoice.group, .cdev])
    func typed(_ choice: RouteChoice) throws {
        let (rig, bus) = try rig()
        bus.deviceFlags = [.platform]
        do {
            let device = try Device(opening: Self.name, on: rig.host, choice)
            #expect(device.id == Self.name && device.address == nil && bus.isOpen)
            #expect(device.info.flags == .platform && device.configurationArea.byteCount == 0)
        }
        #expect(!bus.isOpen)
        let error = #expect(throws: VFIOError.self) {
            _ = try Device(opening: DeviceID(.platform, "other")!, on: rig.host)
        }
        #expect(error?.code == .noSuchDevice && error?.remedy == "see /sys/bus/platform/devices")
        let other = #expect(throws: VFIOError.self) {
            _ = try Device(opening: DeviceID(.platform, "clock")!, on: rig.host)
        }
        #expect(other?.code == .noDriver)
    }

    @Test("change their driver as PCI functions do, and only have their own VFIO driver")
    func binding() throws {
        let (rig, bus) = try rig(driver: "xgmac")
        #expect(try rig.host.inventory().blockers(ofGroup: 30).map(\.id) == [Self.name])
        try rig.host.bind(Self.name, to: "vfio-pci")
        #expect(rig.open(.group(30)) == -ENOENT)
        try rig.host.bind(Self.name, to: "vfio-platform")
        let group = rig.open(.group(30))
        #expect(group >= 0)
        rig.host.close(group)
        try rig.host.bind(Self.name, to: nil)
        #expect(bus.isWithdrawn)
        #expect(throws: Errno.noDevice) { try rig.host.bind(DeviceID(.cdx, "cdx-00:01")!, to: nil) }
    }

    @Test("fail on demand, by name")
    func faults() throws {
        let (rig, bus) = try rig()
        bus.deviceFlags = [.platform]
        let rule = rig.host.inject(
            FaultRule(.request(.deviceGetInfo, .inputOutput), on: .device(Self.name)))
        let error = #expect(throws: VFIOError.self) { _ = try Device(opening: Self.name, on: rig.host) }
        #expect(error?.errno == .inputOutput)
        rig.host.withdraw(rule)
        let device = try Device(opening: Self.name, on: rig.host)
        defer { withExtendedLifetime(device) {} }
        rig.host.inject(FaultRule(.device(.vanished), on: .device(DeviceID(.platform, "elsewhere")!)))
        #expect(bus.presence == [])
        rig.host.inject(FaultRule(.device(.vanished), on: .device(Self.name)))
        #expect(bus.presence == [false])
    }

    @Test("come and go while the machine runs")
    func plugged() throws {
        let rig = try Rig()
        let bus = try RecordingBus(PCIAddress(Rig.address)!)
        let id = try #require(DeviceID("83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"))
        try rig.host.plug(
            BusDevice(id, driver: "mtty", vfioDriver: "mtty") { _ in bus }, intoGroup: 40, isEmulated: true)
        #expect(try rig.host.inventory().summary(of: id)?.isMediated == true)
        #expect(throws: MachineError.duplicateAddress(id)) {
            try rig.host.plug(BusDevice(bystander: id), intoGroup: 41)
        }
        #expect(rig.open(.group(40)) >= 0)
        try rig.host.unplug(id)
        #expect(try rig.host.inventory().summary(of: id) == nil)
    }

    @Test("names: what can be one and what can't")
    func names() {
        #expect(DeviceID("0000:01:00.0")?.address == PCIAddress(bus: 1, device: 0, function: 0))
        #expect(DeviceID("platform/fff51000.ethernet") == Self.name)
        #expect(
            DeviceID("83B8F4F2-509F-382F-3C1E-E6BFE0FA1001")?.name == "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001")
        for text in [
            "", "platform/", "platform/..", "platform/a/b", "usb/1-1", "83b8f4f2-509f", "platform/a b",
        ] {
            #expect(DeviceID(text) == nil, "\(text)")
        }
        #expect(DeviceID(.platform, String(repeating: "x", count: 256)) == nil)
        #expect(DeviceID(.pci, "nothing") == nil)
        let sorted = [
            Self.name, DeviceID("mdev/83b8f4f2-509f-382f-3c1e-e6bfe0fa1001")!, DeviceID("0000:02:00.0")!,
        ]
        #expect(sorted.sorted().map(\.bus) == [.pci, .mdev, .platform])
    }
}
