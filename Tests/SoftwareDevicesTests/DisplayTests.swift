import DeviceModel
import LinuxSystem
import Testing
import VFIOABI

@testable import SoftwareDevices

/// The two mediated displays.
struct DisplayTests {
    private func plane(_ device: any MediatedDevice, _ flags: GFXPlaneFlags, type: UInt32 = 1) throws
        -> GFXPlaneInfo
    {
        var plane = GFXPlaneInfo(flags: flags, drmPlaneType: type)
        try device.describePlane(&plane)
        return plane
    }

    private func set(_ display: BochsDisplay, _ register: BochsDisplay.Register, _ value: UInt32) {
        display.write(region: 2, at: register.offset, width: 2, value: value)
    }

    private func show(_ display: BochsDisplay, _ width: UInt32, _ height: UInt32) {
        set(display, .width, width)
        set(display, .height, height)
        set(display, .depth, 32)
        set(display, .enable, 0x41)
    }

    @Test func `A frame buffer begins with a gradient and shows what is stored in it until it is reset`()
        throws
    {
        let display = try FrameBufferDisplay(width: 640, height: 480)
        let window = display.memory.window
        #expect(window.byteCount == 2 << 20)
        #expect(window.load32(0) == 0)
        #expect(window.load32(479 * 640 * 4) == 0xfefe_fefe)
        window.store32(0, 0x00ff_8040)
        display.reset()
        #expect(window.load32(0) == 0)
    }

    @Test func `A frame buffer tells its plane as a region, and nothing else`() throws {
        let display = try FrameBufferDisplay(width: 1024, height: 768)
        let info = try plane(display, .region)
        #expect(info.width == 1024 && info.height == 768 && info.stride == 4096)
        #expect(info.drmFormat == 0x3432_5258)
        #expect(info.size == UInt32(display.memory.window.byteCount))
        #expect(info.regionIndex == 16)
        _ = try plane(display, [.probe, .region])
        #expect(throws: Errno.invalid) { try plane(display, [.probe, .dmabuf]) }
        #expect(throws: Errno.invalid) { try plane(display, .dmabuf) }
        #expect(throws: Errno.invalid) { try plane(display, []) }
        #expect(throws: Errno.noSuchRequest) { try display.planeMemory(1) }
    }

    @Test func `A frame buffer's size is in its vendor capability`() throws {
        let display = try FrameBufferDisplay(width: 640, height: 480)
        #expect(display.read(region: 7, at: 0, width: 4) == 0x000f_1b36)
        #expect(display.read(region: 7, at: 0x34, width: 1) == 0x40)
        #expect(display.read(region: 7, at: 0x40, width: 4) == 0x0010_0009)
        #expect(display.read(region: 7, at: 0x48, width: 4) == 640)
        #expect(display.read(region: 7, at: 0x4c, width: 4) == 480)
        display.write(region: 7, at: 0x10, width: 4, value: .max)
        #expect(display.read(region: 7, at: 0x10, width: 4) == 0xffe0_0008)
        display.write(region: 7, at: 0x10, width: 4, value: 0xd000_0000)
        #expect(display.read(region: 7, at: 0x10, width: 4) == 0xd000_0008)
    }

    @Test func `A Bochs display shows nothing before it has a mode`() throws {
        let display = try BochsDisplay(megabytes: 4)
        let info = try plane(display, .dmabuf)
        #expect(info.width == 0 && info.size == 0 && info.dmabufID == 0)
        show(display, 63, 600)
        #expect(try plane(display, .dmabuf).size == 0)
        show(display, 1920, 1440)
        #expect(try plane(display, .dmabuf).size == 0)
        show(display, 800, 600)
        #expect(try plane(display, .dmabuf, type: 2).size == 0)
        set(display, .depth, 16)
        #expect(try plane(display, .dmabuf).size == 0)
    }

    @Test func `A mode has a number, and memory that begins where the mode does`() throws {
        let display = try BochsDisplay(megabytes: 4)
        show(display, 1024, 600)
        let info = try plane(display, .dmabuf)
        #expect(info.width == 1024 && info.height == 600 && info.stride == 4096 && info.dmabufID == 1)
        #expect(try plane(display, .dmabuf).dmabufID == 1)
        set(display, .top, 10)
        let lower = try plane(display, .dmabuf)
        #expect(lower.dmabufID == 2)
        #expect(try display.planeMemory(2).offset == 40960)
        #expect(try display.planeMemory(1).offset == 0)
        set(display, .left, 1)
        let odd = try plane(display, .dmabuf)
        #expect(throws: Errno.invalid) { try display.planeMemory(odd.dmabufID) }
        #expect(throws: Errno.noSuchEntry) { try display.planeMemory(99) }
        set(display, .virtualWidth, 1030)
        #expect(try plane(display, .dmabuf).stride == 4120)
    }

