import DeviceModel
import LinuxSystem
import SoftwareDevices
import Testing
import VFIOABI
import VFIOHost

@testable import SoftwareHost

/// Mediated devices: how they come, go and are opened.
struct MediatedDeviceTests {
    static let name = "5f0c3b1e-8a3d-4c53-9d1e-7b9f7f7e1a01"

    private func host(_ parents: any MediatedParent...) throws -> SoftwareHost {
        var machine = MachineDescription()
        machine.mediatedParents = parents
        return try SoftwareHost(machine)
    }

    private func summary(_ host: SoftwareHost, _ name: String) throws -> DeviceSummary {
        let id = try #require(DeviceID(.mdev, name))
        return try #require(try host.inventory().summary(of: id))
    }

    private func errno(_ body: () throws(Errno) -> Void) -> Errno? {
        do throws(Errno) { try body() } catch { return error }
        return nil
    }

    private func open(_ host: SoftwareHost, _ name: String = Self.name) throws -> (
        container: Int32, group: Int32, device: Int32
    ) {
        let place = try summary(host, name)
        let container = try host.open(.container)
        let group = try host.open(.group(try #require(place.group)))
        func ask<T>(_ handle: Int32, _ request: Request, _ value: T) throws -> Int32 {
            var value = value
            return try withUnsafeMutablePointer(to: &value) {
                try host.control(
                    handle, UInt32(truncatingIfNeeded: request.rawValue), UInt(bitPattern: $0))
            }
        }
        _ = try ask(group, .groupSetContainer, container)
        _ = try host.control(container, UInt32(truncatingIfNeeded: Request.setIOMMU.rawValue), 3)
        let device = try name.withCString {
            try host.control(
                group, UInt32(truncatingIfNeeded: Request.groupGetDeviceFD.rawValue), UInt(bitPattern: $0))
        }
        return (container, group, device)
    }

    @Test func `A mediated device is made by its UUID, once, of what there is`() throws {
        let host = try host(SerialCardParent(portCount: 3))
        func create(_ text: String, _ type: String = "mtty-1", of parent: String = "mtty") -> Errno? {
            errno { () throws(Errno) in try host.createMediatedDevice(text, type: type, of: parent) }
        }
        #expect(create(Self.name, "mtty-3") == .noSuchEntry)
        #expect(create(Self.name, of: "mdpy") == .noSuchEntry)
        #expect(create("5f0c3b1e") == .invalid)
        #expect(create(Self.name + "\n\n") == .invalid)
        #expect(create(String(repeating: "x", count: 36)) == .invalid)
        #expect(create(Self.name.uppercased() + "\n") == nil)
        #expect(create(Self.name) == .exists)
        let other = "5f0c3b1e-8a3d-4c53-9d1e-7b9f7f7e1a02"
        #expect(create(other, "mtty-2") == nil)
        #expect(create("5f0c3b1e-8a3d-4c53-9d1e-7b9f7f7e1a03") == .noSpace)
        let parent = try #require(try host.mediatedParents().first)
        #expect(parent.name == "mtty")
        #expect(parent.types.map { $0.name } == ["mtty-1", "mtty-2"])
        #expect(parent.types.map { $0.availableInstances } == [0, 0])
        let summary = try self.summary(host, Self.name)
        #expect(summary.driver?.name == "mtty" && summary.driver?.isVFIO == true)
        #expect(summary.isMediated && summary.deviceNode != nil)
        try host.removeMediatedDevice(other)
        #expect(try host.mediatedParents()[0].types.map { $0.availableInstances } == [2, 1])
        #expect(errno { () throws(Errno) in try host.removeMediatedDevice(other) } == .noSuchEntry)
        #expect(try host.inventory().groups.count == 1)
    }

    @Test func `A mediated device in use is asked for and removed when it is closed`() throws {
        let host = try host(SerialCardParent())
        try host.createMediatedDevice(Self.name, type: "mtty-1", of: "mtty")
        let files = try open(host)
        let removal = try WorkerThread { try? host.removeMediatedDevice(Self.name) }
        let id = try #require(DeviceID(.mdev, Self.name))
        while try host.inventory().summary(of: id)?.driver != nil { Clock.sleep(nanoseconds: 1_000_000) }
        #expect(errno { () throws(Errno) in try host.removeMediatedDevice(Self.name) } == .noDevice)
        var byte = [UInt8](repeating: 0, count: 1)
        var span = byte.mutableSpan
        var raw = unsafe span.mutableBytes
        #expect(try host.read(files.device, at: 5, into: &raw) == 1)
        host.close(files.device)
        withExtendedLifetime(removal) {}
        while try host.inventory().summary(of: id) != nil { Clock.sleep(nanoseconds: 1_000_000) }
        #expect(try host.mediatedParents()[0].types[0].availableInstances == 24)
    }

    @Test func `A picture's memory outlives its device, and its mapping the descriptor`() throws {
        let host = try host(BochsDisplayParent())
        try host.createMediatedDevice(Self.name, type: "mbochs-small", of: "mbochs")
        let files = try open(host)
        let registers = UInt64(pageSize) + 0x500
        for (index, value) in [(1, 64), (2, 64), (3, 32), (4, 1)] {
            let bytes = [UInt8(value), 0]
            _ = try unsafe host.write(files.device, at: registers + UInt64(2 * index), bytes.span.bytes)
        }
        var plane = GFXPlaneInfo(flags: .dmabuf, drmPlaneType: 1)
        _ = try withUnsafeMutablePointer(to: &plane) {
            try host.control(
                files.device, UInt32(truncatingIfNeeded: Request.deviceQueryGFXPlane.rawValue),
                UInt(bitPattern: $0))
        }
        #expect(plane.dmabufID == 1 && plane.size == 16384)
        var id = plane.dmabufID
        let buffer = try withUnsafeMutablePointer(to: &id) {
            try host.control(
                files.device, UInt32(truncatingIfNeeded: Request.deviceGetGFXDMABuf.rawValue),
                UInt(bitPattern: $0))
        }
        let pixel: [UInt8] = [1, 2, 3, 4]
        _ = try unsafe host.write(files.device, at: 3 * UInt64(pageSize), pixel.span.bytes)
        let window = try host.map(buffer, at: 0, byteCount: 16384, protection: .read)
        host.close(files.device)
        host.close(files.group)
        host.close(files.container)
        host.close(buffer)
        #expect(window.load32(0) == 0x0403_0201)
        host.unmap(window)
        try host.removeMediatedDevice(Self.name)
        #expect(try host.mediatedParents()[0].types[2].availableInstances == 4)
    }
}
