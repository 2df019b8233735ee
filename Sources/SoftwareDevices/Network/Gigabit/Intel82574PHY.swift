/// The transceiver in an 82574 (IEEE 802.3, clause 22, and the datasheet's chapter 9): gigabit, full duplex, and done with
/// negotiating as soon as it has begun.
struct Intel82574PHY {
    /// Bits of register 0.
    private enum Control {
        static let reset: UInt16 = 1 << 15
        static let loopBack: UInt16 = 1 << 14
        static let negotiates: UInt16 = 1 << 12
        static let powerDown: UInt16 = 1 << 11
        static let restarts: UInt16 = 1 << 9
    }

    /// What an access has brought about.
    struct Access {
        var value: UInt16 = 0
        /// Whether the link has gone down and come up again, or changed for good.
        var hasRenegotiated = false
    }

    private var page = 0
    /// Eight pages; the lower 16 registers are those of page 0 on all of them.
    private var registers = [UInt16](repeating: 0, count: 8 * 32)
    /// Whether the link has been down since register 1 was last read.
    private var wasDown = false

    init() { reset() }

    /// Whether it is switched off.
    var isPoweredDown: Bool { registers[0] & Control.powerDown != 0 }
    /// Whether what is sent comes back.
    var loopsBack: Bool { registers[0] & Control.loopBack != 0 }

    mutating func reset() {
        for index in registers.indices { registers[index] = 0 }
        page = 0
        registers[0] = 0x1140
        registers[2] = 0x0141
        registers[3] = 0x0cb1
        registers[4] = 0x0de1
        registers[9] = 0x0300
        registers[15] = 0x3000
        registers[16] = 0x0060
        wasDown = true
    }

    /// The link was lost, if only for a moment.
    mutating func noteLinkLoss() { wasDown = true }

    private func place(_ register: Int) -> Int? {
        if register < 16 { return register }
        return page < 8 ? 32 * page + register : nil
    }

    /// Reads a register.
    /// - Parameter isUp: whether there is a link.
    mutating func read(_ register: Int, isUp: Bool) -> UInt16 {
        switch (register, page) {
        case (1, _):
            let shown = isUp && !wasDown
            wasDown = false
            // All speeds below a gigabit, extended status, negotiation possible and done.
            return 0x7949 | (isUp ? 0x20 : 0) | (shown ? 0x04 : 0)
        case (5, _): return isUp ? 0xcde1 : 0
        case (6, _): return isUp ? 0x000d : 0x0004
        case (10, _): return isUp ? 0x7c00 : 0
        case (17, 0):
            // 1000 Mb/s, full duplex, settled; a short cable that isn't crossed.
            return isUp ? 0xac00 | 0x0400 : 0x8000
        case (19, 0):
            defer { registers[19] = 0 }
            return registers[19]
        case (22, _): return UInt16(page)
        default: return place(register).map { registers[$0] } ?? 0
        }
    }

    /// Writes a register.
    /// - Returns: whether the link has been renegotiated or changed thereby.
    mutating func write(_ register: Int, _ value: UInt16) -> Bool {
        switch register {
        case 0:
            if value & Control.reset != 0 {
                reset()
                return true
            }
            let changes = (registers[0] ^ value) & Control.powerDown != 0
            registers[0] = value & ~Control.restarts
            let restarts = value & Control.restarts != 0 && value & Control.negotiates != 0
            if restarts || changes { wasDown = true }
            return restarts || changes
        case 1, 2, 3, 5, 6, 10, 15: return false
        case 22: page = Int(value & 0xff)
        case 17 where page == 0: return false
        default: if let place = place(register) { registers[place] = value }
        }
        return false
    }
}
