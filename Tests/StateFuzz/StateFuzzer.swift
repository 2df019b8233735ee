import DeviceModel
import NVMeController
import SoftwareDevices

/// Gives devices states that are nearly right, and looks at what they make of them.
///
/// A state is what a device of the kind has saved: then bytes are changed, cut, doubled or taken from another device's.
/// In most of them the checksums are made right again, or no change would ever get past them.
package struct StateFuzzer {
    /// What became of the executions.
    package struct Summary: Sendable {
        package var executions = 0
        /// States that were taken: by chance, or because what was changed may be anything.
        package var taken = 0
        /// States that were refused, by the reason.
        package var refused: [String: Int] = [:]
        /// What must not happen.
        package var troubles: [String] = []
    }

    /// One kind of device: one that states are given to, and what one like it saved.
    private final class Subject {
        let name: String
        let model: any DeviceModel
        var migration: DeviceMigration
        let states: [[UInt8]]

        init(_ name: String, _ target: any DeviceModel, _ states: [[UInt8]]) {
            self.name = name
            model = target
            migration = DeviceMigration(target)
            self.states = states
        }
    }

    private var random: Generator
    private var subjects: [Subject] = []
    /// Its states have no parts and no checksums: what doesn't check each value takes anything.
    private let card = SerialCard(portCount: 2)

    /// Begins with a seed, which decides everything.
    package init(seed: UInt64) throws {
        random = Generator(state: seed)
        let plain = Educational()
        plain.writeRegister(bar: 0, offset: 0x80, width: 8, value: 0x40000)
        plain.writeRegister(bar: 0, offset: 0x08, width: 4, value: 6)
        add("edu", Educational(), try [Self.state(of: Educational()), Self.state(of: plain)])
        var settings = NVMeController.Settings()
        settings.queuePairs = 3
        func disk() throws -> NVMeController {
            NVMeController([try NVMeNamespace(try MemoryStore(byteCount: 1 << 16))], settings: settings)
        }
        let set = try disk()
        set.writeRegister(bar: 0, offset: 0x24, width: 4, value: 0x1f_001f)
        set.writeRegister(bar: 0, offset: 0x14, width: 4, value: 0x46_0000)
        add("nvme", try disk(), try [Self.state(of: try disk()), Self.state(of: set)])
        for subject in subjects { try subject.migration.move(to: .resuming) }
    }

    private mutating func add(_ name: String, _ target: any DeviceModel, _ states: [[UInt8]]) {
        subjects.append(Subject(name, target, states))
    }

    private static func state(of model: any DeviceModel) throws -> [UInt8] {
        var migration = DeviceMigration(model)
        try migration.move(to: .stopCopy)
        return try saved(&migration)
    }

    /// What a device that is stopped and copied saves.
    private static func saved(_ migration: inout DeviceMigration) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: migration.readableCount)
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        _ = try migration.read(into: &raw)
        return bytes
    }

    /// Runs so many executions.
    package mutating func run(_ count: Int) -> Summary {
        var summary = Summary()
        for turn in 0..<count { execute(turn, &summary) }
        return summary
    }

    private mutating func execute(_ turn: Int, _ summary: inout Summary) {
        if below(4) == 0 { return executeOnCard(turn, &summary) }
        let subject = subjects[below(subjects.count)]
        let bytes = mutated(subject)
        summary.executions += 1
        // Now and then it is looked whether a refused state has changed anything.
        let before = turn % 256 == 0 ? look(subject) : nil
        do throws(MigrationError) {
            try give(bytes, to: subject)
            summary.taken += 1
            if turn % 64 == 0 { checkAgain(subject, turn, &summary) }
        } catch {
            summary.refused["\(error)", default: 0] += 1
            if subject.migration.phase != .resuming {
                note("\(subject.name), turn \(turn): in \(subject.migration.phase) after \(error)", &summary)
            }
            if let before, look(subject) != before {
                note("\(subject.name), turn \(turn): changed by a state that was refused", &summary)
            }
        }
        begin(subject)
    }

    private mutating func executeOnCard(_ turn: Int, _ summary: inout Summary) {
        let before = card.saveState()
        var bytes = before
        for _ in 0..<1 + below(4) { change(&bytes) }
        summary.executions += 1
        do throws(MigrationError) {
            try card.loadState(bytes)
            summary.taken += 1
            let now = card.saveState()
            try card.loadState(now)
            if card.saveState() != now {
                note("serial card, turn \(turn): changed by its own state", &summary)
            }
            // It works with it, whatever it is.
            let offset = UInt64(below(16))
            card.write(region: UInt32(below(2)), at: offset, width: 1, value: UInt32(below(256)))
            _ = card.read(region: UInt32(below(2)), at: offset, width: 1)
        } catch {
            summary.refused["\(error)", default: 0] += 1
            if card.saveState() != before {
                note("serial card, turn \(turn): changed by a state that was refused", &summary)
            }
        }
    }

    /// A state in one to three pieces, and its end.
    private mutating func give(_ bytes: [UInt8], to subject: Subject) throws(MigrationError) {
        var start = 0
        for piece in (0..<1 + below(3)).reversed() {
            let end = piece == 0 ? bytes.count : start + below(bytes.count - start + 1)
            try subject.migration.write(bytes.span.bytes.extracting(start..<end))
            start = end
        }
        try subject.migration.move(to: .stop)
    }

    /// Makes it take a state anew, whatever it has got so far.
    private func begin(_ subject: Subject) {
        if subject.migration.phase == .resuming { subject.migration.reset() }
        try? subject.migration.move(to: .resuming)
    }

    /// The state that a device has now, which is stopped.
    private func look(_ subject: Subject) -> [UInt8] {
        var writer = StateWriter()
        subject.model.migratable?.saveState(to: &writer)
        return writer.bytes
    }

    /// A state that was taken is one that the device saves and takes again, and it works with it.
    private func checkAgain(_ subject: Subject, _ turn: Int, _ summary: inout Summary) {
        do {
            try subject.migration.move(to: .running)
            try subject.migration.move(to: .stopCopy)
            let bytes = try Self.saved(&subject.migration)
            try subject.migration.move(to: .resuming)
            try subject.migration.write(bytes.span.bytes)
            try subject.migration.move(to: .stop)
        } catch {
            note("\(subject.name), turn \(turn): \(error) by its own state", &summary)
        }
    }

    private func note(_ trouble: String, _ summary: inout Summary) {
        if summary.troubles.count < 16 { summary.troubles.append(trouble) }
    }

    // MARK: changes

    private mutating func below(_ limit: Int) -> Int {
        limit <= 1 ? 0 : Int(truncatingIfNeeded: random.next() % UInt64(limit))
    }

    private mutating func mutated(_ subject: Subject) -> [UInt8] {
        // Sometimes that of another kind of device.
        let origin = below(32) == 0 ? subjects[below(subjects.count)] : subject
        var bytes = origin.states[below(origin.states.count)]
        for _ in 0..<1 + below(4) { change(&bytes) }
        if below(4) > 0 { repair(&bytes) }
        return bytes
    }

    private mutating func change(_ bytes: inout [UInt8]) {
        guard !bytes.isEmpty else { return bytes.append(UInt8(truncatingIfNeeded: random.next())) }
        // What decides most lies at the front of the two parts.
        let place = below(2) == 0 ? below(min(bytes.count, 700)) : below(bytes.count)
        switch below(16) {
        case 0: bytes.removeLast(1 + below(bytes.count))
        case 1: bytes.removeSubrange(place..<min(bytes.count, place + 1 + below(16)))
        case 2: bytes.insert(contentsOf: bytes[place..<min(bytes.count, place + 1 + below(16))], at: place)
        case 3:
            bytes.append(
                contentsOf: repeatElement(UInt8(truncatingIfNeeded: random.next()), count: below(40)))
        case 4, 5, 6:
            // An interesting number of two, four or eight bytes.
            let number = Self.numbers[below(Self.numbers.count)]
            for index in 0..<min(2 << below(3), bytes.count - place) {
                bytes[place + index] = UInt8(truncatingIfNeeded: number >> UInt64(8 * index))
            }
        case 7, 8, 9: bytes[place] = UInt8(truncatingIfNeeded: random.next())
        default: bytes[place] ^= 1 << UInt8(below(8))
        }
    }

    private static let numbers: [UInt64] = [
        0, 1, 2, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0xffff, 0x1_0000, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff,
        1 << 32, 1 << 63, .max, .max - 1, .max - 4095, 4096, 4095,
    ]

    /// Makes the lengths and checksums of the two parts right again, as far as there are parts.
    private func repair(_ bytes: inout [UInt8]) {
        var start = 0
        for _ in 0..<2 {
            guard start + 16 <= bytes.count else { return }
            var count = 0
            for index in 0..<4 { count |= Int(bytes[start + 4 + index]) << (8 * index) }
            let room = bytes.count - start - 16
            // The last part is as long as what is left.
            if count > room || start > 0 {
                count = room
                for index in 0..<4 {
                    bytes[start + 4 + index] = UInt8(truncatingIfNeeded: count >> (8 * index))
                }
            }
            var hash: UInt64 = 0xcbf2_9ce4_8422_2325
            for index in start + 16..<start + 16 + count {
                hash = (hash ^ UInt64(bytes[index])) &* 0x100_0000_01b3
            }
            for index in 0..<8 {
                bytes[start + 8 + index] = UInt8(truncatingIfNeeded: hash >> UInt64(8 * index))
            }
            start += 16 + count
        }
    }
}

/// SplitMix64: few lines, and the same everywhere.
private struct Generator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
