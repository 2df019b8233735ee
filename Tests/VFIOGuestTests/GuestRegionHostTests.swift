import DeviceModel
import HostTestSupport
import LinuxSystem
import SoftwareDevices
import SoftwareHost
import Testing
import VFIO
import VFIOABI
import VFIOHost

@testable import VFIOGuest

/// Registers that keep what is written to them.
private final class Scratch: DeviceModel, @unchecked Sendable {
    let function: PCIFunction
    let accesses = Box<[String]>([])

    init() throws {
        function = PCIFunction(
            PCIIdentity(vendor: 0x1234, device: 0x5681, classCode: 0xff0000),
            bars: [0: BAR(.memory64, byteCount: 4096)])
    }

    func readRegister(bar: Int, offset: UInt64, width: Int) -> UInt64 { 0x8877_6655_4433_2211 }
    func writeRegister(bar: Int, offset: UInt64, width: Int, value: UInt64) {
        accesses.change { $0.append("\(width)@\(offset)=\(String(value, radix: 16))") }
    }
    func reset(_ kind: ResetKind) {}
}

@Suite("A guest's registers, whatever the host does")
struct GuestRegionHostTests {
    private let memory = GuestMemory()
    private let model: Scratch
    private let host: FaultyHost
    private let device: Device

    init() throws {
        let model = try Scratch()
        self.model = model
        let address = GuestMachine.address(0)
        host = FaultyHost(try SoftwareHost { IOMMUGroup(1) { PCIDevice(model, at: address) } })
        device = try Device(opening: address, on: host, .group)
        try device.setMemoryEnabled(true)
    }

    private func registers(_ region: GuestRegion) throws -> any RegisterAccess {
        guard case .io(let registers) = region.memory.kind else { throw Errno.invalid }
        return registers
    }

    @Test("1.2 Values are little-endian on the wire, in accesses of 1, 2, 4 and 8 bytes")
    func widths() throws {
        let region = try GuestRegion(.bar0, of: device, in: memory)
        let space = GuestAddressSpace("memory", showing: region.memory)
        host.madeUpRead = { offset, bytes in
            guard offset >> 40 == 0 else { return nil }
            for index in 0..<bytes.byteCount {
                bytes.storeBytes(of: UInt8(index + 1), toByteOffset: index, as: UInt8.self)
            }
            return bytes.byteCount
        }
        #expect(try space.load(UInt8.self, at: GuestAddress(3)) == 0x01)
        #expect(try space.load(UInt16.self, at: GuestAddress(2)) == 0x0201)
        #expect(try space.load(UInt32.self, at: GuestAddress(4)) == 0x0403_0201)
        #expect(try space.load(UInt64.self, at: GuestAddress(8)) == 0x0807_0605_0403_0201)
        let written = Box<[[UInt8]]>([])
        host.madeUpWrite = { offset, bytes in
            guard offset >> 40 == 0 else { return nil }
            written.change {
                $0.append((0..<bytes.byteCount).map { bytes.unsafeLoad(fromByteOffset: $0, as: UInt8.self) })
            }
            return bytes.byteCount
        }
        try space.store(UInt8(0x11), at: GuestAddress(3))
        try space.store(UInt16(0x2211), at: GuestAddress(2))
        try space.store(UInt32(0x4433_2211), at: GuestAddress(4))
        try space.store(UInt64(0x8877_6655_4433_2211), at: GuestAddress(8))
        let bytes: [UInt8] = [0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88]
        #expect(written.value == [1, 2, 4, 8].map { Array(bytes.prefix($0)) })
    }

    @Test("1.2 A host that gives or takes too few bytes: ones are read, the write is lost, and both are told")
    func short() throws {
        let region = try GuestRegion(.bar0, of: device, in: memory)
        let space = GuestAddressSpace("memory", showing: region.memory)
        let failures = Box<[VFIOGuestError]>([])
        let accesses = Box(0)
        region.setFailureHook { error in failures.change { $0.append(error) } }
        region.setAccessHook { accesses.value += 1 }
        host.madeUpRead = { offset, bytes in offset >> 40 == 0 ? bytes.byteCount / 2 : nil }
        host.madeUpWrite = { offset, bytes in offset >> 40 == 0 ? bytes.byteCount / 2 : nil }
        #expect(try space.load(UInt32.self, at: GuestAddress(4)) == .max)
        #expect(try space.load(UInt64.self, at: GuestAddress(8)) == .max)
        try space.store(UInt32(5), at: GuestAddress(4))
        #expect(failures.value.map(\.errno) == [.inputOutput, .inputOutput, .inputOutput])
        #expect(failures.value[0].object == "BAR 0 of 0000:01:00.0")
        #expect(failures.value[0].operation.contains("read 4 bytes at 0x4"))
        #expect(failures.value[2].operation.contains("write 4 bytes at 0x4"))
        #expect(accesses.value == 3, "failed accesses acknowledge the line too")
    }

