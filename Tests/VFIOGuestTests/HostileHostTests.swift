import HostTestSupport
import IOVASpace
import LinuxSystem
import SoftwareHost
import Testing
import VFIO
import VFIOABI
import VFIOHost

@testable import VFIOGuest

/// Hosts may be servers at the other end of a socket, which answer what they like.
@Suite("Answers that contradict the uAPI end in errors")
struct HostileHostTests {
    private let memory = GuestMemory()

    private func device(_ machine: FaultyMachine) throws -> Device {
        try Device(opening: GuestMachine.address(0), on: machine.host, .group)
    }

    private func attach(_ machine: FaultyMachine) -> VFIOGuestError? {
        thrown { () throws(VFIOGuestError) in
            try machine.devices.attach(GuestMachine.address(0), to: machine.machine.space)
        }
    }

    /// An answer about a region of 16 pages that may be mapped, with a capability behind it.
    private func region(
        _ index: UInt32, flags: RegionFlags = [.read, .write, .mmap, .caps], size: UInt64 = 0x1_0000
    )
        -> RegionInfo
    {
        RegionInfo(
            flags: flags, index: index, capabilityOffset: 32, size: size, offset: UInt64(index) << 40)
    }

    private func sparse(_ areas: [(UInt64, UInt64)], count: UInt32? = nil, next: UInt32 = 0) -> [any ABIValue]
    {
        let header = CapabilityHeader(id: RegionCapabilityID.sparseMmap.rawValue, version: 1, next: next)
        let list: [any ABIValue] = areas.map { SparseMmapArea(offset: $0.0, size: $0.1) }
        return [SparseMmapCapability(header: header, areaCount: count ?? UInt32(areas.count))] + list
    }

    @Test(
        "Fault 17: A chain that loops, turns back, leads outside or into the structure is refused, for all three questions",
        arguments: [
            (32, 32), (32, 24), (32, 8), (8, 0), (33, 0), (40, 32), (0xffff_fff8, 0), (32, 0xffff_fff8),
            (60, 0),
            (32, 36),
        ] as [(UInt32, UInt32)])
    func chains(start: UInt32, next: UInt32) throws {
        // Padding where a chain that begins at 40 has its only capability.
        let tail: [any ABIValue] = [
            CapabilityHeader(id: 0x7777, version: 1, next: next),
            CapabilityHeader(id: 0x7777, version: 1, next: next), UInt64(0), UInt64(0),
        ]
        let machine = try FaultyMachine()
        let device = try device(machine)
        machine.host.answer(.deviceGetRegionInfo) { index in
            var info = self.region(index)
            info.capabilityOffset = start
            return [UInt8](of: [info] + tail)
        }
        let refused = thrown { () throws(VFIOGuestError) in
            try GuestRegion(.bar0, of: device, in: memory)
        }
        #expect(refused?.code == .malformed)
        let other = try FaultyMachine()
        other.host.answer(.iommuGetInfo) { _ in
            [UInt8](
                of: [
                    IOMMUType1Info(flags: [.pageSizes, .caps], pageSizes: 4096, capabilityOffset: start),
                    UInt64(0),
                ] + tail)
        }
        #expect(attach(other) != nil)
        #expect(other.isIdle)
        let third = try FaultyMachine()
        third.host.answer(.deviceGetInfo) { _ in
            [UInt8](
                of: [
                    DeviceInfo(
                        flags: [.pci, .caps], regionCount: 9, irqCount: 5, capabilityOffset: start),
                    UInt64(0),
                ] + tail)
        }
        #expect(attach(third)?.code == .malformed)
        #expect(third.isIdle)
    }

    @Test("Fault 17: Whatever bytes a host answers with, nothing traps, and what fails leaves nothing open")
    func randomAnswers() throws {
        var random = randomSeed("a host that answers at random")
        var failures = 0
        var successes = 0
        for _ in 0..<150 {
            let machine = try FaultyMachine()
            try machine.ram(pages: 1, at: 0)
            let request = [Request.iommuGetInfo, .deviceGetInfo, .deviceGetRegionInfo][random.below(3)]
            var dice = SplitMix(state: random.next())
            // How much room there is: the answer may say more.
            let room = Box<UInt32>(0)
            machine.host.watch(request, UInt32(0)) { room.value = $0 }
            machine.host.amend(request) { argument in
                let address = HostAddress(rawValue: argument)
                let room = room.value
                // A few bytes are others; now and then it wants more room, which it then fills with anything.
                for _ in 0..<1 + dice.below(4) {
                    let offset =
                        dice.below(6) == 0 ? dice.below(4) : 4 + dice.below(max(Int(min(room, 256)), 8) - 4)
                    guard offset < Int(room) else { continue }
                    let byte = UInt8(truncatingIfNeeded: dice.next() >> UInt64([0, 6][dice.below(2)] * 8))
                    try? UserMemory.store(byte, to: address + offset)
                }
            }
            if attach(machine) == nil { successes += 1 } else { failures += 1 }
            #expect(machine.isIdle)
        }
        #expect(failures > 0 && successes > 0)
    }

