import DeviceModel
import IOVASpace
import LinuxSystem

/// What makes frames of transmit descriptors (datasheet 7.2). It belongs to whoever has passed the turnstile.
final class Intel82574Transmitter {
    /// What one queue has to be sent, as far as it is known.
    struct Packet {
        /// The latest context descriptor.
        var context = Intel82574Offload()
        var byteCount = 0
        /// The options of the first descriptor.
        var options: UInt8 = 0
        var isSegmented = false
        var isBegun = false
        /// It can't be sent: it is too long, or its memory wasn't there.
        var isSpoilt = false
        /// A checksum that a legacy descriptor asks for.
        var sumStart: Int?
        var sumPlace = 0
        var tag: UInt16?
    }

    /// Bits of a descriptor's command.
    private enum Command {
        static let end: UInt8 = 0x01
        static let insertsSum: UInt8 = 0x04
        static let reports: UInt8 = 0x08
        static let extended: UInt8 = 0x20
        static let tagged: UInt8 = 0x40
        /// Of data descriptors.
        static let segments: UInt8 = 0x04
    }

    /// The most bytes of a packet before it is cut.
    private static let longestPacket = 128 << 10

    private let dma: DMAPort
    /// Where packets are put together, of the two queues.
    private let memories = [
        ScratchMemory(byteCount: longestPacket), ScratchMemory(byteCount: longestPacket),
    ]
    private let output = ScratchMemory(byteCount: Intel82574Core.longestFrame + 4)
    private let descriptors = ScratchMemory(byteCount: 32 * 16)
    /// Of the two queues.
    private var packets = [Packet(), Packet()]

    init(_ dma: DMAPort) { self.dma = dma }

    func reset() { packets = [Packet(), Packet()] }

    /// What to do with frames.
    struct Settings {
        var padsShort = false
        /// The type of VLAN tags, if they are put on.
        var tagType: UInt16?
    }

    /// What has come of a batch.
    struct Outcome {
        /// How many descriptors were carried out.
        var count = 0
        /// Whether one of them is to be reported.
        var isReported = false
        /// How many began packets that are to be cut.
        var segmentedCount = 0
    }

    /// Carries out descriptors that lie one behind the other.
    /// - Parameters:
    ///   - count: 1...32.
    ///   - send: gets each frame.
    func carryOut(
        queue: Int, at address: UInt64, count: Int, _ settings: Settings, send: (MemoryWindow) -> Void
    ) -> Outcome {
        var outcome = Outcome()
        let window = descriptors.window.window(at: 0, byteCount: 16 * count)
        do throws(DMAFault) { try dma.fetch(window, from: address) } catch { return outcome }
        for index in 0..<count {
            let descriptor = window.window(at: 16 * index, byteCount: 16)
            let command = descriptor.load8(11)
            let isExtended = command & Command.extended != 0
            if isExtended && descriptor.load8(10) >> 4 == 0 {
                packets[queue].context = Intel82574Offload(descriptor)
                if packets[queue].context.segments { outcome.segmentedCount += 1 }
            } else {
                take(descriptor, command, isExtended: isExtended, queue)
                if command & Command.end != 0 {
                    finish(queue, settings, send)
                }
            }
            outcome.count += 1
            guard command & Command.reports != 0 else { continue }
            outcome.isReported = true
            // DD; the rest of the word stays.
            try? dma.store(descriptor.load32(12) | 1, to: IOVA(address &+ UInt64(16 * index + 12)))
        }
        return outcome
    }

    /// Adds the data of a descriptor to its packet.
    private func take(_ descriptor: MemoryWindow, _ command: UInt8, isExtended: Bool, _ queue: Int) {
        let length = Int(isExtended ? descriptor.load32(8) & 0xf_ffff : UInt32(descriptor.load16(8)))
        if !packets[queue].isBegun {
            packets[queue].isBegun = true
            packets[queue].options = isExtended ? descriptor.load8(13) : 0
            packets[queue].isSegmented = isExtended && command & Command.segments != 0
        }
        if command & Command.end != 0 {
            if command & Command.tagged != 0 { packets[queue].tag = descriptor.load16(14) }
            if !isExtended && command & Command.insertsSum != 0 {
                packets[queue].sumStart = Int(descriptor.load8(13))
                packets[queue].sumPlace = Int(descriptor.load8(10))
            }
        }
        let place = packets[queue].byteCount
        guard !packets[queue].isSpoilt, length <= Self.longestPacket - place else {
            packets[queue].isSpoilt = true
            return
        }
        if length == 0 { return }
        let room = memories[queue].window.window(at: place, byteCount: length)
        do throws(DMAFault) {
            try dma.fetch(room, from: descriptor.load64(0))
            packets[queue].byteCount = place + length
        } catch {
            packets[queue].isSpoilt = true
        }
    }

    /// Sends a packet that is whole.
    private func finish(_ queue: Int, _ settings: Settings, _ send: (MemoryWindow) -> Void) {
        let packet = packets[queue]
        packets[queue] = Packet()
        packets[queue].context = packet.context
        guard !packet.isSpoilt, packet.byteCount > 0 else { return }
        let data = memories[queue].window.window(at: 0, byteCount: packet.byteCount)
        let tag = settings.tagType.flatMap { type in packet.tag.map { (type: type, value: $0) } }
        if packet.isSegmented && packet.context.segments {
            let limit = Intel82574Core.longestFrame - 4
            packet.context.cut(data, packet.options, into: output.window, limit: limit) { frame in
                emit(frame, settings, tag, isOutput: true, send)
            }
            return
        }
        guard packet.byteCount <= Intel82574Core.longestFrame - 4 else { return }
        if let start = packet.sumStart {
            Intel82574Offload.insert(data, start..<packet.byteCount, at: packet.sumPlace)
        }
        packet.context.sum(data, packet.options)
        emit(data, settings, tag, isOutput: false, send)
    }

    /// Puts on a tag, fills up a short frame, and sends it.
    private func emit(
        _ frame: MemoryWindow, _ settings: Settings, _ tag: (type: UInt16, value: UInt16)?, isOutput: Bool,
        _ send: (MemoryWindow) -> Void
    ) {
        var count = frame.byteCount
        let least = settings.padsShort ? 60 : 0
        if (tag == nil || count < 12) && count >= least { return send(frame) }
        let room = output.window
        if !isOutput { room.copy(from: frame, at: 0, to: 0, byteCount: count) }
        if let tag, count >= 12 {
            room.copy(from: room, at: 12, to: 16, byteCount: count - 12)
            room.storeNetwork16(12, tag.type)
            room.storeNetwork16(14, tag.value)
            count += 4
        }
        if count < least {
            room.zero(at: count, byteCount: least - count)
            count = least
        }
        send(room.window(at: 0, byteCount: count))
    }
}
