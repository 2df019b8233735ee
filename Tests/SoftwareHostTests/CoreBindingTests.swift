import DeviceModel
import Glibc
import LinuxSystem
import Synchronization
import Testing
import VFIOABI
import VFIOHost

@testable import SoftwareHost

/// Runs something on another thread while the test goes on.
final class Aside {
    private var thread: WorkerThread?
    private let isOver: Shared<Bool>
    private let error: Shared<Errno?>

    init(_ work: @escaping @Sendable () throws(Errno) -> Void) throws {
        let isOver = Shared(false)
        let error = Shared<Errno?>(nil)
        (self.isOver, self.error) = (isOver, error)
        thread = try WorkerThread {
            do throws(Errno) { try work() } catch let found { error.value = found }
            isOver.value = true
        }
    }

    /// Whether it is still at it.
    var goesOn: Bool { !isOver.value }

    /// Waits for the end, and hands on the error.
    func finish() throws {
        // Letting go of a thread waits for it.
        thread = nil
        if let error = error.value { throw error }
    }
}

/// Waits until something is so, ten seconds at most.
func eventually(_ condition: () -> Bool) -> Bool {
    let deadline = Clock.moment(inMilliseconds: 10_000)
    while !condition() {
        if Clock.now > deadline { return false }
        Clock.sleep(nanoseconds: 200_000)
    }
    return true
}

extension Rig {
    /// Waits until a device is being taken from its driver.
    func seesLeaving(_ address: PCIAddress) -> Bool {
        eventually { (try? host.inventory().device(at: address))?.driver == nil }
    }
}

@Suite("Devices change drivers, come and go while they are in use, as in Linux")
struct CoreBindingTests {
    static let first = PCIAddress(bus: 1, device: 0, function: 0)
    static let second = PCIAddress(bus: 1, device: 0, function: 1)
    static let third = PCIAddress(bus: 2, device: 0, function: 0)

    @Test("whoever unbinds an open device waits until the last file and the last mapping have gone")
    func waiting() throws {
        let rig = try Rig { $0.releaseRequestMilliseconds = 1 }
        let (container, group) = rig.ready()
        let device = rig.device(group)
        let again = rig.device(group)
        let bus = rig.buses[0]
        let window = try rig.host.map(device, at: 0, byteCount: 1, protection: .read)
        let node = try #require(try rig.host.inventory().device(at: Self.first)?.deviceNode)
        let unbinding = try Aside { () throws(Errno) in try rig.host.bind(Self.first, to: nil) }
        #expect(eventually { bus.releaseRequests.count > 3 })
        #expect(Array(bus.releaseRequests.prefix(4)) == [0, 1, 2, 3])
        // Nobody can open it any more; the others of its group can be.
        #expect(rig.device(group) == -ENODEV)
        #expect(rig.open(.device(node)) == -ENOENT)
        let record = try #require(try rig.host.inventory().device(at: Self.first))
        #expect(record.driver == nil && record.deviceNode == nil)
        let twin = rig.device(group, Rig.twin)
        #expect(twin >= 0)
        rig.host.close(twin)
        // Those who have it go on.
        #expect(rig.ask(device, .deviceGetInfo) == 7)
        #expect(rig.map(container, 0x10000, from: 5) == 0)
        #expect(bus.read(0x10000) == [5])
        #expect(rig.ask(group, .groupUnsetContainer) == -EBUSY)
        rig.host.close(device)
        rig.host.close(again)
        #expect(unbinding.goesOn && bus.isOpen && !bus.isWithdrawn)
        rig.host.unmap(window)
        try unbinding.finish()
        #expect(!bus.isOpen && bus.isWithdrawn && bus.space == nil)
        // The group still has a member that a VFIO driver has.
        #expect(rig.status(group) == 3)
        #expect(rig.ask(group, .groupUnsetContainer) == 0)
    }

    @Test("an open node of a device keeps its driver, bound to an iommufd or not")
    func openNode() throws {
        let rig = try Rig()
        let node = try #require(try rig.host.inventory().device(at: Self.third)?.deviceNode)
        let file = rig.open(.device(node))
        let unbinding = try Aside { () throws(Errno) in try rig.host.bind(Self.third, to: nil) }
        #expect(rig.seesLeaving(Self.third))
        // What is open may still be bound.
        let iommufd = rig.open(.iommu)
        #expect(rig.ask(file, .deviceBindIOMMUFD, with: DeviceBindIOMMUFD(iommufd: iommufd)) == 0)
        #expect(rig.buses[2].isOpen)
        #expect(unbinding.goesOn)
        rig.host.close(file)
        try unbinding.finish()
        #expect(rig.buses[2].isWithdrawn)
    }

