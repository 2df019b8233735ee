import IOVASpace
import LinuxSystem
import VFIO
import VFIOABI
import VFIOHost

extension Scenario {
    static let eduMapping: [Scenario] = [
        Scenario("overlapping mappings are refused, and the message names both ranges") { lab in
            let device = try lab.open()
            let space = device.addressSpace
            defer { withExtendedLifetime(device) {} }
            let first = try space.allocate(byteCount: 2 * pageSize, at: IOVA(0x10_0000))
            try expectError(
                .overlap, ["0x101000...0x101fff", "0x100000...0x101fff"], "inside the first"
            ) { () throws(VFIOError) in
                _ = try space.allocate(byteCount: 4096, at: IOVA(0x10_1000))
            }
            try expectError(.overlap, ["0x100000"], "around the first") { () throws(VFIOError) in
                _ = try space.allocate(byteCount: 1 << 20, at: IOVA(0x8_0000))
            }
            try expectEqual(space.mappingCount, 1, "mappings")
            try first.release()
        },
        Scenario("addresses and lengths that aren't whole pages are refused") { lab in
            let device = try lab.open()
            let space = device.addressSpace
            defer { withExtendedLifetime(device) {} }
            let own = try Mapping(anonymous: 2 * pageSize)
            let page = own.window.window(at: 0, byteCount: pageSize)
            let half = own.window.window(at: 0, byteCount: 100)
            let odd = own.window.window(at: 16, byteCount: pageSize)
            let empty = own.window.window(at: 0, byteCount: 0)
            try expectError(.misaligned, ["page size", "IOVA 0x1001"], "an odd IOVA") {
                () throws(VFIOError) in
                _ = try space.map(page, at: IOVA(0x1001))
            }
            try expectError(.misaligned, ["100 bytes"], "a part of a page") { () throws(VFIOError) in
                _ = try space.map(half, at: IOVA(0x1000))
            }
            try expectError(.misaligned, ["begin on a page"], "odd memory") { () throws(VFIOError) in
                _ = try space.map(odd, at: IOVA(0x1000))
            }
            try expectError(.misaligned, ["the length is 0"], "nothing") { () throws(VFIOError) in
                _ = try space.map(empty, at: IOVA(0x1000))
            }
            try expectError(.outOfBounds, ["isn't positive"], "no bytes") { () throws(VFIOError) in
                _ = try space.allocate(byteCount: 0)
            }
            try expectEqual(space.mappingCount, 0, "mappings")
        },
        Scenario("the window of interrupt messages can't be mapped, and the message names it") { lab in
            let device = try lab.open()
            let space = device.addressSpace
            defer { withExtendedLifetime(device) {} }
            for place in [0xfee0_0000, 0xfeef_f000, 0xfedf_f000] as [UInt64] {
                try expectError(
                    .reservedRange, ["0xfee00000...0xfeefffff", "msi"], "IOVA \(hexadecimal(place))"
                ) { () throws(VFIOError) in
                    _ = try space.allocate(byteCount: 8192, at: IOVA(place))
                }
            }
            // Its neighbours can.
            let below = try space.allocate(byteCount: 4096, at: IOVA(0xfedf_f000))
            let above = try space.allocate(byteCount: 4096, at: IOVA(0xfef0_0000))
            try above.release()
            try below.release()
        },
        Scenario("what the IOMMU doesn't translate can't be mapped, and the message says what it does") {
            lab in
            let device = try lab.open()
            let space = device.addressSpace
            defer { withExtendedLifetime(device) {} }
            guard let last = space.usableRanges.last?.last, last != .max else {
                throw Skipped("the IOMMU translates all addresses")
            }
            let end = last.rawValue + 1
            for place in [end, end - 4096] {
                try expectError(
                    .outsideAperture, ["0xfef00000...\(last)"], "IOVA \(hexadecimal(place))"
                ) { () throws(VFIOError) in
                    _ = try space.allocate(byteCount: 8192, at: IOVA(place))
                }
            }
            let highest = try space.allocate(byteCount: 4096, at: IOVA(end - 4096))
            try highest.release()
            try expectError(.outsideAperture, ["end of the 64-bit"], "beyond all") { () throws(VFIOError) in
                _ = try space.allocate(byteCount: 8192, at: IOVA(0xffff_ffff_ffff_f000))
            }
        },
        Scenario("a limit of addresses is kept, and told when nothing is free below it") { lab in
            let device = try lab.open()
            let space = device.addressSpace
            defer { withExtendedLifetime(device) {} }
            let memory = try space.allocate(byteCount: 65536, below: IOVA(0x10_0000))
            try expect(memory.iova.rawValue + 65536 <= 0x10_0000, "it lies at \(memory.iova)")
            try expect(memory.iova != IOVA(0), "it lies at 0")
            try expectError(.noSpace, ["below 0x100000"], "more than there is") { () throws(VFIOError) in
                _ = try space.allocate(byteCount: 1 << 20, below: IOVA(0x10_0000))
            }
            try expectError(.outOfBounds, ["isn't below 0x100000"], "a place above") { () throws(VFIOError) in
                _ = try space.allocate(byteCount: 4096, at: IOVA(0x10_0000), below: IOVA(0x10_0000))
            }
        },
        Scenario("a mapping frees its place when it goes") { lab in
            let device = try lab.open()
            let space = device.addressSpace
            defer { withExtendedLifetime(device) {} }
            let place = IOVA(0x20_0000)
            for _ in 1...3 {
                let memory = try space.allocate(byteCount: 1 << 20, at: place)
                try expectEqual(space.mappedByteCount, 1 << 20, "what is mapped")
                try memory.release()
                try expectEqual(space.mappedByteCount, 0, "what is mapped afterwards")
            }
            // Without a word, at the end of its life.
            do { _ = try space.allocate(byteCount: 1 << 20, at: place) }
            let last = try space.allocate(byteCount: 1 << 20, at: place)
            let other = try space.allocate(byteCount: 1 << 20)
            try space.unmapAll()
            try expectEqual(space.mappingCount, 0, "mappings after unmapping all")
            _ = try space.allocate(byteCount: 1 << 20, at: place)
            try other.release()
            try last.release()
        },
        Scenario("memory that isn't writable can be mapped for reading only") { lab in
            let device = try lab.open()
            let space = device.addressSpace
            defer { withExtendedLifetime(device) {} }
            let own = try Mapping(anonymous: pageSize)
            own.window.store8(0, 1)
            try own.protect(.read)
            let window = own.window
            try expectError(.badMemory, ["writable"], "for writing") { () throws(VFIOError) in
                _ = try space.map(window, access: [.read, .write])
            }
            try space.map(window, access: [.read]).release()
            try expectError(.refused, ["neither reading nor writing"], "for nothing") {
                () throws(VFIOError) in
                _ = try space.map(window, access: [])
            }
        },
        Scenario("the host itself refuses what can't be mapped") { lab in
            let inventory = try lab.host.inventory()
            guard let record = inventory.device(at: lab.address) else { throw Unexpected("no device") }
            switch lab.choice {
            case .cdev: try IOASRefusals.check(lab, record)
            default: try ContainerRefusals.check(lab, record)
            }
        },
    ]
}

