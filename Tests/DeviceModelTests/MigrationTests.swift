import DeviceModel
import LinuxSystem
import Testing

@Suite("Device model: migration")
struct MigrationTests {
    /// The next state on every way, by what a device is capable of: rows are where it is, columns where it goes.
    /// `!` is no way, `.` is where it is already. From Linux's `vfio_mig_fsm`.
    static let tables: [(MigrationCapabilities, [MigrationPhase], [String])] = [
        (
            .stopCopy, [.stop, .running, .stopCopy, .resuming],
            [". running stopCopy resuming", "stop . stop stop", "stop stop . stop", "stop stop stop ."]
        ),
        (
            [.stopCopy, .preCopy], [.stop, .running, .stopCopy, .resuming, .preCopy],
            [
                ". running stopCopy resuming running", "stop . stop stop preCopy", "stop stop . stop !",
                "stop stop stop . stop", "running running stopCopy running .",
            ]
        ),
        (
            [.stopCopy, .peerToPeer], [.stop, .running, .stopCopy, .resuming, .runningP2P],
            [
                ". runningP2P stopCopy resuming runningP2P",
                "runningP2P . runningP2P runningP2P runningP2P", "stop stop . stop stop",
                "stop stop stop . stop", "stop running stop stop .",
            ]
        ),
        (
            [.stopCopy, .peerToPeer, .preCopy],
            [.stop, .running, .stopCopy, .resuming, .runningP2P, .preCopy, .preCopyP2P],
            [
                ". runningP2P stopCopy resuming runningP2P runningP2P runningP2P",
                "runningP2P . runningP2P runningP2P runningP2P preCopy runningP2P",
                "stop stop . stop stop ! !", "stop stop stop . stop stop stop",
                "stop running stop stop . running preCopyP2P",
                "running running preCopyP2P running running . preCopyP2P",
                "runningP2P runningP2P stopCopy runningP2P runningP2P preCopy .",
            ]
        ),
    ]

    @Test("Every way leads over the states that Linux goes through")
    func ways() {
        for (capabilities, phases, rows) in Self.tables {
            for (row, from) in phases.enumerated() {
                let names = rows[row].split(separator: " ")
                for (column, to) in phases.enumerated() {
                    let hop = from.hop(to: to, capabilities)
                    switch names[column] {
                    case ".", "!": #expect(hop == nil, "\(from) to \(to)")
                    default: #expect("\(hop ?? .error)" == names[column], "\(from) to \(to)")
                    }
                }
            }
            for from in MigrationPhase.allCases {
                for to in MigrationPhase.allCases where !phases.contains(to) {
                    #expect(from.hop(to: to, capabilities) == nil, "\(from) to \(to)")
                }
            }
        }
    }

    /// A model whose state is a number, and which writes down what it is asked for.
    private final class Mover: DeviceModel, MigratableDevice {
        let function: PCIFunction
        var number: UInt32 = 0
        var calls: [String] = []
        let stateVersion: UInt16

        init(vectors: Int = 70, version: UInt16 = 7) {
            stateVersion = version
            function = PCIFunction(
                PCIIdentity(vendor: 1, device: 2, classCode: 0xff_0000),
                bars: [0: BAR(.memory32, byteCount: 0x4000)])
            function.addMSIX(
                vectors: vectors, table: (bar: 0, offset: 0x1000), pending: (bar: 0, offset: 0x2000))
        }

        var migratable: (any MigratableDevice)? { self }
        var migrationCapabilities: MigrationCapabilities { [.stopCopy, .peerToPeer, .preCopy] }
        var stateByteLimit: Int { 4 }
        func freeze() { calls.append("freeze") }
        func thaw() { calls.append("thaw") }
        func sparePeers(_ spared: Bool) { calls.append("spare \(spared)") }
        func saveState(to writer: inout StateWriter) { writer.append(number) }
        func loadState(from reader: inout StateReader) throws(MigrationError) {
            let value = try reader.next(UInt32.self)
            try reader.finish()
            guard value != 666 else { throw .malformed }
            number = value
        }
        func readRegister(bar: Int, offset: UInt64, width: Int) -> UInt64 { UInt64(number) }
        func writeRegister(bar: Int, offset: UInt64, width: Int, value: UInt64) {
            number = UInt32(truncatingIfNeeded: value)
        }
        func reset(_ kind: ResetKind) { number = 0 }
    }

    private func state(_ migration: inout DeviceMigration, chunk: Int = 100) throws -> [UInt8] {
        var all: [UInt8] = []
        while true {
            var bytes = [UInt8](repeating: 0, count: chunk)
            var span = bytes.mutableSpan
            var raw = span.mutableBytes
            let count = try migration.read(into: &raw)
            if count == 0 { return all }
            all += bytes[..<count]
        }
    }

    private func give(_ bytes: [UInt8], _ migration: inout DeviceMigration) throws {
        try migration.write(bytes.span.bytes)
    }

    @Test("A device is frozen, spared from peers and let go at the right arcs")
    func calls() throws {
        let model = Mover()
        var migration = DeviceMigration(model)
        try migration.move(to: .preCopy)
        #expect(model.calls == [])
        try migration.move(to: .stopCopy)
        #expect(model.calls == ["spare true", "freeze", "spare false"])
        model.calls = []
        try migration.move(to: .running)
        // It never works without sparing others before they all do.
        #expect(model.calls == ["spare true", "thaw", "spare false"])
        #expect(throws: MigrationError.noWay) { try migration.move(to: .error) }
        model.calls = []
        try migration.move(to: .resuming)
        migration.reset()
        #expect(migration.phase == .running)
        #expect(model.calls == ["spare true", "freeze", "spare false", "thaw"])
    }

