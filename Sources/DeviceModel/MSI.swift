import LinuxSystem

/// MSI: up to 32 vectors, 64-bit address, with or without masks (PCI 3.0, 6.8.1).
public final class MSI {
    private let link: Backlink<PCIFunction>
    private var function: PCIFunction { link.owner }
    let offset: Int
    /// How many vectors the function can raise: 1, 2, 4, 8, 16 or 32.
    public let vectorCount: Int
    /// Whether the capability has mask and pending bits.
    let hasMasks: Bool
    // All guarded by the function's interrupt lock; copies of the registers, so that raising a vector needs
    // no other lock.
    private(set) var enabled = false
    private var allowedCount = 1
    private var masks: UInt32 = 0
    private var pendingBits: UInt32 = 0

    private var lock: Lock { function.interruptLock }

    init(_ function: PCIFunction, offset: Int, vectorCount: Int, hasMasks: Bool) {
        // SAFETY: the function owns this object and hands it out only through itself.
        link = unsafe Backlink(function)
        self.offset = offset
        self.vectorCount = vectorCount
        self.hasMasks = hasMasks
    }

    /// Whether software has enabled MSI.
    public var isEnabled: Bool { lock.withLock { enabled } }

    /// How many vectors software has allowed: 1...``vectorCount``.
    public var enabledCount: Int { lock.withLock { allowedCount } }

    /// The pending bits, as the capability shows them.
    var pending: UInt32 { lock.withLock { pendingBits } }

    func reset() {
        lock.withLock {
            enabled = false
            allowedCount = 1
            masks = 0
            pendingBits = 0
        }
    }

    /// Takes over pending bits; nothing is delivered.
    func load(pending bits: UInt32) {
        let known = vectorCount == 32 ? .max : UInt32(1) << UInt32(vectorCount) - 1
        lock.withLock { pendingBits = bits & known }
    }

    func configurationChanged() {
        let control = function.configuration.value(at: offset + 2, width: 2)
        let masks = hasMasks ? function.configuration.value(at: offset + 0x10, width: 4) : 0
        lock.withLock {
            enabled = control & 1 != 0
            allowedCount = min(vectorCount, 1 << Int((control >> 4) & 7))
            self.masks = masks
        }
    }

    /// Delivers all that is pending and no longer held back.
    func deliverPending() {
        guard pending != 0 else { return }
        for vector in 0..<vectorCount { deliverIfPending(vector) }
    }

    /// Delivers a pending vector unless something holds it back. The slot is called without the lock.
    private func deliverIfPending(_ vector: Int) {
        let bit = UInt32(1) << UInt32(vector)
        let delivers = lock.withLock {
            guard enabled, pendingBits & bit != 0, masks & bit == 0, function.configuration.mayInitiate
            else { return false }
            pendingBits &= ~bit
            return true
        }
        if delivers { function.slot?.deliverMessage(.msi, vector: vector) }
    }

    /// Raises a vector: delivered now if nothing holds it back, remembered as pending otherwise. A vector
    /// beyond those that software allowed is raised as vector 0.
    public func signal(_ vector: Int) {
        guard vector >= 0 && vector < vectorCount else { return }
        let raised = lock.withLock {
            let raised = vector < allowedCount ? vector : 0
            pendingBits |= UInt32(1) << UInt32(raised)
            return raised
        }
        deliverIfPending(raised)
    }
}
