import DeviceModel
import LinuxSystem
import SoftwareDevices
import SoftwareHost
import Testing
import VFIOABI
import VFIOHost

@testable import VFIO

/// Pictures of displays, and monitors.
struct PictureTests {
    static let name = "5f0c3b1e-8a3d-4c53-9d1e-7b9f7f7e1a01"

    private func device(
        _ type: String, of parent: any MediatedParent, _ choice: RouteChoice = .automatic
    ) throws -> Device {
        var machine = MachineDescription()
        machine.mediatedParents = [parent]
        let host = try SoftwareHost(machine)
        try host.createMediatedDevice(Self.name, type: type, of: parent.name)
        let id = try #require(DeviceID(.mdev, Self.name))
        return try Device(opening: id, on: host, choice)
    }

    private func set(_ registers: Region, _ register: BochsDisplay.Register, _ value: UInt16) throws {
        try registers.store16(Int(register.offset), value)
    }

    /// Takes a PNG file apart again, as far as this house writes them.
    private func decode(_ file: [UInt8]) throws -> (width: Int, height: Int, bytes: [UInt8]) {
        func number(_ place: Int) -> Int { (0..<4).reduce(0) { $0 << 8 | Int(file[place + $1]) } }
        #expect(Array(file[..<8]) == [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])
        var place = 8
        var parts: [String: [UInt8]] = [:]
        while place < file.count {
            let count = number(place)
            let name = String(decoding: file[place + 4..<place + 8], as: UTF8.self)
            parts[name] = Array(file[place + 8..<place + 8 + count])
            place += 12 + count
        }
        let header = try #require(parts["IHDR"])
        func field(_ place: Int) -> Int { (0..<4).reduce(0) { $0 << 8 | Int(header[place + $1]) } }
        #expect(Array(header[8...]) == [8, 2, 0, 0, 0])
        let stream = try #require(parts["IDAT"])
        #expect((Int(stream[0]) << 8 | Int(stream[1])) % 31 == 0)
        var lines: [UInt8] = []
        var at = 2
        while true {
            let count = Int(stream[at + 1]) | Int(stream[at + 2]) << 8
            #expect(count ^ 0xffff == Int(stream[at + 3]) | Int(stream[at + 4]) << 8)
            lines += stream[at + 5..<at + 5 + count]
            let isLast = stream[at] == 1
            at += 5 + count
            if isLast { break }
        }
        let (width, height) = (field(0), field(4))
        var bytes: [UInt8] = []
        for line in 0..<height {
            let start = line * (width * 3 + 1)
            #expect(lines[start] == 0)
            bytes += lines[start + 1..<start + 1 + width * 3]
        }
        return (width, height, bytes)
    }

    @Test(arguments: [RouteChoice.group, .cdev])
    func `A frame buffer's picture is what was stored in it`(route: RouteChoice) throws {
        let device = try device("mdpy-vga", of: FrameBufferParent(), route)
        defer { withExtendedLifetime(device) {} }
        #expect(try device.displayWays() == .region)
        let memory = try device.region(.bar0)
        try memory.store32(4 * 640 * 10 + 4 * 3, 0x00ff_8040)
        let picture = try #require(try device.picture())
        #expect(picture.width == 640 && picture.height == 480)
        let place = (640 * 10 + 3) * 3
        #expect(Array(picture.bytes[place..<place + 3]) == [0xff, 0x80, 0x40])
        #expect(Array(picture.bytes.suffix(3)) == [0xfe, 0xfe, 0xfe])
        let file = try decode(picture.png())
        #expect(file.width == 640 && file.height == 480 && file.bytes == picture.bytes)
    }

    @Test func `A Bochs display's picture is the part of its memory that the mode shows`() throws {
        let device = try device("mbochs-small", of: BochsDisplayParent())
        defer { withExtendedLifetime(device) {} }
        #expect(try device.displayWays() == .buffer)
        #expect(try device.picture() == nil)
        let registers = try device.region(.bar2)
        try set(registers, .width, 100)
        try set(registers, .height, 64)
        try set(registers, .virtualWidth, 1024)
        try set(registers, .depth, 32)
        try set(registers, .top, 2)
        try set(registers, .enable, 1)
        let plane = try #require(try device.displayPlane())
        #expect(plane.source == .buffer(1) && plane.stride == 4096)
        let memory = try device.region(.bar0)
        try memory.store32(2 * 4096 + 4 * 99, 0x0011_2233)
        try memory.store32(65 * 4096 + 4, 0x0044_5566)
        let picture = try #require(try device.picture())
        #expect(Array(picture.bytes[297..<300]) == [0x11, 0x22, 0x33])
        #expect(Array(picture.bytes[(63 * 100 + 1) * 3..<(63 * 100 + 2) * 3]) == [0x44, 0x55, 0x66])
        #expect(picture.bytes.count { $0 != 0 } == 6)
    }

    @Test func `A PNG's checksums are those of the standard`() throws {
        let picture = Picture(width: 1, height: 1, bytes: [255, 0, 0])
        let wanted: [UInt8] = [
            0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 13, 0x49, 0x48, 0x44, 0x52, 0, 0, 0, 1,
            0,
            0, 0, 1, 8, 2, 0, 0, 0, 0x90, 0x77, 0x53, 0xde,
        ]
        #expect(Array(picture.png().prefix(wanted.count)) == wanted)
        #expect(
            Array(picture.png().suffix(12)) == [0, 0, 0, 0, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82])
    }

    @Test func `A monitor that is plugged in is what the guest sees`() throws {
        let device = try device("mbochs-small", of: BochsDisplayParent())
        defer { withExtendedLifetime(device) {} }
        let monitor = try device.monitor()
        #expect(monitor.mostBytes == 1024)
        #expect(monitor.mostPixels.width == 800 && monitor.mostPixels.height == 600)
        #expect(try !monitor.isPluggedIn)
        let edid = (0..<128).map { UInt8($0 ^ 0x5a) }
        try monitor.plugIn(edid)
        #expect(try monitor.isPluggedIn)
        #expect(try monitor.edid() == edid)
        let registers = try device.region(.bar2)
        #expect(try (0..<128).map { try registers.load8($0) } == edid)
        try monitor.unplug()
        #expect(try registers.load8(0) == 0)
        let failure = #expect(throws: VFIOError.self) {
            try monitor.plugIn([UInt8](repeating: 0, count: 1025))
        }
        #expect(failure?.code == .outOfBounds)
    }

    @Test func `A serial card shows nothing and sees no monitor`() throws {
        let device = try device("mtty-1", of: SerialCardParent())
        defer { withExtendedLifetime(device) {} }
        #expect(try device.displayWays() == [])
        let noPicture = #expect(throws: VFIOError.self) { _ = try device.picture() }
        #expect(noPicture?.code == .notSupported)
        let noMonitor = #expect(throws: VFIOError.self) { _ = try device.monitor() }
        #expect(noMonitor?.code == .notSupported)
    }
}