    @Test(
        "Fault 18: Areas that overlap, lie outside, or are more than there are bytes, are refused",
        arguments: [
            // Outside, wrapping, twice the same, overlapping in any order.
            [(0x1_0000, 0x1000)], [(0, 0x1_1000)], [(0xf000, .max)], [(.max - 0xfff, 0x1000)], [(.max, .max)],
            [(0, 0x1000), (0, 0x1000)], [(0x2000, 0x2000), (0x1000, 0x2000)],
            [(0x4000, 0x1000), (0, 0x8000), (0x9000, 0x1000)],
        ] as [[(UInt64, UInt64)]])
    func badAreas(areas: [(UInt64, UInt64)]) throws {
        let machine = try FaultyMachine()
        let device = try device(machine)
        machine.host.answer(.deviceGetRegionInfo) { index in
            [UInt8](of: [self.region(index)] + self.sparse(areas))
        }
        let error = thrown { () throws(VFIOGuestError) in try GuestRegion(.bar0, of: device, in: memory) }
        #expect(error?.code == .malformed)
        #expect(machine.host.mappingCount == 0 && !machine.host.allCalls.contains(.map))
    }

    @Test(
        "Fault 18: A number of areas that isn't that of the answer is refused, however large",
        arguments: [
            2, 3, 1 << 16, 1 << 28, .max,
        ] as [UInt32])
    func badCount(count: UInt32) throws {
        let machine = try FaultyMachine()
        let device = try device(machine)
        machine.host.answer(.deviceGetRegionInfo) { index in
            [UInt8](of: [self.region(index)] + self.sparse([(0, 0x1000)], count: count))
        }
        let error = thrown { () throws(VFIOGuestError) in try GuestRegion(.bar0, of: device, in: memory) }
        #expect(error?.code == .malformed)
    }

    @Test("1.13 Areas without bytes, and those that don't begin on a page, aren't mapped; the others are")
    func oddAreas() throws {
        let machine = try FaultyMachine()
        let device = try device(machine)
        let asked = Box<[UInt64]>([])
        machine.host.answer(.deviceGetRegionInfo) { index in
            [UInt8](
                of: [self.region(index)]
                    + self.sparse([(0x8000, 0x1000), (0, 0), (0x2800, 0x800), (0x4000, 0), (0x5000, 0x2000)]))
        }
        machine.host.madeUpMap = { offset, byteCount in
            asked.change { $0.append(offset) }
            return try? Mapping(anonymous: byteCount).release()
        }
        let region = try GuestRegion(.bar0, of: device, in: memory)
        #expect(asked.value == [0x8000, 0x5000])
        #expect(region.memory.subregions.map(\.offset) == [0x5000, 0x8000])
        #expect(region.memory.subregions.map(\.byteCount) == [0x2000, 0x1000])
    }

    @Test("1.13 Without a list of areas all of a region that may be mapped is one part, as its flags allow")
    func wholeRegion() throws {
        for (flags, isMapped) in [
            ([.read, .write, .mmap], true), ([.read, .mmap], true), ([.read, .write], false), ([], false),
        ] as [(RegionFlags, Bool)] {
            let machine = try FaultyMachine()
            let device = try device(machine)
            let asked = Box<[String]>([])
            machine.host.answer(.deviceGetRegionInfo) { index in
                var info = self.region(index, flags: flags)
                info.capabilityOffset = 0
                return [UInt8](of: [info])
            }
            machine.host.madeUpMap = { offset, byteCount in
                asked.change { $0.append("\(offset)+\(byteCount)") }
                return try? Mapping(anonymous: byteCount).release()
            }
            let region = try GuestRegion(.bar0, of: device, in: memory)
            #expect(asked.value == (isMapped ? ["0+65536"] : []))
            #expect(region.memory.subregions.count == (isMapped ? 1 : 0))
        }
    }

    @Test("Fault 22: What a host tells of a device is asked for again until there is room for all of it")
    func growth() throws {
        let machine = try FaultyMachine()
        let rooms = Box<[UInt32]>([])
        machine.host.watch(.deviceGetInfo, UInt32(0)) { room in rooms.change { $0.append(room) } }
        machine.host.answer(.deviceGetInfo) { _ in
            [UInt8](
                of: [
                    DeviceInfo(
                        flags: [.pci, .reset, .caps], regionCount: 9, irqCount: 5, capabilityOffset: 40),
                    UInt64(0), UInt64(0),
                    PCIAtomicCompletionCapability(
                        header: CapabilityHeader(
                            id: DeviceCapabilityID.pciAtomicCompletion.rawValue, version: 1, next: 56),
                        flags: [.completes64]),
                    CapabilityHeader(id: 0x1234, version: 1, next: 0),
                ])
        }
        let info = try device(machine).info
        #expect(rooms.value == [24, 64])
        #expect(info.atomics == .completes64 && info.capabilities == [5, 0x1234])
        #expect(info.regionCount == 9 && info.interruptKindCount == 5)
    }

