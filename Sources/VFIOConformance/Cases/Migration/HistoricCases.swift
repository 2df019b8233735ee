import LinuxSystem
import VFIOABI
import VFIOHost

/// E.7: migration by version 1. No Linux has it any more: the answers are those of 5.8 to 5.17.
let historicCases: [Case] = [
    Case(
        "E.7", "a region of a type of its own has the registers, behind those of every PCI device",
        on: .translated
    ) { t in
        let device = try t.openHistoric().device
        var info = DeviceInfo()
        try t.require(device.request(.deviceGetInfo, &info), "GET_INFO")
        t.expect(info.regionCount, equals: 10, "regions")
        let region = device.regionInfo(9)
        t.expect(region.answer, .success, "GET_REGION_INFO 9")
        t.expect(region.info.flags.rawValue, equals: 0b1011, "flags: read, write, capabilities")
        let kind = device.regionKind(9)
        t.expect(
            kind?.type == .migrationDeprecated && kind?.subtype == .migrationDeprecated,
            "its type is 3, its subtype 1")
        t.expect(device.feature(.migration, [.probe, .get]), .errno(.noSuchRequest), "version 2")
        t.expect(device.regionInfo(10).answer, .errno(.invalid), "GET_REGION_INFO 10")
    },
    Case("E.7", "registers are read and written with their own widths", on: .translated) { t in
        let registers = try t.openHistoric()
        let device = registers.device
        for (offset, width) in [(0, 4), (8, 8)] as [(UInt64, Int)] {
            t.expect(
                device.read(at: registers.place + offset, count: width).answer, .value(Int32(width)),
                "\(width) bytes at \(offset)")
        }
        for (offset, width) in [
            (0, 8), (0, 1), (1, 4), (4, 4), (8, 4), (32, 8), (64, 4),
            (0, LegacyMigrationInfo.byteCount),
        ] as [(UInt64, Int)] {
            t.expect(
                device.read(at: registers.place + offset, count: width).answer, .errno(.invalid),
                "\(width) bytes at \(offset)")
        }
        t.expect(device.store(UInt64(0), at: registers.place + 8), .errno(.invalid), "writing pending_bytes")
        t.expect(device.store(UInt64(0), at: registers.place + 16), .errno(.invalid), "writing data_offset")
    },
    Case("E.7", "states that are none are refused, and other bits kept", on: .translated) { t in
        let registers = try t.openHistoric()
        t.expect(try registers.state(), equals: 1, "the first state")
        for state: UInt32 in [5, 6, 7] {
            t.expect(registers.set(raw: state), .errno(.invalid), "state \(state)")
            t.expect(try registers.state(), equals: 1, "it is where it was")
        }
        t.expect(registers.set(raw: 0x8000_0001), .value(4), "a bit that means nothing")
        t.expect(try registers.state(), equals: 0x8000_0001, "it is kept")
        t.expect(
            LegacyMigrationState(rawValue: try registers.state()).intersection(LegacyMigrationState.mask)
                == LegacyMigrationState.running, "the bits of the state")
        t.expect(registers.set(LegacyMigrationState.running), .value(4), "without it")
    },
    Case("E.7", "a device goes from each state to each other, but not back to a copy", on: .translated) { t in
        let registers = try t.openHistoric()
        let saved = try registers.saved()
        for from: UInt32 in [0, 1, 2, 3, 4] {
            for target: UInt32 in [0, 1, 2, 3, 4] {
                try t.require(registers.device.request(.deviceReset), "RESET")
                try t.require(registers.set(raw: from), "state \(from)")
                if from == 4 { try registers.give(saved) }
                let isPossible = !(from == 2 && target == 3)
                t.expect(
                    registers.set(raw: target), isPossible ? .value(4) : .errno(.invalid),
                    "\(from) to \(target)")
                t.expect(
                    try registers.state(), equals: isPossible ? target : from, "\(from) to \(target): state")
            }
        }
    },
    Case("E.7", "a device's state goes out in packets, and comes in so", on: .translated) { t in
        let registers = try t.openHistoric()
        let saved = try registers.saved()
        t.expect(saved.count > 0, "it has a state")
        try t.require(registers.set([.running, .saving]), "pre-copy")
        t.expect(try registers.pending() > 0, "something is pending while it works")
        var stream = try registers.takeAll()
        t.expect(try registers.pending(), equals: 0, "nothing is, for now")
        try t.require(registers.set(LegacyMigrationState.saving), "stop-and-copy")
        t.expect(try registers.pending() > 0, "more is when it stops")
        stream += try registers.takeAll()
        t.expect(try registers.pending(), equals: 0, "that was all")
        t.expect(stream == saved, "it is the same state")
        try t.require(registers.set(LegacyMigrationState.resuming), "resuming")
        try registers.give(stream)
        t.expect(registers.set(LegacyMigrationState.running), .value(4), "running")
        t.expect(try registers.saved() == saved, "its state is the same again")
    },
    Case("E.7", "a packet is there until what is pending is asked for again", on: .translated) { t in
        let registers = try t.openHistoric()
        let device = registers.device
        try t.require(registers.set(LegacyMigrationState.saving), "stop-and-copy")
        let pending = try registers.pending()
        let offset = try device.load(UInt64.self, at: registers.place + 16)
        let size = try device.load(UInt64.self, at: registers.place + 24)
        t.expect(size > 0 && size <= pending, "its size")
        let first = device.read(at: registers.place + offset, count: Int(size)).bytes
        t.expect(try device.load(UInt64.self, at: registers.place + 24) == size, "the size again")
        t.expect(
            device.read(at: registers.place + offset, count: Int(size)).bytes == first, "the bytes again")
        t.expect(try registers.pending() == pending - size, "what is pending afterwards")
        t.expect(
            device.read(at: registers.place + offset, count: 1).answer, .errno(.invalid), "the window then")
    },
    Case("E.7", "what isn't a state is refused, and the device still takes one", on: .translated) { t in
        let registers = try t.openHistoric()
        let saved = try registers.saved()
        try t.require(registers.set(LegacyMigrationState.resuming), "resuming")
        t.expect(registers.set(LegacyMigrationState.running), .errno(.invalid), "nothing")
        t.expect(try registers.state(), equals: 4, "state")
        try registers.give(Array(saved.dropLast()))
        t.expect(registers.set(LegacyMigrationState.running), .errno(.invalid), "all but a byte")
        t.expect(
            registers.device.store(UInt64(1), at: registers.place + 24), .errno(.invalid),
            "a packet that wasn't written")
        try registers.give(saved)
        t.expect(registers.set(LegacyMigrationState.running), .value(4), "all of it")
    },
    Case("E.7", "a device that failed says so, and a reset brings it back", on: .translated) { t in
        let registers = try t.openHistoric()
        let machine = try t.machine
        do throws(Errno) {
            try machine.failNextMove(
                of: registers.address, entering: MigrationState.stopCopy.rawValue, isFatal: true)
        } catch {
            throw t.skip("the device can't be made to fail: \(error.name)")
        }
        t.expect(registers.set(LegacyMigrationState.saving), .errno(.inputOutput), "stop-and-copy")
        t.expect(try registers.state(), equals: 6, "state")
        t.expect(registers.set(LegacyMigrationState.running), .errno(.invalid), "running")
        t.expect(registers.device.request(.deviceReset), .success, "RESET")
        t.expect(try registers.state(), equals: 1, "state")
    },
]

