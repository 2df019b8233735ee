import LinuxSystem
import VFIOABI
import VFIOHost

/// D.3 to D.5: BARs of ports, as network adapters have them.
let portCases: [Case] = [
    Case("D.3", "a BAR of ports can be read and written, but not mapped", on: .all) { t in
        let adapter = try t.openAdapter()
        let (answer, info) = adapter.device.regionInfo(adapter.ports)
        t.expect(answer, .success, "GET_REGION_INFO")
        t.expect(info.size, equals: 32, "size")
        t.expect(info.flags.rawValue, equals: 3, "flags")
        t.expect(
            adapter.device.map(at: adapter.start, byteCount: pageSize).answer, .errno(.invalid), "mapping")
    },
    Case("D.4", "ports are read in pieces of one, two and four bytes", on: .all) { t in
        let (device, start) = try t.openAdapter().portsAlone
        t.expect(device.store(0x5a8 as UInt32, at: start), .value(4), "writing four bytes")
        t.expect(try device.load(UInt32.self, at: start), equals: 0x5a8, "four bytes")
        t.expect(try device.load(UInt16.self, at: start), equals: 0x5a8, "two bytes")
        t.expect(try device.load(UInt8.self, at: start), equals: 0xa8, "one byte")
    },
    Case("D.4", "eight bytes of ports are two accesses of four", on: .all) { t in
        let (device, start) = try t.openAdapter().portsAlone
        // On an adapter of Intel's the first four bytes say which register the next four are: a ring's base here.
        let both: [UInt8] = [0x00, 0x28, 0, 0, 0x70, 0x56, 0x34, 0x12]
        t.expect(device.write(at: start, both), .value(8), "writing")
        t.expect(try device.load(UInt32.self, at: start + 4), equals: 0x1234_5670, "the second four bytes")
        let (answer, bytes) = device.read(at: start, count: 8)
        t.expect(answer, .value(8), "reading")
        t.expect(bytes, equals: both, "all of it")
    },
    Case("D.4", "an access to ports is cut at the end of their BAR", on: .all) { t in
        let (device, start) = try t.openAdapter().portsAlone
        t.expect(device.read(at: start + 28, count: 64).answer, .value(4), "reading 64 bytes")
        t.expect(
            device.read(at: start + 31, count: 2).answer, .value(1), "reading the last byte, and one more")
        for position: UInt64 in [32, 33, 1 << 20, (1 << 40) - 1] {
            t.expect(
                device.read(at: start + position, count: 1).answer, .errno(.invalid), "reading \(position)")
            t.expect(device.write(at: start + position, [0]), .errno(.invalid), "writing \(position)")
        }
    },
    Case("D.4", "ports don't depend on memory being on", on: .all) { t in
        let (device, start) = try t.openAdapter().portsAlone
        try t.require(device.store(0x5a8 as UInt32, at: start), "writing")
        device.store(0x1 as UInt16, at: Place.command)
        t.expect(device.read(at: 0, count: 4).answer, .errno(.inputOutput), "reading memory")
        t.expect(try device.load(UInt32.self, at: start), equals: 0x5a8, "reading ports")
    },
    Case(
        "D.4", "ports that are off aren't an error: they read as ones, and what is written is lost", on: .all
    ) {
        t in
        let (device, start) = try t.openAdapter().portsAlone
        try t.require(device.store(0x5a8 as UInt32, at: start), "writing")
        for (command, name) in [(UInt16(0x2), "memory on"), (0, "memory off")] {
            device.store(command, at: Place.command)
            t.expect(try device.load(UInt32.self, at: start), equals: .max, "reading, \(name)")
            t.expect(device.store(0 as UInt32, at: start), .value(4), "writing, \(name)")
        }
        device.store(0x3 as UInt16, at: Place.command)
        t.expect(try device.load(UInt32.self, at: start), equals: 0x5a8, "what was there before")
    },
    Case("D.6", "the register of a BAR of ports takes addresses, and tells its length", on: .all) { t in
        let adapter = try t.openAdapter()
        let register = 0x10 + 4 * UInt64(adapter.ports)
        let old = try adapter.device.configuration(UInt32.self, register)
        t.expect(old & 3, equals: 1, "the bits for ports")
        t.expect(old & ~3 != 0, "it has an address")
        adapter.device.configure(register, ~0 as UInt32)
        t.expect(try adapter.device.configuration(UInt32.self, register), equals: 0xffff_ffe1, "all ones")
        adapter.device.configure(register, 0x1234_5678 as UInt32)
        t.expect(try adapter.device.configuration(UInt32.self, register), equals: 0x1234_5661, "an address")
    },
]
