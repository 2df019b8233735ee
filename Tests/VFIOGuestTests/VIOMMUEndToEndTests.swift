import IOVASpace
import LinuxSystem
import SoftwareHost
import Testing
import VFIO

@testable import VFIOGuest

@Suite("A device behind a vIOMMU whose driver does anything at random")
struct VIOMMUEndToEndTests {
    @Test(
        "the device reaches exactly what the guest's tables say that it may",
        arguments: [RouteChoice.group, .cdev])
    func random(route: RouteChoice) throws {
        let seed = UInt64.random(in: 0...UInt64(Int64.max))
        var random = SplitMix(state: seed)
        let machine = try VIOMMUMachine { try $0.vIOMMU() }
        let iommu = try #require(machine.iommu as? VIOMMU)
        let guest = machine.guest
        try iommu.setTable(guest.table)
        // RAM to map is at 24 MiB; there is none from 32 MiB on.
        let base: UInt64 = 24 << 20
        for page in 0..<UInt64(2048) {
            guest.block.window.store64(Int(base + page * 4096), base + page * 4096)
        }
        let device = try machine.attach(route)
        let follower = try #require(device.followers.first)
        func place() -> (iova: UInt64, level: Int) {
            let level = random.below(4) == 0 ? 2 : 1
            let large = UInt64(random.below(3)) << 21
            return (
                (1 << 30) + large + (level == 1 ? UInt64([0, 1, 2, 511][random.below(4)]) << 12 : 0), level
            )
        }
        for _ in 0..<200 {
            for _ in 0..<1 + random.below(3) {
                let (iova, level) = place()
                let size = VIOMMUPageTable.pageSize(level: level)
                if random.below(3) == 0 {
                    guest.unmap(iova, level: level)
                } else {
                    // One in five leads beyond RAM.
                    let count = (8 << 20) / size
                    let address = base + UInt64(random.below(Int(count + count / 4))) * size
                    guest.map(
                        iova, to: address, level: level, DMAPermissions(rawValue: UInt32(1 + random.below(3)))
                    )
                }
            }
            iommu.invalidate(IOVARange(1 << 30, through: (1 << 30) + (8 << 20)))
            let pages = guest.pages()
            var expected: UInt64 = 0
            for page in pages.values where page.address + page.byteCount <= 32 << 20 {
                expected += page.byteCount
            }
            #expect(device.container?.iommu.mappedByteCount == expected, "seed \(seed)")
            #expect(
                follower.takeRejections().entries.allSatisfy {
                    if case .nothingThere = $0.reason { true } else { false }
                }, "seed \(seed)")
            for _ in 0..<20 {
                let iova = place().iova + UInt64(random.below(3)) * 4096
                let page = pages.first { $0.key <= iova && iova - $0.key < $0.value.byteCount }
                var reached: UInt64?
                if let (start, page) = page, page.permissions.contains(.read),
                    page.address + page.byteCount <= 32 << 20
                {
                    reached = page.address + (iova - start)
                }
                #expect(machine.read(at: iova) == reached, "seed \(seed)")
            }
        }
        #expect(follower.firstFailure == nil, "seed \(seed)")
        device.detach()
        #expect(machine.machine.host.lockedByteCount == 0, "seed \(seed)")
    }
}
