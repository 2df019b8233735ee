import LinuxSystem

/// What is counted of one device: a few words of a ``CounterTable``, which any thread adds to.
struct DeviceCounters: Sendable {
    /// What a word counts.
    enum Counter: Int {
        case requests, errors, reads, writes
        case dmaReads, dmaReadBytes, dmaWrites, dmaWrittenBytes, dmaRefusals
        case interrupts
    }

    let words: RelaxedWords
    /// The first of its words.
    let base: Int

    init(words: RelaxedWords, base: Int) {
        self.words = words
        self.base = base
    }

    /// Of a device that nobody looks at.
    init() { self.init(words: RelaxedWords(count: CounterTable.slotWords), base: 0) }

    @inline(__always)
    func add(_ counter: Counter, _ value: UInt64 = 1) {
        words.add(base + CounterTable.nameWords + counter.rawValue, value)
    }

    /// A device has written to memory, or read it: on the hottest path that there is, so that a transfer may be missed
    /// where two threads carry one out at the same moment.
    @inline(never)
    func addDMA(_ byteCount: Int, isWrite: Bool) {
        // The bytes' word follows the count's.
        let word = base + CounterTable.nameWords + (isWrite ? Counter.dmaWrites : .dmaReads).rawValue
        words.addLoosely(word, 1)
        words.addLoosely(word + 1, UInt64(byteCount))
    }

    func value(_ counter: Counter) -> UInt64 {
        words.load(base + CounterTable.nameWords + counter.rawValue)
    }
}

/// The counters of a machine's devices: memory of the kernel's own, or of a file that others look into.
///
/// 64 words of head, then 32 words for each device: eight with its name, padded with zeros, and its counters. All words
/// are 64 bits, in the processor's order. A file has room for ``mostDevices``; further ones are counted where only this
/// process sees it.
final class CounterTable: Sendable {
    static let nameWords = 8
    static let slotWords = 32
    static let headWords = 64
    static let mostDevices = 62
    /// "vfiocnt1"
    static let magic: UInt64 = 0x3174_6e63_6f69_6676
    /// Where the head has the bytes of memory that are locked for DMA.
    static let lockedWord = 1
    static let byteCount = (headWords + mostDevices * slotWords) * 8

    private let words: RelaxedWords

    /// - Parameter path: a file that is made if it isn't there; nil for memory. Where it can't be made or mapped there is
    ///   memory as well: a machine works without being watched.
    init(_ path: String?) {
        if let path, let mapping = try? Self.map(path) {
            words = RelaxedWords(in: mapping)
        } else {
            words = RelaxedWords(count: Self.byteCount / 8)
        }
        words.store(0, Self.magic)
    }

    private static func map(_ path: String) throws(Errno) -> Mapping {
        let file = try Descriptor(opening: path, [.readWrite, .create])
        try file.resize(to: UInt64(byteCount))
        return try Mapping(sharing: file.number, at: 0, byteCount: byteCount)
    }

    /// The counters of a device; those that one of the same name had before, if there was one.
    /// - Parameter name: what it is called; of a longer one the first 63 bytes count.
    func counters(_ name: [UInt8]) -> DeviceCounters {
        var wanted = InlineArray<8, UInt64>(repeating: 0)
        for byte in 0..<min(name.count, 63) {
            wanted[byte / 8] |= UInt64(name[byte]) << UInt64(byte % 8 * 8)
        }
        var base = Self.headWords
        while base < Self.headWords + Self.mostDevices * Self.slotWords {
            let isFree = words.load(base) == 0
            var difference: UInt64 = 0
            for word in 0..<Self.nameWords {
                if isFree { words.store(base + word, wanted[word]) }
                difference |= words.load(base + word) ^ wanted[word]
            }
            if difference == 0 { return DeviceCounters(words: words, base: base) }
            base += Self.slotWords
        }
        return DeviceCounters()
    }

    /// Notes how many bytes are locked for DMA.
    func setLocked(_ byteCount: UInt64) { words.store(Self.lockedWord, byteCount) }
}
