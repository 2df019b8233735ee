import LinuxSystem
import VFIOABI
import VFIOHost

/// B.4: how locked memory is counted and limited.
let lockedMemoryCases: [Case] = [
    Case("B.4", "no more memory can be locked than the process may lock, and a refusal leaves nothing locked")
    { t in
        let bench = try t.bench()
        try t.lockingAtMost(pages: 4) { _ in
            t.expect(bench.map(0x10_0000, pages: 5), .errno(.noMemory), "5 pages of 4")
            t.expect(bench.available == 65535, "no mapping is left")
            t.expect(bench.map(0x10_0000, pages: 4), .success, "4 pages")
            t.expect(bench.map(0x20_0000, pages: 1, from: 8), .errno(.noMemory), "1 more")
            t.expect(bench.unmapped(0x10_0000, pages: 4), equals: "4 pages", "unmap")
            t.expect(bench.map(0x20_0000, pages: 1, from: 8), .success, "1 page")
        }
    },
    Case("B.4", "memory counts as often as it is mapped") { t in
        let bench = try t.bench()
        try t.lockingAtMost(pages: 5) { _ in
            t.expect(bench.map(0x10_0000, pages: 3), .success, "3 pages")
            t.expect(bench.map(0x20_0000, pages: 3), .errno(.noMemory), "the same again")
            t.expect(bench.map(0x20_0000, pages: 2), .success, "2 of them")
            t.expect(bench.map(0x30_0000, .read), .errno(.noMemory), "1 for reading")
        }
    },
    Case("B.4", "all containers count together") { t in
        let bench = try t.bench()
        let attached = try t.attach(t.nvme)
        let other = DMABench(container: attached.container, group: attached.group, memory: bench.memory)
        try t.lockingAtMost(pages: 4) { _ in
            t.expect(bench.map(0x10_0000, pages: 3), .success, "3 pages in one")
            t.expect(other.map(0x10_0000, pages: 2), .errno(.noMemory), "2 in the other")
            t.expect(other.map(0x10_0000, pages: 1), .success, "1 in the other")
            t.expect(bench.unmapped(0, pages: 0, .all), equals: "3 pages", "unmap in the first")
            t.expect(other.map(0x20_0000, pages: 3), .success, "3 more in the other")
        }
    },
    Case("B.4", "what goes wrong first on the way through the memory is the answer") { t in
        let bench = try t.bench()
        // An inaccessible page follows the buffer's last.
        let buffer = try t.buffer(4 * pageSize)
        // Memory of its own: before 6.2 pages that were never written are the zero page, which doesn't count.
        buffer.fill(0x55)
        let request = DMAMap(
            flags: .read, vaddr: UInt64(buffer.address.rawValue), iova: 0x10_0000, size: 5 * bench.page)
        try t.lockingAtMost(pages: 3) { _ in
            t.expect(bench.map(request), .errno(.noMemory), "the limit comes before the hole")
        }
        try t.lockingAtMost(pages: 4) { _ in
            t.expect(bench.map(request), .errno(.badAddress), "the hole is where the limit would be")
        }
        try t.lockingAtMost(pages: 8) { _ in
            t.expect(bench.map(request), .errno(.badAddress), "the hole comes first")
        }
    },
    Case("B.4", "a limit that is lowered takes nothing back, but refuses whatever is new") { t in
        let bench = try t.bench()
        try t.lockingAtMost(pages: 8) { setLimit in
            t.expect(bench.map(0x10_0000, pages: 4), .success, "4 pages")
            try setLimit(2)
            t.expect(bench.map(0x20_0000, pages: 1), .errno(.noMemory), "1 more, with a limit of 2")
            t.expect(bench.unmapped(0x10_0000, pages: 4), equals: "4 pages", "unmap")
            t.expect(bench.map(0x20_0000, pages: 3), .errno(.noMemory), "3 pages")
            t.expect(bench.map(0x20_0000, pages: 2), .success, "2 pages")
        }
    },
    Case("B.4", "with CAP_IPC_LOCK there is no limit, but what is locked counts") { t in
        let bench = try t.bench()
        try t.lockingAtMost(pages: 4) { _ in
            try t.machine.setCapability(.lockMemory, true)
            t.expect(bench.map(0x10_0000, pages: 8), .success, "8 pages of 4, with the capability")
            try t.machine.setCapability(.lockMemory, false)
            t.expect(bench.map(0x20_0000, pages: 1), .errno(.noMemory), "1 more, without it")
            t.expect(bench.unmapped(0x10_0000, pages: 8), equals: "8 pages", "unmap")
            t.expect(bench.map(0x20_0000, pages: 4), .success, "4 pages")
        }
    },
    Case("B.4", "nothing stays counted when the last group leaves, or its file is closed") { t in
        let attached = try t.attach(t.edu)
        let memory = try t.memory(pages: 4)
        let bench = DMABench(container: attached.container, group: attached.group, memory: memory)
        try t.lockingAtMost(pages: 4) { _ in
            t.expect(bench.map(0x10_0000, pages: 4), .success, "4 pages")
            t.expect(attached.group.request(.groupUnsetContainer), .success, "UNSET_CONTAINER")
            let second = try t.attach(t.nvme)
            let other = DMABench(container: second.container, group: second.group, memory: memory)
            t.expect(other.map(0x10_0000, pages: 4), .success, "4 pages in another container")
            second.group.close()
            second.container.close()
            let third = try t.attach(t.nvme)
            let last = DMABench(container: third.container, group: third.group, memory: memory)
            t.expect(last.map(0x10_0000, pages: 4), .success, "4 pages in a third")
        }
    },
    Case("B.6", "a new address isn't counted anew") { t in
        let bench = try t.bench()
        try t.lockingAtMost(pages: 4) { _ in
            t.expect(bench.map(0x10_0000, pages: 4), .success, "4 pages")
            t.expect(bench.unmapped(0x10_0000, pages: 4, .vaddr), equals: "4 pages", "mark")
            t.expect(bench.map(0x20_0000, pages: 1), .errno(.noMemory), "1 more")
            t.expect(bench.map(0x10_0000, pages: 4, from: 8, .vaddr), .success, "a new address")
            t.expect(bench.map(0x20_0000, pages: 1), .errno(.noMemory), "1 more")
        }
    },
]

extension Trial {
    /// Runs something while the process may lock only so much memory, whatever its rights are.
    /// - Parameter body: gets a function that changes the limit again.
    func lockingAtMost(pages: UInt64, _ body: ((UInt64) throws -> Void) throws -> Void) throws {
        let machine = try machine
        do throws(Errno) {
            try machine.setLockedMemoryLimit(pages * UInt64(pageSize))
            try machine.setCapability(.lockMemory, false)
        } catch {
            try? machine.setLockedMemoryLimit(nil)
            throw skip("the limit of locked memory can't be set: \(error.name)")
        }
        // What can't be put back shows in the cases that come after this one.
        defer {
            try? machine.setCapability(.lockMemory, true)
            try? machine.setLockedMemoryLimit(nil)
        }
        try body { try machine.setLockedMemoryLimit($0 * UInt64(pageSize)) }
    }
}
