import LinuxSystem
import VFIOABI
import VFIOHost

/// F.3: address spaces, and what can be mapped in them.
let addressSpaceCases: [Case] = [
    Case("F.3", "IOAS_ALLOC has no flags", on: .cdev) { t in
        let iommufd = try t.open(.iommu)
        for flags in [1, 1 << 31] as [UInt32] {
            t.expect(iommufd.request(.ioasAlloc, IOASAlloc(flags: flags)), .errno(.notSupported), "\(flags)")
        }
    },
    Case("F.3", "in a new address space everything can be mapped", on: .cdev) { t in
        let bench = try t.space()
        let (answer, request, ranges) = bench.ranges(room: 4)
        t.expect(answer, .success, "IOVA_RANGES")
        t.expect(request.rangeCount, equals: 1, "num_iovas")
        t.expect(ranges.first == IOASIOVARange(start: 0, last: .max), "from 0 to the last address")
        t.expect(request.alignment, equals: 1, "the unit")
    },
    Case("F.3", "with a device, the IOMMU says what can be mapped", on: .cdev) { t in
        let (setup, bench) = try t.attachedSpace()
        let (answer, request, ranges) = bench.ranges(room: 16)
        t.expect(answer, .success, "IOVA_RANGES")
        t.expect(request.alignment, equals: bench.page, "the unit")
        t.expect(ranges.count > 1, "interrupts have addresses of their own")
        t.expect(
            !ranges.contains { $0.start <= 0xfee0_0000 && $0.last >= 0xfee0_0000 }, "0xfee00000 is theirs")
        t.expect(zip(ranges, ranges.dropFirst()).allSatisfy { $0.last < $1.start }, "in order")
        t.expect(setup.device.detach(), .success, "DETACH")
        t.expect(bench.ranges(room: 4).request.rangeCount, equals: 1, "and everything again")
        t.expect(bench.ranges(room: 4).request.alignment, equals: 1, "in units of 1")
    },
    Case("F.3", "IOVA_RANGES with too little room tells how much it takes", on: .cdev) { t in
        let (_, bench) = try t.attachedSpace()
        let all = bench.ranges(room: 16)
        let none = bench.ranges(room: 0)
        t.expect(none.answer, .errno(.messageSize), "room for none")
        t.expect(none.request.rangeCount == all.request.rangeCount, "num_iovas")
        t.expect(none.request.alignment, equals: bench.page, "the unit")
        let one = bench.ranges(room: 1)
        t.expect(one.answer, .errno(.messageSize), "room for one")
        t.expect(one.ranges.first == all.ranges.first, "which is written")
        let exact = bench.ranges(room: Int(all.request.rangeCount))
        t.expect(exact.answer, .success, "room for all")
    },
    Case("F.3", "IOVA_RANGES: the order of checks", on: .cdev) { t in
        let bench = try t.space()
        t.expect(
            bench.iommufd.request(.ioasIOVARanges, IOASIOVARanges(ioasID: 99, reserved: 1)),
            .errno(.notSupported), "reserved before the id")
        t.expect(
            bench.iommufd.request(.ioasIOVARanges, IOASIOVARanges(ioasID: 99)), .errno(.noSuchEntry), "the id"
        )
        t.expect(
            bench.iommufd.request(.ioasIOVARanges, IOASIOVARanges(ioasID: bench.ioas, rangeCount: 1)),
            .errno(.badAddress), "the array")
    },
    Case("F.3", "ALLOW_IOVAS: the order of checks", on: .cdev) { t in
        let bench = try t.space()
        t.expect(
            bench.iommufd.request(.ioasAllowIOVAs, IOASAllowIOVAs(ioasID: 99, rangeCount: 1, reserved: 1)),
            .errno(.notSupported), "reserved before the id")
        t.expect(
            bench.iommufd.request(.ioasAllowIOVAs, IOASAllowIOVAs(ioasID: 99, rangeCount: 1)),
            .errno(.noSuchEntry), "the id before the array")
        t.expect(
            bench.iommufd.request(.ioasAllowIOVAs, IOASAllowIOVAs(ioasID: bench.ioas, rangeCount: 1)),
            .errno(.badAddress), "the array")
    },
    Case("F.3", "allowed ranges are longer than a byte and apart", on: .cdev) { t in
        let bench = try t.space()
        t.expect(bench.allow([.init(start: 0x1000, last: 0x1000)]), .errno(.invalid), "a single byte")
        t.expect(bench.allow([.init(start: 0x2000, last: 0x1000)]), .errno(.invalid), "backwards")
        t.expect(
            bench.allow([.init(start: 0x1000, last: 0x2fff), .init(start: 0x2000, last: 0x3fff)]),
            .errno(.invalid), "overlapping")
        t.expect(
            bench.allow([.init(start: 0x4000, last: 0x4fff), .init(start: 0x1000, last: 0x1fff)]), .success,
            "in any order")
        t.expect(bench.allow([]), .success, "none: everything")
    },
    Case("F.3", "automatic addresses come from what is allowed, fixed ones don't care", on: .cdev) { t in
        let bench = try t.space()
        t.expect(bench.allow([.init(start: 0x10_0000, last: 0x10_1fff)]), .success, "ALLOW two pages")
        let first = bench.mapAnywhere(bytes: bench.page)
        t.expect(first.answer, .success, "the first")
        t.expect(first.iova, equals: 0x10_0000, "its address")
        let second = bench.mapAnywhere(bytes: bench.page, from: bench.page)
        t.expect(second.iova, equals: 0x10_1000, "the second's")
        t.expect(bench.mapAnywhere(bytes: bench.page).answer, .errno(.noSpace), "a third")
        t.expect(bench.map(0x20_0000), .success, "at a fixed address elsewhere")
        t.expect(bench.allow([]), .success, "ALLOW everything")
        t.expect(bench.mapAnywhere(bytes: bench.page).answer, .success, "a third")
    },
    Case("F.3", "what is allowed stays free of what devices reserve", on: .cdev) { t in
        let bench = try t.space()
        t.expect(bench.allow([.init(start: 0xfee0_0000, last: 0xfeef_ffff)]), .success, "before a device")
        let (device, _) = try t.bound(t.edu, to: bench.iommufd)
        t.expect(device.attach(to: bench.ioas).answer, .errno(.addressInUse), "ATTACH")
        t.expect(bench.allow([]), .success, "ALLOW everything")
        t.expect(device.attach(to: bench.ioas).answer, .success, "ATTACH")
        t.expect(
            bench.allow([.init(start: 0xfee0_0000, last: 0xfeef_ffff)]), .errno(.addressInUse),
            "with a device")
    },
    Case("F.3", "a mapping that is in a device's way keeps it from being attached", on: .cdev) { t in
        let bench = try t.space()
        let (device, _) = try t.bound(t.edu, to: bench.iommufd)
        t.expect(bench.map(0xfee0_0000), .success, "MAP where interrupts go")
        t.expect(device.attach(to: bench.ioas).answer, .errno(.addressInUse), "ATTACH")
        t.expect(bench.unmapped(0xfee0_0000, bytes: bench.page), equals: "4096 bytes", "UNMAP")
        t.expect(device.attach(to: bench.ioas).answer, .success, "ATTACH")
    },
    Case("F.3", "a mapping that isn't whole pages keeps devices from being attached", on: .cdev) { t in
        for (iova, bytes, from, label) in [
            (0x10000, 1, 0, "a length of 1"), (0x10001, 4096, 0, "an address of pages and 1"),
            (0x10000, 4096, 1, "memory of pages and 1"),
        ] as [(UInt64, UInt64, UInt64, String)] {
            let bench = try t.space()
            let (device, _) = try t.bound(t.edu, to: bench.iommufd)
            t.expect(bench.map(iova, bytes: bytes, from: from), .success, "MAP: \(label)")
            t.expect(device.attach(to: bench.ioas).answer, .errno(.addressInUse), "ATTACH: \(label)")
            t.expect(bench.unmapped(iova, bytes: bytes), equals: "\(bytes) bytes", "UNMAP: \(label)")
            t.expect(device.attach(to: bench.ioas).answer, .success, "ATTACH without it: \(label)")
            device.close()
        }
    },
    Case("F.3", "memory is looked at when a device comes, not when it is mapped", on: .cdev) { t in
        let bench = try t.space()
        let (device, _) = try t.bound(t.edu, to: bench.iommufd)
        let nothing = IOASMap(
            flags: [.fixedIOVA, .readable], ioasID: bench.ioas, userVA: 0x1000, length: bench.page,
            iova: 0x10000)
        t.expect(bench.map(nothing), .success, "MAP of memory that isn't there")
        t.expect(device.attach(to: bench.ioas).answer, .errno(.badAddress), "ATTACH")
        t.expect(bench.unmapped(0x10000, bytes: bench.page), equals: "4096 bytes", "UNMAP")
        t.expect(device.attach(to: bench.ioas).answer, .success, "ATTACH")
        t.expect(bench.map(nothing), .errno(.badAddress), "MAP with a device")
        t.expect(bench.map(0x10000), .success, "nothing is left of it")
    },
]
