import LinuxSystem
import VFIO

/// How a thread waits for a completion: it polls for a moment, as most answers are already on their way, and
/// blocks after that.
struct Waiter: BitwiseCopyable {
    private var spins = 0
    private var pause: UInt64 = 20_000

    /// Passes a moment of polling.
    /// - Returns: false once that has been done long enough; it is time to look at the clock and to block.
    @inline(__always)
    mutating func spin() -> Bool {
        guard spins < 2000 else { return false }
        spins += 1
        spinHint()
        return true
    }

    /// Blocks until an interrupt comes or a short time has passed.
    ///
    /// Never for long: an interrupt may be taken by another queue that shares the vector, and a controller that
    /// died sends none.
    mutating func block(
        _ source: InterruptSource?, _ vector: UInt16, milliseconds: Int = 10
    ) throws(VFIOError) {
        if let source {
            try source.wait(vector, milliseconds: max(1, min(10, milliseconds)))
        } else {
            Clock.sleep(nanoseconds: pause)
            pause = min(pause * 2, 1_000_000)
        }
    }
}