/// Ranges that no host maps, with a page of memory for all of them.
private struct Refusals: ~Copyable {
    let memory: Mapping
    let good = IOVARange(IOVA(0x30_0000), byteCount: 4 * 4096)
    let overlapping = IOVARange(IOVA(0x30_1000), byteCount: 4096)
    let odd = IOVARange(IOVA(0x60_0001), byteCount: 4096)
    let messages = IOVARange(IOVA(0xfee0_0000), byteCount: 4096)
    let empty = IOVARange(IOVA(0x90_0000), byteCount: 4096)
    /// Below everything that a process may map.
    let nowhere = HostAddress(rawValue: 4096)

    init() throws(Errno) { memory = try Mapping(anonymous: 4 * 4096) }

    var address: HostAddress { memory.window.address }

    static func range(_ range: IOVARange?) throws(Unexpected) -> IOVARange {
        guard let range else { throw Unexpected("a range that can't be expressed") }
        return range
    }
}

private enum ContainerRefusals {
    static func check(_ lab: Lab, _ record: DeviceRecord) throws {
        guard let number = record.group else { throw Unexpected("no group") }
        let refusals = try Refusals()
        let good = try Refusals.range(refusals.good)
        let address = refusals.address
        let container = try Container(on: lab.host)
        let group = try Group(number, on: lab.host)
        try expectEqual(try container.apiVersion(), 0, "the uAPI's version")
        try expectErrno(.invalid, "mapping without a group") { () throws(Errno) in
            try container.map(address, to: good, [.read])
        }
        try expect(try group.status().contains(.viable), "the group isn't viable")
        try expectErrno(.invalid, "a device of a group without a container") { () throws(Errno) in
            _ = try group.openDevice("\(lab.address)")
        }
        try group.setContainer(container)
        try expectErrno(.invalid, "the container twice") { () throws(Errno) in
            try group.setContainer(container)
        }
        try container.setIOMMU(.type1v2)
        try expectErrno(.invalid, "the IOMMU twice") { () throws(Errno) in
            try container.setIOMMU(.type1v2)
        }
        try expectErrno(.noDevice, "a device of another group") { () throws(Errno) in
            _ = try group.openDevice("0000:ff:1f.7")
        }
        try expectErrno(.busy, "the group twice") { () throws(Errno) in
            _ = try Group(number, on: lab.host)
        }
        try container.map(address, to: good, [.read, .write])
        let cases: [(Errno, String, IOVARange?)] = [
            (.exists, "an overlapping range", refusals.overlapping),
            (.invalid, "an odd range", refusals.odd),
            (.invalid, "the window of messages", refusals.messages),
        ]
        for (errno, what, range) in cases {
            let range = try Refusals.range(range)
            try expectErrno(errno, what) { () throws(Errno) in
                try container.map(address, to: range, [.read, .write])
            }
        }
        let empty = try Refusals.range(refusals.empty)
        try expectErrno(.badAddress, "memory that isn't there") { () throws(Errno) in
            try container.map(refusals.nowhere, to: empty, [.read])
        }
        try expectErrno(.invalid, "mapping for nothing") { () throws(Errno) in
            try container.map(address, to: empty, [])
        }
        let overlapping = try Refusals.range(refusals.overlapping)
        try expectErrno(.invalid, "unmapping the middle of a mapping") { () throws(Errno) in
            _ = try container.unmap(overlapping)
        }
        try expectEqual(try container.unmap(empty), 0, "bytes unmapped where nothing is mapped")
        try expectEqual(try container.unmap(good), good.byteCount, "bytes unmapped")
        try expectEqual(try container.unmap(good), 0, "bytes unmapped a second time")
        let device = try group.openDevice("\(lab.address)")
        try expectErrno(.busy, "leaving the container with an open device") { () throws(Errno) in
            try group.unsetContainer()
        }
        _ = consume device
        try group.unsetContainer()
    }
}

