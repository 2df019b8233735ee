import LinuxSystem
import VFIO
import VFIOGuest
import VFIOHost

/// Connecting a device to a guest with 1 TiB of RAM.
func measureConnecting(_ options: Options) throws {
    let guest = try Guest(regionCount: 1024, byteCount: 1 << 30)
    let machine = try GuestHost(isPrompt: true)
    let devices = GuestDevices(on: machine.host, for: guest.memory, .group)
    var connecting: [Double] = []
    var leaving: [Double] = []
    for _ in 0..<options.repeats + 1 {
        let start = now()
        let device = try devices.attach(GuestHost.address, to: guest.space)
        let middle = now()
        precondition(device.container?.iommu.mappingCount == 1024, "not all is mapped")
        let again = now()
        device.detach()
        leaving.append(Double(now() - again))
        connecting.append(Double(middle - start))
    }
    var table = Table(["1 TiB of RAM in 1,024 regions", "ms (minimum)", "ms (median)", "µs a region"])
    for (name, samples) in [("connect", connecting), ("disconnect", leaving)] {
        // The first one is to warm up.
        let timing = Timing(Array(samples.dropFirst()))
        table.add([
            name, fixed(timing.minimum / 1e6, 3), fixed(timing.median / 1e6, 3),
            fixed(timing.minimum / 1e3 / 1024, 2),
        ])
    }
    print("Without the host's own time to map. The aim is to connect within 20 ms.\n")
    table.print()
}

/// One region that goes and comes again, among few and among many.
func measureChanging(_ options: Options, _ references: References) throws {
    let few = try ChangingGuest(sectionCount: 100)
    var table = ComparisonTable("one change among so many sections", reference: "among 100")
    for count in [100, 1_000, 10_000] {
        let many = try ChangingGuest(sectionCount: count)
        table.add(
            grouped(count),
            Comparison(
                turns: options.turns, operations: 400, of: { many.change($0) }, against: { few.change($0) }))
    }
    print(
        "A section appears or goes: flattened, told, mapped or unmapped; without the host's own time. The aim is that"
            + " the number of sections doesn't matter.\n")
    table.print()
}

/// A guest with a device, of which regions go and come again.
struct ChangingGuest {
    private let guest: Guest
    private let device: GuestDevice
    private let order: [Int]

    init(sectionCount: Int) throws {
        guest = try Guest(regionCount: sectionCount, byteCount: pageSize)
        device = try GuestHost(isPrompt: true).attach(to: guest.space)
        var random = FixedGenerator()
        order = (0..<1024).map { _ in Int(random.next() % UInt64(sectionCount)) }
    }

    /// Makes about so many changes.
    func change(_ count: Int) {
        for step in 0..<(count + 1) / 2 {
            let region = guest.regions[order[step & 1023]]
            region.setEnabled(false)
            region.setEnabled(true)
        }
        withExtendedLifetime(device) {}
    }
}

/// Merging a bitmap of 1 TiB in pages of 4 KiB into a block's dirty log.
func measureMerging(_ options: Options) throws {
    let wordCount = (32 << 20) / 8
    // A block of that length needs no memory: nobody touches it.
    // SAFETY: only the log beside the block is used.
    let window = unsafe MemoryWindow(
        unsafeAddress: HostAddress(rawValue: UInt(pageSize)), byteCount: wordCount * 64 * pageSize)
    let block = try RAMBlock("ram", window, keeping: nil)
    var random = FixedGenerator()
    var words = [UInt64](repeating: 0, count: wordCount)
    var target = words
    var table = Table([
        "32 MiB of dirty bits", "ms (minimum)", "ms (median)", "memcpy, ms", "memcpy's speed", "aim",
    ])
    func row(_ name: String, aim: String, clearing: Bool = true, taking: Bool = false) {
        var merges: [Double] = []
        var copies: [Double] = []
        for _ in 0..<max(options.repeats * 3, 9) {
            let start = now()
            // SAFETY: both arrays have as many words.
            unsafe words.withUnsafeBytes { source in
                unsafe target.withUnsafeMutableBytes { target in unsafe target.copyMemory(from: source) }
            }
            copies.append(Double(now() - start))
            keep(target[Int(random.next() % UInt64(wordCount))])
            if clearing { block.dirtyLog.clear(for: .migration) }
            let beforeMerging = now()
            block.dirtyLog.merge(words.span, count: wordCount * 64, at: 0, for: .migration)
            let beforeTaking = now()
            guard taking else {
                merges.append(Double(beforeTaking - beforeMerging))
                continue
            }
            var count = 0
            block.dirtyLog.take(for: .migration) { count += $0.count }
            keep(UInt64(count))
            merges.append(Double(now() - beforeTaking))
        }
        // The first ones meet memory that nobody has touched.
        let merge = Timing(Array(merges.dropFirst()))
        let copy = Timing(Array(copies.dropFirst()))
        let ratio = zip(copies, merges).dropFirst().map { $0 / $1 }.sorted()[(merges.count - 1) / 2]
        table.add([
            name, fixed(merge.minimum / 1e6, 2), fixed(merge.median / 1e6, 2), fixed(copy.median / 1e6, 2),
            fixed(ratio, 2), aim,
        ])
    }
    row("merge, all clean", aim: "0.50")
    row("take, all clean", aim: "", taking: true)
    for page in 0..<wordCount * 64 where random.next() % 100 == 0 {
        words[page / 64] |= 1 << UInt64(page % 64)
    }
    row("merge, one page in a hundred dirty", aim: "0.25")
    row("take, one page in a hundred dirty", aim: "", taking: true)
    row("merge, all of that marked already", aim: "", clearing: false)
    for index in words.indices { words[index] = .max }
    row("merge, all dirty", aim: "")
    print("The speed is the median of each turn's ratio to the copy beside it.\n")
    table.print()
}
