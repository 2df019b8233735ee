import LinuxSystem
import VFIOABI
import VFIOHost

/// F.3: MAP.
let spaceMapCases: [Case] = [
    Case("F.3", "MAP: the order of checks", on: .cdev) { t in
        let bench = try t.space()
        var map = IOASMap(flags: .init(rawValue: 8), ioasID: 99, reserved: 1, length: .max, iova: .max)
        t.expect(bench.map(map), .errno(.notSupported), "unknown flags before all")
        map.flags = .fixedIOVA
        t.expect(bench.map(map), .errno(.notSupported), "reserved")
        map.reserved = 0
        t.expect(bench.map(map), .errno(.overflow), "length and address beyond the last")
        map.length = 0
        t.expect(bench.map(map), .errno(.overflow), "the address")
        map.iova = 0x1000
        t.expect(bench.map(map), .errno(.invalid), "neither reading nor writing")
        map.flags = [.fixedIOVA, .readable]
        t.expect(bench.map(map), .errno(.noSuchEntry), "the id")
        map.ioasID = bench.ioas
        t.expect(bench.map(map), .errno(.invalid), "nothing to map")
        map.userVA = .max
        map.length = 2
        t.expect(bench.map(map), .errno(.overflow), "memory that wraps")
    },
    Case("F.3", "MAP at a fixed address doesn't wrap", on: .cdev) { t in
        let bench = try t.space()
        t.expect(bench.map(.max - 4095, bytes: 8192), .errno(.overflow), "two pages at the last")
        t.expect(bench.map(.max - 4095, bytes: 4096), .success, "the last page")
        t.expect(bench.map(0), .success, "the first page")
    },
    Case("F.3", "MAP keeps what is mapped", on: .cdev) { t in
        let bench = try t.space()
        t.expect(bench.map(0x10000, bytes: 0x2000), .success, "two pages")
        for (iova, label) in [
            (0x10000, "the same"), (0xf000, "over the beginning"), (0x11000, "over the end"),
        ]
            as [(UInt64, String)]
        {
            t.expect(bench.map(iova, bytes: 0x2000), .errno(.exists), label)
        }
        t.expect(bench.map(0xf000), .success, "before it")
        t.expect(bench.map(0x12000), .success, "behind it")
    },
    Case("F.3", "before a device comes, the unit is a byte", on: .cdev) { t in
        let bench = try t.space()
        t.expect(bench.map(0x10001, bytes: 1), .success, "one byte")
        t.expect(bench.map(0x10002, bytes: 3, from: 5), .success, "three behind it")
        t.expect(bench.map(0x10001, bytes: 1), .errno(.exists), "the first again")
        t.expect(bench.unmapped(0x10001, bytes: 1), equals: "1 bytes", "UNMAP")
    },
    Case("F.3", "with a device, the unit is a page", on: .cdev) { t in
        let (_, bench) = try t.attachedSpace()
        t.expect(bench.map(0x10000, bytes: 1), .errno(.invalid), "a length of 1")
        t.expect(bench.map(0x10001), .errno(.invalid), "an address of pages and 1")
        t.expect(bench.map(0x10000, from: 1), .errno(.invalid), "memory of pages and 1")
        t.expect(bench.map(0x10000, bytes: 0x1800), .errno(.invalid), "a page and a half")
        t.expect(bench.map(0x10000), .success, "a page")
    },
    Case("F.3", "with a device, MAP refuses what is reserved", on: .cdev) { t in
        let (_, bench) = try t.attachedSpace()
        t.expect(bench.map(0xfee0_0000), .errno(.invalid), "where interrupts go")
        t.expect(bench.map(0xfedf_f000, bytes: 0x2000), .errno(.invalid), "across the border")
        t.expect(bench.map(0xfedf_f000), .success, "before it")
        t.expect(bench.map(1 << 60), .errno(.invalid), "beyond the IOMMU")
    },
    Case("F.3", "with a device, MAP locks the memory, which must allow it", on: .cdev) { t in
        let (_, bench) = try t.attachedSpace()
        let pages = try t.memory(pages: 1)
        try pages.protect([.read])
        var map = IOASMap(
            flags: [.fixedIOVA, .readable, .writeable], ioasID: bench.ioas, userVA: pages.vaddr,
            length: bench.page, iova: 0x10000)
        t.expect(bench.map(map), .errno(.badAddress), "read-only memory for writing")
        map.flags = [.fixedIOVA, .readable]
        t.expect(bench.map(map), .success, "for reading")
        map.iova = 0x20000
        map.userVA = 1 << 63
        t.expect(bench.map(map), .errno(.badAddress), "an address that isn't a program's")
    },
    Case("F.3", "MAP chooses an address itself, and never 0", on: .cdev) { t in
        let bench = try t.space()
        let first = bench.mapAnywhere(bytes: bench.page)
        t.expect(first.answer, .success, "the first")
        t.expect(first.iova != 0, "it isn't 0")
        t.expect(first.iova % bench.page, equals: 0, "whole pages")
        let second = bench.mapAnywhere(bytes: bench.page, from: bench.page)
        t.expect(second.answer, .success, "the second")
        t.expect(second.iova != first.iova, "elsewhere")
        t.expect(bench.unmapped(first.iova, bytes: bench.page), equals: "4096 bytes", "UNMAP the first")
        t.expect(bench.mapAnywhere(bytes: bench.page).iova == first.iova, "the lowest that is free")
    },
    Case("F.3", "an address that MAP chooses is as aligned as the memory", on: .cdev) { t in
        let (_, bench) = try t.attachedSpace()
        let one = bench.mapAnywhere(bytes: bench.page)
        t.expect(one.iova, equals: 0x1000, "a page: behind the first")
        let offset = bench.mapAnywhere(bytes: 1)
        t.expect(offset.answer, .errno(.invalid), "a byte")
        let odd = bench.mapAnywhere(bytes: bench.page, from: 7)
        t.expect(odd.answer, .errno(.invalid), "memory that isn't whole pages")
    },
    Case("F.3", "memory may be mapped often, and for less than it allows", on: .cdev) { t in
        let (setup, bench) = try t.attachedSpace()
        t.expect(bench.map(0x10000), .success, "once")
        t.expect(bench.map(0x20000), .success, "twice")
        t.expect(bench.map(0x30000, [.fixedIOVA, .readable]), .success, "for reading")
        t.expect(try setup.eduCopies(bench.memory, at: 0x20000, by: t), "DMA by the second")
        t.expect(try !setup.eduCopies(bench.memory, at: 0x30000, by: t), "DMA by the third doesn't write")
    },
    Case("F.3", "an answer that can't be written takes the mapping back", on: .cdev) { t in
        let bench = try t.space()
        let pages = try t.memory(pages: 1)
        pages.window.store32(0, 40)
        pages.window.store32(4, 7)
        pages.window.store32(8, bench.ioas)
        pages.window.store32(16, UInt32(truncatingIfNeeded: bench.memory.vaddr))
        pages.window.store32(20, UInt32(truncatingIfNeeded: bench.memory.vaddr >> 32))
        pages.window.store32(24, 4096)
        pages.window.store32(32, 0x10000)
        try pages.protect([.read])
        t.expect(bench.iommufd.request(.ioasMap, UInt(pages.vaddr)), .errno(.badAddress), "MAP, read-only")
        t.note(bench.unmapped(0x10000, bytes: 4096), "what is left")
    },
]

