/// The statistics registers of an 82574 (datasheet 10.2.7): each is cleared by being read, and stays at its highest
/// value rather than begin anew.
struct Intel82574Statistics {
    /// Offsets of the registers that are counted.
    enum Counter {
        static let missed: UInt64 = 0x4010
        static let receivedBySize: UInt64 = 0x405c
        static let received: UInt64 = 0x4074
        static let receivedBroadcast: UInt64 = 0x4078
        static let receivedMulticast: UInt64 = 0x407c
        static let sent: UInt64 = 0x4080
        static let receivedBytes: UInt64 = 0x4088
        static let sentBytes: UInt64 = 0x4090
        static let withoutBuffers: UInt64 = 0x40a0
        static let undersized: UInt64 = 0x40a4
        static let oversized: UInt64 = 0x40ac
        static let totalReceivedBytes: UInt64 = 0x40c0
        static let totalSentBytes: UInt64 = 0x40c8
        static let totalReceived: UInt64 = 0x40d0
        static let totalSent: UInt64 = 0x40d4
        static let sentBySize: UInt64 = 0x40d8
        static let sentMulticast: UInt64 = 0x40f0
        static let sentBroadcast: UInt64 = 0x40f4
        static let segmented: UInt64 = 0x40f8
        static let notSegmented: UInt64 = 0x40fc
        static let interrupts: UInt64 = 0x4100
        static let receiveLow: UInt64 = 0x4120
        static let overruns: UInt64 = 0x4124
        static let end: UInt64 = 0x4128
    }

    private var words = [UInt32](
        repeating: 0, count: Int((Counter.end - Intel82574.Register.statistics) / 4))

    private func index(_ offset: UInt64) -> Int { Int((offset - Intel82574.Register.statistics) / 4) }

    /// Whether a register is one of them.
    static func contains(_ offset: UInt64) -> Bool {
        offset >= Intel82574.Register.statistics && offset < Counter.end
    }

    /// Reads and clears. Of the counters with 64 bits the lower half is read first; what is added before the upper half
    /// is read stays for the next time.
    mutating func take(_ offset: UInt64) -> UInt32 {
        let place = index(offset)
        defer { words[place] = 0 }
        return words[place]
    }

    mutating func count(_ offset: UInt64) {
        let place = index(offset)
        if words[place] != .max { words[place] += 1 }
    }

    private mutating func add(_ byteCount: Int, to offset: UInt64) {
        let place = index(offset)
        let (low, carries) = words[place].addingReportingOverflow(UInt32(truncatingIfNeeded: byteCount))
        words[place] = low
        if carries { words[place + 1] &+= 1 }
    }

    /// Which of the six registers by size counts a frame with its checksum.
    private static func size(_ byteCount: Int) -> UInt64 {
        switch byteCount {
        case ...64: 0
        case ...127: 4
        case ...255: 8
        case ...511: 12
        case ...1023: 16
        default: 20
        }
    }

    /// A frame has come by, whoever it is for.
    mutating func countArrival(_ byteCount: Int) {
        count(Counter.totalReceived)
        add(byteCount + 4, to: Counter.totalReceivedBytes)
    }

    /// A frame has been received.
    mutating func countReceived(_ destination: MACAddress, _ byteCount: Int) {
        count(Counter.received)
        add(byteCount + 4, to: Counter.receivedBytes)
        count(Counter.receivedBySize + Self.size(byteCount + 4))
        if destination.isBroadcast {
            count(Counter.receivedBroadcast)
        } else if destination.isMulticast {
            count(Counter.receivedMulticast)
        }
    }

    /// A frame has been sent.
    mutating func countSent(_ destination: MACAddress, _ byteCount: Int) {
        count(Counter.sent)
        count(Counter.totalSent)
        add(byteCount + 4, to: Counter.sentBytes)
        add(byteCount + 4, to: Counter.totalSentBytes)
        count(Counter.sentBySize + Self.size(byteCount + 4))
        if destination.isBroadcast {
            count(Counter.sentBroadcast)
        } else if destination.isMulticast {
            count(Counter.sentMulticast)
        }
    }
}
