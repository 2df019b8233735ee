import LinuxSystem
import VFIOABI
import VFIOHost

/// B.6: mappings whose memory gets a new address.
let addressCases: [Case] = [
    Case("B.6", "marking nothing is fine, and marking tells how much was marked") { t in
        let bench = try t.bench()
        t.expect(bench.unmapped(0, pages: 0x1000, .vaddr), equals: "0 pages", "nothing is mapped")
        t.expect(bench.map(0x10_0000, pages: 2), .success, "map")
        t.expect(bench.map(0x10_4000, pages: 3), .success, "map")
        t.expect(bench.unmapped(0x10_0000, pages: 4, .vaddr), equals: "2 pages", "the first")
        t.expect(bench.unmapped(0x10_4000, pages: 4, .vaddr), equals: "3 pages", "the second")
        t.expect(bench.available == 65533, "both are still mappings")
    },
    Case("B.6", "marking what is marked is refused, and undoes the marks of that request only") { t in
        let bench = try t.bench()
        for index in 0..<3 as Range<UInt64> {
            t.expect(bench.map(0x10_0000 + index * 0x4000, pages: 2), .success, "mapping \(index)")
        }
        t.expect(bench.unmapped(0x10_4000, pages: 2, .vaddr), equals: "2 pages", "mark the middle one")
        t.expect(bench.unmapped(0x10_0000, pages: 12, .vaddr), equals: "EINVAL", "mark all three")
        t.expect(bench.map(0x10_0000, pages: 2, .vaddr), .errno(.invalid), "the first isn't marked")
        t.expect(bench.map(0x10_8000, pages: 2, .vaddr), .errno(.invalid), "the last isn't marked")
        t.expect(bench.map(0x10_4000, pages: 2, .vaddr), .success, "the middle one is")
        t.expect(bench.unmapped(0x10_0000, pages: 12, .vaddr), equals: "6 pages", "mark all three")
    },
    Case("B.6", "a range that would cut a mapping marks nothing") { t in
        let bench = try t.bench()
        t.expect(bench.map(0x10_0000, pages: 4), .success, "map")
        t.expect(bench.unmapped(0x10_1000, pages: 3, .vaddr), equals: "EINVAL", "begins inside")
        t.expect(bench.unmapped(0x10_0000, pages: 3, .vaddr), equals: "EINVAL", "ends inside")
        t.expect(bench.map(0x10_0000, pages: 4, .vaddr), .errno(.invalid), "it isn't marked")
    },
    Case("B.6", "all mappings can be marked at once") { t in
        let bench = try t.bench()
        t.expect(bench.map(0, pages: 1), .success, "map")
        t.expect(bench.map(0x4000_0000, pages: 2), .success, "map far up")
        let both: DMAUnmapFlags = [.all, .vaddr]
        t.expect(bench.unmap(0, size: bench.page, both).answer, .errno(.invalid), "with a size")
        t.expect(bench.unmapped(0, pages: 0, both), equals: "3 pages", "all")
        t.expect(bench.unmapped(0, pages: 0, both), equals: "EINVAL", "again")
        t.expect(bench.map(0, pages: 1, .vaddr), .success, "a new address")
        t.expect(bench.unmapped(0, pages: 0, both), equals: "EINVAL", "all, with one still marked")
        t.expect(bench.map(0x4000_0000, pages: 2, .vaddr), .success, "a new address")
        t.expect(bench.unmapped(0, pages: 0, both), equals: "3 pages", "all")
    },
    Case("B.6", "a new address is taken for exactly one marked mapping") { t in
        let bench = try t.bench()
        t.expect(bench.map(0x10_0000, pages: 4), .success, "map")
        t.expect(bench.map(0x10_4000, pages: 4), .success, "map")
        t.expect(bench.map(0x20_0000, pages: 4, .vaddr), .errno(.noSuchEntry), "nothing is mapped there")
        t.expect(bench.map(0x10_0000, pages: 4, .vaddr), .errno(.invalid), "not marked")
        t.expect(bench.unmapped(0x10_0000, pages: 8, .vaddr), equals: "8 pages", "mark both")
        for (page, pages, label) in [
            (0, 3, "shorter"), (0, 5, "longer"), (1, 3, "its end"), (0, 8, "both"), (-1, 5, "from before it"),
        ] {
            t.expect(
                bench.map(UInt64(0x10_0000 + page * pageSize), pages: pages, .vaddr), .errno(.invalid), label)
        }
        t.expect(bench.map(0x10_0000, pages: 4, from: 8, .vaddr), .success, "exactly")
        t.expect(bench.map(0x10_0000, pages: 4, from: 8, .vaddr), .errno(.invalid), "again")
    },
    Case("B.6", "a new address must be whole pages, but nobody looks what is there") { t in
        let bench = try t.bench()
        t.expect(bench.map(0x10_0000), .success, "map")
        t.expect(bench.unmapped(0x10_0000, pages: 1, .vaddr), equals: "1 pages", "mark")
        func replace(_ vaddr: UInt64) -> Answer {
            bench.map(DMAMap(flags: .vaddr, vaddr: vaddr, iova: 0x10_0000, size: bench.page))
        }
        t.expect(replace(bench.memory.vaddr + 1), .errno(.invalid), "odd")
        t.expect(replace(.max), .errno(.overflow), "wraps", .wrapIsInvalid)
        t.expect(replace(bench.page), .success, "where nothing is")
        t.expect(bench.unmapped(0x10_0000, pages: 1), equals: "1 pages", "unmap")
    },
    Case("B.6", "no group can join while a mapping is marked") { t in
        if t.kernel.isBefore(6, 3) { throw t.skip("before 6.3 it waits until all mappings have an address") }
        let bench = try t.bench()
        let group = try t.open(t.nvme.groupNode)
        t.expect(bench.map(0x10_0000), .success, "map")
        t.expect(bench.unmapped(0x10_0000, pages: 1, .vaddr), equals: "1 pages", "mark")
        t.expect(group.request(.groupSetContainer, bench.container.number), .errno(.busy), "SET_CONTAINER")
        t.expect(bench.map(0x10_0000, .vaddr), .success, "a new address")
        t.expect(group.request(.groupSetContainer, bench.container.number), .success, "SET_CONTAINER")
    },
    Case("B.6", "unmapping what is marked takes the mark along") { t in
        if t.kernel.isBefore(6, 3) {
            throw t.skip("before 6.3 a group waits until all mappings have an address")
        }
        let bench = try t.bench()
        let group = try t.open(t.nvme.groupNode)
        t.expect(bench.map(0x10_0000), .success, "map")
        t.expect(bench.map(0x20_0000), .success, "map")
        t.expect(bench.unmapped(0, pages: 0, [.all, .vaddr]), equals: "2 pages", "mark")
        t.expect(bench.unmapped(0x10_0000, pages: 1), equals: "1 pages", "unmap the first")
        t.expect(group.request(.groupSetContainer, bench.container.number), .errno(.busy), "one mark left")
        t.expect(bench.unmapped(0, pages: 0, .all), equals: "1 pages", "unmap the second")
        t.expect(group.request(.groupSetContainer, bench.container.number), .success, "none left")
    },
    Case("B.6", "while a mapping is marked others come and go, and a group may leave") { t in
        let bench = try t.bench()
        let group = try t.open(t.nvme.groupNode)
        try t.require(group.request(.groupSetContainer, bench.container.number), "SET_CONTAINER")
        t.expect(bench.map(0x10_0000), .success, "map")
        t.expect(bench.unmapped(0x10_0000, pages: 1, .vaddr), equals: "1 pages", "mark")
        t.expect(bench.map(0x20_0000), .success, "map another")
        t.expect(bench.map(0x10_0000), .errno(.exists), "map the marked one")
        t.expect(bench.unmapped(0x20_0000, pages: 1), equals: "1 pages", "unmap the other")
        t.expect(group.request(.groupUnsetContainer), .success, "UNSET_CONTAINER")
        t.expect(bench.map(0x10_0000, .vaddr), .success, "a new address")
    },
    Case("B.6", "dirty pages of a marked mapping are told") { t in
        let bench = try t.bench()
        let words = try t.words(1)
        t.expect(bench.map(0, pages: 2), .success, "map")
        t.expect(bench.dirty(.start), .success, "START")
        t.expect(bench.unmapped(0, pages: 2, .vaddr), equals: "2 pages", "mark")
        t.expect(bench.getDirty(0, size: 2 * bench.page, words.bitmap), .success, "GET")
        t.expect(words.text, equals: "0x3", "bits")
    },
]
