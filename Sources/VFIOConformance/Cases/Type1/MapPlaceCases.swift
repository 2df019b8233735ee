import LinuxSystem
import VFIOABI
import VFIOHost

/// B.4: where mappings can lie, and how many there may be.
let mapPlaceCases: [Case] = [
    Case("B.4", "a mapping may overlap no other, in whatever way") { t in
        let bench = try t.bench()
        let at: UInt64 = 0x10_0000
        t.expect(bench.map(at, pages: 4), .success, "4 pages")
        for (offset, pages, label) in [
            (0, 4, "the same"), (0, 1, "its first page"), (3, 1, "its last page"), (1, 2, "inside"),
            (-1, 2, "across its start"), (3, 2, "across its end"), (-1, 6, "around it"),
        ] {
            t.expect(
                bench.map(UInt64(Int64(at) + Int64(offset * pageSize)), pages: pages), .errno(.exists), label)
        }
        t.expect(bench.map(at - bench.page), .success, "right before it")
        t.expect(bench.map(at + 4 * bench.page), .success, "right behind it")
    },
    Case("B.4", "a range across several mappings is EEXIST as well") { t in
        let bench = try t.bench()
        t.expect(bench.map(0x10_0000), .success, "the first")
        t.expect(bench.map(0x10_2000), .success, "the second")
        t.expect(bench.map(0x10_0000, pages: 3), .errno(.exists), "across both")
        t.expect(bench.map(0x10_1000), .success, "the hole")
    },
    Case("B.4", "IOVA 0 is as good as any other") { t in
        let bench = try t.bench()
        t.expect(bench.map(0), .success, "map")
        t.expect(bench.map(0), .errno(.exists), "again")
        t.expect(bench.unmapped(0, pages: 1), equals: "1 pages", "unmap")
    },
    Case("B.4", "reserved addresses can't be mapped, not even a part of them") { t in
        let bench = try t.bench()
        let reserved = try t.reservedForEdu()
        let page = bench.page
        t.expect(bench.map(reserved.first), .errno(.invalid), "its first page")
        t.expect(bench.map(reserved.last - page + 1), .errno(.invalid), "its last page")
        t.expect(bench.map(reserved.first - page, pages: 2), .errno(.invalid), "across its start")
        t.expect(bench.map(reserved.last - page + 1, pages: 2), .errno(.invalid), "across its end")
        t.expect(
            bench.map(
                DMAMap(
                    flags: .read, vaddr: page, iova: reserved.first - page,
                    size: reserved.last - reserved.first + 1 + 2 * page)), .errno(.invalid), "around it")
        t.expect(bench.map(reserved.first - page), .success, "right before it")
        t.expect(bench.map(reserved.last + 1), .success, "right behind it")
    },
    Case("B.4", "what the IOMMU doesn't reach can't be mapped") { t in
        let bench = try t.bench()
        let ranges = Type1Chain(bench.container)?.ranges ?? []
        guard let end = ranges.last?.upperBound, end < .max - bench.page else {
            throw t.skip("it needs an IOMMU that doesn't reach all addresses")
        }
        t.expect(bench.map(end + 1 - bench.page), .success, "the last page")
        t.expect(bench.map(end + 1), .errno(.invalid), "the page behind it")
        t.expect(bench.map(end + 1 - 2 * bench.page, pages: 2), .errno(.exists), "overlap comes first")
        t.expect(bench.map(end + 1 - 3 * bench.page, pages: 2), .success, "the pages before it")
        t.expect(bench.map(1 << 63), .errno(.invalid), "far away")
    },
    Case("B.4", "adjacent mappings stay apart, even of adjacent memory") { t in
        let bench = try t.bench()
        let all = bench.available ?? 0
        t.expect(bench.map(0x10_0000, pages: 2, from: 0), .success, "the first")
        t.expect(bench.map(0x10_2000, pages: 2, from: 2), .success, "the second")
        t.expect(bench.available == all - 2, "two mappings")
        t.expect(bench.unmapped(0x10_1000, pages: 2), equals: "EINVAL", "the inner half of both")
        t.expect(bench.unmapped(0x10_2000, pages: 2), equals: "2 pages", "the second alone")
        t.expect(bench.unmapped(0x10_0000, pages: 4), equals: "2 pages", "what is left")
    },
    Case("B.4", "the number of mappings is limited, which is told after overlap and before place") { t in
        try t.withParameter("vfio_iommu_type1.dma_entry_limit", "3") {
            let bench = try t.bench()
            t.expect(bench.available == 3, "GET_INFO says so")
            for index in 0..<3 as Range<UInt64> {
                t.expect(bench.map(0x10_0000 + index * bench.page), .success, "mapping \(index)")
            }
            t.expect(bench.available == 0, "none left")
            t.expect(bench.map(0x20_0000), .errno(.noSpace), "one more")
            t.expect(bench.map(0x10_0000), .errno(.exists), "an overlapping one")
            t.expect(bench.map(1 << 63), .errno(.noSpace), "out of reach")
            t.expect(bench.map(0x20_0000, from: 1 << 30), .errno(.noSpace), "no memory there")
            t.expect(bench.unmapped(0x10_1000, pages: 1), equals: "1 pages", "one fewer")
            t.expect(bench.map(0x20_0000), .success, "one more")
        }
    },
    Case("B.4", "the limit is looked at when the IOMMU is set, and not later") { t in
        let name = "vfio_iommu_type1.dma_entry_limit"
        try t.withParameter(name, "1") {
            let bench = try t.bench()
            try t.withParameter(name, "5") {
                t.expect(bench.map(0x10_0000), .success, "one")
                t.expect(bench.map(0x20_0000), .errno(.noSpace), "a second, with the limit raised")
                let other = try t.attach(t.nvme)
                t.expect(Type1Chain(other.container)?.available == 5, "a new container has the new limit")
            }
        }
    },
    Case("B.4", "65535 mappings are possible, and not one more") { t in
        let bench = try t.bench(pages: 1)
        var mapped = 0
        while mapped < 65535, bench.map(0x1000_0000 + UInt64(mapped) * bench.page) == .success { mapped += 1 }
        t.expect(mapped, equals: 65535, "mappings")
        let next = 0x1000_0000 + 65535 * bench.page
        t.expect(bench.map(next), .errno(.noSpace), "one more")
        t.expect(bench.available == 0, "none is available")
        t.expect(bench.unmapped(0x1000_0000 + 777 * bench.page, pages: 1), equals: "1 pages", "one fewer")
        t.expect(bench.map(next), .success, "another one")
        t.expect(bench.map(next + bench.page), .errno(.noSpace), "one more")
        t.expect(bench.unmapped(0, pages: 0, .all), equals: "65535 pages", "all of them at once")
    },
]

extension Trial {
    /// Changes a module parameter as long as something runs.
    func withParameter(_ name: String, _ text: String, _ body: () throws -> Void) throws {
        let machine = try machine
        let old: String
        do throws(Errno) {
            old = try machine.parameter(name)
            try machine.setParameter(name, to: text)
        } catch {
            throw skip("\(name) can't be changed: \(error.name)")
        }
        // A parameter that can't be put back shows in the cases that come after this one.
        defer { try? machine.setParameter(name, to: old) }
        try body()
    }
}
