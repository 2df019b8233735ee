import LinuxSystem
import VFIOABI
import VFIOHost

/// B.4: which memory can be mapped.
let mapMemoryCases: [Case] = [
    Case("B.4", "memory that isn't there is EFAULT, and leaves nothing behind") { t in
        let bench = try t.bench()
        func map(_ vaddr: UInt64) -> Answer {
            bench.map(DMAMap(flags: [.read, .write], vaddr: vaddr, iova: 0x10_0000, size: bench.page))
        }
        t.expect(map(0), .errno(.badAddress), "address 0")
        t.expect(map(bench.page), .errno(.badAddress), "the page behind it")
        t.expect(map(1 << 46), .errno(.badAddress), "far up")
        t.expect(map(1 << 60), .errno(.badAddress), "no canonical address")
        t.expect(map(0xffff_8000_0000_0000), .errno(.badAddress), "the kernel's half")
        t.expect(bench.available == 65535, "no mapping is left")
        t.expect(bench.map(0x10_0000), .success, "memory at the same IOVA")
    },
    Case("B.4", "a hole in the memory is EFAULT, and undoes what came before it") { t in
        let bench = try t.bench()
        // An inaccessible page follows the buffer's last.
        let buffer = try t.buffer(2 * pageSize)
        let request = DMAMap(
            flags: [.read, .write], vaddr: UInt64(buffer.address.rawValue), iova: 0x10_0000,
            size: 3 * bench.page)
        t.expect(bench.map(request), .errno(.badAddress), "2 pages and a hole")
        t.expect(bench.available == 65535, "no mapping is left")
        t.expect(bench.unmapped(0x10_0000, pages: 3), equals: "0 pages", "nothing to unmap")
        var shorter = request
        shorter.size = 2 * bench.page
        t.expect(bench.map(shorter), .success, "2 pages")
    },
    Case("B.4", "memory that may only be read can be mapped for reading, and not for writing") { t in
        let bench = try t.bench()
        try bench.memory.protect(.read)
        t.expect(bench.map(0x10_0000, .read), .success, "READ")
        t.expect(bench.map(0x20_0000, .write), .errno(.badAddress), "WRITE")
        t.expect(bench.map(0x20_0000, [.read, .write]), .errno(.badAddress), "READ and WRITE")
    },
    Case("B.4", "memory that may not be touched can't be mapped at all") { t in
        let bench = try t.bench()
        try bench.memory.protect([])
        t.expect(bench.map(0x10_0000, .read), .errno(.badAddress), "READ")
        t.expect(bench.map(0x10_0000, .write), .errno(.badAddress), "WRITE")
        try bench.memory.protect([.read, .write])
        t.expect(bench.map(0x10_0000), .success, "once it may be touched")
    },
    Case("B.4", "what may be done with memory counts when it is mapped, and not later") { t in
        let bench = try t.bench()
        t.expect(bench.map(0x10_0000), .success, "READ and WRITE")
        try bench.memory.protect(.read)
        t.expect(bench.map(0x20_0000), .errno(.badAddress), "READ and WRITE of memory that became read-only")
        t.expect(bench.unmapped(0x10_0000, pages: 1), equals: "1 pages", "unmap")
    },
    Case("B.4", "memory that nobody has touched yet can be mapped") { t in
        let bench = try t.bench()
        let buffer = try t.buffer(8 * pageSize)
        let vaddr = UInt64(buffer.address.rawValue)
        t.expect(
            bench.map(DMAMap(flags: .read, vaddr: vaddr, iova: 0x10_0000, size: 4 * bench.page)), .success,
            "READ")
        t.expect(
            bench.map(
                DMAMap(
                    flags: [.read, .write], vaddr: vaddr + 4 * bench.page, iova: 0x20_0000,
                    size: 4 * bench.page)),
            .success, "READ and WRITE")
    },
    Case("B.4", "the same memory can be mapped at several IOVAs") { t in
        let bench = try t.bench()
        t.expect(bench.map(0x10_0000, pages: 4), .success, "once")
        t.expect(bench.map(0x20_0000, pages: 4), .success, "twice")
        t.expect(bench.map(0x30_0000, pages: 2, from: 1, .read), .success, "a part of it, for reading")
        t.expect(bench.unmapped(0x10_0000, pages: 4), equals: "4 pages", "the first goes")
        t.expect(
            bench.unmapped(0x20_0000, pages: 0x101), equals: "EINVAL", "a range that ends inside the third")
        t.expect(bench.unmapped(0x20_0000, pages: 0x102), equals: "6 pages", "the others")
    },
    Case("B.4", "mapping and unmapping need no open device, and other containers have their own IOVAs") { t in
        let bench = try t.bench()
        let attached = try t.attach(t.nvme)
        let other = DMABench(container: attached.container, group: attached.group, memory: bench.memory)
        t.expect(bench.map(0x10_0000), .success, "in one container")
        t.expect(other.map(0x10_0000), .success, "in the other")
        t.expect(other.unmapped(0, pages: 0, .all), equals: "1 pages", "unmapped in the other")
        t.expect(bench.map(0x10_0000), .errno(.exists), "still mapped in the first")
    },
]
