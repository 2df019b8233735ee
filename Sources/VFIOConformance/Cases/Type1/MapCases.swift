import LinuxSystem
import VFIOABI
import VFIOHost

/// B.4: what MAP_DMA looks at before it looks at memory.
let mapCases: [Case] = [
    Case("B.4", "MAP_DMA reads all 32 bytes before it looks at any") { t in
        let bench = try t.bench()
        t.expect(bench.container.request(.iommuMapDMA), .errno(.badAddress), "null")
        let short = try t.buffer(atEndOfPage: 31)
        t.expect(bench.container.request(.iommuMapDMA, short), .errno(.badAddress), "31 bytes, argsz 0")
        let full = try t.buffer(atEndOfPage: 32)
        full.store(DMAMap(argsz: 31, flags: .read, vaddr: bench.memory.vaddr, iova: 0, size: bench.page))
        t.expect(bench.container.request(.iommuMapDMA, full), .errno(.invalid), "argsz 31")
        full.store(DMAMap(argsz: 32, flags: .read, vaddr: bench.memory.vaddr, iova: 0, size: bench.page))
        t.expect(bench.container.request(.iommuMapDMA, full), .success, "argsz 32")
    },
    Case("B.4", "what argsz declares beyond the structure isn't looked at") { t in
        let bench = try t.bench()
        let buffer = try t.buffer(atEndOfPage: 32)
        buffer.store(
            DMAMap(argsz: .max, flags: .read, vaddr: bench.memory.vaddr, iova: 0, size: bench.page))
        t.expect(bench.container.request(.iommuMapDMA, buffer), .success, "argsz 2^32 - 1 at the page's end")
    },
    Case("B.4", "MAP_DMA changes nothing in its structure") { t in
        let bench = try t.bench()
        var request = DMAMap(
            flags: [.read, .write], vaddr: bench.memory.vaddr, iova: 0x1000, size: bench.page)
        let before = request
        t.expect(bench.container.request(.iommuMapDMA, &request), .success, "map")
        t.expect(request == before, "the structure is as it was")
    },
    Case("B.4", "flags must be known, and must say something") { t in
        let bench = try t.bench()
        for flags in [0, 8, 9, 0x10, 0x8000_0001, 0xffff_ffff] as [UInt32] {
            t.expect(
                bench.map(0x1000, DMAMapFlags(rawValue: flags)), .errno(.invalid),
                "flags 0x" + String(flags, radix: 16))
        }
        t.expect(bench.map(0x1000, .read), .success, "READ")
        t.expect(bench.map(0x2000, .write), .success, "WRITE")
        t.expect(bench.map(0x3000, [.read, .write]), .success, "READ and WRITE")
    },
    Case("B.4", "a new address can't come with permissions") { t in
        let bench = try t.bench()
        for flags in [5, 6, 7] as [UInt32] {
            t.expect(bench.map(0x1000, DMAMapFlags(rawValue: flags)), .errno(.invalid), "flags \(flags)")
        }
    },
    Case("B.4", "a size of 0 is refused before anything else about addresses") { t in
        let bench = try t.bench()
        t.expect(bench.map(0x1000, pages: 0), .errno(.invalid), "size 0")
        t.expect(
            bench.map(DMAMap(flags: .read, vaddr: .max, iova: .max, size: 0)), .errno(.invalid), "at the end")
    },
    Case("B.4", "an IOVA that wraps is told before flags and alignment") { t in
        let bench = try t.bench()
        let last = 0 &- bench.page
        t.expect(bench.map(last, pages: 2), .errno(.overflow), "one page too many", .wrapIsInvalid)
        t.expect(bench.map(last, pages: 2, []), .errno(.overflow), "and no flags", .wrapIsInvalid)
        t.expect(bench.map(last + 1), .errno(.overflow), "and misaligned", .wrapIsInvalid)
        t.expect(
            bench.map(DMAMap(flags: .read, vaddr: bench.memory.vaddr, iova: bench.page, size: .max)),
            .errno(.overflow), "a size of 2^64 - 1", .wrapIsInvalid)
    },
    Case("B.4", "an address of memory that wraps is told before flags and alignment") { t in
        let bench = try t.bench()
        let last = 0 &- bench.page
        func map(_ flags: DMAMapFlags, _ vaddr: UInt64) -> Answer {
            bench.map(DMAMap(flags: flags, vaddr: vaddr, iova: 0, size: 2 * bench.page))
        }
        t.expect(map(.read, last), .errno(.overflow), "one page too many", .wrapIsInvalid)
        t.expect(map([], last), .errno(.overflow), "and no flags", .wrapIsInvalid)
        t.expect(
            map([.read, .vaddr], last + 5), .errno(.overflow), "wrong flags, misaligned", .wrapIsInvalid)
        t.expect(map(.vaddr, last), .errno(.overflow), "a new address", .wrapIsInvalid)
    },
    Case("B.4", "the very last page doesn't wrap, but lies beyond what the IOMMU reaches") { t in
        let bench = try t.bench()
        let ranges = Type1Chain(bench.container)?.ranges ?? []
        guard let end = ranges.last?.upperBound, end < .max else {
            throw t.skip("it needs an IOMMU that doesn't reach all addresses")
        }
        t.expect(bench.map(0 &- bench.page), .errno(.invalid), "the last page of IOVAs")
        t.expect(
            bench.map(DMAMap(flags: .read, vaddr: 0 &- bench.page, iova: 0, size: bench.page)),
            .errno(.badAddress), "the last page of memory")
    },
    Case("B.4", "IOVA, memory and size must be whole pages") { t in
        let bench = try t.bench()
        let memory = bench.memory.vaddr
        for (iova, vaddr, size) in [
            (1, 0, bench.page), (0x800, 0, bench.page), (0, 1, bench.page), (0, 0x800, bench.page),
            (0, 0, 1), (0, 0, bench.page - 1), (0, 0, bench.page + 1), (1, 1, 1),
        ] as [(UInt64, UInt64, UInt64)] {
            t.expect(
                bench.map(DMAMap(flags: .read, vaddr: memory + vaddr, iova: 0x10_0000 + iova, size: size)),
                .errno(.invalid), "iova +\(iova), memory +\(vaddr), size \(size)")
        }
        t.expect(bench.map(0x10_0000), .success, "aligned")
    },
    Case("B.4", "alignment is told before overlap, overlap before place, place before memory") { t in
        let bench = try t.bench()
        t.expect(bench.map(0x10_0000, pages: 4), .success, "map")
        t.expect(
            bench.map(DMAMap(flags: .read, vaddr: bench.memory.vaddr, iova: 0x10_0001, size: bench.page)),
            .errno(.invalid), "misaligned and overlapping")
        t.expect(
            bench.map(DMAMap(flags: .read, vaddr: bench.page, iova: 0x10_0000, size: bench.page)),
            .errno(.exists), "overlapping, and no memory there")
        t.expect(
            bench.map(DMAMap(flags: .read, vaddr: bench.page, iova: 0x10_3000, size: 1 << 40)),
            .errno(.exists), "overlapping, and going through what is reserved")
        let reserved = try t.reservedForEdu()
        t.expect(
            bench.map(DMAMap(flags: .read, vaddr: bench.page, iova: reserved.first, size: bench.page)),
            .errno(.invalid), "reserved, and no memory there")
    },
]

extension Trial {
    /// A range that can't be mapped for the edu device, with usable addresses on both sides.
    func reservedForEdu() throws -> ReservedRegion {
        let regions = try inventory.group(edu.group ?? -1)?.reservedRegions ?? []
        let unit = UInt64(pageSize)
        let found = regions.first {
            $0.kind != "direct-relaxable" && $0.first >= 16 * unit && $0.first % unit == 0
                && ($0.last &+ 1) % unit == 0 && $0.last < 1 << 38
        }
        guard let found else { throw skip("it needs a group with reserved addresses") }
        return found
    }
}