private enum IOASRefusals {
    static func check(_ lab: Lab, _ record: DeviceRecord) throws {
        guard let number = record.deviceNode else { throw Unexpected("no device node") }
        let refusals = try Refusals()
        let good = try Refusals.range(refusals.good)
        let address = refusals.address
        let iommufd = try IOMMUFD(on: lab.host)
        let space = try iommufd.makeIOAS()
        let device = try Handle(opening: .device(number), on: lab.host)
        try iommufd.bind(device)
        try expectErrno(.invalid, "binding twice") { () throws(Errno) in _ = try iommufd.bind(device) }
        try iommufd.attach(device, to: space)
        try iommufd.map(address, to: good, [.read, .write], in: space)
        let cases: [(Errno, String, IOVARange?)] = [
            (.exists, "an overlapping range", refusals.overlapping),
            (.invalid, "an odd range", refusals.odd),
            (.invalid, "the window of messages", refusals.messages),
        ]
        for (errno, what, range) in cases {
            let range = try Refusals.range(range)
            try expectErrno(errno, what) { () throws(Errno) in
                try iommufd.map(address, to: range, [.read, .write], in: space)
            }
        }
        let empty = try Refusals.range(refusals.empty)
        try expectErrno(.badAddress, "memory that isn't there") { () throws(Errno) in
            try iommufd.map(refusals.nowhere, to: empty, [.read], in: space)
        }
        let overlapping = try Refusals.range(refusals.overlapping)
        try expectErrno(.noSuchEntry, "unmapping the middle of a mapping") { () throws(Errno) in
            _ = try iommufd.unmap(overlapping, in: space)
        }
        try expectErrno(.noSuchEntry, "unmapping where nothing is mapped") { () throws(Errno) in
            _ = try iommufd.unmap(empty, in: space)
        }
        try expectErrno(.busy, "ending a space that is in use") { () throws(Errno) in
            try iommufd.destroy(space)
        }
        try expectEqual(try iommufd.unmap(good, in: space), good.byteCount, "bytes unmapped")
        _ = consume device
        try iommufd.destroy(space)
    }
}
