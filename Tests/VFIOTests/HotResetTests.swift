import DeviceModel
import HostTestSupport
import LinuxSystem
import SoftwareHost
import Testing
import VFIO
import VFIOABI
import VFIOHost

/// A function that counts how it was reset.
private final class Resettable: DeviceModel, @unchecked Sendable {
    let function = PCIFunction(
        PCIIdentity(vendor: 0x1234, device: 0x5681, classCode: 0xff0000),
        bars: [0: BAR(.memory32, byteCount: 4096)], isExpress: true)
    private let lock = Lock()
    // Guarded by `lock`.
    private var kinds: [ResetKind] = []

    init(_ change: (PCIFunction) -> Void = { _ in }) { change(function) }

    func readRegister(bar: Int, offset: UInt64, width: Int) -> UInt64 { 0 }
    func writeRegister(bar: Int, offset: UInt64, width: Int, value: UInt64) {}
    func reset(_ kind: ResetKind) { lock.withLock { kinds.append(kind) } }

    var resets: [ResetKind] { lock.withLock { kinds } }
}

/// Functions without resets of their own on one bus, each in a group of its own: 10, 11 …
private struct Bus {
    let models: [Resettable]
    let software: SoftwareHost
    let host: FaultyHost
    let addresses: [PCIAddress]

    init(
        _ count: Int = 2, bus: UInt8 = 2, segment: UInt32 = 0, undriven: Int? = nil,
        _ change: (PCIFunction) -> Void = { _ in }
    ) throws {
        let models = (0..<count).map { _ in Resettable(change) }
        let addresses = (0..<count).map {
            PCIAddress(segment: segment, bus: bus, device: UInt8($0 / 8), function: UInt8($0 % 8))
        }
        var machine = MachineDescription()
        machine.groups = models.indices.map {
            IOMMUGroup(
                10 + $0,
                devices: [PCIDevice(models[$0], at: addresses[$0], driver: $0 == undriven ? nil : "vfio-pci")]
            )
        }
        self.models = models
        self.addresses = addresses
        software = try SoftwareHost(machine)
        host = FaultyHost(software)
    }

    func open(_ index: Int, _ choice: RouteChoice, in space: AddressSpace? = nil) throws -> Device {
        if let space { return try Device(opening: addresses[index], in: space) }
        return try Device(opening: addresses[index], on: host, choice)
    }

    var resets: [[ResetKind]] { models.map(\.resets) }

    /// Answers the question for the scope instead of the host. Other requests share its number: only once all
    /// devices are open.
    func answer(_ body: @escaping (inout PCIHotResetInfo) -> Result<[PCIDependentDevice], Errno>) {
        host.answer(.deviceGetPCIHotResetInfo) { argument in
            let place = HostAddress(rawValue: argument)
            guard var header = try? UserMemory.load(PCIHotResetInfo(), from: place) else { return nil }
            let room = (Int(header.argsz) - 12) / 8
            let answer = body(&header)
            try? UserMemory.store(header, to: place)
            switch answer {
            case .failure(let errno): return .failure(errno)
            case .success(let records):
                for (index, record) in records.prefix(room).enumerated() {
                    try? UserMemory.store(record, to: place + 12 + 8 * index)
                }
                return .success(0)
            }
        }
    }
}

@Suite("A bus is reset with everything on it, through the typed API")
struct HotResetTests {
    @Test("1.14 through groups, all functions are told with their groups, also more than fit at first")
    func scopeByGroups() throws {
        for count in [1, 2, 9, 40] {
            let bus = try Bus(count)
            let device = try bus.open(0, .group)
            let scope = try device.hotResetScope()
            #expect(scope.functions.map(\.address) == bus.addresses)
            #expect(scope.functions.map(\.owner) == (0..<count).map { .group(10 + $0) })
            #expect(scope.groups == Array(10..<10 + count))
            #expect(scope[PCIAddress(bus: 9, device: 0, function: 0)] == nil)
        }
    }

    @Test("1.14 through device nodes, each function is told with what it is to the caller")
    func scopeByNodes() throws {
        let bus = try Bus(4, undriven: 2)
        let space = try AddressSpace(on: bus.host, .cdev)
        let first = try bus.open(0, .cdev, in: space)
        let second = try bus.open(1, .cdev, in: space)
        let other = try bus.open(3, .cdev)
        let owners = try first.hotResetScope().functions.map(\.owner)
        guard case .bound(let one) = owners[0], case .bound(let two) = owners[1] else {
            Issue.record("not bound: \(owners)")
            return
        }
        #expect(one != two && one > 0 && two > 0)
        #expect(owners[2...] == [.stranger, .stranger])
        #expect(try first.hotResetScope().groups.isEmpty)
        withExtendedLifetime((second, other)) {}
    }

