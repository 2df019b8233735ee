import DeviceModel
import LinuxSystem

/// The level of a card's interrupt line, which several threads change: it ends up as the last of them wanted.
///
/// The function is told without any lock held, so two changes could overtake each other on the way. Therefore one
/// thread at a time tells, and again until nothing has changed meanwhile.
final class InterruptLevel: @unchecked Sendable {
    // SAFETY: all of it is guarded by `lock`.
    private let lock = Lock()
    private var wanted = false
    private var told = false
    private var isTelling = false

    /// Notes the level; called under the lock that guards what it follows from.
    func want(_ level: Bool) { lock.withLock { wanted = level } }

    /// Tells the function; called without any lock.
    func tell(_ function: PCIFunction) {
        lock.lock()
        if !isTelling {
            isTelling = true
            while wanted != told {
                told = wanted
                let level = told
                lock.unlock()
                function.setLine(level)
                lock.lock()
            }
            isTelling = false
        }
        lock.unlock()
    }
}
