import DeviceModel
import LinuxSystem
import VFIOABI

/// A mediated display whose mode the guest sets by the registers of Bochs's adapter, as those of Linux's sample driver
/// mbochs (kernel.md G.9). BAR 0 is its memory, BAR 2 its registers; the host gets the picture as a piece of memory of
/// its own (a dma-buf), and says by the EDID region what monitor is plugged in.
public final class BochsDisplay: MediatedDevice {
    /// It has no interrupt.
    public let port = MediatedPort(hasInterrupt: false)
    /// The memory that pictures are in.
    public private(set) var memory: SharedMemoryFile

    /// The registers at 0x500 of BAR 2: 16 bits each, by their numbers.
    public enum Register: Int {
        /// Reads 0xb0c5.
        case identification
        /// Pixels in a line.
        case width
        /// Lines.
        case height
        /// Bits in a pixel: 32.
        case depth
        /// Bit 0: there is a picture.
        case enable
        /// Of no use.
        case bank
        /// Pixels from one line to the next, where that is more than the width.
        case virtualWidth
        /// Of no use.
        case virtualHeight
        /// How many pixels are left out before the picture.
        case left
        /// How many lines are left out before it.
        case top
        /// The memory, in units of 64 KiB.
        case memory

        /// Where in BAR 2.
        public var offset: UInt64 { 0x500 + 2 * UInt64(rawValue) }
        static let count = 11
    }

    /// The EDID region.
    public static let edidIndex: UInt32 = 9
    /// The most bytes that an EDID can have.
    public static let mostEDIDBytes = 1024

    /// What the guest has set up, as far as it can be shown.
    private struct Mode: Equatable {
        var width: UInt32
        var height: UInt32
        var stride: UInt32
        var offset: UInt64
        var byteCount: UInt64 { UInt64(stride) * UInt64(height) }
    }

    private var configuration: DisplayConfiguration
    private var registers = [UInt16](repeating: 0, count: Register.count)
    private var edid: GFXEDIDRegion
    private var edidBlob = [UInt8](repeating: 0, count: mostEDIDBytes)
    /// The modes that were asked for, with the numbers that they were given.
    private var planes: [(id: UInt32, mode: Mode, memory: SharedMemoryFile)] = []
    private var nextPlane: UInt32 = 1

    /// The most modes that are remembered. A guest can make any number of them.
    private static let mostPlanes = 64
    private static let configurationIndex: UInt32 = 7

    /// A display that shows nothing.
    /// - Parameters:
    ///   - megabytes: its memory; a power of two from 1 to 64.
    ///   - most: the greatest picture that it recommends; 0 for any.
    /// - Throws: `EINVAL` for another amount of memory; `ENOMEM` and the like where there isn't as much.
    public init(megabytes: Int, most: (width: UInt32, height: UInt32) = (0, 0)) throws(Errno) {
        guard (1...64).contains(megabytes), megabytes.nonzeroBitCount == 1 else { throw .invalid }
        let byteCount = megabytes << 20
        memory = try SharedMemoryFile(byteCount: byteCount)
        configuration = DisplayConfiguration(
            device: 0x1111_1234, bars: [0: UInt64(byteCount), 2: UInt64(pageSize)], prefetchable: 0)
        edid = GFXEDIDRegion(
            edidOffset: UInt32(pageSize / 2), edidMaxSize: UInt32(Self.mostEDIDBytes),
            maxXResolution: most.width, maxYResolution: most.height)
        reset()
    }

    /// Those of a PCI device, and one more.
    public var regionCount: UInt32 { 10 }

    /// Configuration space, registers, EDID and memory, one after the other.
    public var regions: [MediatedRegion] {
        let page = UInt64(pageSize)
        return [
            MediatedRegion(
                Self.configurationIndex, at: 0, byteCount: DisplayConfiguration.byteCount),
            MediatedRegion(2, at: page, byteCount: page),
            MediatedRegion(
                Self.edidIndex, at: 2 * page, byteCount: page,
                kind: MediatedRegion.Kind(.graphics, .graphicsEDID)),
            MediatedRegion(
                0, at: 3 * page, byteCount: UInt64(memory.window.byteCount), memory: memory),
        ]
    }

