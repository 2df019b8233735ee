import LinuxSystem
import VFIOABI
import VFIOHost

/// D.4: accesses to BARs at odd places, over their ends, and while devices don't answer.
let barEdgeCases: [Case] = [
    Case(
        "D.4", "memory of a device takes accesses of any length at any place, and changes nothing beside",
        on: .all
    ) {
        t in
        let bar = try t.openBAR(.memory, "a device with memory")
        let blank = [UInt8](repeating: 0xee, count: 64)
        let pattern = (1...23).map { UInt8($0) }
        for (place, count) in [(5, 23), (1, 7), (7, 2), (3, 1), (8, 9), (6, 5)] {
            t.expect(bar.device.write(at: bar.start, blank), .value(64), "64 bytes at 0")
            let bytes = Array(pattern[0..<count])
            t.expect(
                bar.device.write(at: bar.start + UInt64(place), bytes), .value(Int32(count)),
                "writing \(count) bytes at \(place)")
            let wanted = blank[0..<place] + bytes + blank[(place + count)...]
            let (answer, all) = bar.device.read(at: bar.start, count: 64)
            t.expect(answer == .value(64) && all == Array(wanted), "all bytes afterwards")
            let part = bar.device.read(at: bar.start + UInt64(place), count: count)
            t.expect(part.answer, .value(Int32(count)), "reading \(count) bytes at \(place)")
            t.expect(part.bytes == bytes, "the same bytes")
        }
    },
    Case("D.4", "an access over the end of memory moves the bytes before the end, of any number", on: .all) {
        t in
        let bar = try t.openBAR(.memory, "a device with memory")
        let end = bar.start + bar.byteCount
        for count in [1, 2, 3, 5, 7, 11] as [UInt64] {
            t.expect(
                bar.device.write(at: end - count, [UInt8](repeating: UInt8(count), count: 16)),
                .value(Int32(count)), "writing 16 bytes, \(count) before the end")
            let (answer, bytes) = bar.device.read(at: end - count, count: 16)
            t.expect(answer, .value(Int32(count)), "reading 16 bytes, \(count) before the end")
            t.expect(
                bytes.prefix(Int(count)).allSatisfy { $0 == UInt8(count) }
                    && bytes.dropFirst(Int(count)).allSatisfy { $0 == 0 }, "what was read, and nothing more")
        }
        for place in [end, end + 1, end + 4095] {
            t.expect(bar.device.read(at: place, count: 1).answer, .errno(.invalid), "reading at the end")
            t.expect(bar.device.write(at: place, [0]), .errno(.invalid), "writing at the end")
        }
    },
    Case("D.4", "an access that reaches from one region into the next is cut between them", on: .all) { t in
        let bar = try t.openBAR(.memory, "a device with memory")
        let last = Place.region(UInt64(bar.index) + 1) - 2
        t.expect(
            bar.device.read(at: last, count: 4).answer, .errno(.invalid), "two bytes before the next region")
        t.expect(bar.device.write(at: last, [0, 0, 0, 0]), .errno(.invalid), "writing there")
    },
    Case(
        "D.4", "in D3hot BARs of memory are EIO, configuration space answers, and what is wrong comes first",
        on: .all
    ) { t in
        let device = try t.openDisk()
        let power = try t.capability(1, of: device)
        let size = device.regionInfo(0).info.size
        device.store(0x6 as UInt16, at: Place.command)
        let identity = try device.configuration(UInt32.self, 0)
        device.configure(power + 4, 3 as UInt16)
        t.expect(device.read(at: 0, count: 1).answer, .errno(.inputOutput), "one byte")
        t.expect(device.read(at: size - 2, count: 4).answer, .errno(.inputOutput), "over the end")
        t.expect(device.read(at: 0, count: 0).answer, .value(0), "nothing")
        t.expect(device.read(at: size, count: 4).answer, .errno(.invalid), "behind the end")
        t.expect(try device.configuration(UInt32.self, 0) == identity, "vendor and device")
        t.expect(try device.configuration(UInt16.self, 4) & 2, equals: 2, "memory in COMMAND")
        t.expect(device.configure(0x3c, 9 as UInt8), .value(1), "writing configuration space")
        device.configure(power + 4, 0 as UInt16)
        t.expect(try device.configuration(UInt8.self, 0x3c), equals: 9, "what was written")
    },
    Case("D.4", "D3hot can be entered by the lower byte of its register alone, and D1 and D2 can't", on: .all)
    { t in
        let device = try t.openDisk()
        let power = try t.capability(1, of: device)
        guard try device.configuration(UInt16.self, power + 2) & 0x600 == 0 else {
            throw t.skip("it needs a disk without D1 and D2")
        }
        device.store(0x6 as UInt16, at: Place.command)
        for state: UInt8 in [1, 2] {
            t.expect(device.configure(power + 4, state), .value(1), "writing D\(state)")
            t.expect(try device.configuration(UInt8.self, power + 4) & 3, equals: 0, "the state")
            t.expect(device.read(at: 0, count: 4).answer, .value(4), "reading a register")
        }
        device.configure(power + 5, 3 as UInt8)
        t.expect(
            try device.configuration(UInt8.self, power + 4) & 3, equals: 0, "after writing the upper byte")
        device.configure(power + 4, 3 as UInt8)
        t.expect(
            try device.configuration(UInt8.self, power + 4) & 3, equals: 3, "after writing the lower byte")
        t.expect(device.read(at: 0, count: 4).answer, .errno(.inputOutput), "reading a register")
        device.configure(power + 4, 0 as UInt8)
    },
]
