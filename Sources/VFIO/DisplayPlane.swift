import LinuxSystem
import VFIOABI
import VFIOHost

/// What a device that is a display shows at this moment: where the picture is and how to read it
/// (`VFIO_DEVICE_QUERY_GFX_PLANE`).
public struct DisplayPlane: Sendable, Equatable {
    /// Pixels in a line.
    public let width: Int
    /// Lines.
    public let height: Int
    /// Bytes from the beginning of one line to that of the next.
    public let stride: Int
    /// How a pixel is stored: DRM's number of the format ("XR24").
    public let format: UInt32
    /// Where the picture is.
    public let source: Source

    /// The ways in which a device hands out its picture.
    public enum Source: Sendable, Equatable {
        /// A region of the device.
        case region(RegionIndex)
        /// Memory of its own, a dma-buf, by its number.
        case buffer(UInt32)
    }

    /// How many bytes of the source the picture takes up; nil for sizes that no picture has.
    var byteCount: Int? {
        guard (1...32768).contains(width), (1...32768).contains(height), stride >= width * 4,
            stride <= 1 << 20
        else { return nil }
        return stride * (height - 1) + width * 4
    }
}

/// How a device that is a display hands out its picture.
public struct DisplayWays: OptionSet, Sendable {
    /// The bits.
    public let rawValue: UInt8
    /// Takes bits.
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    /// As a region: `VFIO_GFX_PLANE_TYPE_REGION`.
    public static let region = DisplayWays(rawValue: 1)
    /// As memory of its own: `VFIO_GFX_PLANE_TYPE_DMABUF`.
    public static let buffer = DisplayWays(rawValue: 2)
}

extension Device {
    /// How the device hands out its picture; empty for one that isn't a display.
    public func displayWays() throws(VFIOError) -> DisplayWays {
        var ways: DisplayWays = []
        for (flag, way) in [(GFXPlaneFlags.region, DisplayWays.region), (.dmabuf, .buffer)] {
            var question = GFXPlaneInfo(flags: [.probe, flag])
            do throws(Errno) {
                try handle.send(.deviceQueryGFXPlane, &question)
                ways.insert(way)
            } catch {
                // Not in this way, or no display at all.
                if error == .invalid || error == .noSuchRequest { continue }
                throw VFIOError(operation: "ask how it shows its picture", object: name, errno: error)
            }
        }
        return ways
    }

    /// What the device shows.
    /// - Returns: nil for a display that shows nothing now.
    /// - Throws: ``VFIOError/Code/notSupported`` for a device that isn't a display.
    public func displayPlane() throws(VFIOError) -> DisplayPlane? {
        let operation = "ask what it shows"
        let ways = try displayWays()
        guard !ways.isEmpty else {
            throw VFIOError(
                operation: operation, object: name, code: .notSupported, cause: "it isn't a display")
        }
        let flag: GFXPlaneFlags = ways.contains(.region) ? .region : .dmabuf
        let primary: UInt32 = 1
        var plane = GFXPlaneInfo(flags: flag, drmPlaneType: primary)
        do throws(Errno) {
            do throws(Errno) {
                try handle.send(.deviceQueryGFXPlane, &plane)
            } catch {
                // Linux's own sample display answers so when a mode is asked about for the first time.
                guard error == .noMemory else { throw error }
                plane = GFXPlaneInfo(flags: flag, drmPlaneType: primary)
                try handle.send(.deviceQueryGFXPlane, &plane)
            }
        } catch {
            throw VFIOError(operation: operation, object: name, errno: error)
        }
        guard plane.size > 0, plane.width > 0, plane.height > 0 else { return nil }
        return DisplayPlane(
            width: Int(plane.width), height: Int(plane.height), stride: Int(plane.stride),
            format: plane.drmFormat,
            source: flag == .region
                ? .region(RegionIndex(rawValue: plane.regionIndex)) : .buffer(plane.dmabufID))
    }

    /// The picture that the device shows.
    /// - Returns: nil for a display that shows nothing now.
    /// - Throws: ``VFIOError/Code/notSupported`` for a device that isn't a display, and for pixels that aren't 32
    ///   bits with eight for each colour.
    public func picture() throws(VFIOError) -> Picture? {
        guard let plane = try displayPlane() else { return nil }
        let operation = "read the picture that it shows"
        guard let order = Picture.Order(plane.format) else {
            throw VFIOError(
                operation: operation, object: name, code: .notSupported,
                cause: "its pixels are stored in DRM's format \(hex(UInt64(plane.format)))")
        }
        guard let byteCount = plane.byteCount else {
            throw VFIOError(
                operation: operation, object: name, code: .malformed,
                cause:
                    "no picture has \(plane.width) times \(plane.height) pixels, \(plane.stride) bytes a line"
            )
        }
        switch plane.source {
        case .region(let index):
            let region = try region(index)
            defer { withExtendedLifetime(region) {} }
            guard let window = region.window(at: 0, byteCount: byteCount) else {
                throw VFIOError(
                    operation: operation, object: region.object, code: .malformed,
                    cause: "the picture isn't in the part of the region that can be mapped")
            }
            return Picture(window, plane, order)
        case .buffer(let id):
            let buffer = try buffer(id)
            do throws(Errno) {
                let window = try buffer.host.map(
                    buffer.number, at: 0, byteCount: byteCount, protection: .read)
                defer { buffer.host.unmap(window) }
                return Picture(window.window(at: 0, byteCount: byteCount), plane, order)
            } catch {
                var failure = VFIOError(operation: operation, object: name, errno: error)
                // Linux's sample display is such a one.
                if error == .invalid { failure.cause = "its driver lets no program map the picture's memory" }
                throw failure
            }
        }
    }

    /// The memory of a picture, by the number in ``DisplayPlane/Source/buffer(_:)``:
    /// `VFIO_DEVICE_GET_GFX_DMABUF`. It stays when the device shows something else.
    /// - Returns: a handle that can be mapped.
    /// - Throws: an error with `ENOENT` for a number that means nothing (any more).
    public func buffer(_ id: UInt32) throws(VFIOError) -> Handle {
        var id = id
        do throws(Errno) {
            let number = try handle.send(.deviceGetGFXDMABuf, &id)
            return Handle(owning: number, on: handle.host)
        } catch {
            throw VFIOError(operation: "take the memory of picture \(id)", object: name, errno: error)
        }
    }
}