    /// Reads configuration space, a register of the adapter or the EDID region.
    public func read(region: UInt32, at offset: UInt64, width: Int) -> UInt32 {
        switch region {
        case Self.configurationIndex: return configuration.read(offset, width: width)
        case 2: return readRegister(offset, width: width)
        default: return readEDID(offset, width: width)
        }
    }

    /// Writes configuration space, a register of the adapter or the EDID region.
    public func write(region: UInt32, at offset: UInt64, width: Int, value: UInt32) {
        switch region {
        case Self.configurationIndex: configuration.write(offset, value)
        case 2:
            if let index = index(offset, width: width) {
                registers[index] = UInt16(truncatingIfNeeded: value)
            }
        default: writeEDID(offset, width: width, value)
        }
    }

    /// The adapter shows nothing; memory and EDID stay.
    public func reset() {
        for index in registers.indices { registers[index] = 0 }
        registers[Register.identification.rawValue] = 0xb0c5
        registers[Register.memory.rawValue] = UInt16(memory.window.byteCount >> 16)
    }

    /// What was in memory is gone; who was given a picture keeps it.
    public func close() {
        planes = []
        if let fresh = try? SharedMemoryFile(byteCount: memory.window.byteCount) {
            memory = fresh
            return
        }
        memory.window.zero(at: 0, byteCount: memory.window.byteCount)
    }

    // MARK: the adapter

    private func index(_ offset: UInt64, width: Int) -> Int? {
        guard offset >= 0x500, width == 2 else { return nil }
        let index = Int((offset - 0x500) / 2)
        return index < registers.count ? index : nil
    }

    private func readRegister(_ offset: UInt64, width: Int) -> UInt32 {
        if offset < UInt64(Self.mostEDIDBytes) {
            // The guest sees the EDID only while a monitor is plugged in.
            guard edid.linkState == .up, offset < UInt64(edid.edidSize) else { return 0 }
            return edidBlob.get(at: offset, width: width)
        }
        return index(offset, width: width).map { UInt32(registers[$0]) } ?? 0
    }

    private func value(_ register: Register) -> UInt32 { UInt32(registers[register.rawValue]) }

    /// What is shown; nil where that can't be, or nothing is meant to be.
    private var mode: Mode? {
        guard value(.enable) & 1 != 0, value(.depth) == 32 else { return nil }
        let stride = max(value(.virtualWidth), value(.width)) * 4
        let mode = Mode(
            width: value(.width), height: value(.height), stride: stride,
            offset: UInt64(value(.left)) * 4 + UInt64(value(.top)) * UInt64(stride))
        guard mode.width >= 64, mode.height >= 64,
            mode.offset + mode.byteCount <= UInt64(memory.window.byteCount)
        else { return nil }
        return mode
    }

    // MARK: the monitor

    private func readEDID(_ offset: UInt64, width: Int) -> UInt32 {
        let start = UInt64(edid.edidOffset)
        if offset >= start {
            let place = offset - start
            return place + UInt64(width) <= UInt64(Self.mostEDIDBytes)
                ? edidBlob.get(at: place, width: width) : 0
        }
        guard width == 4 else { return 0 }
        switch offset {
        case 0: return edid.edidOffset
        case 4: return edid.edidMaxSize
        case 8: return edid.edidSize
        case 12: return edid.maxXResolution
        case 16: return edid.maxYResolution
        case 20: return edid.linkState.rawValue
        default: return 0
        }
    }

