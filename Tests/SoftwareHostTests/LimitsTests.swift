import DeviceModel
import Glibc
import LinuxSystem
import Testing
import VFIOABI
import VFIOHost

@testable import SoftwareHost

@Suite("Large machines and full tables")
struct LimitsTests {
    @Test("a container takes 65535 mappings, in whatever order, and not one more")
    func mappings() throws {
        let rig = try Rig()
        let (container, _) = rig.ready()
        let limit: UInt64 = 65535
        let start = Clock.now
        for index in 0..<limit {
            // Not ascending: 40507 and the limit have no common factor.
            let place = index * 40507 % limit
            let answer = rig.map(container, place * 0x2000, from: Int(place % 256))
            guard answer == 0 else {
                Issue.record("mapping \(index): \(answer)")
                return
            }
        }
        #expect(rig.map(container, limit * 0x2000) == -ENOSPC)
        #expect(rig.unmap(container, 0x2000, size: 0x1000) == 0x1000)
        #expect(rig.map(container, limit * 0x2000) == 0)
        #expect(rig.map(container, 0x2000) == -ENOSPC)
        for place in [UInt64(0), 17, limit - 1] {
            #expect(rig.buses[0].read(place * 0x2000) == [UInt8(place % 256)])
        }
        #expect(rig.host.lockedByteCount == limit * UInt64(pageSize))
        #expect(rig.unmap(container, 0, size: 0, flags: .all) == Int64(limit * 0x1000))
        #expect(rig.host.lockedByteCount == 0)
        print("65535 mappings: \((Clock.now - start) / 1_000_000) ms")
    }

    @Test("a machine has 1000 devices in 300 groups: listed, opened all at once, closed")
    func devices() throws {
        let start = Clock.now
        func lap(_ what: String) { print("1000 devices, \(what): \((Clock.now - start) / 1_000_000) ms") }
        var machine = MachineDescription()
        var names: [(group: Int, name: String)] = []
        for group in 0..<300 { machine.groups.append(IOMMUGroup(group, devices: [])) }
        for index in 0..<1000 {
            let group = index % 300
            let address = PCIAddress(
                bus: UInt8(index / 8 % 256), device: UInt8(index / 8 / 256), function: UInt8(index % 8))
            machine.groups[group].devices.append(PCIDevice(PlainModel(), at: address))
            names.append((group, "\(address)"))
        }
        let host = try SoftwareHost(machine)
        lap("made")
        let inventory = try host.inventory()
        #expect(inventory.devices.count == 1000 && inventory.groups.count == 300)
        #expect(Set(inventory.devices.map(\.deviceNode)).count == 1000)
        for group in 0..<300 { #expect(inventory.blockers(ofGroup: group).isEmpty) }
        lap("listed")

        // A descriptor each, and some.
        var limits = rlimit()
        getrlimit(__rlimit_resource_t(7), &limits)
        guard limits.rlim_max >= 4096 else { return }
        limits.rlim_cur = max(limits.rlim_cur, 4096)
        setrlimit(__rlimit_resource_t(7), &limits)
        func ask(_ handle: Int32, _ request: Request, _ argument: UInt) throws(Errno) -> Int32 {
            try host.control(handle, UInt32(truncatingIfNeeded: request.rawValue), argument)
        }
        let container = try host.open(.container)
        var groups: [Int32] = []
        var devices: [Int32] = []
        for number in 0..<300 {
            let group = try host.open(.group(number))
            var file = container
            _ = try withUnsafeMutablePointer(to: &file) { place throws(Errno) in
                try ask(group, .groupSetContainer, UInt(bitPattern: place))
            }
            if number == 0 { _ = try ask(container, .setIOMMU, 1) }
            groups.append(group)
        }
        for (group, name) in names {
            let text = Array(name.utf8CString)
            let device = try text.withUnsafeBufferPointer { text throws(Errno) in
                try ask(groups[group], .groupGetDeviceFD, UInt(bitPattern: text.baseAddress))
            }
            devices.append(device)
        }
        #expect(Set(devices).count == 1000)
        lap("opened")
        for handle in devices + groups + [container] { host.close(handle) }
        lap("closed")
        #expect(try host.open(.group(299)) >= 0)
    }
}
