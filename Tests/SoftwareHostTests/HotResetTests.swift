import DeviceModel
import Glibc
import LinuxSystem
import Testing
import VFIOABI
import VFIOHost

@testable import SoftwareHost

/// Two or three functions without resets of their own on one bus, each in a group of its own.
private struct Functions {
    let host: SoftwareHost
    let models: [TestDevice]
    let addresses: [PCIAddress]

    init(_ count: Int, bus: UInt8 = 2, unbound: Int? = nil) throws {
        models = (0..<count).map { _ in
            let function = PCIFunction(
                PCIIdentity(vendor: 0x1234, device: 0x5678, classCode: 0x07_0002),
                bars: [0: BAR(.memory32, byteCount: 256)], interruptPin: 1)
            return TestDevice(function)
        }
        addresses = (0..<count).map { PCIAddress(bus: bus, device: UInt8($0 + 1), function: 0) }
        var machine = MachineDescription()
        for (index, model) in models.enumerated() {
            let device = PCIDevice(
                model, at: addresses[index], driver: index == unbound ? nil : "vfio-pci")
            machine.groups.append(IOMMUGroup(10 + index, devices: [device]))
        }
        host = try SoftwareHost(machine)
    }

    /// Opens a function through its group.
    func open(_ index: Int) throws -> (group: Int32, device: Int32) {
        let container = try host.open(.container)
        let group = try host.open(.group(10 + index))
        var number = container
        _ = try withUnsafeMutablePointer(to: &number) {
            try host.control(
                group, UInt32(Request.groupSetContainer.rawValue), UInt(bitPattern: $0))
        }
        _ = try host.control(container, UInt32(Request.setIOMMU.rawValue), 3)
        let device = try "\(addresses[index])".withCString {
            try host.control(group, UInt32(Request.groupGetDeviceFD.rawValue), UInt(bitPattern: $0))
        }
        return (group, device)
    }

    /// PCI_HOT_RESET with groups; the answer or the negative errno.
    func hotReset(_ device: Int32, _ groups: Int32...) -> Int32 {
        var words = [UInt32(12 + 4 * groups.count), 0, UInt32(groups.count)]
        words += groups.map { UInt32(bitPattern: $0) }
        do throws(Errno) {
            let address = words.withUnsafeMutableBufferPointer { UInt(bitPattern: $0.baseAddress) }
            return try host.control(device, UInt32(Request.devicePCIHotReset.rawValue), address)
        } catch { return -error.rawValue }
    }

    func resets() -> [[ResetKind]] { models.map(\.resets) }
}

@Suite("A bus is reset with all functions on it")
struct HotResetTests {
    @Test("by a user who shows that all of them are his, open or not")
    func owned() throws {
        let functions = try Functions(2)
        let first = try functions.open(0)
        let second = try functions.host.open(.group(11))
        #expect(functions.hotReset(first.device, first.group) == -EINVAL)
        #expect(functions.resets() == [[], []])
        #expect(functions.hotReset(first.device, first.group, second) == 0)
        #expect(functions.resets() == [[.bus], [.bus]])
    }

    @Test("but not while one of them is driven by somebody else")
    func driverless() throws {
        let functions = try Functions(2, unbound: 1)
        let first = try functions.open(0)
        #expect(functions.hotReset(first.device, first.group) == -EINVAL)
        try functions.host.bind(functions.addresses[1], to: "vfio-pci")
        let second = try functions.host.open(.group(11))
        #expect(functions.hotReset(first.device, first.group, second) == 0)
        functions.host.close(second)
        try functions.host.unplug(functions.addresses[1])
        #expect(functions.hotReset(first.device, first.group) == 0)
        #expect(functions.models[0].resets == [.bus, .bus])
    }

    @Test("and never on a root bus")
    func rootBus() throws {
        let functions = try Functions(1, bus: 0)
        let first = try functions.open(0)
        #expect(functions.hotReset(first.device, first.group) == -ENODEV)
        #expect(functions.resets() == [[]])
    }

    @Test("when the last of them is closed that has no reset of its own")
    func lastClosing() throws {
        let functions = try Functions(2)
        let first = try functions.open(0)
        let second = try functions.open(1)
        functions.host.close(first.device)
        #expect(functions.resets() == [[], []])
        functions.host.close(second.device)
        #expect(functions.resets() == [[.bus], [.bus]])
    }

    @Test(
        "A function alone on its bus is reset by its bus, and no longer when another one is plugged in beside it"
    )
    func alone() throws {
        let functions = try Functions(1)
        let (host, address) = (functions.host, functions.addresses[0])
        #expect(try host.resetMethods(of: address) == [.bus])
        try host.plug(PCIDevice(PlainModel(), at: "0000:02:02.0"), intoGroup: 30)
        #expect(try host.resetMethods(of: address) == [])
        try host.unplug(PCIAddress(bus: 2, device: 2, function: 0))
        #expect(try host.resetMethods(of: address) == [.bus])
    }

    @Test("A user's reset and one by an administrator don't meet")
    func contended() throws {
        let functions = try Functions(2)
        let first = try functions.open(0)
        let second = try functions.host.open(.group(11))
        let policy = try #require(
            functions.host.core.lock.withLock { functions.host.core.devices[1].pci?.resetPolicy })
        #expect(policy.take())
        #expect(functions.hotReset(first.device, first.group, second) == -EAGAIN)
        #expect(functions.resets() == [[], []])
        policy.giveBack()
        #expect(functions.hotReset(first.device, first.group, second) == 0)
    }
}
