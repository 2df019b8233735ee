import DeviceModel
import Glibc
import LinuxSystem
import Testing
import VFIOABI
import VFIOHost

@testable import SoftwareHost

/// A device that can have two virtual functions.
private final class Physical: DeviceModel {
    let function: PCIFunction
    var makesThem = true

    init() {
        function = PCIFunction(
            PCIIdentity(vendor: 0x1234, device: 1, classCode: 0xff_0000), bars: [:], isExpress: true)
        function.addExpress()
        function.addVirtualFunctions(
            total: 2, offset: 8, stride: 2, device: 2, bars: [0: BAR(.memory32, byteCount: 4096)])
    }

    func readRegister(bar: Int, offset: UInt64, width: Int) -> UInt64 { 0 }
    func writeRegister(bar: Int, offset: UInt64, width: Int, value: UInt64) {}
    func reset(_ kind: ResetKind) {}
    func makeVirtualFunction(index: Int) -> (any DeviceModel)? { makesThem ? Virtual() : nil }
}

private final class Virtual: DeviceModel {
    let function = PCIFunction(
        PCIIdentity(vendor: 0x1234, device: 2, classCode: 0xff_0000),
        bars: [0: BAR(.memory32, byteCount: 4096)], isExpress: true, isVirtual: true)
    func readRegister(bar: Int, offset: UInt64, width: Int) -> UInt64 { 7 }
    func writeRegister(bar: Int, offset: UInt64, width: Int, value: UInt64) {}
    func reset(_ kind: ResetKind) {}
}

@Suite("Virtual functions come, are used and go, as in Linux")
struct VirtualFunctionTests {
    private let physical = PCIAddress(bus: 1, device: 0, function: 0)
    private let first = PCIAddress(bus: 1, device: 1, function: 0)
    private let second = PCIAddress(bus: 1, device: 1, function: 2)
    private let model = Physical()

    private func host(driver: String? = "vfio-pci", enable: Bool = true) throws -> SoftwareHost {
        let host = try SoftwareHost {
            IOMMUGroup(0) { PCIDevice(model, at: physical, driver: driver) }
        }
        host.parameters.enableSRIOV = enable
        return host
    }

    private func addresses(_ host: SoftwareHost) throws -> [PCIAddress] {
        try host.inventory().devices.map { $0.address }
    }

    @Test("they sit where the capability says, each in a group of its own, with the driver of the device")
    func appear() throws {
        let host = try host()
        try host.setVirtualFunctionCount(2, of: physical)
        let inventory = try host.inventory()
        #expect(inventory.devices.map { $0.address } == [physical, first, second])
        for (address, group) in [(first, 1), (second, 2)] {
            let record = try #require(inventory.device(at: address))
            #expect(record.group == group && record.driver?.name == "vfio-pci")
            #expect(record.physicalFunction == physical && record.driverOverride == "vfio-pci")
        }
        try host.setVirtualFunctionCount(0, of: physical)
        #expect(try addresses(host) == [physical])
        #expect(throws: Errno.noSuchEntry) { try host.open(.group(1)) }
    }

    @Test("the capability's registers tell of them, also after a reset of the device")
    func registers() throws {
        let host = try host()
        let place = try #require(model.function.virtualFunctions).place
        try host.setVirtualFunctionCount(2, of: physical)
        try host.reset(physical)
        #expect(model.function.configuration.value(at: place + 8, width: 2) == 9)
        #expect(model.function.configuration.value(at: place + 16, width: 2) == 2)
        try host.setVirtualFunctionCount(0, of: physical)
        #expect(model.function.configuration.value(at: place + 8, width: 2) == 0)
        #expect(model.function.configuration.value(at: place + 16, width: 2) == 0)
    }

    @Test("sysfs's errors come in sysfs's order")
    func errors() throws {
        let host = try host(enable: false)
        func setting(_ count: Int) -> Errno? {
            do throws(Errno) { try host.setVirtualFunctionCount(count, of: physical) } catch { return error }
            return nil
        }
        #expect(setting(-1) == .invalid && setting(65536) == .invalid && setting(3) == .outOfRange)
        #expect(setting(0) == nil)
        #expect(setting(1) == .noSuchEntry)
        host.parameters.enableSRIOV = true
        model.makesThem = false
        #expect(setting(1) == .noDevice)
        model.makesThem = true
        #expect(setting(1) == nil && setting(1) == nil)
        #expect(setting(2) == .busy)
        host.parameters.enableSRIOV = false
        #expect(setting(0) == .noSuchEntry)
        #expect(throws: Errno.noDevice) { try host.setVirtualFunctionCount(1, of: first.next) }
    }

    @Test("those that another driver made stay when it goes, and keep vfio-pci away")
    func otherDriver() throws {
        let host = try host(driver: "pci-pf-stub", enable: false)
        try host.setVirtualFunctionCount(1, of: physical)
        #expect(try host.inventory().device(at: first)?.driver == nil)
        try host.bind(first, to: "vfio-pci")
        #expect(throws: Errno.busy) { try host.bind(physical, to: "vfio-pci") }
        #expect(try addresses(host) == [physical, first])
        try host.unplug(physical)
        #expect(try addresses(host).isEmpty)
    }

    @Test("a device that is taken from its driver takes them with it, and waits for their users")
    func unbind() throws {
        let host = try host()
        try host.setVirtualFunctionCount(1, of: physical)
        let node = try #require(try host.inventory().device(at: first)?.deviceNode)
        let file = try host.open(.device(node))
        #expect(throws: Errno.timedOut) { try host.bind(physical, to: nil, waitingAtMost: 5) }
        #expect(try host.inventory().device(at: physical)?.driver?.name == "vfio-pci")
        host.close(file)
        try host.bind(physical, to: nil)
        #expect(try addresses(host) == [physical])
        try host.bind(physical, to: "vfio-pci")
    }

    @Test("one beyond the last bus can't be made, and none where a device sits")
    func noRoom() throws {
        let last = PCIAddress(bus: 0xff, device: 0x1f, function: 0)
        let host = try SoftwareHost { IOMMUGroup(0) { PCIDevice(model, at: last) } }
        host.parameters.enableSRIOV = true
        #expect(throws: Errno.noMemory) { try host.setVirtualFunctionCount(1, of: last) }
        let other = Physical()
        let full = try SoftwareHost {
            IOMMUGroup(0) { PCIDevice(other, at: physical) }
            IOMMUGroup(1) { PCIDevice(Virtual(), at: second) }
        }
        full.parameters.enableSRIOV = true
        #expect(throws: Errno.busy) { try full.setVirtualFunctionCount(2, of: physical) }
        try full.setVirtualFunctionCount(1, of: physical)
    }
}

extension PCIAddress {
    fileprivate var next: PCIAddress { PCIAddress(bus: bus, device: device + 1, function: function) }
}