    @Test("1.12 What an IOMMU tells is asked for again until there is room, and a missing limit is no limit")
    func informationGrows() throws {
        let machine = try FaultyMachine()
        let rooms = Box<[UInt32]>([])
        machine.host.watch(.iommuGetInfo, UInt32(0)) { room in rooms.change { $0.append(room) } }
        let limit = Box<UInt32?>(7)
        machine.host.answer(.iommuGetInfo) { _ in
            var parts: [any ABIValue] = [
                IOMMUType1Info(
                    flags: [.pageSizes, .caps], pageSizes: 1 << 12 | 1 << 21, capabilityOffset: 24),
                Type1MigrationCapability(
                    header: CapabilityHeader(
                        id: IOMMUCapabilityID.migration.rawValue, version: 1,
                        next: limit.value == nil ? 0 : 56),
                    pageSizes: 4096, maxDirtyBitmapSize: 64),
            ]
            if let limit = limit.value {
                parts.append(
                    Type1DMAAvailableCapability(
                        header: CapabilityHeader(
                            id: IOMMUCapabilityID.dmaAvailable.rawValue, version: 1, next: 0),
                        available: limit))
            }
            return [UInt8](of: parts)
        }
        let device = try machine.attach()
        let info = try #require(device.container?.iommu.information)
        #expect(rooms.value.prefix(2) == [24, 68])
        #expect(info.pageSizes == 1 << 12 | 1 << 21 && info.dirtyPageSizes == 4096)
        #expect(info.longestDirtyBitmap == 64 && info.mappingsLeft == 7)
        limit.value = nil
        #expect(try device.container?.iommu.mappingsLeft() == nil)
        #expect(try device.container?.mappingDemand().fits == true)
    }

    @Test("1.12 A region of a kind is searched for by type; those that can't be asked about are passed over")
    func searchByType() throws {
        let machine = try FaultyMachine()
        machine.host.amend(.deviceGetInfo) { argument in
            let address = HostAddress(rawValue: argument)
            guard var info = try? UserMemory.load(DeviceInfo(), from: address) else { return }
            info.regionCount = 13
            try? UserMemory.store(info, to: address)
        }
        let device = try device(machine)
        let typed: [UInt32: (RegionType, RegionSubtype)] = [
            10: (.graphics, RegionSubtype(rawValue: 1)), 12: (.graphics, RegionSubtype(rawValue: 2)),
        ]
        let asked = Box<[UInt32]>([])
        machine.host.answer(.deviceGetRegionInfo) { index in
            asked.change { $0.append(index) }
            // One in the middle can't be asked about: the host, which hasn't got it, says so.
            if index == 11 { return nil }
            guard let (type, subtype) = typed[index] else {
                var info = self.region(index, flags: .read)
                info.capabilityOffset = 0
                return [UInt8](of: [info])
            }
            let capability = RegionTypeCapability(
                header: CapabilityHeader(id: RegionCapabilityID.type.rawValue, version: 1), type: type,
                subtype: subtype)
            return [UInt8](of: [self.region(index, flags: [.read, .caps]), capability])
        }
        let found = try device.region(
            of: Region.Kind(type: .graphics, subtype: RegionSubtype(rawValue: 2)))
        #expect(found.index == RegionIndex(rawValue: 12))
        #expect(asked.value.contains(11))
        let missing = thrown { () throws(VFIOError) in
            try device.region(of: Region.Kind(type: .ccw, subtype: RegionSubtype(rawValue: 1)))
        }
        #expect(missing?.errno == .noDevice && missing?.code == .notSupported)
    }

    @Test("1.12 A host that claims billions of regions isn't asked for each")
    func endlessRegions() throws {
        let machine = try FaultyMachine()
        machine.host.amend(.deviceGetInfo) { argument in
            let address = HostAddress(rawValue: argument)
            guard var info = try? UserMemory.load(DeviceInfo(), from: address) else { return }
            info.regionCount = .max
            try? UserMemory.store(info, to: address)
        }
        let device = try device(machine)
        let before = machine.host.callCount
        let missing = thrown { () throws(VFIOError) in
            try device.region(of: Region.Kind(type: .ccw, subtype: RegionSubtype(rawValue: 1)))
        }
        #expect(missing?.errno == .noDevice)
        #expect(machine.host.callCount - before <= 2 * 4096)
    }
}
