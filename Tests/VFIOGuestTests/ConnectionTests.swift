import HostTestSupport
import IOVASpace
import LinuxSystem
import SoftwareHost
import Testing
import VFIO
import VFIOABI
import VFIOHost

@testable import VFIOGuest

@Suite("The way of a device into a guest, step by step")
struct ConnectionTests {
    /// What the host is asked, by name.
    private func names(_ host: FaultyHost) -> [String] {
        host.allCalls.compactMap { call in
            switch call {
            case .open(let node): "open \(node)"
            case .control(UInt32(Request.groupSetContainer.rawValue)): "SET_CONTAINER"
            case .control(UInt32(Request.groupUnsetContainer.rawValue)): "UNSET_CONTAINER"
            case .control(UInt32(Request.setIOMMU.rawValue)): "SET_IOMMU"
            case .control(UInt32(Request.groupGetStatus.rawValue)): "GET_STATUS"
            case .control(UInt32(Request.groupGetDeviceFD.rawValue)): "GET_DEVICE_FD"
            case .control(UInt32(Request.getAPIVersion.rawValue)): "GET_API_VERSION"
            case .control(UInt32(Request.iommuMapDMA.rawValue)): "MAP_DMA"
            default: nil
            }
        }
    }

    private func index(_ name: String, _ names: [String]) throws -> Int {
        try #require(names.firstIndex(of: name), "\(name) isn't in \(names)")
    }

    private func attach(_ machine: FaultyMachine, _ index: Int = 0) -> VFIOGuestError? {
        thrown { () throws(VFIOGuestError) in
            try machine.devices.attach(GuestMachine.address(index), to: machine.machine.space)
        }
    }

    @Test(
        "1.18 The version is asked before anything, the group is viable before it joins, and it joins before the IOMMU is chosen"
    )
    func order() throws {
        let machine = try FaultyMachine()
        try machine.ram(pages: 1, at: 0)
        let device = try machine.attach()
        defer { withExtendedLifetime(device) {} }
        let names = names(machine.host)
        #expect(try index("open container", names) < index("GET_API_VERSION", names))
        #expect(try index("GET_API_VERSION", names) < index("open group(1)", names))
        #expect(try index("open group(1)", names) < index("GET_STATUS", names))
        #expect(try index("GET_STATUS", names) < index("SET_CONTAINER", names))
        #expect(try index("SET_CONTAINER", names) < index("SET_IOMMU", names))
        #expect(try index("SET_IOMMU", names) < index("GET_DEVICE_FD", names))
        #expect(try index("GET_DEVICE_FD", names) < index("MAP_DMA", names))
    }

    @Test("1.18 A host of another version of the uAPI is refused before any group is opened")
    func version() throws {
        let machine = try FaultyMachine()
        machine.host.answer(.getAPIVersion) { _ in .success(1) }
        #expect(attach(machine)?.code == .notSupported)
        #expect(!names(machine.host).contains("open group(1)"))
        #expect(machine.isIdle)
    }

    @Test("1.19 A group that isn't viable isn't joined, and who is in the way is named")
    func viable() throws {
        let machine = try FaultyMachine()
        machine.host.amend(.groupGetStatus) { argument in
            try? UserMemory.store(GroupStatus(), to: HostAddress(rawValue: argument))
        }
        let error = attach(machine)
        #expect(error?.code == .notViable && error?.object == "group 1")
        #expect(!names(machine.host).contains("SET_CONTAINER"))
        #expect(machine.isIdle)
    }

    @Test(
        "1.17 The IOMMU is type 1 version 2, else type 1, else sPAPR's version 2, else its version 1",
        arguments: [
            ([3, 1, 7, 2], 3), ([1, 7, 2], 1), ([7, 2], 7), ([2], 2),
        ] as [([UInt], UInt)])
    func preference(offered: [UInt], chosen: UInt) throws {
        let machine = try FaultyMachine()
        let asked = Box<[UInt]>([])
        machine.host.answer(.checkExtension) { argument in .success(offered.contains(argument) ? 1 : 0) }
        machine.host.answer(.setIOMMU) { argument in
            asked.change { $0.append(argument) }
            return .failure(.inputOutput)
        }
        #expect(attach(machine)?.errno == .inputOutput)
        // Only version 2 of sPAPR is advertised where it can't be had: then version 1 is tried.
        #expect(asked.value == (chosen == 7 ? [7, 2] : [chosen]))
        #expect(machine.isIdle)
    }