/// F.3: UNMAP.
let spaceUnmapCases: [Case] = [
    Case("F.3", "UNMAP: the order of checks", on: .cdev) { t in
        let bench = try t.space()
        t.expect(
            bench.iommufd.request(.ioasUnmap, IOASUnmap(ioasID: 99, iova: .max, length: .max)),
            .errno(.noSuchEntry), "the id first")
        t.expect(bench.unmapped(.max, bytes: 0), equals: "EOVERFLOW", "the last address")
        t.expect(bench.unmapped(1, bytes: .max), equals: "EOVERFLOW", "the greatest length, not from 0")
        t.expect(bench.unmapped(0, bytes: 0), equals: "EINVAL", "nothing")
        t.expect(bench.unmapped(0x2000, bytes: .max - 0x1000), equals: "EOVERFLOW", "a range that wraps")
    },
    Case("F.3", "UNMAP of everything is fine even if that is nothing", on: .cdev) { t in
        let bench = try t.space()
        t.expect(bench.unmapped(0, bytes: .max), equals: "0 bytes", "nothing")
        t.expect(bench.map(0x10000), .success, "a page")
        t.expect(bench.map(0x20000, bytes: 0x2000), .success, "two pages")
        t.expect(bench.unmapped(0, bytes: .max), equals: "12288 bytes", "all")
        t.expect(bench.unmapped(0, bytes: .max), equals: "0 bytes", "again")
    },
    Case("F.3", "UNMAP of a range wants something in it", on: .cdev) { t in
        let bench = try t.space()
        t.expect(bench.unmapped(0x10000, bytes: 0x1000), equals: "ENOENT", "nothing")
        t.expect(bench.map(0x10000), .success, "a page")
        t.expect(bench.unmapped(0x11000, bytes: 0x1000), equals: "ENOENT", "behind it")
        t.expect(bench.unmapped(0xf000, bytes: 0x3000), equals: "4096 bytes", "around it")
    },
    Case("F.3", "UNMAP takes whole mappings, and those before one that it can't take", on: .cdev) { t in
        let bench = try t.space()
        t.expect(bench.map(0x10000), .success, "a page")
        t.expect(bench.map(0x11000, bytes: 0x2000), .success, "two behind it")
        t.expect(bench.unmapped(0x12000, bytes: 0x1000), equals: "ENOENT", "the second half of the two")
        t.expect(bench.unmapped(0x11000, bytes: 0x1000), equals: "ENOENT", "the first half")
        t.expect(bench.unmapped(0x10000, bytes: 0x2000), equals: "ENOENT", "the page and a half of the two")
        t.expect(bench.unmapped(0x10000, bytes: 0x1000), equals: "ENOENT", "the page has gone all the same")
        t.expect(bench.unmapped(0x11000, bytes: 0x2000), equals: "8192 bytes", "the two have not")
    },
    Case("F.3", "what was unmapped can't be reached", on: .cdev) { t in
        let (setup, bench) = try t.attachedSpace()
        t.expect(bench.map(0x10000), .success, "MAP")
        t.expect(try setup.eduCopies(bench.memory, at: 0x10000, by: t), "mapped")
        t.expect(bench.unmapped(0x10000, bytes: 0x1000), equals: "4096 bytes", "UNMAP")
        t.expect(try !setup.eduCopies(bench.memory, at: 0x10000, by: t), "unmapped")
    },
]
