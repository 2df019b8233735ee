import DeviceModel
import IOVASpace
import LinuxSystem

/// The device's side of a split virtqueue in the layout of legacy devices (virtio 1.0, 2.4.2).
///
/// Everything in it is the driver's and may change at any moment. What doesn't fit breaks the queue: nothing is done
/// with it any more until the device is reset, for virtio has no word for an error in a single buffer.
final class Virtqueue {
    /// How many descriptors there are.
    static let size = 256

    /// The most descriptors and elements that are moved in one go.
    private static let mostAhead = 64

    /// Bits of a descriptor's flags.
    private enum Flag {
        static let next: UInt16 = 1
        static let write: UInt16 = 2
        static let indirect: UInt16 = 4
    }

    /// A stretch of the driver's memory.
    struct Segment {
        var address: UInt64
        var byteCount: Int
        /// Whether it is for the device to write.
        var isWritable: Bool
    }

    /// The buffer that a head descriptor begins.
    struct Chain {
        var head: UInt16
        var segments: Range<Int>
    }

    let dma: DMAPort
    private let scratch = ScratchMemory(byteCount: 4096)
    /// Descriptors that were read ahead, and elements to give back.
    private let descriptors = ScratchMemory(byteCount: 16 * mostAhead)
    private let elements = ScratchMemory(byteCount: 8 * mostAhead)
    /// Where the rings lie: the page's number; 0 while the driver has given none.
    private(set) var page: UInt32 = 0
    /// Whether the driver has broken the rules.
    private(set) var isBroken = false
    private var lastAvailable: UInt16 = 0
    private var seenAvailable: UInt16 = 0
    private var usedIndex: UInt16 = 0
    private var publishedIndex: UInt16 = 0
    private var isQuiet = false
    /// The head descriptors that were read ahead, the next one last.
    private var heads: [UInt16] = []
    /// Which descriptors were read ahead.
    private var ahead = 0..<0
    /// How many elements wait for being written to the used ring.
    private var givenCount = 0
    /// The segments of the chains in hand.
    private(set) var segments: [Segment] = []

    init(_ dma: DMAPort) {
        self.dma = dma
        heads.reserveCapacity(64)
        segments.reserveCapacity(2 * Self.size)
    }

    /// Forgets everything and takes the rings at another place.
    func place(at page: UInt32) {
        self.page = page
        isBroken = false
        lastAvailable = 0
        seenAvailable = 0
        usedIndex = 0
        publishedIndex = 0
        isQuiet = false
        ahead = 0..<0
        givenCount = 0
        heads.removeAll(keepingCapacity: true)
        segments.removeAll(keepingCapacity: true)
    }

    /// Whether there are rings to look at.
    var isReady: Bool { page != 0 && !isBroken }

    private var base: UInt64 { UInt64(page) << 12 }
    private var availableRing: UInt64 { base + 16 * UInt64(Self.size) }
    /// The used ring begins at the page behind the available one.
    private var usedRing: UInt64 { (availableRing + 6 + 2 * UInt64(Self.size) + 4095) & ~4095 }

    /// Stops looking at the queue.
    func breakDown() {
        isBroken = true
        heads.removeAll(keepingCapacity: true)
    }

    // MARK: what the driver provides

    /// Looks how far the driver has come. The heads in hand aren't looked at anew.
    private func lookAhead() -> Bool {
        do throws(DMAFault) {
            if seenAvailable == lastAvailable {
                seenAvailable = try dma.load(UInt16(0), from: IOVA(availableRing + 2))
                Fence.afterCompletion()
            }
            let count = Int(seenAvailable &- lastAvailable)
            if count == 0 { return false }
            guard count <= Self.size else {
                breakDown()
                return false
            }
            let start = Int(lastAvailable) % Self.size
            let piece = min(count, Self.size - start, 32)
            let window = scratch.window.window(at: 0, byteCount: 2 * piece)
            try dma.fetch(window, from: availableRing + 4 + 2 * UInt64(start))
            var (first, last) = (Int(window.load16(0)), Int(window.load16(0)))
            for index in (0..<piece).reversed() {
                let head = window.load16(2 * index)
                heads.append(head)
                (first, last) = (min(first, Int(head)), max(last, Int(head)))
            }
            // Heads mostly lie together. The driver leaves their descriptors alone until it gets them back.
            ahead = 0..<0
            if last < Self.size && last - first < Self.mostAhead {
                let count = last + 1 - first
                try dma.fetch(
                    descriptors.window.window(at: 0, byteCount: 16 * count), from: base + 16 * UInt64(first))
                ahead = first..<last + 1
            }
            return true
        } catch {
            breakDown()
            return false
        }
    }

