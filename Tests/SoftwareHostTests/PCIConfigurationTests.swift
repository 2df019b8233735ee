import DeviceModel
import LinuxSystem
import Testing
import VFIOABI

@testable import SoftwareHost

@Suite("PCI driver: configuration space")
struct PCIConfigurationTests {
    private let command = 0x04

    @Test("Identity, class and header come from the device and can't be written")
    func identity() throws {
        let bench = try expressBench()
        try bench.driver.openDevice()
        let before = [0, 8, 0xe, 0x28, 0x2c].map { bench.config($0, 2) }
        for at in [0, 8, 0xe, 0x28, 0x2c] { bench.setConfig(at, 2, 0xffff) }
        #expect([0, 8, 0xe, 0x28, 0x2c].map { bench.config($0, 2) } == before)
        #expect(bench.config(0, 4) == 0x11e8_1b36)
        #expect(bench.config(8, 1) == 7)
    }

    @Test("Memory and ports are on and bus mastering is off when the device is opened")
    func commandAtOpen() throws {
        let bench = try expressBench()
        bench.function.configuration.write(0x407, at: 4, width: 2)
        try bench.driver.openDevice()
        #expect(bench.config(command, 2) == 0x0003)
        #expect(bench.function.configuration.command == 0x0003)
    }

    @Test("Bus mastering is the hardware's, Interrupt Disable is the driver's")
    func commandBits() throws {
        let bench = conventionalBench()
        try bench.driver.openDevice()
        bench.setConfig(command, 2, 0x0406)
        #expect(bench.config(command, 2) == 0x0406)
        #expect(bench.function.isBusMasterEnabled)
        #expect(bench.function.configuration.command & 0x400 == 0)
    }

    @Test("A single byte of COMMAND changes nothing but that byte")
    func commandBytes() throws {
        let bench = conventionalBench()
        try bench.driver.openDevice()
        bench.setConfig(5, 1, 0x04)
        #expect(bench.config(command, 2) == 0x0402)
        bench.setConfig(4, 1, 0x06)
        #expect(bench.config(command, 2) == 0x0406)
    }

    @Test("Error bits of STATUS are live and can't be cleared")
    func status() throws {
        let bench = conventionalBench()
        try bench.driver.openDevice()
        bench.function.configuration.setHardware(0xf910, at: 6, width: 2)
        bench.setConfig(6, 2, 0xffff)
        #expect(bench.config(6, 2) == 0xf910)
        bench.function.setLine(true)
        #expect(bench.config(6, 2) == 0xf918)
    }

