import Glibc
import IOVASpace
import LinuxSystem
import MovedMachine
import SoftwareHost
import Testing
import VFIO
import VFIOABI

@testable import VFIOGuest

/// Carries bytes both ways between two connections until one of them ends.
struct Relay: Sendable {
    /// After so many bytes from the first to the second both connections end.
    var cut: Int?
    /// That byte on the way from the first to the second is changed.
    var damaged: Int?
    /// That byte on the way back is changed.
    var damagedBack: Int?
    /// What went from the first to the second.
    let recorded = Box<[UInt8]>([])

    func run(_ one: borrowing UnixSocket, _ other: borrowing UnixSocket) {
        let (first, second) = (one.descriptor.number, other.descriptor.number)
        let (back, damagedBack) = (second, damagedBack)
        let thread = try? WorkerThread {
            Self.carry(from: back, to: first, cut: nil, damaged: damagedBack, Box([]))
        }
        Self.carry(from: first, to: second, cut: cut, damaged: damaged, recorded)
        withExtendedLifetime(thread) {}
    }

    private static func carry(
        from: Int32, to: Int32, cut: Int?, damaged: Int?, _ recorded: Box<[UInt8]>
    ) {
        var done = 0
        var buffer = [UInt8](repeating: 0, count: 65536)
        while true {
            var count = buffer.withUnsafeMutableBytes { recv(from, $0.baseAddress, $0.count, 0) }
            if let cut { count = min(count, cut - done) }
            if count > 0 {
                if let damaged, damaged >= done, damaged < done + count { buffer[damaged - done] ^= 0x10 }
                let part = Array(buffer[..<count])
                recorded.change { $0 += part }
                var sent = 0
                while sent < part.count {
                    // Without the signal for a connection that has ended.
                    let result = part[sent...].withUnsafeBytes { send(to, $0.baseAddress, $0.count, 0x4000) }
                    if result <= 0 { break }
                    sent += result
                }
                if sent < part.count { count = 0 }
                done += count
                if done == cut { count = 0 }
            }
            if count <= 0 {
                UnixSocket.shutDown(from)
                UnixSocket.shutDown(to)
                return
            }
        }
    }
}

@Suite("A guest's move fails, and the guest stays", .serialized)
struct GuestMigrationFailureTests {
    enum Access: CaseIterable {
        case request, read, write

        var fault: Fault {
            switch self {
            case .request: .request(nil, .inputOutput)
            case .read: .read(.inputOutput)
            case .write: .write(.inputOutput)
            }
        }
    }

    private static var small: SmallMachine.Shape {
        var shape = SmallMachine.Shape()
        shape.pages = 16
        shape.highPages = 2
        shape.devices = 2
        // A guest whose own accesses meet the faults would be another test.
        shape.drivesDevices = false
        return shape
    }

    /// Which of the accesses fails, each in a run of its own: all of them, but of the thousands of reads of
    /// configuration spaces only some.
    private static func steps(_ access: Access) -> [Int] {
        access == .request
            ? Array(1...400) : Array(1...40) + [64, 500, 1023, 1030, 1500, 2040, 2050, 2060, 100_000]
    }

    private func move(_ seed: UInt64, _ shape: SmallMachine.Shape? = nil) throws -> Move {
        var move = try Move(seed: seed, shape ?? Self.small)
        move.options.roundLimit = 2
        move.source.resume()
        #expect(move.source.runs(2))
        return move
    }

    @Test(
        "2.4 whatever fails once at the source, the guest runs on there with all of its devices",
        arguments: Access.allCases)
    func atSource(access: Access) throws {
        for failing in Self.steps(access) {
            let move = try move(UInt64(failing))
            defer { move.end() }
            let token = move.source.host.inject(FaultRule(access.fault, .nth(UInt64(failing))))
            let outcome = try move.run()
            let hasFired = (move.source.host.faultCount(of: token)?.fired ?? 0) > 0
            move.source.host.withdraw(token)
            if let error = outcome.source {
                #expect(error.lostDevices == [], "\(failing): \(error)")
                #expect(error.description.contains("EIO"), "\(failing): \(error)")
                if let complaint = move.complaintAboutSource() {
                    Issue.record("\(access) \(failing): \(error): \(complaint)")
                }
                #expect(outcome.target != nil, "\(failing)")
            } else {
                #expect(outcome.target == nil, "\(failing)")
                #expect(move.target.runs(10), "\(failing)")
            }
            if !hasFired && (access == .request || failing > 2100 || access == .write) {
                // What the source writes are only requests.
                #expect(failing > (access == .write ? 0 : 10))
                return
            }
        }
        Issue.record("the migration never ends")
    }

    @Test(
        "2.4 whatever fails once at the destination, the guest is in one place and runs there",
        arguments: Access.allCases)
    func atDestination(access: Access) throws {
        for failing in Self.steps(access) {
            let move = try move(UInt64(failing))
            defer { move.end() }
            let token = move.target.host.inject(FaultRule(access.fault, .nth(UInt64(failing))))
            let outcome = try move.run()
            let hasFired = (move.target.host.faultCount(of: token)?.fired ?? 0) > 0
            move.target.host.withdraw(token)
            if let error = outcome.source {
                // The other side has said why.
                #expect(error.cause.code == .peerFailed, "\(failing): \(error)")
                if let complaint = move.complaintAboutSource() {
                    Issue.record("\(access) \(failing): \(error): \(complaint)")
                }
                #expect(move.target.paused)
                #expect(outcome.target?.lostDevices == [], "\(failing): \(outcome)")
                for device in move.target.devices {
                    #expect(try device.device.migrationState() == .running)
                }
            } else {
                #expect(move.source.paused)
                #expect(move.target.runs(10), "\(failing)")
            }
            if !hasFired && (access != .read || failing > 2100) {
                #expect(failing > 3)
                return
            }
        }
        Issue.record("the migration never ends")
    }

