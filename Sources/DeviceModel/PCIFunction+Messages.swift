// Enabling messages on behalf of a user who says so by another way than writing to configuration space. For hosts.
extension PCIFunction {
    /// Enables MSI for at least `count` vectors, or disables it. Without the capability nothing happens.
    package func setMSI(enabled: Bool, count: Int) {
        let at = configuration.msiOffset
        guard at != 0 else { return }
        let old = configuration.value(at: at + 2, width: 2) & ~0x71
        // The least power of two, as its exponent, that isn't below `count`.
        let order = count <= 1 ? 0 : Int.bitWidth - (count - 1).leadingZeroBitCount
        configuration.write(enabled ? old | 1 | UInt32(order) << 4 : old, at: at + 2, width: 2)
    }

    /// Enables MSI-X with no mask on the whole function, or disables it. Without the capability nothing happens.
    package func setMSIX(enabled: Bool) {
        let at = configuration.msixOffset
        guard at != 0 else { return }
        let old = configuration.value(at: at + 2, width: 2) & ~0xc000
        configuration.write(enabled ? old | 0x8000 : old, at: at + 2, width: 2)
    }
}