    @Test("Interrupts that are raised while a device is stopped come when it goes on, on the other host")
    func interrupts() throws {
        let source = Mover()
        let slot = TestSlot()
        source.function.plug(into: slot)
        source.function.configuration.write(0x0406, at: 4, width: 2)
        let at = try #require(source.function.configuration.capability(0x11))
        source.function.configuration.write(0x8000, at: at + 2, width: 2)
        source.function.msix?.setMask(65, false)
        source.number = 0x1234
        var from = DeviceMigration(source)
        try from.move(to: .stop)
        source.function.signal(vector: 65)
        #expect(slot.take() == [])
        try from.move(to: .stopCopy)
        let bytes = try state(&from)

        let target = Mover()
        let other = TestSlot()
        target.function.plug(into: other)
        var to = DeviceMigration(target)
        try to.move(to: .resuming)
        try give(bytes, &to)
        try to.move(to: .stop)
        #expect(target.number == 0x1234)
        #expect(target.function.configuration.command == 0x0406)
        #expect(other.take() == [])
        try to.move(to: .running)
        #expect(other.take() == ["msix 65"])
        #expect(target.function.msix?.isPending(65) == false)
    }

    @Test("A stream that was cut, changed or made by another device is refused, and nothing changes")
    func hostile() throws {
        let source = Mover()
        source.number = 99
        var from = DeviceMigration(source)
        try from.move(to: .stopCopy)
        let bytes = try state(&from, chunk: 7)
        let target = Mover()
        target.number = 5
        var to = DeviceMigration(target)
        try to.move(to: .resuming)
        for count in stride(from: 0, to: bytes.count, by: 13) {
            try give(Array(bytes[..<count]), &to)
            #expect(throws: MigrationError.truncated) { try to.move(to: .running) }
            #expect(to.phase == .resuming && target.number == 5)
        }
        for place in stride(from: 0, to: bytes.count, by: 29) {
            var changed = bytes
            changed[place] ^= 0x40
            var refused = false
            do throws(MigrationError) {
                try to.write(changed.span.bytes)
                try to.move(to: .stop)
            } catch {
                refused = true
            }
            #expect(refused && to.phase == .resuming && target.number == 5, "byte \(place)")
            // What a refused write left behind is thrown away with a refused end.
            do throws(MigrationError) { try to.move(to: .stop) } catch {}
        }
        #expect(throws: MigrationError.tooLong) { try give(bytes + [0], &to) }
        var different = DeviceMigration(Mover(vectors: 71))
        try different.move(to: .resuming)
        #expect(throws: MigrationError.differentDevice) { try give(bytes, &different) }
        // A good one is still taken.
        try give(bytes, &to)
        try to.move(to: .running)
        #expect(target.number == 99)
    }

    @Test("A state of another version is told from one of another device, older or newer")
    func versions() throws {
        for version: UInt16 in [6, 8, .max] {
            var from = DeviceMigration(Mover(version: version))
            try from.move(to: .preCopy)
            // The description is enough, so it is known before the device is stopped.
            let bytes = try state(&from)
            var to = DeviceMigration(Mover())
            try to.move(to: .resuming)
            #expect(throws: MigrationError.version) { try give(bytes, &to) }
            #expect(to.phase == .resuming)
        }
    }

    @Test("A device that fails on its way stays where the arc begins, or is of no use until it is reset")
    func failures() throws {
        let model = Mover()
        var migration = DeviceMigration(model)
        migration.nextFailure = MigrationFailure(enteringNext: .stop, isFatal: false)
        #expect(throws: MigrationError.deviceFailed) { try migration.move(to: .stopCopy) }
        #expect(migration.phase == .runningP2P && model.calls == ["spare true"])
        try migration.move(to: .stopCopy)
        #expect(model.calls == ["spare true", "freeze", "spare false"], "once only")
        migration.reset()
        for phase: MigrationPhase in [.preCopy, .preCopyP2P, .stop, .stopCopy, .resuming] {
            model.calls = []
            migration.nextFailure = MigrationFailure(enteringNext: phase, isFatal: true)
            #expect(throws: MigrationError.deviceFailed) { try migration.move(to: phase) }
            #expect(migration.phase == .error && migration.readableCount == 0)
            for next in MigrationPhase.allCases where next != .error {
                #expect(throws: MigrationError.noWay) { try migration.move(to: next) }
            }
            #expect(throws: MigrationError.wrongPhase) { try give([1], &migration) }
            migration.reset()
            #expect(migration.phase == .running)
            #expect(model.calls.count { $0 == "freeze" } == model.calls.count { $0 == "thaw" })
            #expect(
                model.calls.count { $0 == "spare true" } == model.calls.count { $0 == "spare false" })
        }
    }

    @Test("A state that the model refuses changes neither the model nor the function")
    func refusedByModel() throws {
        let source = Mover()
        source.number = 666
        source.function.configuration.write(0x0006, at: 4, width: 2)
        var from = DeviceMigration(source)
        try from.move(to: .stopCopy)
        let target = Mover()
        var to = DeviceMigration(target)
        try to.move(to: .resuming)
        try give(try state(&from), &to)
        #expect(throws: MigrationError.malformed) { try to.move(to: .stop) }
        #expect(target.function.configuration.command == 0 && target.number == 0)
    }

    @Test("A model that says nothing of migration stays where it is")
    func immovable() {
        let board = Board([0: BAR(.memory32, byteCount: 0x1000)])
        var migration = DeviceMigration(board.model)
        #expect(migration.capabilities.isEmpty)
        #expect(throws: MigrationError.notMigratable) { try migration.move(to: .stop) }
    }
}
