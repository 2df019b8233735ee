import LinuxSystem

/// What a context descriptor of an 82574 says of the packets behind it, and the work that it spares the driver:
/// checksums, and segments of TCP or UDP (datasheet 7.2.5 to 7.2.7, 7.3).
struct Intel82574Offload {
    private var networkStart = 0
    private var networkSum = 0
    private var networkEnd = 0
    private var transportStart = 0
    private var transportSum = 0
    private var transportEnd = 0
    private var payloadByteCount = 0
    private var headerByteCount = 0
    private var segmentByteCount = 0
    private var isTCP = false
    private var isVersion4 = false
    /// TSE: packets are to be cut.
    private(set) var segments = false

    /// Options of a data descriptor.
    private enum Option {
        static let network: UInt8 = 1
        static let transport: UInt8 = 2
    }

    /// The most pieces of one packet: the driver isn't to keep the sender busy for ever.
    static let mostSegments = 4096

    /// No context.
    init() {}

    /// Reads a descriptor of 16 bytes.
    init(_ descriptor: MemoryWindow) {
        networkStart = Int(descriptor.load8(0))
        networkSum = Int(descriptor.load8(1))
        networkEnd = Int(descriptor.load16(2))
        transportStart = Int(descriptor.load8(4))
        transportSum = Int(descriptor.load8(5))
        transportEnd = Int(descriptor.load16(6))
        payloadByteCount = Int(descriptor.load32(8) & 0xf_ffff)
        let command = descriptor.load8(11)
        isTCP = command & 1 != 0
        isVersion4 = command & 2 != 0
        segments = command & 4 != 0
        headerByteCount = Int(descriptor.load8(13))
        segmentByteCount = Int(descriptor.load16(14))
    }

    /// Puts the checksum of a range into a frame. What lies outside the frame is left alone.
    static func insert(_ frame: MemoryWindow, _ range: Range<Int>, at place: Int, neverZero: Bool = false) {
        guard range.upperBound <= frame.byteCount, place >= 0, place + 2 <= frame.byteCount else { return }
        let sum = ~InternetChecksum.sum(frame, range)
        frame.storeNetwork16(place, sum == 0 && neverZero ? 0xffff : sum)
    }

    /// From a start to an end that is included, or 0 for the frame's end; nil if that isn't a range.
    private func range(_ start: Int, _ end: Int, of frame: MemoryWindow) -> Range<Int>? {
        let end = end == 0 ? frame.byteCount : min(end + 1, frame.byteCount)
        return start < end ? start..<end : nil
    }

    /// Puts in the checksums that are asked for. In place of that of TCP or UDP stands the sum of the pseudo header.
    func sum(_ frame: MemoryWindow, _ options: UInt8) {
        if options & Option.network != 0, let range = range(networkStart, networkEnd, of: frame) {
            Self.insert(frame, range, at: networkSum)
        }
        if options & Option.transport != 0, let range = range(transportStart, transportEnd, of: frame) {
            Self.insert(frame, range, at: transportSum, neverZero: !isTCP)
        }
    }

    /// Cuts a packet into frames with a header each.
    /// - Parameters:
    ///   - room: where the frames are made, one after the other.
    ///   - limit: the most bytes of a frame.
    func cut(
        _ packet: MemoryWindow, _ options: UInt8, into room: MemoryWindow, limit: Int,
        _ send: (MemoryWindow) -> Void
    ) {
        let transportHeader = isTCP ? 20 : 8
        let networkHeader = isVersion4 ? 20 : 40
        let payload = min(packet.byteCount - headerByteCount, payloadByteCount)
        guard payload > 0, segmentByteCount > 0, headerByteCount + segmentByteCount <= limit,
            networkStart + networkHeader <= headerByteCount,
            transportStart + transportHeader <= headerByteCount, transportSum + 2 <= headerByteCount,
            networkSum + 2 <= headerByteCount, networkStart < transportStart,
            (payload + segmentByteCount - 1) / segmentByteCount <= Self.mostSegments
        else { return }
        var done = 0
        var index = 0
        while done < payload {
            let count = min(segmentByteCount, payload - done)
            let frame = room.window(at: 0, byteCount: headerByteCount + count)
            frame.copy(from: packet, at: 0, to: 0, byteCount: headerByteCount)
            frame.copy(from: packet, at: headerByteCount + done, to: headerByteCount, byteCount: count)
            adapt(frame, index, from: done, isLast: done + count == payload, options)
            send(frame)
            done += count
            index += 1
        }
    }

    /// Makes a copy of the packet's header right for a segment.
    private func adapt(_ frame: MemoryWindow, _ index: Int, from done: Int, isLast: Bool, _ options: UInt8) {
        if isVersion4 {
            frame.storeNetwork16(networkStart + 2, UInt16(truncatingIfNeeded: frame.byteCount - networkStart))
            let number = frame.loadNetwork16(networkStart + 4)
            frame.storeNetwork16(networkStart + 4, number &+ UInt16(truncatingIfNeeded: index))
        } else {
            frame.storeNetwork16(
                networkStart + 4, UInt16(truncatingIfNeeded: frame.byteCount - networkStart - 40))
        }
        if isTCP {
            let number = frame.load32(transportStart + 4).byteSwapped &+ UInt32(truncatingIfNeeded: done)
            frame.store32(transportStart + 4, number.byteSwapped)
            // FIN and PSH are the last segment's.
            if !isLast { frame.store8(transportStart + 13, frame.load8(transportStart + 13) & ~0x09) }
        } else {
            frame.storeNetwork16(
                transportStart + 4, UInt16(truncatingIfNeeded: frame.byteCount - transportStart))
        }
        if options & Option.transport != 0 {
            // The driver's pseudo header is without the length, which it can't know.
            let pseudo =
                UInt64(frame.loadNetwork16(transportSum)) + UInt64(frame.byteCount - transportStart)
            frame.storeNetwork16(transportSum, InternetChecksum.fold(pseudo))
        }
        sum(frame, options)
    }
}
