import IOVASpace
import LinuxSystem
import Testing
import VFIO
import VFIOABI
import VFIOHost

@testable import SoftwareHost
@testable import VFIOGuest

@Suite("Windows, RAM and mappings come and go at random on a POWER host")
struct POWERRandomTests {
    /// A window of the guest's, and what the guest entered into its table: the RAM's address by offset.
    private struct Window {
        let table: TCETable
        let region: MemoryRegion
        let start: UInt64
        var isThere = false
        var pages: [UInt64: UInt64] = [:]
    }

    @Test(
        "a device reaches exactly what tables and windows say, and no window, registration or locked page is left",
        arguments: 0..<8)
    func random(round: Int) throws {
        let seed = UInt64.random(in: 0...UInt64(Int64.max))
        var random = SplitMix(state: seed)
        // Requests fail now and then in every other round.
        let fails = round % 2 == 1
        let power = try POWERMachine(SPAPRIOMMU(round % 4 < 2 ? .pSeries : .powerNV))
        let memory = power.machine.memory
        for page in 0..<UInt64(POWERMachine.ramByteCount) / 4096 {
            power.block.window.store64(Int(page * 4096), page * 4096)
        }
        var windows = [Window(table: power.table, region: power.region, start: 0, isThere: true)]
        for index in 0..<3 {
            let (table, region) = try power.window("window \(index)", byteCount: 1 << UInt64(20 + index))
            windows.append(Window(table: table, region: region, start: POWERMachine.second))
        }
        // Pieces of further RAM, which nobody maps.
        let blocks = try (0..<3).map { try RAMBlock("more \($0)", byteCount: ($0 + 1) * pageSize) }
        var more: [MemoryRegion] = []
        let failures = Box(0)
        let devices = power.devices()
        let device = try power.attach(to: devices) { _ in failures.change { $0 += 1 } }

        for step in 0..<120 {
            let token =
                fails && random.below(4) == 0
                ? power.host.inject(
                    FaultRule(
                        .request(
                            [.spaprTCECreate, .spaprRegisterMemory, .iommuMapDMA][random.below(3)], .noMemory),
                        .from(1))) : nil
            let index = random.below(windows.count)
            switch random.below(6) {
            case 0, 1:
                // One window at each place at a time, and the first before a second one: so the host places them.
                if windows[index].isThere {
                    try power.deviceRoot.remove(windows[index].region)
                    windows[index].isThere = false
                } else if index == 0
                    || windows[0].isThere && !windows[1...].contains(where: { $0.isThere })
                {
                    try power.deviceRoot.add(windows[index].region, at: windows[index].start)
                    windows[index].isThere = true
                }
            case 2:
                if let region = more.popLast() {
                    try power.machine.system.remove(region)
                } else {
                    // The same block may be seen twice, and partly.
                    try memory.transaction {
                        for _ in 0..<1 + random.below(3) {
                            let block = blocks[random.below(3)]
                            let pages = 1 + random.below(Int(block.byteCount) / pageSize)
                            let region = try MemoryRegion(
                                "more", .ram(block), byteCount: UInt128(pages * pageSize), in: memory)
                            try power.machine.system.add(region, at: UInt64(1 + more.count) << 32)
                            more.append(region)
                        }
                    }
                }
            default:
                for _ in 0..<1 + random.below(4) {
                    let offset = UInt64(random.below(8)) * 4096
                    let address = UInt64(random.below(POWERMachine.ramByteCount / 4096)) * 4096
                    if random.below(3) == 0 {
                        #expect(windows[index].table.put(0, at: offset) == .success)
                        windows[index].pages[offset] = nil
                    } else {
                        #expect(windows[index].table.put(address | 3, at: offset) == .success)
                        windows[index].pages[offset] = address
                    }
                }
            }
            if let token {
                power.host.withdraw(token)
                guard failures.value > 0 else { continue }
                failures.value = 0
                // What a VMM may do about it: take all away and give it again.
                for index in windows.indices where windows[index].isThere {
                    try power.deviceRoot.remove(windows[index].region)
                    windows[index].isThere = false
                }
                for region in more { try power.machine.system.remove(region) }
                more = []
            }
            #expect(failures.value == 0, "seed \(seed) step \(step)")

            // The host has the windows that the guest has, and in them what its tables say.
            let there = windows.filter(\.isThere)
            let expected = there.map {
                TCEWindow(IOVARange($0.start, through: $0.start + $0.table.byteCount - 1), pageSize: 4096)
            }
            #expect(Set(device.windows) == Set(expected), "seed \(seed) step \(step)")
            #expect(
                device.container?.iommu.mappedByteCount
                    == there.reduce(0) { $0 + UInt64($1.pages.count) * 4096 },
                "seed \(seed) step \(step)")
            for window in there {
                for offset in stride(from: UInt64(0), to: 8 * 4096, by: 4096) {
                    #expect(
                        power.read(at: window.start + offset) == window.pages[offset],
                        "seed \(seed) step \(step)")
                }
            }
            // Locked is each page of RAM once, and each window's table.
            var locked = Set<UInt>()
            for region in more {
                guard let block = region.block else { continue }
                for page in 0..<Int(region.byteCount) / pageSize {
                    locked.insert(block.window.address.rawValue + UInt(page * pageSize))
                }
            }
            // Of a registration nothing is let go before all of it can be: at most what the blocks have.
            let least =
                UInt64(POWERMachine.ramByteCount) + UInt64(locked.count * pageSize)
                + there.reduce(0) { $0 + power.charge($1.table.byteCount) }
            let most = least - UInt64(locked.count * pageSize) + blocks.reduce(0) { $0 + $1.byteCount }
            let actual = power.host.lockedByteCount
            #expect(
                actual >= least && (more.isEmpty ? actual == least : actual <= most),
                "seed \(seed) step \(step)")
        }
        device.takeAway()
        #expect(power.host.lockedByteCount == 0, "seed \(seed)")
        #expect(power.host.core.files.count == 0, "seed \(seed)")
        #expect(power.machine.space.listeners.isEmpty && power.space.listeners.isEmpty, "seed \(seed)")
    }
}
