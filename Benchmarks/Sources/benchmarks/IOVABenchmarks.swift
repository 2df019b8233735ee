import IOVASpace

let iovaSuite = Suite(
    name: "iova", summary: "the map from I/O virtual addresses to memory, at five sizes"
) { options in
    let references = References(options)
    references.print()
    var times = Table([
        "mappings", "map", "map ascending", "unmap", "unmap+map at size", "translate random",
        "… not waiting", "translate repeated", "bytes/mapping", "ascending", "after churn",
    ])
    var ratios = Table([
        "mappings", "map / getppid", "unmap / getppid", "Dictionary look-up", "translate / Dictionary",
        "repeated / Dictionary", "translate / memcpy 4 KiB",
    ])
    for size in [16, 256, 4_096, 65_535, 1_000_000] where !options.isQuick || size <= 65_535 {
        let result = IOVAResult(size: size, options)
        let dictionary = References.dictionary(size, options)
        times.add(
            [grouped(size)]
                + [
                    result.map, result.mapAscending, result.unmap, result.churn, result.random,
                    result.randomThroughput, result.repeated,
                ].map { fixed($0.minimum) + " (" + fixed($0.median) + ")" }
                + [result.bytes, result.bytesAscending, result.bytesAfterChurn].map { fixed($0) })
        ratios.add([
            grouped(size),
            fixed(result.map.minimum / references.systemCall.minimum, 2),
            fixed(result.unmap.minimum / references.systemCall.minimum, 2),
            fixed(dictionary.minimum) + " ns",
            fixed(result.random.minimum / dictionary.minimum, 2),
            fixed(result.repeated.minimum / dictionary.minimum, 2),
            fixed(result.random.minimum / references.copy.minimum, 2),
        ])
    }
    print("Nanoseconds per operation: minimum (median) of \(options.repeats) repeats.\n")
    times.print()
    print(
        "Ratios of minimums to the references of this run; the dictionary has as many keys as there are mappings.\n"
    )
    ratios.print()
}

/// All measurements at one size: mappings of 4 KiB, 8 KiB apart, so that none touch.
private struct IOVAResult {
    /// From empty to full, in random order.
    var map: Timing

    /// From empty to full, in ascending order.
    var mapAscending: Timing

    /// From full to empty, in random order.
    var unmap: Timing

    /// Taking one out and putting it back in a full map.
    var churn: Timing

    /// Translating at random, each address known only when the one before is translated.
    var random: Timing

    /// Translating at random, addresses known beforehand.
    var randomThroughput: Timing

    /// Translating in the mapping that was translated last.
    var repeated: Timing

    var bytes: Double
    var bytesAscending: Double
    var bytesAfterChurn: Double

    init(size: Int, _ options: Options) {
        var random = FixedGenerator()
        let ascending = (0..<size).map { IOVAMapping(slot: UInt64($0)) }
        let shuffled = ascending.shuffled(using: &random)
        let removals = ascending.shuffled(using: &random)
        let rounds = max(1, 100_000 / size)

        (map, unmap, bytes) = IOVAResult.fillAndEmpty(shuffled, removals, rounds, options)
        (mapAscending, _, bytesAscending) = IOVAResult.fillAndEmpty(ascending, removals, rounds, options)

        var full = IOVAMap()
        for mapping in shuffled { full.add(mapping) }
        let probes = (0..<max(200_000, size)).map { _ in
            IOVA(random.next() % UInt64(size) * 8192 + random.next() % 4096)
        }
        self.random = measure(operations: probes.count, repeats: options.repeats) {
            var chain: UInt64 = 0
            for probe in probes {
                // The highest bit of a sum of host addresses here is never set.
                chain = full.backing(of: IOVA(probe.rawValue | chain >> 63))
            }
            keep(chain)
        }
        randomThroughput = measure(operations: probes.count, repeats: options.repeats) {
            var sum: UInt64 = 0
            for probe in probes { sum &+= full.backing(of: probe) }
            keep(sum)
        }
        repeated = IOVAResult.repeatedTranslate(full, probes[0], options)

        let victims = (0..<max(100_000, 2 * size)).map { _ in random.next() % UInt64(size) }
        churn = measure(operations: 2 * victims.count, repeats: min(options.repeats, 3)) {
            for victim in victims {
                let mapping = IOVAMapping(slot: victim)
                full.take(mapping)
                full.add(mapping)
            }
        }
        bytesAfterChurn = IOVAResult.churnedBytes(size)
    }

