import DeviceModel
import LinuxSystem
import VFIOHost

/// The bus addresses that the machine's firmware gave to a function's BARs.
///
/// Nothing decodes them: the software host reaches a BAR by its region. They are what a user finds in
/// configuration space, each a multiple of its BAR's length as hardware has it.
struct PCIAssignedAddresses: Equatable, Sendable {
    /// By BAR; 0 where there is none.
    private(set) var bars: InlineArray<6, UInt64> = .init(repeating: 0)
    /// The expansion ROM's; 0 without one.
    private(set) var rom: UInt64 = 0

    /// Addresses for a function, spread out by where it sits: memory from 3.5 GiB (32 bits) or from 512 GiB,
    /// ports from 0x1000. Functions of one machine get different ones unless their BARs are larger than the
    /// share of one function (1 MiB, 1 GiB and 256 ports).
    init(_ function: PCIFunction, at address: PCIAddress) {
        let place = UInt64(address.bus) << 8 | UInt64(address.deviceFunction)
        var low = 0xe000_0000 + (place & 0xff) << 20
        var high = 0x80_0000_0000 + place << 30
        var port = 0x1000 + (place & 0x7f) << 8
        func take(_ next: inout UInt64, _ byteCount: UInt64, below limit: UInt64) -> UInt64 {
            var start = (next + byteCount - 1) & ~(byteCount - 1)
            // A BAR that doesn't fit between here and the limit begins at its own size, which is never 0.
            if start + byteCount > limit { start = byteCount }
            next = start + byteCount
            return start
        }
        for index in 0..<6 {
            guard let bar = function.bars[index] else { continue }
            switch bar.kind {
            case .io: bars[index] = take(&port, bar.byteCount, below: 0x1_0000)
            case .memory32: bars[index] = take(&low, bar.byteCount, below: 0x1_0000_0000)
            case .memory64: bars[index] = take(&high, bar.byteCount, below: 1 << 52)
            }
        }
        if function.romByteCount > 0 { rom = take(&low, function.romByteCount, below: 0x1_0000_0000) }
    }

    /// Whether a BAR has whole pages to itself: in a page that it shares with another one, a user could reach that
    /// one too.
    func isMappable(_ index: Int, of function: PCIFunction) -> Bool {
        guard let bar = function.bars[index], bar.byteCount < UInt64(pageSize) else { return true }
        let page = UInt64(pageSize)
        guard bars[index] % page == 0 else { return false }
        for other in 0..<6 where other != index {
            guard let neighbour = function.bars[other], neighbour.kind != .io else { continue }
            if bars[other] / page == bars[index] / page { return false }
        }
        return function.rom.isEmpty || rom / page != bars[index] / page
    }

    static func == (a: Self, b: Self) -> Bool {
        for index in 0..<6 where a.bars[index] != b.bars[index] { return false }
        return a.rom == b.rom
    }

    /// The 32-bit register at 0x10 + 4 · index, type bits included.
    func register(_ index: Int, of function: PCIFunction) -> UInt32 {
        if let bar = function.bars[index] {
            return UInt32(truncatingIfNeeded: bars[index]) | bar.typeBits
        }
        if index > 0, let below = function.bars[index - 1], below.kind == .memory64 {
            return UInt32(truncatingIfNeeded: bars[index - 1] >> 32)
        }
        return 0
    }
}

extension BAR {
    /// The low bits of the register, which tell what the BAR is (PCI 3.0, 6.2.5.1).
    var typeBits: UInt32 {
        switch kind {
        case .io: 1
        case .memory32: isPrefetchable ? 8 : 0
        case .memory64: isPrefetchable ? 12 : 4
        }
    }
}