    @Test("a wait may be given up, and the device is there as before")
    func givingUp() throws {
        let rig = try Rig { $0.releaseRequestMilliseconds = 1 }
        let (_, group) = rig.ready()
        let device = rig.device(group)
        let before = try rig.host.inventory()
        #expect(throws: Errno.timedOut) { try rig.host.bind(Self.first, to: "nvme", waitingAtMost: 5) }
        #expect(throws: Errno.timedOut) { try rig.host.unplug(Self.first, waitingAtMost: -1) }
        #expect(rig.buses[0].releaseRequests.starts(with: [0]))
        #expect(try rig.host.inventory() == before)
        let again = rig.device(group)
        #expect(again >= 0)
        #expect(rig.ask(device, .deviceGetInfo) == 7)
    }

    @Test("one changes a device's driver at a time, the next waits for its turn")
    func turns() throws {
        let rig = try Rig()
        let (_, group) = rig.ready()
        let device = rig.device(group)
        let unbinding = try Aside { () throws(Errno) in try rig.host.bind(Self.first, to: nil) }
        #expect(rig.seesLeaving(Self.first))
        #expect(throws: Errno.timedOut) { try rig.host.bind(Self.first, to: nil, waitingAtMost: 1) }
        // Other devices are nobody's business.
        try rig.host.bind(Self.third, to: nil)
        let removal = try Aside { () throws(Errno) in try rig.host.unplug(Self.first) }
        let binding = try Aside { () throws(Errno) in try rig.host.bind(Self.first, to: "vfio-pci") }
        rig.host.close(device)
        try unbinding.finish()
        try removal.finish()
        // Before the removal it succeeds, after it there is no device.
        do { try binding.finish() } catch { #expect(error as? Errno == .noDevice) }
        #expect(try rig.host.inventory().device(at: Self.first) == nil)
    }

    @Test("the last device of a group takes the group with it: out of its container, its node away")
    func lastOfGroup() throws {
        let rig = try Rig()
        let container = rig.open(.container)
        let group = rig.open(.group(27))
        #expect(rig.setContainer(group, container) == 0)
        #expect(rig.ask(container, .setIOMMU, 1) == 0)
        #expect(rig.map(container, 0) == 0)
        try rig.host.bind(Self.third, to: nil)
        #expect(rig.status(group) == -ENODEV)
        #expect(rig.setContainer(group, container) == -ENODEV)
        #expect(rig.ask(group, .groupUnsetContainer) == -EINVAL)
        #expect(rig.device(group, Rig.other) == -ENODEV)
        #expect(rig.open(.group(27)) == -ENOENT)
        // The container is as new, and takes another group.
        #expect(rig.host.lockedByteCount == 0)
        #expect(rig.ask(container, .iommuGetInfo) == -EINVAL)
        // A new registration makes a new group; the file of the old one doesn't keep it from being opened.
        try rig.host.bind(Self.third, to: "vfio-pci")
        let new = rig.open(.group(27))
        #expect(rig.setContainer(new, container) == 0)
        #expect(rig.status(group) == -ENODEV)
        rig.host.close(group)
        #expect(rig.status(new) == 3)
    }

    @Test("a driver that wants the DMA can't have a member of a group that a user owns")
    func foreignDriver() throws {
        let rig = try Rig()
        let container = rig.open(.container)
        let group = rig.open(.group(26))
        #expect(rig.setContainer(group, container) == 0)
        #expect(throws: Errno.busy) { try rig.host.bind(Self.second, to: "nvme") }
        #expect(try rig.host.inventory().device(at: Self.second)?.driver == nil)
        #expect(rig.status(group) == 3)
        for harmless in ["pci-stub", "pcieport"] { try rig.host.bind(Self.second, to: harmless) }
        #expect(rig.ask(group, .groupUnsetContainer) == 0)
        // Nobody owns it now.
        try rig.host.bind(Self.second, to: "nvme")
        #expect(rig.status(group) == 0)
        #expect(rig.setContainer(group, container) == -EPERM)
        try rig.host.bind(Self.second, to: "vfio-pci")
        #expect(rig.status(group) == 1)
        #expect(rig.setContainer(group, container) == 0)
        #expect(rig.device(group, Rig.twin) == -EINVAL)
    }

    @Test("a device that is plugged in can be used; a user's group takes it in with the user's mappings")
    func plugging() throws {
        let rig = try Rig()
        let (container, group) = rig.ready()
        #expect(rig.map(container, 0x4000, from: 3) == 0)
        try rig.host.plug(PCIDevice(PlainModel(), at: "0000:01:00.2"), intoGroup: 26)
        let device = rig.device(group, "0000:01:00.2")
        #expect(device >= 0)
        #expect(rig.buses[3].read(0x4000) == [3])
        try rig.host.plug(PCIDevice(PlainModel(), at: "0000:07:00.0"), intoGroup: 99)
        #expect(rig.open(.group(99)) >= 0)
        try rig.host.plug(
            PCIDevice(bystander: CoreMachineTests.bystander, at: "0000:08:00.0"), intoGroup: nil)
        #expect(try rig.host.inventory().devices.count == 6)
    }

    @Test("a device that can't be is refused and not there; one that its driver refuses is there without one")
    func pluggingNonsense() throws {
        let rig = try Rig()
        let (_, _) = rig.ready()
        let model = PlainModel()
        let before = try rig.host.inventory()
        let bystander = CoreMachineTests.bystander
        for (device, group, error) in [
            (PCIDevice(model, at: "x"), 26, .malformedAddress("x")),
            (PCIDevice(model, at: Rig.address), 26, .duplicateAddress(DeviceID(Self.first))),
            (PCIDevice(model, at: "0000:03:00.0"), -1, .impossibleGroup(-1)),
            (
                PCIDevice(model, at: "0000:03:00.0"), nil,
                .noGroup(DeviceID(PCIAddress(bus: 3, device: 0, function: 0)), driver: "vfio-pci")
            ),
            (
                PCIDevice(bystander: bystander, at: "0000:03:00.0", driver: "vfio-pci"), 55,
                .noModel(DeviceID(PCIAddress(bus: 3, device: 0, function: 0)), driver: "vfio-pci")
            ),
        ] as [(PCIDevice, Int?, MachineError)] {
            #expect(throws: error) { try rig.host.plug(device, intoGroup: group) }
        }
        #expect(try rig.host.inventory() == before)
        let address = PCIAddress(bus: 3, device: 0, function: 0)
        #expect(throws: MachineError.refused(DeviceID(address), driver: "nvme", .busy)) {
            try rig.host.plug(
                PCIDevice(bystander: bystander, at: "0000:03:00.0", driver: "nvme"), intoGroup: 26)
        }
        let record = try #require(try rig.host.inventory().device(at: address))
        #expect(record.driver == nil && record.group == 26)
    }