    @Test("2.4 a device that fails for good is named as lost, and the others and the guest run on")
    func lost() throws {
        var random = randomSeed("a device is lost")
        for _ in 0..<6 {
            let move = try move(random.next())
            defer { move.end() }
            let scope = FaultScope.device(SmallMachine.address(1))
            let token = move.source.host.inject(
                FaultRule(
                    .request(nil, .inputOutput), on: scope, .from(UInt64(7 + random.below(10)))))
            let outcome = try move.run()
            move.source.host.withdraw(token)
            let error = try #require(outcome.source)
            #expect(error.lostDevices.map(\.name) == ["device1"], "\(error)")
            #expect("\(error)".contains("device1"))
            #expect(try move.source.devices[0].device.migrationState() == .running)
            #expect(!move.source.paused && move.source.runs(50))
            #expect(!move.source.memory.isLoggingForMigration)
        }
    }

    @Test("2.4 a connection that breaks anywhere leaves the guest at its source")
    func cut() throws {
        var random = randomSeed("a cut connection")
        let whole = try move(random.next())
        let relay = Relay()
        #expect(try whole.run({ relay.run($0, $1) }).source == nil)
        whole.end()
        for _ in 0..<12 {
            let move = try move(random.next())
            defer { move.end() }
            // All but the last section, after which the guest isn't the source's any more.
            let relay = Relay(cut: random.below(relay.recorded.value.count / 2))
            let outcome = try move.run { relay.run($0, $1) }
            #expect(outcome.source?.cause.code == .peerFailed, "\(outcome)")
            #expect(outcome.target?.cause.code == .peerFailed, "\(outcome)")
            if let complaint = move.complaintAboutSource() { Issue.record("\(relay.cut ?? 0): \(complaint)") }
            #expect(move.target.paused)
        }
    }

    @Test("2.4 a stream that is damaged anywhere is refused, and the guest stays")
    func damaged() throws {
        var random = randomSeed("a damaged stream")
        let whole = try move(random.next())
        let relay = Relay()
        #expect(try whole.run({ relay.run($0, $1) }).source == nil)
        whole.end()
        for turn in 0..<16 {
            let move = try move(random.next())
            defer { move.end() }
            let place = random.below(turn % 4 == 0 ? 200 : relay.recorded.value.count / 2)
            let isBack = turn % 4 == 3
            let damaged = Relay(
                damaged: isBack ? nil : place, damagedBack: isBack ? random.below(48) : nil)
            let outcome = try move.run { damaged.run($0, $1) }
            #expect(outcome.source != nil && outcome.target != nil, "byte \(place): \(outcome)")
            if let complaint = move.complaintAboutSource() { Issue.record("\(place): \(complaint)") }
            #expect(move.target.paused)
        }
    }

    @Test("2.4 somebody who calls it off gets the guest back")
    func cancelled() throws {
        var random = randomSeed("called off")
        for turn in 0..<10 {
            var move = try move(random.next())
            defer { move.end() }
            move.options.roundLimit = nil
            move.options.downtimeMilliseconds = 0
            let delay = UInt64(random.below(40)) * 1_000_000
            let thread = Box<WorkerThread?>(nil)
            let isSource = turn % 2 == 0
            let outcome = try move.run(nil) { source in
                thread.value = try? WorkerThread {
                    Clock.sleep(nanoseconds: delay)
                    if isSource { source.cancel() }
                }
                if !isSource {
                    thread.value = try? WorkerThread {
                        Clock.sleep(nanoseconds: delay)
                        // From the destination's side it is the other that fails.
                        source.cancel()
                    }
                }
            }
            thread.value = nil
            #expect(outcome.source?.cause.code == .cancelled, "\(outcome)")
            #expect(outcome.target != nil)
            if let complaint = move.complaintAboutSource() { Issue.record("\(delay): \(complaint)") }
        }
    }

    @Test("2.4 a destination that isn't ready, or says nothing, doesn't get the guest")
    func notReady() throws {
        var move = try move(7)
        defer { move.end() }
        move.targetOptions.approves = { false }
        let outcome = try move.run()
        #expect(outcome.source?.phase == .iterating && outcome.source?.cause.code == .peerFailed)
        #expect(outcome.source?.description.contains("isn't ready") == true, "\(outcome)")
        #expect(move.complaintAboutSource() == nil)

        let ends = try Move.pair()
        let silent = UnixSocket(owning: Descriptor(owning: ends.1))
        var options = GuestMigrationSource.Options()
        options.patienceMilliseconds = 200
        let mover = GuestMigrationSource(move.source.movable, options)
        let error = #expect(throws: GuestMigrationError.self) {
            try mover.run(over: UnixSocket(owning: Descriptor(owning: ends.0)))
        }
        #expect(error?.cause.code == .timedOut && error?.phase == .settingUp)
        #expect(move.complaintAboutSource() == nil)
        withExtendedLifetime(silent) {}
    }
}
