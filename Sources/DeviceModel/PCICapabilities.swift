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
        let tableEnd = table.offset + UInt64(16 * vectors)
        let pendingEnd = pending.offset + UInt64((vectors + 63) / 64 * 8)
        precondition(
            table.bar != pending.bar || tableEnd <= pending.offset || pendingEnd <= table.offset,
            "table and pending bits overlap")
        msix = MSIX(self, vectors, table, pending)
        return configuration.addCapability(id: 0x11, body: body, writable: [0, 0xc0])
    }

    /// Adds an MSI capability with 64-bit addresses.
    /// - Parameters:
    ///   - vectors: 1, 2, 4, 8, 16 or 32.
    ///   - hasMasks: whether vectors can be masked one by one, and wait as pending then.
    /// - Returns: where the capability begins in configuration space.
    @discardableResult
    public func addMSI(vectors: Int, hasMasks: Bool = true) -> Int {
        precondition(
            vectors >= 1 && vectors <= 32 && vectors.nonzeroBitCount == 1, "MSI has 1, 2 … 32 vectors")
        let count = hasMasks ? 0x16 : 0x0c
        var body = [UInt8](repeating: 0, count: count)
        body[0] = 0x80 | UInt8(vectors.trailingZeroBitCount) << 1
        body[1] = hasMasks ? 0x01 : 0x00
        var writable = [UInt8](repeating: 0, count: count)
        writable[0] = 0x71
        for index in 2..<12 { writable[index] = 0xff }
        writable[2] = 0xfc
        if hasMasks {
            let mask = vectors == 32 ? UInt32.max : (1 << UInt32(vectors)) - 1
            for index in 0..<4 {
                writable[14 + index] = UInt8(truncatingIfNeeded: mask >> UInt32(8 * index))
            }
        }
        let offset = configuration.addCapability(id: 0x05, body: body, writable: writable)
        msi = MSI(self, offset: offset, vectorCount: vectors, hasMasks: hasMasks)
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
        body[6] = 0x10  // relaxed ordering allowed
        body[7] = 0x28  // no-snoop allowed, requests up to 512 bytes
        if !integrated {
            body[0x0a] = 0x13  // link capabilities: 8 GT/s, one lane
            body[0x10] = 0x13  // link status: the same
            body[0x2a] = 0x0e  // supported speeds: 2.5, 5 and 8 GT/s
            body[0x2e] = 0x03  // target speed: 8 GT/s
        }
        var writable = [UInt8](repeating: 0, count: 0x3a)
        writable[6] = 0xff
        writable[7] = 0x7f
        writable[0x26] = 0xff
        var clearable = [UInt8](repeating: 0, count: 0x3a)
        clearable[8] = 0x0f
        return configuration.addCapability(id: 0x10, body: body, writable: writable, clearable: clearable)
    }

    /// Adds the Advanced Error Reporting capability (version 2), without a log of headers. Errors don't happen by
    /// themselves.
    /// - Returns: where the capability begins in configuration space.
    @discardableResult
    public func addErrorReporting() -> Int {
        var body = [UInt8](repeating: 0, count: 0x44)
        var writable = body
        var clearable = body
        // Uncorrectable: status, mask, severity. Correctable: status, mask. Bits that the specification defines.
        for (register, bits) in [
            (0, 0x01ff_f030), (1, 0x01ff_f030), (2, 0x01ff_f030), (3, 0x0000_f1c1), (4, 0x0000_f1c1),
        ] as [(Int, UInt32)] {
            for index in 0..<4 {
                let byte = UInt8(truncatingIfNeeded: bits >> UInt32(8 * index))
                if register == 0 || register == 3 {
                    clearable[4 * register + index] = byte
                } else {
                    writable[4 * register + index] = byte
                }
            }
        }
        // Fatal unless said otherwise; advisory errors are masked; ECRC can be made and checked.
        for (index, byte) in [0x30, 0x20, 0x46, 0x00].enumerated() { body[8 + index] = UInt8(byte) }
        body[17] = 0x20
        body[20] = 0xa0
        writable[20] = 0x40
        writable[21] = 0x01
        return configuration.addExtendedCapability(
            id: 0x0001, version: 2, body: body, writable: writable, clearable: clearable)
    }

    /// Adds the Advanced Features capability of a conventional device: function level reset and the bit that
    /// tells of transactions under way.
    /// - Returns: where the capability begins in configuration space.
    @discardableResult
    public func addAdvancedFeatures() -> Int {
        configuration.addCapability(id: 0x13, body: [0x06, 0x03, 0x00, 0x00])
    }
}
