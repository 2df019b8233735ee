import DeviceModel
import LinuxSystem
import SoftwareDevices
import Testing
import VFIOABI
import VFIOHost

@testable import SoftwareHost

@Suite("PCI driver: resets")
struct PCIResetTests {
    @Test("The ways to reset a function are those that it offers, in the kernel's order")
    func ladder() throws {
        #expect(try expressBench().driver.resetMethods == [.functionLevel])
        #expect(conventionalBench().driver.resetMethods == [.power])
        #expect(conventionalBench(noSoftReset: true).driver.resetMethods == [])
        let all = conventionalBench(isAloneOnBus: true, hasAdvancedFeatures: true)
        #expect(all.driver.resetMethods == [.advancedFeatures, .power, .bus])
    }

    @Test("An administrator's order is followed, at the first opening and by RESET")
    func order() throws {
        let bench = conventionalBench(isAloneOnBus: true, hasAdvancedFeatures: true)
        bench.driver.resetPolicy.methods = [.bus, .power]
        try bench.driver.openDevice()
        bench.driver.resetPolicy.methods = [.power, .bus]
        try bench.control(.deviceReset)
        // One that is no longer offered is passed over.
        bench.driver.resetPolicy.methods = [.functionLevel, .advancedFeatures]
        try bench.control(.deviceReset)
        #expect(bench.device.resets == [.bus, .power, .function])
    }

    @Test("RESET is EINVAL if none worked at opening, and ENOTTY if none is left since")
    func none() throws {
        let bench = try expressBench()
        bench.driver.resetPolicy.methods = []
        try bench.driver.openDevice()
        #expect(try flags(of: bench) == [.pci])
        #expect(errno { try bench.control(.deviceReset) } == .invalid)
        bench.driver.resetPolicy.methods = nil
        #expect(errno { try bench.control(.deviceReset) } == .invalid)
        bench.driver.closeDevice()
        try bench.driver.openDevice()
        #expect(try flags(of: bench) == [.pci, .reset])
        bench.driver.resetPolicy.methods = []
        #expect(errno { try bench.control(.deviceReset) } == .noSuchRequest)
        #expect(try flags(of: bench) == [.pci, .reset])
    }

    private func flags(of bench: Bench) throws -> DeviceFlags {
        var info = DeviceInfo()
        _ = try bench.control(.deviceGetInfo, &info)
        return info.flags
    }

    @Test("While somebody else resets the device, opening it and RESET are EAGAIN")
    func contention() throws {
        let bench = try expressBench()
        let policy = bench.driver.resetPolicy
        #expect(policy.take())
        #expect(errno { try bench.driver.openDevice() } == .again)
        policy.giveBack()
        try bench.driver.openDevice()
        let resets = bench.device.resets.count
        #expect(policy.take())
        #expect(errno { try bench.control(.deviceReset) } == .again)
        #expect(bench.device.resets.count == resets)
        policy.giveBack()
        try bench.control(.deviceReset)
    }

    @Test("RESET ends a user's D3hot, even if there is no way left to reset")
    func power() throws {
        let bench = try expressBench()
        try bench.driver.openDevice()
        let power = try #require(bench.function.configuration.capability(1))
        for methods in [[], nil] as [[PCIResetMethod]?] {
            bench.driver.resetPolicy.methods = methods
            bench.setConfig(power + 4, 2, 3)
            #expect(bench.config(power + 4, 2) & 3 == 3)
            _ = errno { try bench.control(.deviceReset) }
            #expect(bench.config(power + 4, 2) & 3 == 0)
            #expect(errno { try bench.read(0, 0, 4) } == nil)
        }
    }

    @Test("The line and its mask survive a reset, and so do MSI's masks")
    func interruptsSurvive() throws {
        let bench = conventionalBench()
        try bench.driver.openDevice()
        let event = try EventDescriptor()
        try bench.setEvents(.intx, [event.number])
        try bench.setIRQs(.intx, [.dataNone, .actionMask], count: 1)
        try bench.control(.deviceReset)
        bench.function.setLine(true)
        #expect(event.taken == 0)
        try bench.setIRQs(.intx, [.dataNone, .actionUnmask], count: 1)
        #expect(event.taken == 1)

        let messages = try expressBench()
        try messages.driver.openDevice()
        messages.setConfig(4, 2, 7)
        try messages.setEvents(.msi, [-1, event.number])
        try messages.control(.deviceReset)
        messages.function.signal(vector: 1)
        #expect(event.taken == 1)
        messages.function.signal(vector: 0)
        let other = try EventDescriptor()
        try messages.setEvents(.msi, [other.number])
        #expect(other.taken == 1)
    }

