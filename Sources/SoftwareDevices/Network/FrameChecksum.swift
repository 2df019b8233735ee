import LinuxSystem

/// The checksum at the end of an Ethernet frame (IEEE 802.3, 3.2.9), which wires in software leave out: made for drivers
/// that want to see it.
enum FrameChecksum {
    /// For each value of four bits, what is left of them.
    private static let steps: InlineArray<16, UInt32> = [
        0x0000_0000, 0x1db7_1064, 0x3b6e_20c8, 0x26d9_30ac, 0x76dc_4190, 0x6b6b_51f4, 0x4db2_6158,
        0x5005_713c,
        0xedb8_8320, 0xf00f_9344, 0xd6d6_a3e8, 0xcb61_b38c, 0x9b64_c2b0, 0x86d3_d2d4, 0xa00a_e278,
        0xbdbd_f21c,
    ]

    /// The four bytes behind a frame, the first one lowest.
    static func make(_ frame: MemoryWindow) -> UInt32 {
        var rest = UInt32.max
        for offset in 0..<frame.byteCount {
            rest ^= UInt32(frame.load8(offset))
            rest = rest >> 4 ^ steps[Int(rest & 15)]
            rest = rest >> 4 ^ steps[Int(rest & 15)]
        }
        return ~rest
    }
}