    @Test("1.17 A host that has no IOMMU that is known is refused with its own errno")
    func noIOMMU() throws {
        let machine = try FaultyMachine()
        machine.host.answer(.checkExtension) { _ in .success(0) }
        machine.host.fail(.control(UInt32(Request.setIOMMU.rawValue)), with: .invalid)
        #expect(attach(machine)?.errno == .invalid)
        #expect(machine.isIdle)
    }

    @Test(
        "Fault 2: A question about an extension that fails isn't a yes",
        arguments: [Errno.inputOutput, .noMemory])
    func failedQuestion(errno: Errno) throws {
        let machine = try FaultyMachine()
        machine.host.fail(.control(UInt32(Request.checkExtension.rawValue)), with: errno)
        #expect(attach(machine)?.errno == errno)
        #expect(!names(machine.host).contains("SET_IOMMU"))
        #expect(machine.isIdle)
    }

    @Test(
        "Fault 1: An IOMMU that doesn't tell what it can do ends the connection, and nothing of it is left",
        arguments: [Errno.inputOutput, .noDevice, .invalid, .noMemory])
    func noInformation(errno: Errno) throws {
        let machine = try FaultyMachine()
        try machine.ram(pages: 1, at: 0)
        machine.host.fail(.control(UInt32(Request.iommuGetInfo.rawValue)), with: errno)
        let error = attach(machine)
        // Fault 25: the errno is the one that the host gave, whatever was cleaned up since.
        #expect(error?.errno == errno)
        #expect(error?.operation == "ask the IOMMU for its page sizes and ranges")
        #expect(machine.maps.value.isEmpty && machine.isIdle)
        machine.host.healAll()
        #expect(attach(machine) == nil)
    }

    @Test(
        "Fault 25: The errno of the step that failed is told, also where every step of the way back fails differently",
        arguments: [Errno.inputOutput, .noMemory, .busy])
    func errnoSurvives(errno: Errno) throws {
        for request in [
            Request.iommuGetInfo, .setIOMMU, .groupSetContainer, .groupGetDeviceFD, .deviceGetInfo,
            .iommuMapDMA,
        ] {
            let machine = try FaultyMachine()
            try machine.ram("first", pages: 1, at: 0)
            for other in [Request.iommuUnmapDMA, .groupUnsetContainer, .deviceReset] {
                machine.host.fail(.control(UInt32(other.rawValue)), with: .noSuchAddress)
            }
            machine.host.fail(.control(UInt32(request.rawValue)), with: errno)
            #expect(attach(machine)?.errno == errno, "\(request)")
        }
    }

    @Test("Fault 23: A connection that fails late gives the group back at once: another way in can have it")
    func explicitUnwinding() throws {
        let machine = try FaultyMachine()
        try machine.ram("first", pages: 1, at: 0)
        try machine.ram("gap", pages: 1, at: 0xfee0_0000)
        let error = attach(machine)
        #expect(error?.code == .outsideAperture)
        #expect(machine.unmaps.value.map(\.iova) == [0])
        #expect(machine.host.closingOrder == ["device", "vfio/1", "vfio/vfio"])
        #expect(machine.isIdle)
        let space = try VFIO.AddressSpace(on: machine.host, .cdev)
        _ = try Device(opening: GuestMachine.address(0), in: space)
    }

    @Test("1.18 The first error of what is mapped on the way in is the connection's, with the section's name")
    func firstError() throws {
        let machine = try FaultyMachine()
        for index in 0..<3 { try machine.ram("ram\(index)", pages: 1, at: UInt64(index) << 16) }
        let count = Box(0)
        machine.host.answer(.iommuMapDMA) { _ in
            count.value += 1
            return count.value == 1 ? nil : .failure(count.value == 2 ? .noMemory : .inputOutput)
        }
        let error = attach(machine)
        #expect(error?.errno == .noMemory)
        #expect(error?.object == "section ram1+0x0 at 0x10000...0x10fff")
        #expect(machine.unmaps.value.map(\.iova) == [0] && machine.isIdle)
    }