    private func machine() throws -> (SoftwareHost, Educational, PCIAddress) {
        let edu = Educational()
        edu.function.addPowerManagement(noSoftReset: false)
        let host = try SoftwareHost {
            IOMMU(.type1, pageSizes: [.kib4])
            IOMMUGroup(1) { PCIDevice(edu, at: "0000:00:04.0") }
        }
        return (host, edu, PCIAddress(bus: 0, device: 4, function: 0))
    }

    @Test("reset_method takes the kernel's words, and a bad one changes nothing")
    func words() throws {
        let (host, _, address) = try machine()
        let names = { try host.resetMethods(of: address).map(\.name) }
        #expect(try names() == ["pm"])
        #expect(try host.inventory().devices.map(\.resetMethods) == [["pm"]])
        try host.setResetMethods(text: " pm  pm\n", of: address)
        #expect(try names() == ["pm", "pm"])
        for bad in ["flr", "pm nonsense", "bus pm", "default pm", "pm pm pm pm pm pm pm pm"] {
            #expect(errno { try host.setResetMethods(text: bad, of: address) } == .invalid, "\(bad)")
        }
        #expect(try names() == ["pm", "pm"])
        try host.setResetMethods(text: "\n", of: address)
        #expect(try names() == [])
        #expect(errno { try host.reset(address) } == .noSuchRequest)
        // The choice is the device's: it outlives the driver.
        try host.bind(address, to: nil)
        #expect(errno { try host.resetMethods(of: address) } == .noDevice)
        try host.bind(address, to: "vfio-pci")
        #expect(try names() == [])
        try host.setResetMethods(text: "default", of: address)
        #expect(try names() == ["pm"])
        try host.reset(address)
        #expect(errno { try host.reset(PCIAddress(bus: 9, device: 9, function: 0)) } == .noDevice)
    }

    @Test("What the host does to a device reaches its user: errors, a wake-up, too few vectors")
    func hostSide() throws {
        let (host, _, address) = try machine()
        let device = try OpenDevice(on: host, group: 1, name: "0000:00:04.0")
        let event = try PCIEvent()
        #expect(try !host.reportError(of: address))
        try host.wake(address)
        try device.feature(4, [event.number, 0])
        #expect(event.taken == 0)
        try host.wake(address)
        #expect(event.taken == 1)
        try host.wake(address)
        #expect(event.taken == 0)
        #expect(errno { try host.setVectorLimit(-1, of: address) } == .invalid)
        try host.setVectorLimit(0, of: address)
        #expect(errno { try device.setMessage(event.number) } == .noSpace)
        try host.setVectorLimit(nil, of: address)
        try device.setMessage(event.number)
        try device.feature(4, [event.number, 0])
        try host.reset(address)
        #expect(event.taken == 1)
    }
}

/// A device that was opened through its group, with requests made of words.
private struct OpenDevice {
    let host: SoftwareHost
    let number: Int32

    init(on host: SoftwareHost, group: Int, name: String) throws {
        self.host = host
        let container = try host.open(.container)
        let group = try host.open(.group(group))
        var word = container
        _ = try unsafe withUnsafeMutableBytes(of: &word) {
            try host.control(
                group, UInt32(Request.groupSetContainer.rawValue), UInt(bitPattern: $0.baseAddress))
        }
        _ = try host.control(container, UInt32(Request.setIOMMU.rawValue), 3)
        let text = Array(name.utf8) + [0]
        number = try unsafe text.span.withUnsafeBytes {
            try host.control(
                group, UInt32(Request.groupGetDeviceFD.rawValue), UInt(bitPattern: $0.baseAddress))
        }
    }

    private func ask(_ request: Request, _ words: [Int32]) throws {
        let bytes = Bench.bytes(words)
        _ = try unsafe bytes.span.withUnsafeBytes {
            try host.control(number, UInt32(request.rawValue), UInt(bitPattern: $0.baseAddress))
        }
    }

    func feature(_ id: Int32, _ payload: [Int32]) throws {
        try ask(.deviceFeature, [Int32(8 + 4 * payload.count), id | 1 << 17] + payload)
    }

    func setMessage(_ event: Int32) throws {
        try ask(.deviceSetIRQs, [24, 0x24, 1, 0, 1, event])
    }
}
