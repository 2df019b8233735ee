import LinuxSystem
import VFIOABI
import VFIOHost

/// The monitor that the guest of a display believes to be plugged in: the device's EDID region
/// (`VFIO_REGION_SUBTYPE_GFX_EDID`). It keeps its device open.
public final class Monitor: Sendable {
    private let region: Region
    private let blockOffset: Int
    /// The most bytes that an EDID may have.
    public let mostBytes: Int
    /// The greatest picture that the device would like to show, in pixels; 0 where it doesn't mind.
    public let mostPixels: (width: Int, height: Int)

    private enum Register {
        static let blockOffset = 0
        static let mostBytes = 4
        static let byteCount = 8
        static let mostWidth = 12
        static let mostHeight = 16
        static let linkState = 20
        static let end = 24
    }

    /// - Throws: ``VFIOError/Code/notSupported`` for a device without such a region.
    init(_ device: Device) throws(VFIOError) {
        region = try device.region(of: Region.Kind(type: .graphics, subtype: .graphicsEDID))
        blockOffset = Int(try region.load32(Register.blockOffset))
        mostBytes = Int(try region.load32(Register.mostBytes))
        mostPixels = (
            Int(try region.load32(Register.mostWidth)), Int(try region.load32(Register.mostHeight))
        )
        guard blockOffset >= Register.end, region.contains(blockOffset, mostBytes) else {
            throw VFIOError(
                operation: "use the EDID region", object: region.object, code: .malformed,
                cause: "its block of \(mostBytes) bytes at \(hex(UInt64(blockOffset))) isn't inside it")
        }
    }

    /// Whether a monitor is plugged in.
    public var isPluggedIn: Bool {
        get throws(VFIOError) {
            try region.load32(Register.linkState) == GFXLinkState.up.rawValue
        }
    }

    /// Pulls the monitor out.
    public func unplug() throws(VFIOError) {
        try region.store32(Register.linkState, GFXLinkState.down.rawValue)
    }

    /// Plugs in a monitor, after pulling out the one before.
    /// - Parameter edid: what it tells of itself: blocks of 128 bytes.
    /// - Throws: ``VFIOError/Code/outOfBounds`` for more than ``mostBytes``.
    public func plugIn(_ edid: [UInt8]) throws(VFIOError) {
        guard edid.count <= mostBytes else {
            throw VFIOError(
                operation: "plug in a monitor", object: region.object, code: .outOfBounds,
                cause: "its EDID has \(edid.count) bytes, the most are \(mostBytes)")
        }
        try unplug()
        for (index, byte) in edid.enumerated() { try region.store8(blockOffset + index, byte) }
        try region.store32(Register.byteCount, UInt32(edid.count))
        try region.store32(Register.linkState, GFXLinkState.up.rawValue)
    }

    /// What the monitor tells of itself.
    public func edid() throws(VFIOError) -> [UInt8] {
        let count = min(Int(try region.load32(Register.byteCount)), mostBytes)
        var bytes: [UInt8] = []
        for index in 0..<count { bytes.append(try region.load8(blockOffset + index)) }
        return bytes
    }
}

extension Device {
    /// The monitor that the guest of this display sees.
    /// - Throws: ``VFIOError/Code/notSupported`` for a device that has no EDID region.
    public func monitor() throws(VFIOError) -> Monitor { try Monitor(self) }
}