    @Test(
        "Fault 19: An access of a width that there isn't reaches no host, whatever the width and the offset")
    func widthsThatAreNone() throws {
        let registers = try registers(try GuestRegion(.bar0, of: device, in: memory))
        let before = host.callCount
        for width in [0, 3, 5, 6, 7, 9, 16, 4096, -1, .max, .min] {
            #expect(registers.read(at: 0, width: width) == .max)
            registers.write(.max, at: 0, width: width)
        }
        for offset in [4096, 1 << 40, 1 << 63, .max, .max - 3] as [UInt64] {
            #expect(registers.read(at: offset, width: 4) == .max)
            registers.write(.max, at: offset, width: 4)
        }
        #expect(host.callCount == before)
        #expect(model.accesses.value.isEmpty)
    }

    @Test("1.13 A region that the host doesn't let be mapped is reached access by access, and has no parts")
    func notMappable() throws {
        let region = try GuestRegion(.bar0, of: device, in: memory)
        #expect(region.memory.subregions.isEmpty && !region.isMapped && region.mappingFailure == nil)
        #expect(!host.allCalls.contains(.map))
        #expect(region.memory.byteCount == 4096)
    }

    @Test("1.13 A region of length 0 is nothing that a guest can have")
    func empty() throws {
        let error = thrown { () throws(VFIOGuestError) in
            try GuestRegion(.bar4, of: device, in: memory)
        }
        #expect(error?.code == .notSupported)
        #expect(error?.object == "BAR 4 of 0000:01:00.0")
    }
}

@Suite("A guest's mapped registers, whatever the host does")
struct GuestRegionMappingTests {
    private let memory = GuestMemory()
    private let host: FaultyHost
    private let device: Device

    init() throws {
        let model = try RegionSampler()
        let address = GuestMachine.address(0)
        host = FaultyHost(try SoftwareHost { IOMMUGroup(1) { PCIDevice(model, at: address) } })
        device = try Device(opening: address, on: host, .group)
        try device.setMemoryEnabled(true)
    }

    /// A BAR with a part that can be mapped.
    private func mappable() throws -> RegionIndex {
        try #require(
            [RegionIndex.bar0, .bar1, .bar2, .bar3, .bar4, .bar5].first {
                (try? device.region($0))?.mappedAreas.isEmpty == false
            })
    }

    @Test("1.13 Each mapped part lies as device memory over the registers, named after the region")
    func names() throws {
        let region = try GuestRegion(try mappable(), of: device, in: memory)
        for (number, part) in region.memory.subregions.enumerated() {
            #expect(part.name == "\(region.region.index) of 0000:01:00.0 mmaps[\(number)]")
            #expect(part.isRAMDevice)
            #expect(part.offset == UInt64(region.region.mappedAreas[number].offset))
        }
        #expect(region.isMapped && region.mappingFailure == nil)
    }

    @Test("1.13 If a part can't be mapped none is, the guest's accesses are carried out, and it is told why")
    func degraded() throws {
        let index = try mappable()
        let parts = try device.region(index).mappedAreas.count
        for failing in 1...parts {
            let count = Box(0)
            host.healAll()
            let before = host.mappingCount
            host.fail(
                calls: { call in
                    guard call == .map else { return false }
                    count.value += 1
                    return count.value == failing
                }, with: .noMemory)
            let region = try GuestRegion(index, of: device, in: memory)
            #expect(region.mappingFailure?.errno == .noMemory)
            #expect(region.memory.subregions.isEmpty && !region.isMapped)
            #expect(host.mappingCount == before, "what was mapped before the failure is unmapped")
            let space = GuestAddressSpace("\(failing)", showing: region.memory)
            let calls = host.callCount
            _ = try space.load(UInt32.self, at: GuestAddress(0))
            #expect(host.callCount > calls)
        }
    }

    @Test("1.13 Mapped parts go with the region, but not while another device has them mapped for DMA")
    func finalize() throws {
        let index = try mappable()
        let before = host.mappingCount
        var region: GuestRegion? = try GuestRegion(index, of: device, in: memory)
        var part = try #require(region?.memory.subregions.first?.block) as RAMBlock?
        #expect(host.mappingCount > before)
        region = nil
        #expect(host.mappingCount > before && part != nil)
        part = nil
        #expect(host.mappingCount == before)
    }

    @Test("1.13 While a line is pending no part is mapped; when it has been quiet for a while all are again")
    func pending() throws {
        let region = try GuestRegion(try mappable(), of: device, in: memory)
        host.accept(.deviceSetIRQs)
        let trigger = try EventDescriptor()
        let line = try GuestLine(device, trigger: trigger.number, regions: [region])
        line.raised()
        #expect(!region.isMapped)
        #expect(!line.resumeMapping(), "it must be acknowledged by an access")
        #expect(!region.isMapped)
        let space = GuestAddressSpace("registers", showing: region.memory)
        _ = try space.load(UInt32.self, at: GuestAddress(0))
        #expect(!line.isRaised && !region.isMapped)
        #expect(line.resumeMapping())
        #expect(region.isMapped)
        try line.disable()
    }
}
