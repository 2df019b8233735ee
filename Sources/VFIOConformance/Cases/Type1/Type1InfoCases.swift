import LinuxSystem
import VFIOABI
import VFIOHost

/// B.2 and B.3: what a container with a type 1 IOMMU says about itself.
let type1InfoCases: [Case] = [
    Case("B.2", "with an IOMMU, only its driver answers for extensions") { t in
        let bench = try t.bench()
        for (number, answer) in [(1, 1), (3, 1), (9, 1), (2, 0), (5, 0), (7, 0), (8, 0)] as [(UInt, Int32)] {
            t.expect(bench.container.request(.checkExtension, number), .value(answer), "extension \(number)")
        }
        t.expect(
            bench.container.request(.checkExtension, 6), .value(0), "extension 6",
            .before(6, 13, .value(1), "nested type 1 containers were removed after 6.12"))
        t.note(bench.container.request(.checkExtension, 4), "extension 4, which depends on the IOMMU")
    },
    Case(
        "B.2",
        "addresses can be updated as long as no group is emulated, which is known once there is an IOMMU"
    ) {
        t in
        let container = try t.open(.container)
        t.expect(container.request(.checkExtension, 10), .value(0), "an empty container")
        let group = try t.open(t.edu.groupNode)
        try t.require(group.request(.groupSetContainer, container.number), "SET_CONTAINER")
        t.expect(container.request(.checkExtension, 10), .value(0), "with a group")
        t.expect(container.request(.checkExtension, 4), .value(0), "extension 4, with a group")
        try t.require(container.request(.setIOMMU, 3), "SET_IOMMU")
        t.expect(container.request(.checkExtension, 10), .value(1), "with an IOMMU")
    },
    Case("B.2", "numbers that are no extensions are 0, also beyond 32 bits") { t in
        let bench = try t.bench()
        for number in [0, 11, 30, 0xffff_ffff, 0x1_0000_0001, UInt.max] as [UInt] {
            t.expect(bench.container.request(.checkExtension, number), .value(0), "\(number)")
        }
    },
    Case("B.2", "a version 1 driver has the same extensions") { t in
        let bench = try t.bench(.type1)
        for number in [1, 3, 9, 10] as [UInt] {
            t.expect(bench.container.request(.checkExtension, number), .value(1), "extension \(number)")
        }
    },
    Case("B.2", "requests that the driver doesn't know are ENOTTY, whatever their argument") { t in
        let bench = try t.bench()
        // Those of sPAPR, and numbers that nobody uses.
        for number in [0x3b73, 0x3b74, 0x3b76, 0x3b7b, 0x3b7f, 0x1234, 0] as [UInt] {
            t.expect(
                bench.container.request(Request(rawValue: number)), .errno(.noSuchRequest),
                "0x" + String(number, radix: 16))
        }
    },
    Case("B.3", "GET_INFO wants 16 bytes at least, all of them readable") { t in
        let bench = try t.bench()
        t.expect(bench.container.request(.iommuGetInfo), .errno(.badAddress), "null")
        let short = try t.buffer(atEndOfPage: 15)
        t.expect(
            bench.container.request(.iommuGetInfo, short), .errno(.badAddress), "15 bytes at the page's end")
        for (argsz, answer) in [(0, .errno(.invalid)), (15, .errno(.invalid)), (16, .success)]
            as [(UInt32, Answer)]
        {
            let buffer = try t.buffer(atEndOfPage: 16)
            buffer.store(argsz)
            t.expect(bench.container.request(.iommuGetInfo, buffer), answer, "argsz \(argsz)")
        }
    },
    Case("B.3", "GET_INFO writes no more than argsz, and no more than 24 bytes without the chain") { t in
        let bench = try t.bench()
        for (argsz, written) in [(16, 16), (20, 20), (23, 23), (24, 24), (60, 24)] as [(UInt32, Int)] {
            let buffer = try t.buffer(64)
            buffer.fill(0xaa)
            buffer.store(argsz)
            t.expect(bench.container.request(.iommuGetInfo, buffer), .success, "argsz \(argsz)")
            let bytes = buffer.bytes
            let end = (bytes.lastIndex { $0 != 0xaa } ?? -1) + 1
            t.expect(
                end, equals: written, "argsz \(argsz): bytes written",
                .when(
                    t.kernel.isBefore(6, 6), value: min(written, 20), "6.6 made the structure 24 bytes long"))
        }
        let edge = try t.buffer(atEndOfPage: 16)
        edge.store(UInt32(24))
        t.expect(
            bench.container.request(.iommuGetInfo, edge), .errno(.badAddress), "argsz 24, 16 bytes writable")
    },
    Case("B.3", "GET_INFO tells how much room the chain needs, and where it begins only if it is there") {
        t in
        let bench = try t.bench()
        let buffer = try t.buffer(4096)
        buffer.store(UInt32(24))
        t.expect(bench.container.request(.iommuGetInfo, buffer), .success, "argsz 24")
        let needed = buffer.load(UInt32(0))
        t.expect(needed > 24, "argsz became more")
        t.expect(buffer.load(UInt32(0), at: 4), equals: 3, "flags")
        t.expect(buffer.load(UInt32(0), at: 16), equals: 0, "cap_offset")
        buffer.fill(0)
        buffer.store(needed - 1)
        t.expect(bench.container.request(.iommuGetInfo, buffer), .success, "one byte short")
        t.expect(buffer.load(UInt32(0)) == needed, "argsz is what is needed")
        t.expect(buffer.load(UInt32(0), at: 16), equals: 0, "cap_offset")
        buffer.fill(0)
        buffer.store(needed)
        buffer.store(UInt32.max, at: 4)
        t.expect(bench.container.request(.iommuGetInfo, buffer), .success, "exactly enough, flags all set")
        t.expect(buffer.load(UInt32(0)) == needed, "argsz stays")
        t.expect(buffer.load(UInt32(0), at: 4), equals: 3, "flags")
        t.expect(
            buffer.load(UInt32(0), at: 16), equals: 24, "cap_offset")
        buffer.store(UInt32(4000))
        t.expect(bench.container.request(.iommuGetInfo, buffer), .success, "more than enough")
        t.expect(buffer.load(UInt32(0)), equals: 4000, "argsz stays")
    },
    Case("B.3", "the chain holds migration, available mappings and address ranges, in this order") { t in
        guard let chain = Type1Chain(try t.bench().container) else { throw Halt.broken("no chain") }
        t.expect(chain.links.map { "\($0.id)" }.joined(separator: " "), equals: "2 3 1", "ids")
        t.expect(chain.links.allSatisfy { $0.version == 1 }, "all are of version 1")
        t.expect(
            chain.links.map { "\($0.offset)" }.joined(separator: " "), equals: "24 56 72", "offsets",
            .when(t.kernel.isBefore(6, 6), value: "24 56 68", "6.6 aligned capabilities to 8 bytes"))
    },
    Case("B.3", "dirty pages are told in the smallest page size, in up to 256 MiB of bits") { t in
        guard let chain = Type1Chain(try t.bench().container), let migration = chain.migration else {
            throw Halt.broken("no capability")
        }
        let sizes = chain.info.pageSizes
        t.expect(migration.flags, equals: 0, "flags")
        t.expect(migration.mostBytes, equals: 256 << 20, "max_dirty_bitmap_size")
        t.expect(migration.pageSizes == sizes & (~sizes &+ 1), "one page size, the smallest")
        t.expect(sizes & UInt64(pageSize - 1), equals: 0, "page sizes smaller than the processor's")
        t.note(sizes, "page sizes")
    },
    Case("B.3", "the addresses that can be mapped are told in order, without what is reserved") { t in
        guard let chain = Type1Chain(try t.bench().container) else { throw Halt.broken("no chain") }
        let ranges = chain.ranges
        t.expect(!ranges.isEmpty, "there are some")
        t.expect(
            zip(ranges, ranges.dropFirst()).allSatisfy { $0.upperBound < $1.lowerBound }, "in ascending order"
        )
        let record = try t.edu
        let reserved = try t.inventory.group(record.group ?? -1)?.reservedRegions ?? []
        t.expect(
            reserved.allSatisfy { region in
                region.kind == "direct-relaxable"
                    || !ranges.contains { $0.overlaps(region.first...region.last) }
            }, "none is reserved")
        t.note(ranges.count, "ranges")
    },
    Case("B.3", "available mappings go down with each mapping and up with each unmapping") { t in
        let bench = try t.bench()
        let all = bench.available
        t.expect(all == 65535, "65535 to begin with")
        t.expect(bench.map(0x10_0000, pages: 4), .success, "4 pages")
        t.expect(bench.map(0x20_0000), .success, "1 page")
        t.expect(bench.available == 65533, "two fewer")
        t.expect(bench.map(0x20_0000), .errno(.exists), "the same again")
        t.expect(bench.map(0x30_0000, from: 1 << 30), .errno(.badAddress), "memory that isn't there")
        t.expect(bench.available == 65533, "failures cost nothing")
        t.expect(bench.unmapped(0, pages: 0x400), equals: "5 pages", "unmap both")
        t.expect(bench.available == all, "as before")
    },
    Case("B.3", "a version 1 driver tells the same") { t in
        guard let chain = Type1Chain(try t.bench(.type1).container) else { throw Halt.broken("no chain") }
        t.expect(chain.links.map { "\($0.id)" }.joined(separator: " "), equals: "2 3 1", "ids")
        t.expect(chain.available == 65535, "65535 mappings")
    },
]
