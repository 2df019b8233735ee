import LinuxSystem

/// MSI-X: a table of vectors with masks, and their pending bits (PCI 3.0, 6.8.2).
public final class MSIX {
    private let link: Backlink<PCIFunction>
    private var function: PCIFunction { link.owner }
    /// How many vectors there are, 1...2048.
    public let vectorCount: Int
    /// The BAR and offset of the table, 16 bytes a vector.
    public let table: (bar: Int, offset: UInt64)
    /// The BAR and offset of the pending bits, 64 vectors in 8 bytes.
    public let pending: (bar: Int, offset: UInt64)
    private let pendingWordCount: Int

    // All guarded by the function's interrupt lock.
    private var words: [UInt32]
    private var pendingBits: [UInt64]
    private var pendingCount = 0
    private(set) var enabled = false
    private var isFunctionMasked = false

    private var lock: Lock { function.interruptLock }

    init(
        _ function: PCIFunction, _ vectorCount: Int, _ table: (bar: Int, offset: UInt64),
        _ pending: (bar: Int, offset: UInt64)
    ) {
        // SAFETY: the function owns this object and hands it out only through itself.
        link = unsafe Backlink(function)
        self.vectorCount = vectorCount
        self.table = table
        self.pending = pending
        words = [UInt32](repeating: 0, count: 4 * vectorCount)
        pendingWordCount = (vectorCount + 63) / 64
        pendingBits = [UInt64](repeating: 0, count: pendingWordCount)
        reset()
    }

    /// Whether software has enabled MSI-X.
    public var isEnabled: Bool { lock.withLock { enabled } }

    func reset() {
        lock.withLock {
            for index in words.indices { words[index] = index % 4 == 3 ? 1 : 0 }
            for index in pendingBits.indices { pendingBits[index] = 0 }
            pendingCount = 0
            enabled = false
            isFunctionMasked = false
        }
    }

    func controlChanged(_ control: UInt16) {
        lock.withLock {
            enabled = control & 0x8000 != 0
            isFunctionMasked = control & 0x4000 != 0
        }
    }

    /// Delivers all that is pending and no longer held back.
    func deliverPending() {
        guard lock.withLock({ pendingCount }) > 0 else { return }
        for vector in 0..<vectorCount { deliverIfPending(vector) }
    }

    // The lock is held.
    private func setPending(_ vector: Int, _ isPending: Bool) {
        let bit = UInt64(1) << UInt64(vector % 64)
        if (pendingBits[vector / 64] & bit != 0) == isPending { return }
        pendingBits[vector / 64] ^= bit
        pendingCount += isPending ? 1 : -1
    }

    /// Delivers a pending vector unless something holds it back. The slot is called without the lock.
    private func deliverIfPending(_ vector: Int) {
        let delivers = lock.withLock {
            let bit = UInt64(1) << UInt64(vector % 64)
            guard enabled, pendingBits[vector / 64] & bit != 0, !isFunctionMasked,
                words[4 * vector + 3] & 1 == 0, function.configuration.mayInitiate
            else { return false }
            setPending(vector, false)
            return true
        }
        if delivers { function.slot?.deliverMessage(.msix, vector: vector) }
    }

    /// Raises a vector: delivered now if nothing holds it back, remembered as pending otherwise.
    public func signal(_ vector: Int) {
        guard vector >= 0 && vector < vectorCount else { return }
        lock.withLock { setPending(vector, true) }
        deliverIfPending(vector)
    }

    /// Withdraws a pending vector whose cause has gone.
    public func withdraw(_ vector: Int) {
        guard vector >= 0 && vector < vectorCount else { return }
        lock.withLock { setPending(vector, false) }
    }

    /// Whether a vector was raised while masked.
    public func isPending(_ vector: Int) -> Bool {
        vector >= 0 && vector < vectorCount
            && lock.withLock { pendingBits[vector / 64] & (1 << UInt64(vector % 64)) != 0 }
    }

    /// Sets or clears a vector's mask bit, as its owner does through the table. For hosts that own the table.
    public func setMask(_ vector: Int, _ masked: Bool) {
        guard vector >= 0 && vector < vectorCount else { return }
        lock.withLock {
            if masked { words[4 * vector + 3] |= 1 } else { words[4 * vector + 3] &= ~1 }
        }
        deliverIfPending(vector)
    }

    /// The table and the pending bits, to be kept.
    var saved: (words: [UInt32], pendingBits: [UInt64]) { lock.withLock { (words, pendingBits) } }

    /// Takes over a table and pending bits; nothing is delivered.
    /// - Precondition: as many as there are.
    func load(words: [UInt32], pendingBits bits: [UInt64]) {
        precondition(words.count == 4 * vectorCount && bits.count == pendingWordCount, "not this table")
        lock.withLock {
            for index in words.indices { put(index, words[index], ~0) }
            for vector in 0..<vectorCount {
                setPending(vector, bits[vector / 64] & (1 << UInt64(vector % 64)) != 0)
            }
        }
    }

    // MARK: the table and the pending bits as memory

    private func inside(_ place: (bar: Int, offset: UInt64), _ count: Int, _ bar: Int, _ offset: UInt64)
        -> Int?
    {
        guard bar == place.bar, offset >= place.offset, offset - place.offset < UInt64(count) else {
            return nil
        }
        return Int(offset - place.offset)
    }

    func load(bar: Int, offset: UInt64, width: Int) -> UInt64? {
        if let at = inside(table, 16 * vectorCount, bar, offset) {
            let value = lock.withLock {
                UInt64(words[at / 4])
                    | (width == 8 && at / 4 + 1 < words.count ? UInt64(words[at / 4 + 1]) << 32 : 0)
            }
            return (value >> UInt64(8 * (at % 4))) & (UInt64.max >> UInt64(64 - 8 * width))
        }
        if let at = inside(pending, 8 * pendingWordCount, bar, offset) {
            let bits = lock.withLock { pendingBits[at / 8] }
            return (bits >> UInt64(8 * (at % 8))) & (UInt64.max >> UInt64(64 - 8 * width))
        }
        return nil
    }

    func store(bar: Int, offset: UInt64, width: Int, value: UInt64) -> Bool {
        if let at = inside(table, 16 * vectorCount, bar, offset) {
            // The specification defines 32- and 64-bit accesses only; narrower ones change their bytes.
            lock.withLock {
                if width == 8 {
                    put(at / 4, UInt32(truncatingIfNeeded: value), ~0)
                    if at / 4 + 1 < words.count {
                        put(at / 4 + 1, UInt32(truncatingIfNeeded: value >> 32), ~0)
                    }
                } else {
                    let shift = UInt32(8 * (at % 4))
                    let mask = (UInt32.max >> UInt32(32 - 8 * width)) << shift
                    put(at / 4, UInt32(truncatingIfNeeded: value) << shift, mask)
                }
            }
            deliverIfPending(at / 16)
            return true
        }
        return inside(pending, 8 * pendingWordCount, bar, offset) != nil
    }

    private func put(_ index: Int, _ value: UInt32, _ mask: UInt32) {
        // Vector control has one writable bit, the mask; a message's address is a multiple of 4.
        let allowed: UInt32 = index % 4 == 3 ? 1 : index % 4 == 0 ? ~3 : ~0
        words[index] = (words[index] & ~(mask & allowed)) | (value & mask & allowed)
    }
}
