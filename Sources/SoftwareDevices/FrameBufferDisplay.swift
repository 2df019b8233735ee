import DeviceModel
import LinuxSystem
import VFIOABI

/// A mediated display that is nothing but a frame buffer of a fixed size, as those of Linux's sample driver mdpy
/// (kernel.md G.8): what is stored in BAR 0 is the picture, and the host can look at it as region 16.
public final class FrameBufferDisplay: MediatedDevice {
    /// It has no interrupt.
    public let port = MediatedPort(hasInterrupt: false)
    /// Pixels in a line.
    public let width: Int
    /// Lines.
    public let height: Int
    /// The picture: 32 bits for each pixel, blue in the lowest byte.
    public let memory: SharedMemoryFile

    /// The region that the host looks at.
    public static let displayIndex: UInt32 = 16
    /// "XR24"
    static let pixelFormat: UInt32 = 0x3432_5258

    private var configuration: DisplayConfiguration
    private static let configurationIndex: UInt32 = 7

    /// A display that shows a gradient from black to white.
    /// - Parameters:
    ///   - width: pixels in a line, 1 to 8192; anything else counts as the nearer bound.
    ///   - height: lines, 1 to 8192.
    /// - Throws: `ENOMEM` and the like where there is no memory for it.
    public init(width: Int, height: Int) throws(Errno) {
        self.width = min(max(width, 1), 8192)
        self.height = min(max(height, 1), 8192)
        let needed = max(self.width * self.height * 4, pageSize)
        let byteCount = 1 << (Int.bitWidth - (needed - 1).leadingZeroBitCount)
        memory = try SharedMemoryFile(byteCount: byteCount)
        configuration = DisplayConfiguration(
            device: 0x000f_1b36, bars: [0: UInt64(byteCount)], prefetchable: 0)
        configuration.addVendorCapability(
            at: 0x40, [Self.pixelFormat, UInt32(self.width), UInt32(self.height)])
        reset()
    }

    /// Those of a PCI device; the one for the host comes after them.
    public var regionCount: UInt32 { 9 }

    /// Configuration space, and the memory twice.
    public var regions: [MediatedRegion] {
        let byteCount = UInt64(memory.window.byteCount)
        return [
            MediatedRegion(
                Self.configurationIndex, at: 0, byteCount: DisplayConfiguration.byteCount),
            MediatedRegion(0, at: UInt64(pageSize), byteCount: byteCount, memory: memory),
            MediatedRegion(Self.displayIndex, at: UInt64(pageSize), byteCount: byteCount, memory: memory),
        ]
    }

    /// As mdpy.
    public var remembersInterruptCount: Bool { true }

    /// Reads configuration space.
    public func read(region: UInt32, at offset: UInt64, width: Int) -> UInt32 {
        configuration.read(offset, width: width)
    }

    /// Writes configuration space.
    public func write(region: UInt32, at offset: UInt64, width: Int, value: UInt32) {
        configuration.write(offset, value)
    }

    /// Shows the gradient.
    public func reset() {
        for line in 0..<height {
            let grey = UInt32(line * 255 / height) * 0x0101_0101
            for pixel in 0..<width { memory.window.store32((line * width + pixel) * 4, grey) }
        }
    }

    /// The picture is a region.
    public func describePlane(_ plane: inout GFXPlaneInfo) throws(Errno) {
        if plane.flags.contains(.probe) {
            guard plane.flags == [.probe, .region] else { throw .invalid }
            return
        }
        guard plane.flags == .region else { throw .invalid }
        plane = GFXPlaneInfo(
            argsz: plane.argsz, flags: plane.flags, drmPlaneType: plane.drmPlaneType,
            drmFormat: Self.pixelFormat, width: UInt32(width), height: UInt32(height),
            stride: UInt32(width * 4), size: UInt32(memory.window.byteCount),
            regionIndex: Self.displayIndex)
    }
}

/// What frame buffers are made of: the parent of Linux's sample driver mdpy, with 4 displays.
public final class FrameBufferParent: MediatedParent {
    /// "mdpy"
    public let name = "mdpy"
    /// "mdpy"
    public let driver = "mdpy"
    /// VGA, XGA and HD.
    public let types: [MediatedType]
    private static let sizes = [(640, 480), (1024, 768), (1920, 1080)]
    private var pool: MediatedPool

    /// A parent.
    /// - Parameter count: how many displays there can be.
    public init(count: Int = 4) {
        pool = MediatedPool(count, refusal: .tooManyUsers)
        var types: [MediatedType] = []
        for (name, size) in ["vga", "xga", "hd"].enumerated().map({ ($0.element, Self.sizes[$0.offset]) }) {
            types.append(
                MediatedType(
                    name, title: "mdpy-" + name,
                    summary: "virtual display, \(size.0)x\(size.1) framebuffer"))
        }
        self.types = types
    }

    /// All types share what there is.
    public func availableInstances(of type: Int) -> Int { pool.instances(taking: 1) }

    /// Makes a display.
    /// - Throws: `EUSERS` where there are as many as there can be; `ENOMEM` and the like.
    public func makeDevice(of type: Int) throws(Errno) -> any MediatedDevice {
        try pool.take(1)
        let size = Self.sizes[min(max(type, 0), Self.sizes.count - 1)]
        do throws(Errno) {
            return try FrameBufferDisplay(width: size.0, height: size.1)
        } catch {
            pool.giveBack(1)
            throw error
        }
    }

    /// There can be one more again.
    public func reclaimDevice(of type: Int) { pool.giveBack(1) }
}
