import IOVASpace
import LinuxSystem
import NVMe
import Testing

@testable import NVMeDriver

/// A small generator of random numbers; its seed is printed by every test that uses it.
struct TestRandom {
    private var generator: SplitMix

    /// Begins with a seed from the clock, or from one that failed before.
    init(_ test: String, seed: UInt64? = nil) {
        let seed = seed ?? Clock.now
        print("\(test): seed \(seed)")
        generator = SplitMix(state: seed)
    }

    mutating func next() -> UInt64 { generator.next() }
    mutating func below(_ limit: Int) -> Int { Int(generator.next() % UInt64(limit)) }
    mutating func bytes(_ count: Int) -> [UInt8] {
        (0..<count).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
    }
}

/// Zeroed memory that both a driver and a fake controller see, at an IOVA of the test's choice.
final class SharedMemory {
    private let mapping: Mapping
    let iova: IOVA
    var window: MemoryWindow { mapping.window }

    init(byteCount: Int, at iova: UInt64) throws {
        mapping = try Mapping(anonymous: byteCount)
        self.iova = IOVA(iova)
    }

    /// The 64 bits at an IOVA; nil outside.
    func load64(_ address: UInt64) -> UInt64? {
        guard address >= iova.rawValue, address - iova.rawValue <= UInt64(window.byteCount - 8) else {
            return nil
        }
        return window.load64(Int(address - iova.rawValue))
    }
}

/// Follows PRP entries as a controller does, from the text of the specification and not from the driver's code.
func followPRP(
    _ first: UInt64, _ second: UInt64, byteCount: Int, pageSize: Int, list: SharedMemory
) -> [ClosedRange<UInt64>]? {
    var pieces: [ClosedRange<UInt64>] = []
    var left = UInt64(byteCount)
    let page = UInt64(pageSize)
    func take(_ address: UInt64) {
        let count = min(left, page - address % page)
        pieces.append(address...(address + count - 1))
        left -= count
    }
    take(first)
    if left == 0 { return pieces }
    if left <= page {
        guard second % page == 0 else { return nil }
        take(second)
        return pieces
    }
    var place = second
    while left > 0 {
        guard let entry = list.load64(place) else { return nil }
        let isLastOfPage = (place + 8) % page == 0
        if isLastOfPage, left > page {
            // A link to the next list page.
            guard entry % page == 0 else { return nil }
            place = entry
            continue
        }
        guard entry % page == 0 else { return nil }
        take(entry)
        place += 8
    }
    return pieces
}

/// Joins pieces that follow one another.
func joined(_ pieces: [ClosedRange<UInt64>]) -> [ClosedRange<UInt64>] {
    var result: [ClosedRange<UInt64>] = []
    for piece in pieces {
        if let last = result.last, last.upperBound &+ 1 == piece.lowerBound {
            result[result.count - 1] = last.lowerBound...piece.upperBound
        } else {
            result.append(piece)
        }
    }
    return result
}

func segment(_ address: UInt64, _ byteCount: Int) -> DMASegment {
    DMASegment(iova: IOVA(address), byteCount: byteCount)
}

/// `#expect` for values that can't be copied, which the macro can't look into.
func check(_ condition: Bool, sourceLocation: SourceLocation = #_sourceLocation) {
    #expect(condition, sourceLocation: sourceLocation)
}

/// `#require` for what a value that can't be copied returns.
func must<T>(_ value: T?, sourceLocation: SourceLocation = #_sourceLocation) throws -> T {
    try #require(value, sourceLocation: sourceLocation)
}
