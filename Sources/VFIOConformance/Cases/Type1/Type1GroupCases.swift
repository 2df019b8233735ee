import LinuxSystem
import VFIOABI
import VFIOHost

/// B.9: groups that come and go.
let type1GroupCases: [Case] = [
    Case("B.9", "a second group shares what is mapped, and may leave without changing it") { t in
        let bench = try t.bench()
        let group = try t.open(t.nvme.groupNode)
        t.expect(bench.map(0x10_0000, pages: 4), .success, "map")
        let ranges = Type1Chain(bench.container)?.ranges
        t.expect(
            group.request(.groupSetContainer, bench.container.number), .success, "the second group joins")
        t.expect(bench.map(0x10_0000), .errno(.exists), "still mapped")
        t.expect(bench.available == 65534, "one mapping")
        t.expect(group.request(.groupUnsetContainer), .success, "the second group leaves")
        t.expect(bench.available == 65534, "one mapping")
        t.expect(Type1Chain(bench.container)?.ranges == ranges, "the same ranges as before")
    },
    Case("B.9", "what is mapped outlives the group that was there first") { t in
        let bench = try t.bench()
        let group = try t.open(t.nvme.groupNode)
        t.expect(bench.map(0x10_0000, pages: 4), .success, "map")
        t.expect(
            group.request(.groupSetContainer, bench.container.number), .success, "the second group joins")
        t.expect(bench.group.request(.groupUnsetContainer), .success, "the first leaves")
        t.expect(bench.unmapped(0x10_0000, pages: 4), equals: "4 pages", "unmap")
    },
    Case("B.9", "with the last group everything goes: the driver, and what was mapped") { t in
        let bench = try t.bench()
        t.expect(bench.map(0x10_0000, pages: 4), .success, "map")
        t.expect(bench.dirty(.start), .success, "START")
        t.expect(bench.group.request(.groupUnsetContainer), .success, "UNSET_CONTAINER")
        t.expect(bench.map(0x20_0000), .errno(.invalid), "map")
        t.expect(bench.unmapped(0x10_0000, pages: 4), equals: "EINVAL", "unmap")
        t.expect(bench.container.request(.iommuGetInfo), .errno(.invalid), "GET_INFO of nothing")
        t.expect(
            bench.group.request(.groupSetContainer, bench.container.number), .success, "the group joins again"
        )
        t.expect(bench.map(0x20_0000), .errno(.invalid), "map before SET_IOMMU")
        t.expect(bench.container.request(.setIOMMU, 3), .success, "SET_IOMMU")
        t.expect(bench.available == 65535, "nothing is mapped")
        t.expect(
            bench.getDirty(0, size: bench.page, try t.words(1).bitmap), .errno(.invalid), "nothing is tracked"
        )
    },
    Case("B.9", "a container can be version 1 after it was version 2") { t in
        let bench = try t.bench()
        t.expect(bench.group.request(.groupUnsetContainer), .success, "UNSET_CONTAINER")
        t.expect(bench.group.request(.groupSetContainer, bench.container.number), .success, "SET_CONTAINER")
        t.expect(bench.container.request(.setIOMMU, 1), .success, "SET_IOMMU 1")
        t.expect(bench.dirty(.start), .errno(.accessDenied), "START")
    },
    Case("B.9", "closing the group's file takes the mappings, closing the container's doesn't") { t in
        let bench = try t.bench()
        let group = try t.open(t.nvme.groupNode)
        try t.require(group.request(.groupSetContainer, bench.container.number), "SET_CONTAINER")
        t.expect(bench.map(0x10_0000), .success, "map")
        bench.group.close()
        t.expect(bench.available == 65534, "another group is still there")
        group.close()
        t.expect(bench.map(0x20_0000), .errno(.invalid), "no group is left")
    },
    Case("B.9", "dirty pages stay dirty whichever group leaves") { t in
        let bench = try t.bench()
        let words = try t.words(1)
        let group = try t.open(t.nvme.groupNode)
        t.expect(bench.map(0, pages: 3), .success, "map")
        t.expect(bench.dirty(.start), .success, "START")
        t.expect(group.request(.groupSetContainer, bench.container.number), .success, "a second group joins")
        t.expect(bench.getDirty(0, size: 3 * bench.page, words.bitmap), .success, "GET")
        t.expect(words.text, equals: "0x7", "bits")
        t.expect(group.request(.groupUnsetContainer), .success, "it leaves")
        words[0] = 0
        t.expect(bench.getDirty(0, size: 3 * bench.page, words.bitmap), .success, "GET")
        t.expect(words.text, equals: "0x7", "bits")
    },
]