/// A device with the registers of version 1, which is open.
private struct HistoricRegisters {
    let device: File
    let address: PCIAddress
    /// Where they begin in the device's offsets.
    let place: UInt64

    func state() throws -> UInt32 { try device.load(UInt32.self, at: place) }
    func set(_ state: LegacyMigrationState) -> Answer { set(raw: state.rawValue) }
    func set(raw state: UInt32) -> Answer { device.store(state, at: place) }
    func pending() throws -> UInt64 { try device.load(UInt64.self, at: place + 8) }

    /// Takes packets until nothing is pending.
    func takeAll() throws -> [UInt8] {
        var all: [UInt8] = []
        while try pending() > 0 {
            let offset = try device.load(UInt64.self, at: place + 16)
            let size = try device.load(UInt64.self, at: place + 24)
            let (answer, bytes) = device.read(at: place + offset, count: Int(clamping: min(size, 1 << 20)))
            guard answer == .value(Int32(clamping: size)), size > 0 else {
                throw Halt.broken("taking a packet: \(answer)")
            }
            all += bytes
        }
        return all
    }

    /// Gives a state, in packets of 1000 bytes.
    func give(_ state: [UInt8]) throws {
        for start in stride(from: 0, to: state.count, by: 1000) {
            let packet = Array(state[start..<min(state.count, start + 1000)])
            let offset = try device.load(UInt64.self, at: place + 16)
            guard device.write(at: place + offset, packet) == .value(Int32(packet.count)),
                device.store(UInt64(packet.count), at: place + 24) == .value(8)
            else { throw Halt.broken("giving a packet") }
        }
    }

    /// Its state as it is; it is running before and afterwards.
    func saved() throws -> [UInt8] {
        guard set(LegacyMigrationState.saving) == .value(4) else { throw Halt.broken("stop-and-copy") }
        let state = try takeAll()
        guard set(LegacyMigrationState.stop) == .value(4),
            set(LegacyMigrationState.running) == .value(4)
        else { throw Halt.broken("running") }
        return state
    }
}

extension Trial {
    /// Opens a device that is moved by version 1.
    fileprivate func openHistoric() throws -> HistoricRegisters {
        for record in try movableDevices where record.driver?.name == "historic-vfio-pci" {
            return HistoricRegisters(
                device: try setUp(record).device, address: record.address, place: Place.region(9))
        }
        throw skip("it needs a device that is moved as Linux did before 5.18")
    }
}
