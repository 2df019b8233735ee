import LinuxSystem

/// Receive-side scaling of an 82574 (datasheet 7.1.11): a hash of a packet's addresses chooses its queue.
extension Intel82574Core.State {
    private typealias Register = Intel82574.Register

    /// The hash of a packet and what it was made of.
    struct Hash {
        /// The number that descriptors tell of what it was made of; 0 for no hash.
        var type: UInt32 = 0
        var value: UInt32 = 0
    }

    /// Bits of MRQC.
    private enum Field {
        static let tcp4: UInt32 = 1 << 16
        static let ip4: UInt32 = 1 << 17
        static let tcp6: UInt32 = 1 << 18
        static let ip6Extended: UInt32 = 1 << 19
        static let ip6: UInt32 = 1 << 20
    }

    /// Whether packets are hashed.
    var isHashing: Bool { self[Register.multipleQueues] & 3 == 1 }

    /// The hash of a frame.
    func hash(_ frame: MemoryWindow, _ packet: PacketLayout) -> Hash {
        let fields = self[Register.multipleQueues]
        let isTCP = packet.carried == 6
        switch packet.version {
        case 4:
            if isTCP && fields & Field.tcp4 != 0 {
                return Hash(type: 1, value: toeplitz(frame, packet.addresses, ports: packet.transport))
            }
            if fields & Field.ip4 != 0 { return Hash(type: 2, value: toeplitz(frame, packet.addresses)) }
        case 6:
            if isTCP && fields & Field.tcp6 != 0 {
                return Hash(type: 3, value: toeplitz(frame, packet.addresses, ports: packet.transport))
            }
            if fields & Field.ip6Extended != 0 {
                return Hash(type: 4, value: toeplitz(frame, packet.addresses))
            }
            if fields & Field.ip6 != 0 { return Hash(type: 5, value: toeplitz(frame, packet.addresses)) }
        default: break
        }
        return Hash()
    }

    /// The queue of a hash.
    func queue(of hash: Hash) -> Int {
        if hash.type == 0 { return 0 }
        let index = UInt64(hash.value & 127)
        return Int(self[Register.redirection + index & ~3] >> UInt32(8 * (index % 4) + 7) & 1)
    }

    /// The hash that Microsoft defined for this: each set bit of the input adds the 32 bits of the key from its place on.
    private func toeplitz(_ frame: MemoryWindow, _ addresses: Range<Int>, ports: Int? = nil) -> UInt32 {
        var window = UInt64(self[Register.hashKey].byteSwapped) << 32
        var hash: UInt32 = 0
        var place: UInt64 = 0
        func add(_ range: Range<Int>) {
            for offset in range {
                // The next byte of the key follows the 32 bits in use.
                let next = place + 4
                if next < 40 {
                    let byte = self[Register.hashKey + next & ~3] >> UInt32(8 * (next % 4)) & 0xff
                    window |= UInt64(byte) << 24
                }
                let byte = frame.load8(offset)
                for bit in 0..<8 {
                    if byte & 0x80 >> UInt8(bit) != 0 { hash ^= UInt32(truncatingIfNeeded: window >> 32) }
                    window <<= 1
                }
                place += 1
            }
        }
        add(addresses)
        if let ports { add(ports..<ports + 4) }
        return hash
    }
}
