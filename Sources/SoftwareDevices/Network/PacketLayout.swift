import LinuxSystem

/// What is in an Ethernet frame, as far as cards look at it: an IP packet, and what it carries.
struct PacketLayout {
    /// 4 or 6; 0 for anything else.
    private(set) var version = 0
    /// Where the IP header begins.
    private(set) var network = 0
    /// Where TCP or UDP begins.
    private(set) var transport = 0
    /// Where the IP packet ends: what follows is padding.
    private(set) var end = 0
    /// The protocol in the packet: 6 for TCP, 17 for UDP; 0 if it is a fragment or can't be told.
    private(set) var carried: UInt8 = 0

    /// Where the two IP addresses are, one behind the other.
    var addresses: Range<Int> {
        version == 4 ? network + 12..<network + 20 : network + 8..<network + 40
    }

    /// Whether it is TCP or UDP, whole and with its header.
    var hasPorts: Bool { carried == 6 || carried == 17 }

    /// Looks at a frame.
    /// - Parameter start: where the type is that tells of the packet: 12, or 16 behind a VLAN tag.
    init(_ frame: MemoryWindow, typeAt start: Int) {
        guard frame.byteCount >= start + 22 else { return }
        network = start + 2
        switch frame.loadNetwork16(start) {
        case 0x0800: readVersion4(frame)
        case 0x86dd: readVersion6(frame)
        default: break
        }
    }

    private mutating func readVersion4(_ frame: MemoryWindow) {
        let first = frame.load8(network)
        let headerCount = Int(first & 15) * 4
        let total = Int(frame.loadNetwork16(network + 2))
        guard first >> 4 == 4, headerCount >= 20, total >= headerCount, total <= frame.byteCount - network
        else { return }
        version = 4
        transport = network + headerCount
        end = network + total
        // A fragment: more follow, or it isn't the first.
        guard frame.loadNetwork16(network + 6) & 0x3fff == 0 else { return }
        note(frame.load8(network + 9))
    }

    private mutating func readVersion6(_ frame: MemoryWindow) {
        guard frame.byteCount >= network + 40, frame.load8(network) >> 4 == 6 else { return }
        let total = 40 + Int(frame.loadNetwork16(network + 4))
        guard total <= frame.byteCount - network else { return }
        version = 6
        transport = network + 40
        end = network + total
        note(frame.load8(network + 6))
    }

    private mutating func note(_ number: UInt8) {
        let least = number == 6 ? 20 : number == 17 ? 8 : Int.max
        if end - transport >= least { carried = number }
    }

    /// Whether the IP header's own checksum is right; true for version 6, which has none.
    func hasRightHeader(_ frame: MemoryWindow) -> Bool {
        version != 4 || InternetChecksum.sum(frame, network..<transport) == 0xffff
    }

    /// Whether the checksum of TCP or UDP is right; nil if there is none.
    func hasRightPayload(_ frame: MemoryWindow) -> Bool? {
        guard hasPorts else { return nil }
        if carried == 17 && frame.load16(transport + 6) == 0 { return nil }
        let pseudo = InternetChecksum.pseudoHeader(
            frame, addresses: addresses, protocol: carried, byteCount: end - transport)
        return InternetChecksum.fold(pseudo &+ UInt64(InternetChecksum.sum(frame, transport..<end))) == 0xffff
    }
}
