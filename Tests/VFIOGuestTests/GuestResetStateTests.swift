import DeviceModel
import LinuxSystem
import SoftwareDevices
import SoftwareHost
import Testing
import VFIO
import VFIOHost

@testable import VFIOGuest

@Suite("What a guest has of a device comes through a reset as it should")
struct GuestResetStateTests {
    @Test("1.14 the line is off during a reset, and works afterwards as before", arguments: [false, true])
    func line(isResampled: Bool) throws {
        let machine = try ResetMachine([("0000:02:00.0", .functionLevel)])
        let device = try machine.attach(0)[0]
        let region = try GuestRegion(.bar0, of: device.device, in: machine.memory)
        let trigger = try EventDescriptor()
        let resample = try EventDescriptor()
        let line = try GuestLine(
            device.device, trigger: trigger.number, resample: isResampled ? resample.number : nil,
            regions: [region])
        let isOn = Box<[Bool]>([])
        let watcher = ResetWitness(onBegin: { isOn.change { $0.append(line.isEnabled) } })
        device.addResetParticipant(line)
        device.addResetParticipant(watcher)
        try region.region.store32(0, 1)
        #expect(try trigger.take() == 1)
        if !isResampled { line.raised() }
        #expect(try device.reset().errors == [])
        #expect(isOn.value == [false] && line.isEnabled && !line.isRaised)
        // What the device raised before is gone with the reset; the next time it comes through.
        machine.models[0].function.setLine(false)
        _ = try trigger.take()
        try device.device.setMemoryEnabled(true)
        try region.region.store32(0, 1)
        #expect(try trigger.take() == 1)
        // One that the guest had turned off stays off.
        try line.disable()
        #expect(try device.reset().errors == [])
        #expect(!line.isEnabled)
        try line.enable()
        #expect(line.isEnabled)
    }

    @Test("1.14 messages are off after a reset, and can be used anew")
    func messages() throws {
        let machine = try ResetMachine([("0000:02:00.0", .none), ("0000:02:00.1", .none)])
        let devices = try machine.attach(0, 1)
        let messages = try GuestMessages(.msix, of: devices[1].device)
        devices[1].addResetParticipant(messages)
        let event = try EventDescriptor()
        try messages.use(2, event.number)
        #expect(messages.enabledCount == 3)
        #expect(machine.devices.reset().errors == [])
        #expect(messages.enabledCount == 0)
        machine.models[1].function.signal(vector: 2)
        #expect(try event.take() == 0)
        try devices[1].device.setBusMaster(true)
        try messages.use(2, event.number)
        machine.models[1].function.signal(vector: 2)
        #expect(try event.take() == 1)
    }

    @Test("1.14 mapped registers can't be reached from a reset on until the device answers again")
    func regions() throws {
        let model = try RegionSampler()
        let host = try SoftwareHost { IOMMUGroup(1) { PCIDevice(model, at: "0000:02:00.0") } }
        let memory = GuestMemory()
        let space = GuestAddressSpace(
            "memory", showing: try MemoryRegion("system", .container, byteCount: 1 << 64, in: memory))
        let devices = GuestDevices(on: host, for: memory, .group)
        let device = try devices.attach(PCIAddress(bus: 2, device: 0, function: 0), to: space)
        try device.device.setMemoryEnabled(true)
        let region = try GuestRegion(.bar2, of: device.device, in: memory)
        try space.root.add(region.memory, at: 0x8000_0000)
        device.addResetParticipant(region)
        let address = GuestAddress(0x8000_0010)
        let isDirect = { space.section(at: address)?.region.isRAMDevice == true }
        #expect(region.isMapped && isDirect())
        try space.store(UInt32(0x1234), at: address)
        for round in 1...2 {
            #expect(devices.reset().errors == [])
            #expect(!region.isMapped && !isDirect(), "round \(round)")
            // With its memory off nothing answers, and nothing comes back.
            #expect(try space.load(UInt32.self, at: address) == .max)
            #expect(!region.isMapped)
            // What the line wants doesn't change that.
            region.setMapped(true)
            #expect(!region.isMapped)
            try device.device.setMemoryEnabled(true)
            let value = try space.load(UInt32.self, at: address)
            #expect(value != .max)
            #expect(region.isMapped && isDirect(), "round \(round)")
            try space.store(UInt32(round), at: address)
            #expect(try space.load(UInt32.self, at: address) == UInt32(round))
        }
        // Reset before it was set up: it isn't mapped by an access in between.
        #expect(devices.reset().errors == [])
        #expect(devices.reset().errors == [])
        try device.device.setMemoryEnabled(true)
        region.setMapped(false)
        #expect(try space.load(UInt32.self, at: address) != .max)
        #expect(!region.isMapped)
        region.setMapped(true)
        #expect(region.isMapped)
    }
}