    @Test("1.14 a function that nobody has open is owned with its group, through device nodes")
    func unopened() throws {
        let models = [Resettable(), Resettable()]
        let host = try SoftwareHost {
            IOMMUGroup(5) {
                PCIDevice(models[0], at: "0000:02:00.0")
                PCIDevice(models[1], at: "0000:02:00.1")
            }
        }
        let device = try Device(opening: PCIAddress(bus: 2, device: 0, function: 0), on: host, .cdev)
        #expect(try device.hotResetScope().functions.last?.owner == .ownGroup)
        try device.hotReset()
        #expect(models.map(\.resets) == [[.bus], [.bus]])
    }

    @Test("1.14 the groups of several address spaces together prove that the bus is one's own")
    func groups() throws {
        let bus = try Bus(3)
        let first = try bus.open(0, .group)
        let second = try bus.open(1, .group)
        let third = try bus.open(2, .group, in: second.addressSpace)
        let scope = try first.hotReset(with: [second.addressSpace, first.addressSpace])
        #expect(scope.functions.count == 3)
        #expect(bus.resets == [[.bus], [.bus], [.bus]])
        try third.hotReset(with: [first.addressSpace])
        #expect(bus.resets == [[.bus, .bus], [.bus, .bus], [.bus, .bus]])
    }

