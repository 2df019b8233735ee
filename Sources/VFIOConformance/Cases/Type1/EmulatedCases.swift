import LinuxSystem
import VFIOABI
import VFIOHost

/// B.10: groups of devices that do DMA without an IOMMU.
let emulatedCases: [Case] = [
    Case("B.10", "without an IOMMU addresses can't be updated, and DMA is coherent") { t in
        try t.withEmulatedGroup { bench in
            t.expect(
                bench.container.request(.checkExtension, 10), .value(0), "extension 10",
                .before(6, 3, .value(1), "6.3 keeps emulated devices away from address updates"))
            t.expect(bench.container.request(.checkExtension, 4), .value(1), "extension 4")
            t.expect(bench.map(0), .success, "map")
            t.expect(
                bench.unmap(0, size: bench.page, .vaddr).answer, .errno(.busy), "mark",
                .before(6, 3, .success, "6.3 keeps emulated devices away from address updates"))
            t.expect(
                bench.unmap(1, size: 0, .vaddr).answer, .errno(.busy), "mark nonsense",
                .before(6, 3, .errno(.invalid), "6.3 keeps emulated devices away from address updates"))
        }
    },
    Case("B.10", "without an IOMMU no ranges are told, and every page size is possible") { t in
        try t.withEmulatedGroup { bench in
            guard let chain = Type1Chain(bench.container) else { throw Halt.broken("no chain") }
            t.expect(chain.links.map { "\($0.id)" }.joined(separator: " "), equals: "2 3", "ids")
            t.expect(chain.info.pageSizes == 0 &- bench.page, "all sizes from 4 KiB")
            t.expect(chain.migration?.pageSizes == bench.page, "dirty pages are told in pages of 4 KiB")
        }
    },
    Case("B.10", "without an IOMMU mapping is a mere note: no memory is looked at, no address out of reach") {
        t in
        try t.withEmulatedGroup { bench in
            func map(_ iova: UInt64, _ vaddr: UInt64, _ size: UInt64) -> Answer {
                bench.map(DMAMap(flags: [.read, .write], vaddr: vaddr, iova: iova, size: size))
            }
            t.expect(map(0, bench.page, bench.page), .success, "where no memory is")
            t.expect(map(0x1000, 1 << 63, bench.page), .success, "the kernel's half")
            t.expect(map(0xfee0_0000, bench.memory.vaddr, bench.page), .success, "the window for interrupts")
            t.expect(map(1 << 62, 0, 1 << 62), .success, "a quarter of all addresses")
            t.expect(map(0, bench.memory.vaddr, bench.page), .errno(.exists), "an overlap")
            t.expect(map(1, bench.memory.vaddr, bench.page), .errno(.invalid), "an odd address")
            t.expect(bench.available == 65531, "four mappings")
            t.expect(bench.unmap(0, size: 0, .all).answer, .success, "unmap all")
        }
    },
    Case("B.10", "without an IOMMU nothing is locked") { t in
        try t.withEmulatedGroup { bench in
            try t.lockingAtMost(pages: 1) { _ in
                t.expect(bench.map(0x10_0000, pages: 8), .success, "8 pages of 1")
            }
        }
    },
    Case("B.10", "without an IOMMU only what devices pin is dirty") { t in
        try t.withEmulatedGroup { bench in
            let words = try t.words(1, filledWith: 0xff00)
            t.expect(bench.map(0, pages: 4), .success, "map")
            t.expect(bench.dirty(.start), .success, "START")
            t.expect(bench.getDirty(0, size: 4 * bench.page, words.bitmap), .success, "GET")
            t.expect(words.text, equals: "0x0", "bits: the word is written all the same")
        }
    },
    Case("B.10", "a mapping too long to be tracked is refused at START, and refused while pages are tracked")
    { t in
        try t.withEmulatedGroup { bench in
            let long = DMAMap(flags: .read, vaddr: 0, iova: 1 << 44, size: 1 << 43)
            t.expect(bench.map(long), .success, "2^31 pages")
            t.expect(bench.dirty(.start), .errno(.invalid), "START")
            t.expect(bench.unmap(0, size: 0, .all).answer, .success, "unmap all")
            t.expect(bench.dirty(.start), .success, "START")
            t.expect(bench.map(long), .errno(.invalid), "2^31 pages")
            t.expect(bench.available == 65535, "no mapping is left")
        }
    },
    Case("B.10", "a group with an IOMMU that joins pins what was noted, and locks it") { t in
        try t.withEmulatedGroup { bench in
            let group = try t.open(t.edu.groupNode)
            try t.lockingAtMost(pages: 4) { _ in
                t.expect(bench.map(0x10_0000, pages: 8), .success, "8 pages of 4")
                t.expect(
                    group.request(.groupSetContainer, bench.container.number), .errno(.noMemory), "too many")
                t.expect(bench.unmapped(0x10_0000, pages: 8), equals: "8 pages", "unmap")
                t.expect(bench.map(0x10_0000, pages: 4), .success, "4 pages")
                t.expect(group.request(.groupSetContainer, bench.container.number), .success, "not too many")
                t.expect(bench.map(0x20_0000), .errno(.noMemory), "one more")
                t.expect(group.request(.groupUnsetContainer), .success, "it leaves")
                t.expect(bench.map(0x20_0000), .success, "one more")
            }
        }
    },
    Case("B.10", "a group with an IOMMU can't join while something is noted that it can't have") { t in
        try t.withEmulatedGroup { bench in
            let group = try t.open(t.edu.groupNode)
            let container = bench.container.number
            func joining(_ iova: UInt64, _ vaddr: UInt64, _ label: String) -> Answer {
                let map = bench.map(DMAMap(flags: .read, vaddr: vaddr, iova: iova, size: bench.page))
                t.expect(map, .success, "map \(label)")
                let answer = group.request(.groupSetContainer, container)
                if answer == .success { _ = group.request(.groupUnsetContainer) }
                _ = bench.unmap(0, size: 0, .all)
                return answer
            }
            t.expect(joining(0, bench.page, "no memory"), .errno(.badAddress), "no memory")
            t.expect(
                joining(try t.reservedForEdu().first, bench.memory.vaddr, "reserved"), .errno(.invalid),
                "reserved")
            t.expect(
                joining(1 << 60, bench.memory.vaddr, "out of reach"), .errno(.outOfRange), "out of reach")
            t.expect(joining(0, bench.memory.vaddr, "possible"), .success, "possible")
        }
    },
    Case("B.10", "both kinds of groups in one container: what the one with the IOMMU brings goes with it") {
        t in
        try t.withEmulatedGroup { bench in
            let words = try t.words(1)
            let group = try t.open(t.edu.groupNode)
            let container = bench.container
            t.expect(group.request(.groupSetContainer, container.number), .success, "it joins")
            t.expect(
                container.request(.checkExtension, 10), .value(0), "extension 10",
                .before(6, 3, .value(1), "6.3 keeps emulated devices away from address updates"))
            t.expect(Type1Chain(container)?.ranges.isEmpty == false, "there are ranges")
            t.expect(bench.map(0, pages: 4), .success, "map")
            t.expect(bench.map(1 << 62), .errno(.invalid), "map out of reach")
            t.expect(bench.map(0x10_0000, from: 1 << 30), .errno(.badAddress), "map where no memory is")
            t.expect(bench.dirty(.start), .success, "START")
            t.expect(bench.getDirty(0, size: 4 * bench.page, words.bitmap), .success, "GET")
            t.expect(words.text, equals: "0xf", "bits")
            t.expect(group.request(.groupUnsetContainer), .success, "it leaves")
            t.expect(
                Type1Chain(container)?.ranges == [0...UInt64.max],
                "all addresses are told as a range from then on")
            t.expect(bench.available == 65534, "still mapped")
            words[0] = 0
            t.expect(bench.getDirty(0, size: 4 * bench.page, words.bitmap), .success, "GET")
            t.expect(words.text, equals: "0xf", "bits: the group may have written until it left")
            words[0] = 0
            t.expect(bench.getDirty(0, size: 4 * bench.page, words.bitmap), .success, "GET")
            t.expect(words.text, equals: "0x0", "bits")
            t.expect(bench.map(1 << 62), .success, "map far up")
        }
    },
    Case(
        "B.10",
        "once there was a group with an IOMMU, what is out of its reach is in its way by another error"
    ) {
        t in
        try t.withEmulatedGroup { bench in
            let group = try t.open(t.edu.groupNode)
            t.expect(group.request(.groupSetContainer, bench.container.number), .success, "it joins")
            t.expect(group.request(.groupUnsetContainer), .success, "it leaves")
            t.expect(bench.map(1 << 60), .success, "map out of its reach")
            t.expect(
                group.request(.groupSetContainer, bench.container.number), .errno(.invalid), "it joins again")
            t.expect(bench.unmapped(1 << 60, pages: 1), equals: "1 pages", "unmap")
            t.expect(group.request(.groupSetContainer, bench.container.number), .success, "it joins again")
        }
    },
    Case("B.10", "the last group with an IOMMU leaves nothing mapped if no other is there") { t in
        try t.withEmulatedGroup { bench in
            let group = try t.open(t.edu.groupNode)
            t.expect(group.request(.groupSetContainer, bench.container.number), .success, "it joins")
            t.expect(bench.map(0, pages: 4), .success, "map")
            t.expect(bench.group.request(.groupUnsetContainer), .success, "the emulated group leaves")
            t.expect(bench.available == 65534, "still mapped")
            t.expect(bench.container.request(.checkExtension, 10), .value(1), "extension 10")
            t.expect(group.request(.groupUnsetContainer), .success, "the other leaves")
            t.expect(bench.map(0), .errno(.invalid), "no group is left")
        }
    },
]

extension Trial {
    /// Runs something with a container that has an emulated group.
    func withEmulatedGroup(_ body: (DMABench) throws -> Void) throws {
        let machine = try machine
        let number: Int
        do throws(Errno) {
            number = try machine.addEmulatedGroup()
        } catch {
            throw skip("no device can be emulated here: \(error.name)")
        }
        let container = try open(.container)
        let group = try open(.group(number))
        defer {
            closeAll()
            machine.removeEmulatedGroup()
        }
        try require(group.request(.groupSetContainer, container.number), "SET_CONTAINER")
        try require(container.request(.setIOMMU, 3), "SET_IOMMU")
        try body(DMABench(container: container, group: group, memory: try memory(pages: 16)))
    }
}