    @Test(
        "1.16 An address space may have several containers: a group that can't join one gets one of its own")
    func severalContainers() throws {
        let machine = try FaultyMachine()
        try machine.ram(pages: 1, at: 0)
        let first = try machine.attach(0)
        let count = Box(0)
        machine.host.answer(.groupSetContainer) { _ in
            count.value += 1
            return count.value == 1 ? .failure(.invalid) : nil
        }
        let second = try machine.attach(2)
        #expect(first.container !== second.container)
        #expect(machine.devices.containers.map(\.groups) == [[1], [2]])
        #expect(machine.machine.probers[0].write(1, at: 0) && machine.machine.probers[2].write(1, at: 0))
        // The next one is offered to the first container first.
        let third = try machine.attach(3)
        #expect(third.container === first.container)
        for device in [first, second, third] { device.detach() }
        #expect(machine.devices.containers.isEmpty)
    }

    @Test(
        "1.16 An address space is forgotten with its last container: the same device can have another one then"
    )
    func forgotten() throws {
        let machine = try FaultyMachine()
        let other = GuestAddressSpace(
            "other",
            showing: try MemoryRegion("other", .container, byteCount: 1 << 32, in: machine.machine.memory))
        do {
            let device = try machine.attach()
            withExtendedLifetime(device) {}
        }
        #expect(machine.isIdle)
        let device = try machine.devices.attach(GuestMachine.address(0), to: other)
        #expect(device.container?.space === other)
    }

    @Test(
        "1.19 A group goes with its last device, for others to have; mappings stay with the groups that stay")
    func groupsGo() throws {
        let machine = try FaultyMachine()
        try machine.ram(pages: 1, at: 0)
        let stays = try machine.attach(0)
        do {
            let first = try machine.attach(2)
            withExtendedLifetime(first) {}
        }
        #expect(machine.host.closingOrder == ["device", "vfio/2"])
        #expect(machine.machine.probers[0].write(1, at: 0))
        #expect(machine.unmaps.value.isEmpty)
        // Somebody else can open it, and it can come back when they are done.
        do { _ = try Device(opening: GuestMachine.address(2), on: machine.host, .group) }
        let back = try machine.attach(2)
        #expect(back.container === stays.container)
        #expect(machine.machine.probers[2].write(2, at: 0))
        stays.detach()
    }

    @Test(
        "1.19 The last group's mappings are undone before it leaves, then device, group and container close")
    func disconnect() throws {
        let machine = try FaultyMachine()
        try machine.ram(pages: 1, at: 0)
        let openWhenUnmapped = Box(0)
        do {
            let device = try machine.attach()
            withExtendedLifetime(device) {}
            openWhenUnmapped.value = machine.host.openCount
        }
        #expect(openWhenUnmapped.value == 3)
        #expect(machine.unmaps.value.map(\.iova) == [0])
        #expect(machine.host.closingOrder == ["device", "vfio/1", "vfio/vfio"])
    }

    @Test("1.19 Whether a device can be reset alone is what the host says of it")
    func resetWorks() throws {
        let machine = try FaultyMachine()
        do {
            let device = try machine.attach()
            #expect(!device.device.canReset)
            #expect(thrown { () throws(VFIOError) in try device.device.reset() }?.code == .notSupported)
            #expect(!machine.host.allCalls.contains(.control(UInt32(Request.deviceReset.rawValue))))
        }
        machine.host.amend(.deviceGetInfo) { argument in
            let address = HostAddress(rawValue: argument)
            guard var info = try? UserMemory.load(DeviceInfo(), from: address) else { return }
            info.flags.insert(.reset)
            try? UserMemory.store(info, to: address)
        }
        machine.host.accept(.deviceReset)
        let device = try machine.attach()
        #expect(device.device.canReset)
        try device.device.reset()
    }
}
