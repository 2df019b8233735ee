import LinuxSystem

/// The clock of an 82574 for time stamps: it adds a number (TIMINCA) every so many cycles of 25 MHz.
struct Intel82574Clock {
    private var start = Clock.now
    private var offset: UInt64 = 0
    private var increment: UInt32 = 0
    /// The upper half as it was when the lower one was read.
    private var latched: UInt32 = 0

    private static let nanosecondsPerCycle: UInt64 = 40

    private var value: UInt64 {
        let period = UInt64(increment >> 24) * Self.nanosecondsPerCycle
        if period == 0 { return offset }
        return offset &+ (Clock.now - start) / period &* UInt64(increment & 0xff_ffff)
    }

    /// TIMINCA
    mutating func setIncrement(_ register: UInt32) {
        offset = value
        start = Clock.now
        increment = register
    }

    /// SYSTIML, or SYSTIMH as it was then.
    mutating func read(high: Bool) -> UInt32 {
        if high { return latched }
        let now = value
        latched = UInt32(truncatingIfNeeded: now >> 32)
        return UInt32(truncatingIfNeeded: now)
    }

    mutating func set(_ half: UInt32, high: Bool) {
        let now = value
        offset = high ? now & 0xffff_ffff | UInt64(half) << 32 : now & ~0xffff_ffff | UInt64(half)
        start = Clock.now
    }
}
