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

    private var words: [UInt32]
    private var pendingBits: [UInt64]
    /// Whether software has enabled MSI-X.
    public private(set) var isEnabled = false
    private var isFunctionMasked = false

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
        pendingBits = [UInt64](repeating: 0, count: (vectorCount + 63) / 64)
        reset()
    }

    func reset() {
        for index in words.indices { words[index] = index % 4 == 3 ? 1 : 0 }
        for index in pendingBits.indices { pendingBits[index] = 0 }
        isEnabled = false
        isFunctionMasked = false
    }

    func controlChanged(_ control: UInt16) {
        isEnabled = control & 0x8000 != 0
        isFunctionMasked = control & 0x4000 != 0
        for vector in 0..<vectorCount { deliverIfPending(vector) }
    }

    private func isMasked(_ vector: Int) -> Bool { isFunctionMasked || words[4 * vector + 3] & 1 != 0 }

    private func deliverIfPending(_ vector: Int) {
        let bit = UInt64(1) << UInt64(vector % 64)
        guard isEnabled, pendingBits[vector / 64] & bit != 0, !isMasked(vector) else { return }
        pendingBits[vector / 64] &= ~bit
        function.slot?.deliverMessage(.msix, vector: vector)
    }

    /// Raises a vector: delivered now if it isn't masked, remembered as pending otherwise.
    public func signal(_ vector: Int) {
        guard vector >= 0 && vector < vectorCount else { return }
        pendingBits[vector / 64] |= UInt64(1) << UInt64(vector % 64)
        deliverIfPending(vector)
    }

    /// Withdraws a pending vector whose cause has gone.
    public func withdraw(_ vector: Int) {
        guard vector >= 0 && vector < vectorCount else { return }
        pendingBits[vector / 64] &= ~(UInt64(1) << UInt64(vector % 64))
    }

    /// Whether a vector was raised while masked.
    public func isPending(_ vector: Int) -> Bool {
        vector >= 0 && vector < vectorCount && pendingBits[vector / 64] & (1 << UInt64(vector % 64)) != 0
    }

    /// Sets or clears a vector's mask bit, as its owner does through the table. For hosts that own the table.
    public func setMask(_ vector: Int, _ masked: Bool) {
        guard vector >= 0 && vector < vectorCount else { return }
        if masked { words[4 * vector + 3] |= 1 } else { words[4 * vector + 3] &= ~1 }
        deliverIfPending(vector)
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
            var value = UInt64(words[at / 4])
            if width == 8 && at / 4 + 1 < words.count { value |= UInt64(words[at / 4 + 1]) << 32 }
            return (value >> UInt64(8 * (at % 4))) & (UInt64.max >> UInt64(64 - 8 * width))
        }
        if let at = inside(pending, 8 * pendingBits.count, bar, offset) {
            return (pendingBits[at / 8] >> UInt64(8 * (at % 8))) & (UInt64.max >> UInt64(64 - 8 * width))
        }
        return nil
    }

    func store(bar: Int, offset: UInt64, width: Int, value: UInt64) -> Bool {
        if let at = inside(table, 16 * vectorCount, bar, offset) {
            // The specification defines 32- and 64-bit accesses only; narrower ones change their bytes.
            if width == 8 {
                put(at / 4, UInt32(truncatingIfNeeded: value), ~0)
                if at / 4 + 1 < words.count { put(at / 4 + 1, UInt32(truncatingIfNeeded: value >> 32), ~0) }
            } else {
                let shift = UInt32(8 * (at % 4))
                let mask = (UInt32.max >> UInt32(32 - 8 * width)) << shift
                put(at / 4, UInt32(truncatingIfNeeded: value) << shift, mask)
            }
            deliverIfPending(at / 16)
            return true
        }
        return inside(pending, 8 * pendingBits.count, bar, offset) != nil
    }

    private func put(_ index: Int, _ value: UInt32, _ mask: UInt32) {
        // Vector control has one writable bit, the mask; a message's address is a multiple of 4.
        let allowed: UInt32 = index % 4 == 3 ? 1 : index % 4 == 0 ? ~3 : ~0
        words[index] = (words[index] & ~(mask & allowed)) | (value & mask & allowed)
    }
}

/// MSI: up to 32 vectors, 64-bit address, with masks (PCI 3.0, 6.8.1).
public final class MSI {
    private let link: Backlink<PCIFunction>
    private var function: PCIFunction { link.owner }
    let offset: Int
    /// How many vectors the function can raise: 1, 2, 4, 8, 16 or 32.
    public let vectorCount: Int
    /// Whether software has enabled MSI.
    public private(set) var isEnabled = false
    private var pendingBits: UInt32 = 0

    init(_ function: PCIFunction, offset: Int, vectorCount: Int) {
        // SAFETY: the function owns this object and hands it out only through itself.
        link = unsafe Backlink(function)
        self.offset = offset
        self.vectorCount = vectorCount
    }

    func reset() {
        isEnabled = false
        pendingBits = 0
    }

    /// How many vectors software has allowed: 1...``vectorCount``.
    public var enabledCount: Int {
        let control = function.configuration.value(at: offset + 2, width: 2)
        return min(vectorCount, 1 << Int((control >> 4) & 7))
    }

    private var masks: UInt32 { function.configuration.value(at: offset + 0x10, width: 4) }

