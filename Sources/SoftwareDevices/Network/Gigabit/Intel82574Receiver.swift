import DeviceModel
import IOVASpace
import LinuxSystem

/// What puts frames into the buffers of receive descriptors (datasheet 7.1). It belongs to whoever has passed the
/// turnstile.
final class Intel82574Receiver {
    /// How the driver wants frames.
    struct Settings {
        var bufferByteCount = 2048
        /// Whether descriptors are extended ones.
        var isExtended = false
        var stripsChecksum = false
        /// The type of VLAN tags, if they are taken off.
        var tagType: UInt16?
        var checksums: UInt32 = 0
    }

    /// What is written back besides the length.
    struct Report {
        var status: UInt32 = 0
        var errors: UInt32 = 0
        var tag: UInt16 = 0
        /// The sum of the frame, or of what RXCSUM says.
        var sum: UInt16 = 0
        var hash = Intel82574Core.State.Hash()
        var queue = 0
    }

    /// Bits of a descriptor's status.
    enum Status {
        static let done: UInt32 = 0x01
        static let end: UInt32 = 0x02
        static let sumsIgnored: UInt32 = 0x04
        static let tagged: UInt32 = 0x08
        static let udpChecked: UInt32 = 0x10
        static let transportChecked: UInt32 = 0x20
        static let networkChecked: UInt32 = 0x40
    }

    /// Bits of a descriptor's errors.
    enum Failing {
        static let transport: UInt32 = 0x20
        static let network: UInt32 = 0x40
    }

    private let dma: DMAPort
    private let scratch = ScratchMemory(byteCount: Intel82574Core.longestFrame + 64)
    private let descriptor = ScratchMemory(byteCount: 16)
    /// Whether it is known that the first frame that waits has no buffers.
    var hasCountedStarvation = false

    init(_ dma: DMAPort) { self.dma = dma }

    func reset() { hasCountedStarvation = false }

    /// Makes a frame what the driver wants: without its tag, with its checksum.
    func prepare(_ frame: MemoryWindow, _ settings: Settings, _ report: inout Report) -> MemoryWindow {
        var frame = frame
        let isTagged =
            frame.byteCount >= 18 && settings.tagType.map { frame.loadNetwork16(12) == $0 } ?? false
        if isTagged {
            report.tag = frame.loadNetwork16(14)
            report.status |= Status.tagged
            let room = scratch.window
            let count = frame.byteCount - 4
            room.copy(from: frame, at: 0, to: 0, byteCount: 12)
            room.copy(from: frame, at: 16, to: 12, byteCount: count - 12)
            frame = room.window(at: 0, byteCount: count)
        }
        if !settings.stripsChecksum {
            // It was made for the frame with its tag; nobody checks it here again.
            let sum = FrameChecksum.make(frame)
            let count = frame.byteCount
            if !isTagged { scratch.window.copy(from: frame, at: 0, to: 0, byteCount: count) }
            scratch.window.store32(count, sum)
            frame = scratch.window.window(at: 0, byteCount: count + 4)
        }
        return frame
    }

    /// Checks what the driver wants checked.
    func check(_ frame: MemoryWindow, _ packet: PacketLayout, _ settings: Settings, _ report: inout Report) {
        typealias Wanted = Intel82574.ReceiveChecksum
        if settings.checksums & Wanted.network != 0 && packet.version == 4 {
            report.status |= Status.networkChecked
            if !packet.hasRightHeader(frame) { report.errors |= Failing.network }
        }
        if settings.checksums & Wanted.transport != 0, let isRight = packet.hasRightPayload(frame) {
            report.status |= Status.transportChecked | (packet.carried == 17 ? Status.udpChecked : 0)
            if !isRight { report.errors |= Failing.transport }
        }
        if report.status & (Status.networkChecked | Status.transportChecked) == 0 {
            report.status |= Status.sumsIgnored
        }
        if settings.checksums & Wanted.replacesSum == 0 {
            let start = Int(settings.checksums & 0xff)
            if start < frame.byteCount { report.sum = InternetChecksum.sum(frame, start..<frame.byteCount) }
        }
    }

    /// Puts a frame into buffers and reports it.
    /// - Returns: false if their memory can't be reached.
    func place(
        _ frame: MemoryWindow, in ring: Intel82574Core.RingPlace, count: Int, _ settings: Settings,
        _ report: Report
    ) -> Bool {
        do throws(DMAFault) {
            for index in 0..<count {
                let address = ring.base &+ UInt64(16 * ((ring.head + index) % ring.count))
                let start = index * settings.bufferByteCount
                let length = min(settings.bufferByteCount, frame.byteCount - start)
                let buffer = try dma.load(UInt64(0), from: IOVA(address))
                try dma.put(frame.window(at: start, byteCount: length), to: buffer)
                try writeBack(
                    to: address, buffer, length, isLast: index == count - 1, settings.isExtended, report,
                    hasHash: settings.checksums & Intel82574.ReceiveChecksum.replacesSum != 0)
            }
            return true
        } catch {
            return false
        }
    }

    private func writeBack(
        to address: UInt64, _ buffer: UInt64, _ length: Int, isLast: Bool, _ isExtended: Bool,
        _ report: Report, hasHash: Bool
    ) throws(DMAFault) {
        var status = Status.done
        if isLast { status |= Status.end | report.status }
        let errors = isLast ? report.errors : 0
        let tag = UInt64(isLast ? report.tag : 0)
        var second: UInt64
        if isExtended {
            var first = UInt64(report.queue) << 8
            if isLast {
                first |= UInt64(report.hash.type)
                first |=
                    hasHash
                    ? UInt64(report.hash.value) << 32 : UInt64(report.sum.byteSwapped) << 48
            }
            try dma.store(first, to: IOVA(address))
            second = UInt64(status) | UInt64(errors) << 24 | UInt64(length) << 32 | tag << 48
        } else {
            let sum = UInt64(isLast ? report.sum.byteSwapped : 0)
            second = UInt64(length) | sum << 16
            second |= UInt64(status & 0xff) << 32 | UInt64(errors & 0xff) << 40 | tag << 48
        }
        // What says that it is done comes last, in one piece.
        Fence.beforeDoorbell()
        try dma.store(second, to: IOVA(address &+ 8))
    }
}
