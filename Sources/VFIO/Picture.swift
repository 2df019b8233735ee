import LinuxSystem

/// A picture that a device showed.
public struct Picture: Sendable, Equatable {
    /// Pixels in a line.
    public let width: Int
    /// Lines.
    public let height: Int
    /// Red, green and blue of each pixel, line by line from the top.
    public let bytes: [UInt8]

    /// Where the colours of a pixel are in its four bytes.
    struct Order {
        let red: UInt32
        let blue: UInt32

        /// - Parameter format: DRM's number; nil for formats with other than eight bits for each colour.
        init?(_ format: UInt32) {
            switch format {
            // XR24, AR24
            case 0x3432_5258, 0x3432_5241: (red, blue) = (16, 0)
            // XB24, AB24
            case 0x3432_4258, 0x3432_4241: (red, blue) = (0, 16)
            default: return nil
            }
        }
    }

    /// A picture; `bytes` has three for each pixel.
    init(width: Int, height: Int, bytes: [UInt8]) {
        self.width = width
        self.height = height
        self.bytes = bytes
    }

    /// Copies a picture that something may be changing.
    init(_ window: MemoryWindow, _ plane: DisplayPlane, _ order: Order) {
        width = plane.width
        height = plane.height
        var bytes: [UInt8] = []
        bytes.reserveCapacity(plane.width * plane.height * 3)
        for line in 0..<plane.height {
            for column in 0..<plane.width {
                let pixel = window.load32(line * plane.stride + column * 4)
                bytes.append(UInt8(truncatingIfNeeded: pixel >> order.red))
                bytes.append(UInt8(truncatingIfNeeded: pixel >> 8))
                bytes.append(UInt8(truncatingIfNeeded: pixel >> order.blue))
            }
        }
        self.bytes = bytes
    }
}

extension Picture {
    /// The picture as a PNG file (ISO/IEC 15948), not compressed: eight bits for each of red, green and blue.
    public func png() -> [UInt8] {
        var file: [UInt8] = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]
        // Eight bits, true colour; the other settings have one value each.
        let header = Self.bigEndian(UInt32(width)) + Self.bigEndian(UInt32(height)) + [8, 2, 0, 0, 0]
        Self.append("IHDR", header, to: &file)
        Self.append("IDAT", Self.stored(lines), to: &file)
        Self.append("IEND", [], to: &file)
        return file
    }

    /// Each line with its filter's number, none, before it.
    private var lines: [UInt8] {
        var lines: [UInt8] = []
        lines.reserveCapacity(height * (width * 3 + 1))
        for line in 0..<height {
            lines.append(0)
            lines.append(contentsOf: bytes[line * width * 3..<(line + 1) * width * 3])
        }
        return lines
    }

    private static func bigEndian(_ value: UInt32) -> [UInt8] {
        (0..<4).map { UInt8(truncatingIfNeeded: value >> UInt32(24 - 8 * $0)) }
    }

    private static func append(_ name: String, _ contents: [UInt8], to file: inout [UInt8]) {
        file += bigEndian(UInt32(contents.count))
        let start = file.count
        file += Array(name.utf8)
        file += contents
        file += bigEndian(checksum(file[start...]))
    }

    /// CRC-32.
    private static func checksum(_ bytes: ArraySlice<UInt8>) -> UInt32 {
        let table = (0..<256).map { (index: UInt32) in
            (0..<8).reduce(index) { value, _ in value & 1 == 0 ? value >> 1 : 0xedb8_8320 ^ (value >> 1) }
        }
        var crc = UInt32.max
        for byte in bytes { crc = table[Int((crc ^ UInt32(byte)) & 0xff)] ^ (crc >> 8) }
        return ~crc
    }

    /// zlib's form (RFC 1950) of stored blocks (RFC 1951) of at most 65535 bytes.
    private static func stored(_ bytes: [UInt8]) -> [UInt8] {
        var stream: [UInt8] = [0x78, 0x01]
        var position = 0
        repeat {
            let count = min(bytes.count - position, 65535)
            let isLast = position + count == bytes.count
            let length = UInt16(count)
            stream.append(isLast ? 1 : 0)
            for half in [length, ~length] {
                stream.append(UInt8(truncatingIfNeeded: half))
                stream.append(UInt8(half >> 8))
            }
            stream += bytes[position..<position + count]
            position += count
        } while position < bytes.count
        // Adler-32
        var low: UInt32 = 1
        var high: UInt32 = 0
        for byte in bytes {
            low = (low + UInt32(byte)) % 65521
            high = (high + low) % 65521
        }
        return stream + bigEndian(high << 16 | low)
    }
}