    func configurationChanged() {
        isEnabled = function.configuration.value(at: offset + 2, width: 2) & 1 != 0
        guard isEnabled else { return }
        for vector in 0..<vectorCount where pendingBits & (1 << UInt32(vector)) != 0 { signal(vector) }
    }

    /// Raises a vector: delivered now if it isn't masked, remembered as pending otherwise. A vector beyond
    /// those that software allowed is raised as vector 0.
    public func signal(_ vector: Int) {
        guard vector >= 0 && vector < vectorCount else { return }
        let vector = vector < enabledCount ? vector : 0
        let bit = UInt32(1) << UInt32(vector)
        if isEnabled && masks & bit == 0 {
            pendingBits &= ~bit
            function.slot?.deliverMessage(.msi, vector: vector)
        } else {
            pendingBits |= bit
        }
        function.configuration.setHardware(pendingBits, at: offset + 0x14, width: 4)
    }
}

extension PCIFunction {
    /// Adds an MSI-X capability.
    /// - Parameters:
    ///   - vectors: 1...2048.
    ///   - table: where the table lies: 16 bytes a vector, at a multiple of 8.
    ///   - pending: where the pending bits lie, at a multiple of 8.
    /// - Returns: where the capability begins in configuration space.
    @discardableResult
    public func addMSIX(
        vectors: Int, table: (bar: Int, offset: UInt64), pending: (bar: Int, offset: UInt64)
    ) -> Int {
        precondition(vectors >= 1 && vectors <= 2048, "MSI-X has 1 to 2048 vectors")
        precondition(table.offset % 8 == 0 && pending.offset % 8 == 0, "not at a multiple of 8")
        precondition(
            contains(bar: table.bar, offset: table.offset, width: 16 * vectors), "table outside its BAR")
        precondition(
            contains(bar: pending.bar, offset: pending.offset, width: (vectors + 63) / 64 * 8),
            "pending bits outside their BAR")
        var body = [UInt8](repeating: 0, count: 10)
        body[0] = UInt8(truncatingIfNeeded: vectors - 1)
        body[1] = UInt8(truncatingIfNeeded: (vectors - 1) >> 8)
        for index in 0..<4 {
            body[2 + index] = UInt8(
                truncatingIfNeeded: (table.offset | UInt64(table.bar)) >> UInt64(8 * index))
            body[6 + index] = UInt8(
                truncatingIfNeeded: (pending.offset | UInt64(pending.bar)) >> UInt64(8 * index))
        }
        msix = MSIX(self, vectors, table, pending)
        return configuration.addCapability(id: 0x11, body: body, writable: [0, 0xc0])
    }

    /// Adds an MSI capability with 64-bit addresses and per-vector masks.
    /// - Parameter vectors: 1, 2, 4, 8, 16 or 32.
    /// - Returns: where the capability begins in configuration space.
    @discardableResult
    public func addMSI(vectors: Int) -> Int {
        precondition(
            vectors >= 1 && vectors <= 32 && vectors.nonzeroBitCount == 1, "MSI has 1, 2 … 32 vectors")
        var body = [UInt8](repeating: 0, count: 0x16)
        body[0] = 0x80 | UInt8(vectors.trailingZeroBitCount) << 1
        body[1] = 0x01
        var writable = [UInt8](repeating: 0, count: 0x16)
        writable[0] = 0x71
        for index in 2..<12 { writable[index] = 0xff }
        writable[2] = 0xfc
        writable[12] = 0
        writable[13] = 0
        let mask = vectors == 32 ? UInt32.max : (1 << UInt32(vectors)) - 1
        for index in 0..<4 { writable[14 + index] = UInt8(truncatingIfNeeded: mask >> UInt32(8 * index)) }
        let offset = configuration.addCapability(id: 0x05, body: body, writable: writable)
        msi = MSI(self, offset: offset, vectorCount: vectors)
        return offset
    }

    /// Adds a Power Management capability: D0 and D3hot.
    /// - Parameter noSoftReset: whether the function keeps its state from D3hot to D0.
    @discardableResult
    public func addPowerManagement(noSoftReset: Bool = true) -> Int {
        configuration.addCapability(
            id: 0x01, body: [0x03, 0x00, noSoftReset ? 0x08 : 0x00, 0x00, 0x00, 0x00], writable: [0, 0, 0x03])
    }

    /// Adds a PCI Express capability (version 2) of an endpoint.
    /// - Parameters:
    ///   - functionLevelReset: whether the function offers FLR.
    ///   - integrated: whether the endpoint sits on the root bus, without a link.
    @discardableResult
    public func addExpress(functionLevelReset: Bool = true, integrated: Bool = false) -> Int {
        var body = [UInt8](repeating: 0, count: 0x3a)
        body[0] = integrated ? 0x92 : 0x02
        body[2] = 0x01  // payloads up to 256 bytes
        body[3] = 0x80  // role-based error reporting
        body[5] = functionLevelReset ? 0x10 : 0
        body[7] = 0x20  // requests up to 512 bytes
        if !integrated {
            body[10] = 0x13  // 8 GT/s, one lane
            body[0x10] = 0x13
        }
        var writable = [UInt8](repeating: 0, count: 0x3a)
        writable[6] = 0xff
        writable[7] = 0x7f
        writable[0x26] = 0xff
        var clearable = [UInt8](repeating: 0, count: 0x3a)
        clearable[8] = 0x0f
        return configuration.addCapability(id: 0x10, body: body, writable: writable, clearable: clearable)
    }
}