    private func writeEDID(_ offset: UInt64, width: Int, _ value: UInt32) {
        let start = UInt64(edid.edidOffset)
        if offset >= start {
            let place = Int(offset - start)
            guard place + width <= Self.mostEDIDBytes else { return }
            for index in 0..<width {
                edidBlob[place + index] = UInt8(truncatingIfNeeded: value >> UInt32(8 * index))
            }
            return
        }
        guard width == 4 else { return }
        switch offset {
        case 8: edid.edidSize = value
        case 20: edid.linkState = GFXLinkState(rawValue: value)
        default: break
        }
    }

    // MARK: the picture

    /// The picture is a piece of memory.
    public func describePlane(_ plane: inout GFXPlaneInfo) throws(Errno) {
        if plane.flags.contains(.probe) {
            guard plane.flags == [.probe, .dmabuf] else { throw .invalid }
            return
        }
        guard plane.flags == .dmabuf else { throw .invalid }
        let primary: UInt32 = 1
        let kind = plane.drmPlaneType
        plane = GFXPlaneInfo(argsz: plane.argsz, flags: plane.flags, drmPlaneType: kind)
        // Nothing is shown: all zeros say so.
        guard kind == primary, let mode else { return }
        plane.drmFormat = FrameBufferDisplay.pixelFormat
        plane.width = mode.width
        plane.height = mode.height
        plane.stride = mode.stride
        plane.size = UInt32(truncatingIfNeeded: mode.byteCount)
        plane.dmabufID = id(of: mode)
    }

    private func id(of mode: Mode) -> UInt32 {
        for plane in planes where plane.mode == mode { return plane.id }
        if planes.count == Self.mostPlanes { planes.removeFirst() }
        let id = nextPlane
        nextPlane = nextPlane == .max ? 1 : nextPlane + 1
        planes.append((id, mode, memory))
        return id
    }

    /// The memory of a picture.
    /// - Throws: `ENOENT` for an unknown number; `EINVAL` for a picture that doesn't begin with a page.
    public func planeMemory(_ id: UInt32) throws(Errno) -> PlaneMemory {
        for plane in planes where plane.id == id {
            guard plane.mode.offset % UInt64(pageSize) == 0 else { throw .invalid }
            return PlaneMemory(plane.memory, at: plane.mode.offset, byteCount: plane.mode.byteCount)
        }
        throw .noSuchEntry
    }
}

/// What Bochs displays are made of: the parent of Linux's sample driver mbochs, with 256 MiB.
public final class BochsDisplayParent: MediatedParent {
    /// "mbochs"
    public let name = "mbochs"
    /// "mbochs"
    public let driver = "mbochs"
    /// Small, medium and large.
    public let types: [MediatedType]
    private static let kinds: [(name: String, megabytes: Int, width: UInt32, height: UInt32)] = [
        ("small", 4, 800, 600), ("medium", 16, 1920, 1440), ("large", 64, 0, 0),
    ]
    private var pool: MediatedPool

    /// A parent.
    /// - Parameter megabytes: the memory for all displays together.
    public init(megabytes: Int = 256) {
        pool = MediatedPool(megabytes, refusal: .noSpace)
        types = Self.kinds.map {
            MediatedType(
                $0.name, title: "mbochs-" + $0.name,
                summary: "virtual display, \($0.megabytes) MB video memory")
        }
    }

    /// As many as there is memory for.
    public func availableInstances(of type: Int) -> Int {
        pool.instances(taking: Self.kinds[min(max(type, 0), 2)].megabytes)
    }

    /// Makes a display.
    /// - Throws: `ENOSPC` where too little memory is left; `ENOMEM` and the like.
    public func makeDevice(of type: Int) throws(Errno) -> any MediatedDevice {
        let kind = Self.kinds[min(max(type, 0), 2)]
        try pool.take(kind.megabytes)
        do throws(Errno) {
            return try BochsDisplay(megabytes: kind.megabytes, most: (kind.width, kind.height))
        } catch {
            pool.giveBack(kind.megabytes)
            throw error
        }
    }

    /// Its memory is free again.
    public func reclaimDevice(of type: Int) { pool.giveBack(Self.kinds[min(max(type, 0), 2)].megabytes) }
}
