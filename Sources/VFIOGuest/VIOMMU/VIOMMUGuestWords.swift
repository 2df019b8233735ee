import LinuxSystem

/// The RAM of an address space, as the walker of a page table reads it. Looks a place up once for a whole table.
struct GuestAddressSpaceWords: GuestWords {
    private let view: FlatView
    /// The range that was read from last: keeps its memory. Nil before the first word.
    private var region: MemoryRegion?
    private var window: MemoryWindow
    /// The words in it: from the first one on, so many bytes.
    private var first: UInt64 = 0
    private var byteCount: UInt64 = 0
    /// Where the first one lies in the window.
    private var offset: UInt64 = 0

    /// The RAM that is seen now.
    init(_ space: GuestAddressSpace) {
        view = space.view
        // SAFETY: nothing can be read from a window without bytes.
        window = unsafe MemoryWindow(unsafeAddress: HostAddress(rawValue: 0), byteCount: 0)
    }

    mutating func word(at address: GuestAddress) -> UInt64? {
        // A word is whole if it isn't in the last seven bytes; words are aligned.
        if address.rawValue &- first >= byteCount || address.rawValue & 7 != 0 {
            guard find(address.rawValue) else { return nil }
        }
        return window.load64(Int(offset &+ (address.rawValue &- first)))
    }

    /// Makes the range that a word lies in the current one.
    /// - Returns: whether all of the word is in RAM that may be read, and can be read in one access.
    private mutating func find(_ address: UInt64) -> Bool {
        guard address & 7 == 0, let range = view.range(containing: address), range.region.isRAM,
            let block = range.region.block, !block.isProtected
        else { return false }
        // Whole words only.
        let low = (range.first &+ 7) & ~7
        let high = range.last & 7 == 7 ? range.last : (range.last & ~7) &- 1
        let start = range.offset &+ (low &- range.first)
        guard low >= range.first, high != .max, low <= address, address < high,
            (UInt64(block.window.address.rawValue) &+ start) & 7 == 0,
            start <= block.byteCount, high - low < block.byteCount - start
        else { return false }
        region = range.region
        window = block.window
        first = low
        byteCount = high - low + 1
        offset = start
        return true
    }
}
