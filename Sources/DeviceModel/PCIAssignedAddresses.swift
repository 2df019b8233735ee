import LinuxSystem

/// The bus addresses that the machine's firmware gave to a function's BARs.
///
/// Nothing decodes them: a BAR in software is reached by its region. They are what a user finds in
/// configuration space, each a multiple of its BAR's length as hardware has it.
package struct PCIAssignedAddresses: Equatable, Sendable {
    /// By BAR; 0 where there is none.
    package private(set) var bars: InlineArray<6, UInt64> = .init(repeating: 0)
    /// The first of the virtual functions' BARs, by BAR; the others' follow.
    package private(set) var virtualBars: InlineArray<6, UInt64> = .init(repeating: 0)
    /// The expansion ROM's; 0 without one.
    package private(set) var rom: UInt64 = 0

    /// Addresses for a function, spread out by where it sits: memory from 3.5 GiB (32 bits) or from 512 GiB,
    /// ports from 0x1000. Functions of one machine get different ones unless their BARs are larger than the
    /// share of one function (1 MiB, 1 GiB and 256 ports).
    /// - Parameters:
    ///   - layout: the virtual functions that it can have.
    ///   - deviceFunction: device and function on the bus, as in a routing ID.
    package init(
        _ own: [BAR?], romByteCount: UInt64, _ layout: VirtualFunctions?, bus: UInt8, deviceFunction: UInt8
    ) {
        let place = UInt64(bus) << 8 | UInt64(deviceFunction)
        var low = 0xe000_0000 + (place & 0xff) << 20
        var high = 0x80_0000_0000 + place << 30
        var port = 0x1000 + (place & 0x7f) << 8
        func take(
            _ next: inout UInt64, _ byteCount: UInt64, _ count: UInt64 = 1, below limit: UInt64
        ) -> UInt64 {
            var start = (next &+ (byteCount - 1)) & ~(byteCount - 1)
            let (all, overflow) = byteCount.multipliedReportingOverflow(by: count)
            // A BAR that doesn't fit between here and the limit begins at its own size, which is never 0.
            if overflow || start > limit || all > limit - start { start = byteCount }
            next = start &+ all
            return start
        }
        for index in 0..<6 {
            guard let bar = own[index] else { continue }
            switch bar.kind {
            case .io: bars[index] = take(&port, bar.byteCount, below: 0x1_0000)
            case .memory32: bars[index] = take(&low, bar.byteCount, below: 0x1_0000_0000)
            case .memory64: bars[index] = take(&high, bar.byteCount, below: 1 << 52)
            }
        }
        for index in 0..<6 {
            guard let layout, let bar = layout.bars[index] else { continue }
            let count = UInt64(layout.total)
            virtualBars[index] =
                bar.kind == .memory64
                ? take(&high, bar.byteCount, count, below: 1 << 52)
                : take(&low, bar.byteCount, count, below: 0x1_0000_0000)
        }
        if romByteCount > 0 { rom = take(&low, romByteCount, below: 0x1_0000_0000) }
    }

    /// The 32-bit register of the virtual functions' BARs at 0x24 + 4 · index of the SR-IOV capability.
    package func register(_ index: Int, of layout: VirtualFunctions) -> UInt32 {
        Self.register(index, layout.bars, virtualBars)
    }

    /// Whether a BAR has whole pages to itself: in a page that it shares with another one, a user could reach that
    /// one too.
    package func isMappable(_ index: Int, of function: PCIFunction) -> Bool {
        guard let bar = function.bars[index], bar.byteCount < UInt64(pageSize) else { return true }
        let page = UInt64(pageSize)
        guard bars[index] % page == 0 else { return false }
        for other in 0..<6 where other != index {
            guard let neighbour = function.bars[other], neighbour.kind != .io else { continue }
            if bars[other] / page == bars[index] / page { return false }
        }
        return function.rom.isEmpty || rom / page != bars[index] / page
    }

    package static func == (a: Self, b: Self) -> Bool {
        for index in 0..<6 {
            guard a.bars[index] == b.bars[index], a.virtualBars[index] == b.virtualBars[index] else {
                return false
            }
        }
        return a.rom == b.rom
    }

    /// The 32-bit register at 0x10 + 4 · index, type bits included. A virtual function has no such registers of its
    /// own: its user finds no address, only the type bits that a kernel knows.
    package func register(_ index: Int, of function: PCIFunction) -> UInt32 {
        Self.register(index, function.bars, function.isVirtual ? .init(repeating: 0) : bars)
    }

    /// The same for a function of which only the BARs are known.
    package func register(_ index: Int, of bars: [BAR?]) -> UInt32 { Self.register(index, bars, self.bars) }

    private static func register(_ index: Int, _ bars: [BAR?], _ places: InlineArray<6, UInt64>) -> UInt32 {
        if let bar = bars[index] { return UInt32(truncatingIfNeeded: places[index]) | bar.typeBits }
        if index > 0, let below = bars[index - 1], below.kind == .memory64 {
            return UInt32(truncatingIfNeeded: places[index - 1] >> 32)
        }
        return 0
    }
}