    @Test("what is unplugged is gone, with its group, and may come back")
    func unplugging() throws {
        let rig = try Rig()
        let (container, group) = rig.ready()
        let device = rig.device(group)
        let removal = try Aside { () throws(Errno) in try rig.host.unplug(Self.first) }
        #expect(rig.seesLeaving(Self.first))
        #expect(try rig.host.inventory().device(at: Self.first) != nil)
        rig.host.close(device)
        try removal.finish()
        #expect(try rig.host.inventory().device(at: Self.first) == nil)
        #expect(throws: Errno.noDevice) { try rig.host.bind(Self.first, to: "vfio-pci") }
        #expect(throws: Errno.noDevice) { try rig.host.unplug(Self.first) }
        #expect(rig.status(group) == 3)
        try rig.host.unplug(Self.second)
        #expect(rig.status(group) == -ENODEV)
        #expect(try rig.host.inventory().groups.map(\.number) == [27])
        try rig.host.plug(PCIDevice(PlainModel(), at: Rig.address), intoGroup: 26)
        let again = rig.open(.group(26))
        #expect(rig.setContainer(again, container) == 0)
    }

    @Test("a process without descriptors left is told so first, and nothing is open afterwards")
    func noDescriptors() async {
        // In a process of its own: the limit is for everybody.
        await #expect(processExitsWith: .success) {
            let rig = try Rig()
            let (_, group) = rig.ready()
            let other = rig.open(.group(27))
            let limit = ProcessLimits.descriptors
            try ProcessLimits.setDescriptors(0)
            let answers = [
                rig.device(group), rig.device(group, "0000:09:00.0"), rig.device(other, Rig.other),
                rig.open(.group(26)), rig.open(.container),
            ]
            try ProcessLimits.setDescriptors(limit)
            // The device is looked up before it needs a number; a node isn't.
            #expect(answers == [-EMFILE, -ENODEV, -EMFILE, -EMFILE, -EMFILE])
            #expect(rig.buses[0].opened == 0)
            try rig.host.bind(Self.first, to: nil, waitingAtMost: 0)
            #expect(rig.ask(group, .groupUnsetContainer) == 0)
        }
    }

    @Test("groups leave their container in any order, and each takes only its own devices out of the IOMMU")
    func groupsInAnyOrder() throws {
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            for way in 0..<3 {
                let rig = try Rig {
                    $0.groups.append(IOMMUGroup(28) { PCIDevice(PlainModel(), at: "0000:03:00.0") })
                }
                let (container, first) = rig.ready()
                let groups = [first, rig.open(.group(27)), rig.open(.group(28))]
                for group in groups[1...] { #expect(rig.setContainer(group, container) == 0) }
                #expect(rig.map(container, 0x10000, from: 4) == 0)
                let buses = [rig.buses[0], rig.buses[2], rig.buses[3]]
                let addresses = [Self.first, Self.third, PCIAddress(bus: 3, device: 0, function: 0)]
                for (count, index) in order.enumerated() {
                    for other in order[count...] { #expect(buses[other].read(0x10000) == [4]) }
                    switch way {
                    case 0: #expect(rig.ask(groups[index], .groupUnsetContainer) == 0)
                    case 1: rig.host.close(groups[index])
                    default:
                        try rig.host.unplug(addresses[index])
                        if index == 0 { try rig.host.unplug(Self.second) }
                    }
                    #expect(!buses[index].canRead(0x10000))
                }
                #expect(rig.host.lockedByteCount == 0)
                #expect(rig.ask(container, .iommuGetInfo) == -EINVAL)
            }
        }
    }
}
