import IOVASpace
import LinuxSystem

// Which pages devices write through the page tables of an I/O address space (kernel.md F.4).

extension IOAS {
    /// Starts or ends the notes of a page table of what devices write. Starting forgets what was noted before.
    /// - Throws: `ENOMEM`
    func setTracking(_ table: TrackingTable, _ on: Bool) throws(Errno) {
        try exclusively { () throws(Errno) in
            guard on else { return table.stop() }
            var ranges: [IOVARange] = []
            space.map.forEachMapping { ranges.append($0.range) }
            try table.start(ranges)
        }
    }

    /// Something is about to be mapped, which page tables are to note writes to.
    /// - Throws: `ENOMEM`
    func prepareTracking(of mappings: [IOVAMapping]) throws(Errno) {
        for mapping in mappings {
            for table in trackingTables { try table.add(mapping.range) }
        }
    }

    /// It isn't mapped after all.
    func stopTracking(of mappings: [IOVAMapping]) {
        for mapping in mappings {
            for table in trackingTables { table.remove(mapping.range) }
        }
    }

    /// Sets bits in a user's bitmap for the pages that devices wrote, as far as the range is mapped without a hole
    /// from its beginning.
    func report(
        _ range: IOVARange, by table: TrackingTable, isClearing: Bool, into bits: UserBits
    ) throws(Errno) {
        try exclusively { () throws(Errno) in
            var next = range.first
            while let mapping = space.map.mapping(containing: next),
                let part = IOVARange(first: next, last: min(mapping.range.last, range.last))
            {
                table.report(part, isClearing: isClearing, into: bits)
                if part.last == range.last { return }
                next = IOVA(part.last.rawValue + 1)
            }
        }
    }
}