    private static func fillAndEmpty(
        _ insertions: [IOVAMapping], _ removals: [IOVAMapping], _ rounds: Int, _ options: Options
    ) -> (map: Timing, unmap: Timing, bytes: Double) {
        var bytes = 0.0
        var mapSamples: [Double] = []
        var unmapSamples: [Double] = []
        for _ in 0..<options.repeats {
            var mapTime: UInt64 = 0
            var unmapTime: UInt64 = 0
            for _ in 0..<rounds {
                var map = IOVAMap()
                let start = now()
                for mapping in insertions { map.add(mapping) }
                let middle = now()
                bytes = Double(map.allocatedByteCount) / Double(insertions.count)
                let again = now()
                for mapping in removals { map.take(mapping) }
                unmapTime += now() - again
                mapTime += middle - start
            }
            mapSamples.append(Double(mapTime) / Double(rounds * insertions.count))
            unmapSamples.append(Double(unmapTime) / Double(rounds * insertions.count))
        }
        return (Timing(mapSamples), Timing(unmapSamples), bytes)
    }

    private static func repeatedTranslate(
        _ map: borrowing IOVAMap, _ start: IOVA, _ options: Options
    ) -> Timing {
        let page = start.rawValue & ~4095
        let operations = 1_000_000
        var cache = IOVATranslationCache()
        return measure(operations: operations, repeats: options.repeats) {
            var sum: UInt64 = 0
            for step in 0..<UInt64(operations) {
                let iova = IOVA(page | (step &* 64) & 4095)
                if let piece = try? map.translate(iova, byteCount: 64, for: .read, cache: &cache) {
                    sum ^= piece.backing &+ piece.byteCount
                }
            }
            keep(sum)
        }
    }

    /// Bytes for each mapping in a map of about `size` that has long been added to and taken from at random.
    private static func churnedBytes(_ size: Int) -> Double {
        var random = FixedGenerator()
        var map = IOVAMap()
        var present = [Bool](repeating: false, count: size * 2)
        for _ in 0..<size * 16 {
            let slot = random.next() % UInt64(size * 2)
            let index = Int(slot)
            if present[index] {
                map.take(IOVAMapping(slot: slot))
            } else {
                map.add(IOVAMapping(slot: slot))
            }
            present[index].toggle()
        }
        return Double(map.allocatedByteCount) / Double(max(map.count, 1))
    }
}

extension IOVAMapping {
    fileprivate init(slot: UInt64) {
        let start = slot * 8192
        guard let range = IOVARange(IOVA(start), byteCount: 4096) else {
            preconditionFailure("slot \(slot) lies outside the space")
        }
        self.init(range, backing: 0x7000_0000_0000 + start)
    }
}

extension IOVAMap {
    @inline(__always)
    fileprivate mutating func add(_ mapping: IOVAMapping) {
        do {
            try map(mapping)
        } catch {
            preconditionFailure("the benchmark maps free addresses only")
        }
    }

    @inline(__always)
    fileprivate mutating func take(_ mapping: IOVAMapping) {
        do {
            try unmap(exactly: mapping.range)
        } catch {
            preconditionFailure("the benchmark unmaps what is mapped only")
        }
    }

    @inline(__always)
    fileprivate func backing(of iova: IOVA) -> UInt64 {
        do {
            return try translate(iova, byteCount: 64, for: .read).backing
        } catch {
            preconditionFailure("the benchmark translates mapped addresses only")
        }
    }
}
