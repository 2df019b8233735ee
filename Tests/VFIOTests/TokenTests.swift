import IOVASpace
import LinuxSystem
import SoftwareDevices
import SoftwareHost
import Testing
import VFIO
import VFIOABI
import VFIOHost

@Suite("Users of virtual functions show a token to be let in")
struct TokenTests {
    private let token = DeviceUUID("5f0c3b1e-8a3d-4c53-9d1e-7b9f7f7e1a01")!
    private let physical = PCIAddress(bus: 1, device: 0, function: 0)

    private func host() throws -> (host: SoftwareHost, virtual: DeviceID) {
        let host = try SoftwareHost {
            IOMMUGroup(0) { PCIDevice(Educational(virtualFunctions: 2), at: physical) }
        }
        host.parameters.enableSRIOV = true
        try host.setVirtualFunctionCount(2, of: physical)
        let virtual = try #require(try host.inventory().devices.first { $0.physicalFunction == physical })
        return (host, DeviceID(virtual.address))
    }

    @Test("which the physical function's user sets", arguments: [RouteChoice.group, .cdev])
    func set(_ choice: RouteChoice) throws {
        let (host, virtual) = try host()
        let owner = try Device(opening: physical, on: host, choice)
        try owner.setToken(token)
        let without = failure { () throws(VFIOError) in try Device(opening: virtual, on: host, choice) }
        #expect(without?.code == .permissionDenied && without?.remedy?.contains("token") == true)
        let other = try DeviceUUID.random()
        let wrong = failure { () throws(VFIOError) in
            try Device(opening: virtual, on: host, choice, showing: other)
        }
        #expect(wrong?.code == .permissionDenied && wrong?.errno == .accessDenied)
        let device = try Device(opening: virtual, on: host, choice, showing: token)
        #expect(device.id == virtual)
        withExtendedLifetime(owner) {}
    }

    @Test("or says when it opens the physical function", arguments: [RouteChoice.group, .cdev])
    func shown(_ choice: RouteChoice) throws {
        let (host, virtual) = try host()
        let owner = try Device(opening: DeviceID(physical), on: host, choice, showing: token)
        let device = try Device(opening: virtual, on: host, choice, showing: token)
        withExtendedLifetime((owner, device)) {}
    }

    @Test("and who has no virtual functions has no token")
    func none() throws {
        let host = try machine()
        let device = try Device(opening: benchAddress, on: host)
        let error = failure { () throws(VFIOError) in try device.setToken(token) }
        #expect(error?.code == .notSupported)
        withExtendedLifetime(device) {}
        let another = try machine()
        let shown = failure { () throws(VFIOError) in
            try Device(opening: DeviceID(benchAddress), on: another, showing: token)
        }
        #expect(shown?.errno == .invalid)
    }

    @Test("A UUID is read and written as the kernel does", arguments: 0..<50)
    func text(_ round: Int) throws {
        let uuid = try DeviceUUID.random()
        #expect(DeviceUUID(uuid.description) == uuid && DeviceUUID(uuid.description.uppercased()) == uuid)
        #expect(uuid.description.utf8.count == DeviceUUID.textLength)
        var text = Array(uuid.description.utf8)
        text[[8, 13, 18, 23, 0][round % 5]] = UInt8(ascii: "x")
        #expect(DeviceUUID(text) == nil)
        #expect(DeviceUUID(uuid.description.dropLast()) == nil)
    }
}

@Suite("A program that is replaced by a newer one of itself keeps its mappings")
struct AddressUpdateTests {
    @Test("whose memory is told of anew")
    func update() throws {
        let host = try machine()
        let group = try Group(26, unprotected: false, on: host)
        let container = try Container(on: host)
        try group.setContainer(container)
        try container.setIOMMU(.type1v2)
        let file = try MemoryFile.create("memory", byteCount: UInt64(4 * pageSize))
        let range = try #require(IOVARange(IOVA(0x10_0000), byteCount: UInt64(4 * pageSize)))
        let old = try Mapping(sharing: file.number, at: 0, byteCount: 4 * pageSize)
        try container.map(old.window.address, to: range, [.read, .write])
        #expect(throws: Errno.invalid) { try container.updateAddress(of: range, to: old.window.address) }
        #expect(try container.forgetAddresses(of: range) == UInt64(4 * pageSize))
        #expect(throws: Errno.invalid) { _ = try container.forgetAddresses(of: range) }
        let new = try Mapping(sharing: file.number, at: 0, byteCount: 4 * pageSize)
        try container.updateAddress(of: range, to: new.window.address)
        // It is a whole mapping again: it is unmapped as one.
        #expect(try container.unmap(range) == UInt64(4 * pageSize))
        #expect(throws: Errno.noSuchEntry) { try container.updateAddress(of: range, to: new.window.address) }
    }
}