    @Test func `A guest that changes modes for ever uses no memory for it`() throws {
        let display = try BochsDisplay(megabytes: 4)
        for width in UInt32(64)..<512 {
            show(display, width, 64)
            #expect(try plane(display, .dmabuf).dmabufID == width - 63)
        }
        #expect(throws: Errno.noSuchEntry) { try display.planeMemory(1) }
        #expect(try display.planeMemory(448).byteCount == 511 * 64 * 4)
    }

    @Test func `Only accesses of 16 bits reach the mode's registers`() throws {
        let display = try BochsDisplay(megabytes: 16)
        #expect(display.read(region: 2, at: 0x500, width: 2) == 0xb0c5)
        #expect(display.read(region: 2, at: 0x514, width: 2) == 256)
        #expect(display.read(region: 2, at: 0x500, width: 4) == 0)
        display.write(region: 2, at: 0x502, width: 4, value: 640)
        #expect(display.read(region: 2, at: 0x502, width: 2) == 0)
        display.write(region: 2, at: 0x502, width: 2, value: 640)
        #expect(display.read(region: 2, at: 0x502, width: 2) == 640)
        display.reset()
        #expect(display.read(region: 2, at: 0x502, width: 2) == 0)
        #expect(display.read(region: 2, at: 0x516, width: 2) == 0)
    }

    @Test func `The guest sees the EDID while a monitor is plugged in`() throws {
        let display = try BochsDisplay(megabytes: 4, most: (800, 600))
        #expect(display.read(region: 9, at: 0, width: 4) == UInt32(pageSize / 2))
        #expect(display.read(region: 9, at: 4, width: 4) == 1024)
        #expect(display.read(region: 9, at: 12, width: 4) == 800)
        #expect(display.read(region: 9, at: 16, width: 4) == 600)
        let blob = UInt64(pageSize / 2)
        display.write(region: 9, at: blob, width: 4, value: 0xffff_ff00)
        display.write(region: 9, at: 8, width: 4, value: 128)
        #expect(display.read(region: 2, at: 0, width: 4) == 0)
        display.write(region: 9, at: 20, width: 4, value: 1)
        #expect(display.read(region: 2, at: 0, width: 4) == 0xffff_ff00)
        #expect(display.read(region: 2, at: 128, width: 4) == 0)
        display.write(region: 9, at: 20, width: 4, value: 2)
        #expect(display.read(region: 2, at: 0, width: 4) == 0)
        // What is read only, and beyond the block.
        display.write(region: 9, at: 0, width: 4, value: 0)
        display.write(region: 9, at: blob + 1024, width: 4, value: 1)
        display.write(region: 9, at: 8, width: 4, value: .max)
        display.write(region: 9, at: 20, width: 4, value: 1)
        #expect(display.read(region: 9, at: 0, width: 4) == UInt32(pageSize / 2))
        #expect(display.read(region: 2, at: 1020, width: 4) == 0)
    }

    @Test func `A picture stays with whoever was given it when the device is closed`() throws {
        let display = try BochsDisplay(megabytes: 4)
        show(display, 64, 64)
        let id = try plane(display, .dmabuf).dmabufID
        display.memory.window.store32(0, 0x1234)
        let picture = try display.planeMemory(id)
        display.close()
        #expect(picture.file.window.load32(0) == 0x1234)
        #expect(display.memory.window.load32(0) == 0)
        #expect(throws: Errno.noSuchEntry) { try display.planeMemory(id) }
    }

    @Test func `Displays are made as long as there is something to make them of`() throws {
        let buffers = FrameBufferParent(count: 1)
        #expect(buffers.types.map { $0.name } == ["vga", "xga", "hd"])
        _ = try buffers.makeDevice(of: 0)
        #expect(throws: Errno.tooManyUsers) { try buffers.makeDevice(of: 1) }
        let displays = BochsDisplayParent(megabytes: 20)
        #expect((0..<3).map { displays.availableInstances(of: $0) } == [5, 1, 0])
        _ = try displays.makeDevice(of: 1)
        #expect(throws: Errno.noSpace) { try displays.makeDevice(of: 2) }
        #expect(displays.availableInstances(of: 0) == 1)
    }
}
