import HostTestSupport
import LinuxSystem
import SoftwareDevices
import SoftwareHost
import Testing
import VFIO
import VFIOABI
import VFIOHost

@Suite("What the machine around a device tells of it")
struct SurroundingsTests {
    private func host(_ surroundings: PCISurroundings) throws -> FaultyHost {
        try machine { $0.groups[0].devices[0].surroundings = surroundings }
    }

    @Test("atomic operations that are completed on the way to memory", arguments: [RouteChoice.group, .cdev])
    func atomics(choice: RouteChoice) throws {
        let some = try Device(
            opening: benchAddress,
            on: host(PCISurroundings(atomicCompletions: [.completes32, .completes128])), choice)
        #expect(some.info.atomics == [.completes32, .completes128])
        #expect(some.info.capabilities == [DeviceCapabilityID.pciAtomicCompletion.rawValue])
        #expect(some.info.zpci == nil)
        let none = try Device(opening: benchAddress, on: try machine(), choice)
        #expect(none.info.atomics == [] && none.info.capabilities == [])
        #expect(!none.info.flags.contains(.caps))
    }

    @Test("a function of an IBM Z, its group, its string and its path")
    func mainframe() throws {
        let facts = ZPCIFunction(
            base: ZPCIBaseCapability(
                startDMA: 1 << 32, endDMA: 1 << 40, pchid: 0x11c, virtualFunction: 3, fmbLength: 128,
                functionType: 5, groupID: 4, functionHandle: 0x8001_0000),
            group: ZPCIGroupCapability(
                dasm: 1, msiAddress: 0xffff_f000, flags: .refresh, measurementInterval: 4000,
                interruptCount: 64, maxStoreBlock: 128, version: 2, maxInterpretedStoreBlock: 4096),
            utilityString: (0..<64).map { 0x40 + $0 }, functionPath: [1, 2, 3, 4])
        let device = try Device(
            opening: benchAddress, on: host(PCISurroundings(atomicCompletions: .completes64, zpci: facts)))
        let told = try #require(device.info.zpci)
        #expect(told.base.startDMA == 1 << 32 && told.base.endDMA == 1 << 40)
        #expect(told.base.functionHandle == 0x8001_0000 && told.base.header.version == 2)
        #expect(told.group.flags == .refresh && told.group.maxInterpretedStoreBlock == 4096)
        #expect(told.utilityString == facts.utilityString && told.functionPath == facts.functionPath)
        #expect(device.info.capabilities == [1, 2, 3, 4, 5])
        #expect(device.info.atomics == .completes64)
    }

    @Test("the operation region, the host bridge and the LPC bridge of Intel's graphics")
    func graphics() throws {
        let address = PCIAddress(bus: 0, device: 2, function: 0)
        let host = try machine { machine in
            machine.groups.append(
                IOMMUGroup(1, devices: [PCIDevice(try IntegratedGraphics(), at: address)]))
        }
        let device = try Device(opening: address, on: host)
        #expect(device.info.regionCount == 12)
        let region = try IntelOperationRegion(of: device)
        #expect(region.byteCount == IntegratedGraphics.operationRegionByteCount)
        #expect(region.version == (2, 0) && region.mailboxes & 8 != 0)
        #expect(region.videoTable.starts(with: IntegratedGraphics.tableName.utf8))
        #expect(region.videoTable.reduce(0, &+) == 0)
        let bridge = try device.region(of: .intelHostBridge)
        #expect(try bridge.load16(0) == 0x8086 && bridge.load32(0x5c) & ~1 == 0x7c00_0000)
        let chipset = try device.region(of: .intelISABridge)
        #expect(try chipset.load16(2) == 0xa145)
        let refusal = failure { () throws(VFIOError) in try chipset.store32(0, 0) }
        #expect(refusal?.errno == .invalid)
        try device.configuration.store32(IntelOperationRegion.addressRegister, 0x7f00_0000)
        #expect(try device.configuration.load32(IntelOperationRegion.addressRegister) == 0x7f00_0000)
    }

    @Test("bytes that are no operation region are told apart")
    func malformed() {
        var bytes = [UInt8](repeating: 0, count: 8192)
        #expect(IntelOperationRegion(bytes) == nil)
        bytes.replaceSubrange(0..<16, with: IntelOperationRegion.signature)
        #expect(IntelOperationRegion(bytes) == nil, "no length")
        bytes[16] = 9
        #expect(IntelOperationRegion(bytes) == nil, "longer than it is")
        bytes[16] = 8
        #expect(IntelOperationRegion(bytes)?.videoTable == [])
        bytes.replaceSubrange(0x400..<0x404, with: Array("$VBT".utf8))
        bytes[0x418] = 0xff
        bytes[0x419] = 0xff
        #expect(IntelOperationRegion(bytes)?.videoTable == [], "a table beyond the end")
        #expect(IntelOperationRegion(Array(bytes.prefix(100))) == nil)
    }
}