    @Test("BARs are sized as every operating system does it")
    func sizing() throws {
        let bench = try expressBench()
        try bench.driver.openDevice()
        let original = (0..<6).map { bench.config(0x10 + 4 * $0, 4) }
        #expect(original[0] & 0xf == 4)
        #expect(original[2] & 0xf == 8)
        #expect(original[4] & 0x3 == 1)
        #expect(original[0] & 0xffff == 4 && original[1] != 0)
        for index in 0..<6 { bench.setConfig(0x10 + 4 * index, 4, 0xffff_ffff) }
        #expect(
            (0..<6).map { bench.config(0x10 + 4 * $0, 4) } == [
                0xffff_0004, 0xffff_ffff, 0xffff_c008, 0, 0xffff_ffe1, 0,
            ])
        for index in 0..<6 { bench.setConfig(0x10 + 4 * index, 4, original[index]) }
        #expect((0..<6).map { bench.config(0x10 + 4 * $0, 4) } == original)
    }

    @Test("Sizing a BAR doesn't move the hardware's")
    func sizingIsVirtual() throws {
        let bench = try expressBench()
        try bench.driver.openDevice()
        let hardware = bench.function.configuration.value(at: 0x10, width: 4)
        bench.setConfig(0x10, 4, 0xffff_ffff)
        #expect(bench.function.configuration.value(at: 0x10, width: 4) == hardware)
    }

    @Test("A BAR written byte by byte keeps its type and size")
    func sizingByBytes() throws {
        let bench = try expressBench()
        try bench.driver.openDevice()
        for index in 0..<4 { bench.setConfig(0x18 + index, 1, 0xff) }
        #expect(bench.config(0x18, 4) == 0xffff_c008)
    }

    @Test("The ROM's BAR is sized, and keeps its enable bit")
    func romSizing() throws {
        let bench = try expressBench()
        try bench.driver.openDevice()
        bench.setConfig(0x30, 4, 0xffff_ffff)
        #expect(bench.config(0x30, 4) == 0xffff_f801)
        bench.setConfig(0x30, 4, 0xffff_fffe)
        #expect(bench.config(0x30, 4) == 0xffff_f800)
        let other = conventionalBench()
        try other.driver.openDevice()
        other.setConfig(0x30, 4, 0xffff_ffff)
        #expect(other.config(0x30, 4) == 0)
    }

    @Test("The interrupt line can be written and the pin can't")
    func line() throws {
        let bench = conventionalBench()
        try bench.driver.openDevice()
        bench.setConfig(0x3c, 2, 0x0a0b)
        #expect(bench.config(0x3c, 2) == 0x010b)
        #expect(bench.function.configuration.value(at: 0x3c, width: 1) == 0)
    }

    @Test("Cache line size and latency go to the hardware")
    func cacheLine() throws {
        let bench = conventionalBench()
        try bench.driver.openDevice()
        bench.setConfig(0x0c, 1, 0x10)
        #expect(bench.function.configuration.value(at: 0x0c, width: 1) == 0x10)
        #expect(bench.config(0x0c, 1) == 0x10)
    }

    @Test("Capabilities that Linux doesn't show are unlinked, and their bytes go to the hardware as they are")
    func hidden() throws {
        let function = PCIFunction(
            PCIIdentity(vendor: 1, device: 2, classCode: 0), bars: [0: BAR(.memory32, byteCount: 16)])
        let slot = function.configuration.addCapability(id: 0x04, body: [1, 2], writable: [0xff, 0])
        function.addPowerManagement()
        function.configuration.addCapability(id: 0x0d, body: [0, 0, 0, 0, 0, 0])
        function.configuration.addCapability(id: 0x14, body: [0, 0])
        function.configuration.addCapability(id: 0x09, body: [6, 0, 0, 0], writable: [0, 0xff, 0xff, 0xff])
        let bench = Bench(TestDevice(function))
        try bench.driver.openDevice()
        #expect(bench.chain == [0x01, 0x09])
        #expect(bench.config(6, 2) & 0x10 != 0)
        bench.setConfig(slot + 2, 2, 0xabcd)
        #expect(bench.config(slot, 4) == function.configuration.value(at: slot, width: 4))
        #expect(bench.config(slot + 2, 1) == 0xcd)
        let vendor = try #require(function.configuration.capability(0x09))
        bench.setConfig(vendor + 3, 1, 0x77)
        #expect(function.configuration.value(at: vendor + 3, width: 1) == 0x77)
    }

    @Test("With every capability hidden STATUS says that there are none")
    func allHidden() throws {
        let function = PCIFunction(PCIIdentity(vendor: 1, device: 2, classCode: 0), bars: [:])
        function.configuration.addCapability(id: 0x0d, body: [0, 0, 0, 0, 0, 0])
        let bench = Bench(TestDevice(function))
        try bench.driver.openDevice()
        #expect(bench.config(6, 2) & 0x10 == 0)
        #expect(bench.config(0x34, 1) == 0)
    }

    private func extended(_ ids: [UInt16]) throws -> Bench {
        let function = PCIFunction(
            PCIIdentity(vendor: 1, device: 2, classCode: 0), bars: [:], isExpress: true)
        function.addExpress()
        for id in ids {
            function.configuration.addExtendedCapability(
                id: id, version: 1, body: [UInt8](repeating: 0, count: 0x2c),
                writable: [UInt8](repeating: 0xff, count: 0x2c))
        }
        let bench = Bench(TestDevice(function))
        try bench.driver.openDevice()
        return bench
    }

    @Test("PASID and unknown extended capabilities are unlinked")
    func hiddenExtended() throws {
        #expect(try extended([0x03, 0x1b, 0x01, 0x30]).extendedChain == [0x03, 0x01])
    }

    @Test("A hidden extended capability at the beginning stays as one without meaning")
    func hiddenFirstExtended() throws {
        let bench = try extended([0x1b, 0x03])
        #expect(bench.extendedChain == [0x00, 0x03])
        #expect(bench.config(0x100, 4) & 0xf_ffff == 0)
    }

    @Test("Error reporting can be written, a serial number can't, nor can any header")
    func extendedWrites() throws {
        let bench = try extended([0x01, 0x03])
        let errors = 0x100
        let serial = Int(bench.config(0x100, 4) >> 20)
        let header = bench.config(serial, 4)
        bench.setConfig(errors + 8, 4, 0x1234_5678)
        #expect(bench.config(errors + 8, 4) == 0x1234_5678)
        bench.setConfig(errors + 0x18, 4, 0xffff_ffff)
        #expect(bench.config(errors + 0x18, 4) == 0x140)
        bench.setConfig(serial + 4, 4, 0x1234_5678)
        #expect(bench.config(serial + 4, 4) == 0)
        bench.setConfig(serial, 4, 0)
        #expect(bench.config(serial, 4) == header)
    }

    @Test("A chain of capabilities that loops ends")
    func loop() throws {
        let function = PCIFunction(PCIIdentity(vendor: 1, device: 2, classCode: 0), bars: [:])
        let at = function.addPowerManagement()
        function.configuration.setHardware(UInt32(at), at: at + 1, width: 1)
        let bench = Bench(TestDevice(function))
        try bench.driver.openDevice()
        #expect(bench.chain == [0x01])
    }

    @Test("Power management: no wake-up events, states change the device, D3hot turns BARs off")
    func power() throws {
        let bench = conventionalBench()
        try bench.driver.openDevice()
        let at = try #require(bench.function.configuration.capability(0x01))
        #expect(bench.config(at + 2, 2) & 0xf800 == 0)
        bench.setConfig(at + 4, 2, 0x8100)
        #expect(bench.config(at + 4, 2) & 0x8100 == 0)
        bench.setConfig(0x10, 4, 0x1234_5600)
        bench.setConfig(at + 4, 2, 3)
        #expect(bench.config(at + 4, 2) & 3 == 3)
        #expect(errno { try bench.read(0, 0, 4) } == .inputOutput)
        bench.setConfig(at + 4, 2, 1)  // D1 doesn't exist
        #expect(bench.config(at + 4, 2) & 3 == 3)
        let resets = bench.device.resets.count
        let address = bench.function.configuration.value(at: 0x10, width: 4)
        bench.setConfig(at + 4, 2, 0)
        #expect(bench.device.resets.count == resets + 1)
        #expect(bench.device.resets.last == .power)
        #expect(bench.function.configuration.value(at: 0x10, width: 4) == address)
        #expect(try bench.read(0, 0, 4).count == 4)
        #expect(bench.config(0x10, 4) == 0x1234_5600)
    }

    @Test("With No_Soft_Reset the device comes back from D3hot as it was")
    func powerWithoutReset() throws {
        let bench = conventionalBench(noSoftReset: true)
        try bench.driver.openDevice()
        let at = try #require(bench.function.configuration.capability(0x01))
        let resets = bench.device.resets.count
        bench.setConfig(at + 4, 1, 3)
        bench.setConfig(at + 4, 1, 0)
        #expect(bench.device.resets.count == resets)
    }

    @Test("MSI's enable bit sticks only while SET_IRQS has vectors, and outlives them")
    func msiEnable() throws {
        let bench = try expressBench()
        try bench.driver.openDevice()
        let at = try #require(bench.function.configuration.capability(0x05))
        bench.setConfig(at + 2, 2, bench.config(at + 2, 2) | 1)
        #expect(bench.config(at + 2, 2) & 1 == 0)
        let event = try EventDescriptor()
        try bench.setEvents(.msi, [event.number])
        #expect(bench.config(at + 2, 2) & 1 == 0)
        #expect(bench.function.msi?.isEnabled == true)
        bench.setConfig(at + 2, 2, bench.config(at + 2, 2) | 1)
        #expect(bench.config(at + 2, 2) & 1 == 1)
        try bench.setIRQs(.msi, [.dataNone, .actionTrigger], count: 0)
        #expect(bench.config(at + 2, 2) & 1 == 1)
        bench.setConfig(at + 2, 2, bench.config(at + 2, 2))
        #expect(bench.config(at + 2, 2) & 1 == 0)
    }

    @Test("MSI tells of as many vectors as were used last, and allows no more")
    func msiCount() throws {
        let bench = try expressBench()
        try bench.driver.openDevice()
        let at = try #require(bench.function.configuration.capability(0x05))
        #expect(bench.config(at + 2, 2) >> 1 & 7 == 2)
        bench.setConfig(at + 2, 1, 0xf0)
        #expect(bench.config(at + 2, 2) >> 4 & 7 == 2)
        try bench.setEvents(.msi, [-1])
        #expect(bench.config(at + 2, 2) >> 1 & 7 == 0)
        try bench.setIRQs(.msi, [.dataNone, .actionTrigger], count: 0)
        #expect(bench.config(at + 2, 2) >> 1 & 7 == 0)
        #expect(try bench.irqInfo(PCIInterrupt.msi.rawValue).count == 4)
        try bench.setEvents(.msi, [-1, -1, -1])
        #expect(bench.config(at + 2, 2) >> 1 & 7 == 2)
    }

    @Test("MSI's address and data are the driver's own, its masks the hardware's")
    func msiAddress() throws {
        let bench = try expressBench()
        try bench.driver.openDevice()
        let at = try #require(bench.function.configuration.capability(0x05))
        bench.setConfig(at + 4, 4, 0xfee0_1004)
        bench.setConfig(at + 12, 2, 0x4021)
        #expect(bench.config(at + 4, 4) == 0xfee0_1004)
        #expect(bench.config(at + 12, 2) == 0x4021)
        #expect(bench.function.configuration.value(at: at + 4, width: 4) == 0)
        bench.setConfig(at + 16, 4, 0x5)
        #expect(bench.function.configuration.value(at: at + 16, width: 4) == 0x5)
    }

    @Test("MSI-X control can't be written and shows whether SET_IRQS has vectors")
    func msixControl() throws {
        let bench = try expressBench()
        try bench.driver.openDevice()
        let at = try #require(bench.function.configuration.capability(0x11))
        bench.setConfig(at + 2, 2, 0xffff)
        #expect(bench.config(at + 2, 2) == 7)
        try bench.setEvents(.msix, [-1])
        #expect(bench.config(at + 2, 2) == 0x8007)
        bench.setConfig(at + 2, 2, 0)
        #expect(bench.config(at + 2, 2) == 0x8007)
        try bench.setIRQs(.msix, [.dataNone, .actionTrigger], count: 0)
        #expect(bench.config(at + 2, 2) == 7)
    }

    @Test(
        "Express: the reset bit resets and reads 0; payload is virtual; requests aren't shorter than payloads"
    )
    func express() throws {
        let bench = try expressBench()
        try bench.driver.openDevice()
        let at = try #require(bench.function.configuration.capability(0x10))
        let resets = bench.device.resets.count
        bench.setConfig(at + 8, 2, bench.config(at + 8, 2) | 0x8000)
        #expect(bench.device.resets.count == resets + 1)
        #expect(bench.device.resets.last == .function)
        #expect(bench.config(at + 8, 2) & 0x8000 == 0)
        #expect(bench.config(4, 2) == 3)

        bench.function.configuration.write(0x2020, at: at + 8, width: 2)  // the kernel's payload: 256
        bench.setConfig(at + 8, 2, 0x0040)  // payload 512, requests 128
        #expect(bench.config(at + 8, 2) & 0x70e0 == 0x0040)
        #expect(bench.function.configuration.value(at: at + 8, width: 2) & 0x70e0 == 0x1020)
        bench.setConfig(at + 0x0c, 4, 0)
        #expect(bench.config(at + 0x0c, 4) == 0x13)
    }

    @Test("Advanced Features: the reset bit resets a conventional device")
    func advancedFeatures() throws {
        let function = PCIFunction(
            PCIIdentity(vendor: 1, device: 2, classCode: 0), bars: [0: BAR(.memory32, byteCount: 16)])
        let at = function.addAdvancedFeatures()
        let bench = Bench(TestDevice(function))
        try bench.driver.openDevice()
        let resets = bench.device.resets.count
        bench.setConfig(at + 4, 1, 1)
        #expect(bench.device.resets.count == resets + 1)
        #expect(bench.config(at + 4, 1) == 0)
    }

    @Test("Vital Product Data is read and written through its address and flag")
    func productData() throws {
        let function = PCIFunction(PCIIdentity(vendor: 1, device: 2, classCode: 0), bars: [:])
        let at = function.addVitalProductData([1, 2, 3, 4, 5, 6, 7, 8])
        let bench = Bench(TestDevice(function))
        try bench.driver.openDevice()
        bench.setConfig(at + 2, 2, 4)
        #expect(bench.config(at + 2, 2) == 0x8004)
        #expect(bench.config(at + 4, 4) == 0x0807_0605)
        bench.setConfig(at + 4, 4, 0xa1b2_c3d4)
        bench.setConfig(at + 2, 2, 0x8000)
        #expect(bench.config(at + 2, 2) == 0)
        bench.setConfig(at + 2, 2, 0)
        #expect(bench.config(at + 4, 4) == 0xa1b2_c3d4)
        bench.setConfig(at + 2, 2, 2)  // misaligned: kept, nothing done
        #expect(bench.config(at + 2, 2) == 2)
    }

    @Test("An access beyond configuration space is EFAULT and never clipped")
    func bounds() throws {
        let bench = conventionalBench()
        try bench.driver.openDevice()
        #expect(errno { try bench.read(7, 256, 1) } == .badAddress)
        #expect(errno { try bench.read(7, 254, 4) } == .badAddress)
        #expect(errno { try bench.write(7, 255, [0, 0]) } == .badAddress)
        #expect(try bench.read(7, 256, 0) == [])
        #expect(try bench.read(7, 0, 256).count == 256)
    }

    @Test("One long read gives the same as many short ones")
    func longRead() throws {
        let bench = try expressBench()
        try bench.driver.openDevice()
        let long = try bench.read(7, 0, 4096)
        #expect((0..<4096).map { UInt8(bench.config($0, 1)) } == long)
    }

    @Test("A device that was reset behind the driver's back gets its addresses again with COMMAND")
    func backdoorReset() throws {
        let bench = try expressBench()
        try bench.driver.openDevice()
        let address = bench.function.configuration.value(at: 0x14, width: 4)
        bench.device.performReset(.function)
        #expect(bench.function.configuration.value(at: 0x14, width: 4) == 0)
        #expect(bench.config(4, 2) & 3 == 0)
        bench.setConfig(4, 2, 3)
        #expect(bench.function.configuration.value(at: 0x14, width: 4) == address)
        #expect(bench.config(4, 2) & 3 == 3)
    }

    @Test("Random writes and reads anywhere never trap and never change who the device is")
    func fuzz() throws {
        let seed = UInt64.random(in: 0 ... .max)
        print("configuration fuzz seed: \(seed)")
        var random = SplitMix(state: seed)
        for bench in [try expressBench(), conventionalBench()] {
            try bench.driver.openDevice()
            let size = UInt64(bench.function.configuration.byteCount)
            for _ in 0..<20_000 {
                let offset = random.next() % (size + 8)
                let count = Int(random.next() % 9)
                let bytes = (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next()) }
                let wrote = errno { try bench.write(7, offset, bytes) }
                let fits = count == 0 || (offset < size && UInt64(count) <= size - offset)
                #expect((wrote == nil) == fits)
                #expect((errno { try bench.read(7, offset, count) } == nil) == fits)
            }
            #expect(bench.config(0, 2) == UInt32(bench.function.identity.vendor))
            bench.driver.closeDevice()
        }
    }
}