    /// Takes the next buffer.
    /// - Parameter keepsOthers: whether it comes besides the ones taken before, whose segments stay.
    /// - Returns: nil if there is none.
    func take(keepingOthers keepsOthers: Bool = false) -> Chain? {
        if !keepsOthers { segments.removeAll(keepingCapacity: true) }
        guard isReady, !heads.isEmpty || lookAhead(), let head = heads.popLast() else { return nil }
        lastAvailable &+= 1
        let start = segments.count
        guard walk(head) else {
            breakDown()
            return nil
        }
        return Chain(head: head, segments: start..<segments.count)
    }

    /// Gives the latest `count` buffers back untouched.
    func untake(_ chains: [Chain]) {
        for chain in chains.reversed() {
            heads.append(chain.head)
            lastAvailable &-= 1
        }
        segments.removeAll(keepingCapacity: true)
    }

    /// Notes where a chain's segments are.
    /// - Returns: false if it breaks the rules.
    private func walk(_ head: UInt16) -> Bool {
        var table = base
        var limit = Self.size
        var index = Int(head)
        var visited = 0
        var isIndirect = false
        while true {
            guard index < limit, visited < limit, segments.count < 2 * Self.size else { return false }
            visited += 1
            var window = scratch.window.window(at: 2048, byteCount: 16)
            if !isIndirect && ahead.contains(index) {
                window = descriptors.window.window(at: 16 * (index - ahead.lowerBound), byteCount: 16)
            } else {
                do throws(DMAFault) { try dma.fetch(window, from: table &+ 16 * UInt64(index)) } catch {
                    return false
                }
            }
            let address = window.load64(0)
            let byteCount = Int(window.load32(8))
            let flags = window.load16(12)
            if flags & Flag.indirect != 0 {
                // Once, and as the last of the chain: a table stands for all that follows.
                guard !isIndirect, flags & Flag.next == 0, byteCount >= 16, byteCount % 16 == 0,
                    byteCount <= 16 * Self.size
                else { return false }
                isIndirect = true
                table = address
                limit = byteCount / 16
                index = 0
                visited = 0
                continue
            }
            segments.append(
                Segment(address: address, byteCount: byteCount, isWritable: flags & Flag.write != 0))
            if flags & Flag.next == 0 { return true }
            index = Int(window.load16(14))
        }
    }

    // MARK: what the device gives back

    /// Gives a buffer back; the driver is told by ``publish()``.
    func give(_ head: UInt16, written byteCount: Int) {
        guard isReady else { return }
        elements.window.store32(8 * givenCount, UInt32(head))
        elements.window.store32(8 * givenCount + 4, UInt32(truncatingIfNeeded: byteCount))
        givenCount += 1
        usedIndex &+= 1
        if givenCount == Self.mostAhead || Int(usedIndex) % Self.size == 0 { writeElements() }
    }

    /// Writes the elements that wait, which lie one behind the other in the ring.
    private func writeElements() {
        guard givenCount > 0 else { return }
        let first = UInt64(Int(usedIndex &- UInt16(givenCount)) % Self.size)
        let window = elements.window.window(at: 0, byteCount: 8 * givenCount)
        givenCount = 0
        do throws(DMAFault) { try dma.put(window, to: usedRing + 4 + 8 * first) } catch { breakDown() }
    }

    /// Tells the driver of the buffers that were given back.
    /// - Returns: whether it wants an interrupt for them.
    func publish() -> Bool {
        if isReady { writeElements() }
        guard isReady, usedIndex != publishedIndex else { return false }
        do throws(DMAFault) {
            Fence.beforeDoorbell()
            try dma.store(usedIndex, to: IOVA(usedRing + 2))
            publishedIndex = usedIndex
            Fence.full()
            return try dma.load(UInt16(0), from: IOVA(availableRing)) & 1 == 0
        } catch {
            breakDown()
            return false
        }
    }

    /// Says whether the device wants to hear of new buffers.
    func setQuiet(_ quiet: Bool) {
        guard isReady, quiet != isQuiet else { return }
        do throws(DMAFault) {
            try dma.store(UInt16(quiet ? 1 : 0), to: IOVA(usedRing))
            isQuiet = quiet
            Fence.full()
        } catch {
            breakDown()
        }
    }
}