    @Test("1.14 a group that isn't held is named with its function and what to do; nothing is reset")
    func missingGroup() throws {
        let bus = try Bus(2)
        let device = try bus.open(0, .group)
        let error = failure { () throws(VFIOError) in try device.hotReset() }
        #expect(error?.code == .notOwned && error?.errno == nil)
        #expect(error?.says("0000:02:00.1 of group 11", "open a device of group 11") == true)
        // Spaces of another host prove nothing, whatever their groups' numbers are.
        let twin = try Bus(2)
        let stranger = try twin.open(1, .group)
        #expect(
            failure { () throws(VFIOError) in try device.hotReset(with: [stranger.addressSpace]) }?.code
                == .notOwned)
        #expect(bus.resets == [[], []])
    }

    @Test("1.14 a space holds its first group also when the devices of that are closed")
    func closedDevices() throws {
        let bus = try Bus(2)
        let space = try AddressSpace(on: bus.host, .group)
        do { _ = try bus.open(1, .group, in: space) }
        let device = try bus.open(0, .group, in: space)
        let before = bus.resets
        try device.hotReset()
        #expect(bus.resets == before.map { $0 + [.bus] })
    }

    @Test(
        "1.14 a function that VFIO doesn't have is named with its driver and what to do",
        arguments: [nil, "snd_hda_intel"], [.group, .cdev] as [RouteChoice])
    func undriven(driver: String?, choice: RouteChoice) throws {
        let models = [Resettable(), Resettable()]
        let host = try SoftwareHost {
            IOMMUGroup(5) { PCIDevice(models[0], at: "0000:02:00.0") }
            IOMMUGroup(6) { PCIDevice(models[1], at: "0000:02:00.1", driver: driver) }
        }
        let device = try Device(opening: PCIAddress(bus: 2, device: 0, function: 0), on: host, choice)
        let error = failure { () throws(VFIOError) in try device.hotReset() }
        #expect(error?.says("0000:02:00.1", "the driver vfio-pci") == true)
        if choice == .cdev {
            #expect(error?.code == (driver == nil ? .noDriver : .boundToOtherDriver))
            #expect(error?.says(driver ?? "no driver") == true)
        } else {
            #expect(error?.code == .notOwned && error?.says("group 6") == true)
        }
        #expect(models.map(\.resets) == [[], []])
    }

    @Test("1.14 a function without a driver in a group of one's own is named, too")
    func undrivenInOwnGroup() throws {
        let models = [Resettable(), Resettable()]
        let host = try SoftwareHost {
            IOMMUGroup(5) {
                PCIDevice(models[0], at: "0000:02:00.0")
                PCIDevice(models[1], at: "0000:02:00.1", driver: nil)
            }
        }
        let device = try Device(opening: PCIAddress(bus: 2, device: 0, function: 0), on: host, .group)
        let error = failure { () throws(VFIOError) in try device.hotReset() }
        #expect(error?.code == .noDriver && error?.errno == .invalid)
        #expect(error?.says("0000:02:00.1", "has no driver") == true)
    }

    @Test("1.14 through device nodes, a function in another iommufd is named")
    func otherIOMMUFD() throws {
        let bus = try Bus(2)
        let first = try bus.open(0, .cdev)
        let second = try bus.open(1, .cdev)
        let error = failure { () throws(VFIOError) in try first.hotReset(with: [second.addressSpace]) }
        #expect(error?.code == .notOwned && error?.says("0000:02:00.1", "same iommufd") == true)
        #expect(bus.resets == [[], []])
    }

    @Test(
        "1.14 on a root bus there is nothing that could be reset",
        arguments: [.group, .cdev] as [RouteChoice])
    func rootBus(choice: RouteChoice) throws {
        let bus = try Bus(1, bus: 0)
        let device = try bus.open(0, choice)
        for error in [
            failure { () throws(VFIOError) in try device.hotResetScope() },
            failure { () throws(VFIOError) in try device.hotReset() },
        ] {
            #expect(error?.code == .notSupported && error?.errno == .noDevice)
            #expect(error?.says("no bridge above") == true)
        }
    }

    @Test(
        "1.14 the host's refusals are told in words",
        arguments: [Errno.again, .busy, .invalid, .notPermitted])
    func refusals(errno: Errno) throws {
        let bus = try Bus(1)
        let device = try bus.open(0, .group)
        bus.host.fail(.control(UInt32(Request.devicePCIHotReset.rawValue)), with: errno)
        let error = failure { () throws(VFIOError) in try device.hotReset() }
        let code: VFIOError.Code =
            switch errno {
            case .invalid: .notOwned
            case .notPermitted: .noIOMMU
            default: .busy
            }
        #expect(error?.code == code && error?.errno == errno && error?.cause != nil)
    }

    @Test("1.14 functions that come while they are counted are counted anew, but not for ever")
    func growth() throws {
        let bus = try Bus(1)
        let device = try bus.open(0, .group)
        let asked = Counter()
        bus.answer { header in
            if asked.next() < 3 { return .failure(.again) }
            header.count = 1
            return .success([PCIDependentDevice(groupID: 10, bus: 2)])
        }
        #expect(try device.hotResetScope().functions.count == 1)
        bus.host.healAll()
        asked.reset()
        bus.answer { header in
            header.count = UInt32(100 * asked.next() + 100)
            return .failure(.noSpace)
        }
        #expect(failure { () throws(VFIOError) in try device.hotResetScope() }?.code == .malformed)
        #expect(asked.value <= 16)
        bus.host.healAll()
        bus.answer { _ in .failure(.again) }
        #expect(failure { () throws(VFIOError) in try device.hotResetScope() }?.code == .busy)
    }

    @Test("1.14 answers that contradict the uAPI are refused, whatever they say")
    func malformed() throws {
        let bus = try Bus(1)
        let device = try bus.open(0, .group)
        let own = PCIDependentDevice(groupID: 10, bus: 2)
        let answers: [(UInt32, Result<[PCIDependentDevice], Errno>)] = [
            (.max, .success([own])), (9, .success([own])), (0, .success([])),
            (1, .success([PCIDependentDevice(groupID: 10, bus: 3)])),
            (.max, .failure(.noSpace)), (1 << 16 + 1, .failure(.noSpace)), (3, .failure(.noSpace)),
            (0, .failure(.noSpace)),
        ]
        for (count, answer) in answers {
            bus.answer { header in
                header.count = count
                return answer
            }
            let error = failure { () throws(VFIOError) in try device.hotResetScope() }
            #expect(error?.code == .malformed, "\(count) \(answer)")
            bus.host.healAll()
        }
        #expect(try device.hotResetScope().functions.count == 1)
    }

    @Test("1.14 a segment beyond 16 bits, which the uAPI has no room for, is the device's own")
    func longSegment() throws {
        let bus = try Bus(2, segment: 0x1_0002)
        let device = try bus.open(0, .group)
        #expect(try device.hotResetScope().functions.map(\.address) == bus.addresses)
    }

    @Test("1.14 whether a device's own reset is worth something follows from what it offers")
    func facts() throws {
        typealias Case = (ResetFacts, wants: Bool, (PCIFunction) -> Void)
        let cases: [Case] = [
            (ResetFacts(isOffered: false), true, { _ in }),
            (
                ResetFacts(isOffered: true, hasFunctionLevelReset: true), false,
                { _ = $0.addExpress() }
            ),
            (ResetFacts(isOffered: false), true, { _ = $0.addExpress(functionLevelReset: false) }),
            (
                ResetFacts(isOffered: true, hasFunctionLevelReset: true), false,
                { _ = $0.addAdvancedFeatures() }
            ),
            (
                ResetFacts(isOffered: true, hasPowerReset: true), true,
                { _ = $0.addPowerManagement(noSoftReset: false) }
            ),
            (ResetFacts(isOffered: false), true, { _ = $0.addPowerManagement() }),
            (
                ResetFacts(isOffered: true, hasFunctionLevelReset: true, hasPowerReset: true), false,
                {
                    _ = $0.addPowerManagement(noSoftReset: false)
                    _ = $0.addExpress()
                }
            ),
        ]
        for (index, (facts, wants, change)) in cases.enumerated() {
            // Two on the bus: alone, it would be reset with it.
            let device = try Bus(2, change).open(0, .group)
            #expect(try device.resetFacts() == facts, "case \(index)")
            #expect(facts.wantsHotReset == wants, "case \(index)")
            #expect(device.canReset == facts.isOffered, "case \(index)")
        }
        // By its bus, which the host offers as a reset of the device's own.
        let alone = try Bus(1).open(0, .group)
        #expect(try alone.resetFacts() == ResetFacts(isOffered: true))
        #expect(try !alone.resetFacts().wantsHotReset)
    }
}

/// Counts from 0.
private final class Counter: @unchecked Sendable {
    private let lock = Lock()
    private var count = 0
    func next() -> Int {
        lock.withLock {
            defer { count += 1 }
            return count
        }
    }
    func reset() { lock.withLock { count = 0 } }
    var value: Int { lock.withLock { count } }
}
