import IOVASpace
import LinuxSystem
import MovedMachine
import Testing
import VFIO
import VFIOABI

@testable import VFIOGuest

@Suite("A guest moves to another host", .serialized)
struct GuestMigrationTests {
    @Test("2.4 a guest that never stops writing moves with its memory and three devices, and goes on there")
    func moves() throws {
        for _ in 0..<4 {
            var random = randomSeed("a move within a process")
            let move = try Move(seed: random.next())
            defer { move.end() }
            move.source.resume()
            #expect(move.source.runs(UInt64(random.below(400))))
            let outcome = try move.run()
            // The destination has compared every byte with what the source had: a part of the state.
            #expect(outcome.source == nil && outcome.target == nil, "\(outcome)")
            #expect(move.source.paused)
            #expect(move.target.steps >= move.source.steps)
            #expect(move.target.runs(300), "\(move.target.complaint ?? "it stands still")")
            let report = try #require(outcome.report)
            #expect(report.phase == .done && report.rounds > 0 && report.downtimeNanoseconds > 0)
            #expect(report.pages > 0 && report.zeroPages > 0 && report.deviceBytes > 3 * 4096)
            #expect(!move.source.memory.isLoggingForMigration)
            for device in move.source.devices { #expect(try device.device.migrationState() == .stop) }
            for device in move.target.devices { #expect(try device.device.migrationState() == .running) }
            #expect(move.source.complaint == nil)
        }
    }

    @Test("2.4 a guest can move on and come back")
    func movesBack() throws {
        var random = randomSeed("there and back")
        let move = try Move(seed: random.next())
        defer { move.end() }
        move.source.resume()
        #expect(move.source.runs(50))
        #expect(try move.run().source == nil)
        #expect(move.target.runs(50))
        let ends = try Move.pair()
        let back = Box<GuestMigrationError?>(nil)
        // The devices there are stopped still: they are reset, as a new guest's would be.
        for device in move.source.devices { try device.device.reset() }
        let thread = try WorkerThread {
            do throws(GuestMigrationError) {
                try GuestMigrationDestination(move.source.movable)
                    .run(over: UnixSocket(owning: Descriptor(owning: ends.1)))
            } catch {
                back.value = error
            }
        }
        try GuestMigrationSource(move.target.movable)
            .run(over: UnixSocket(owning: Descriptor(owning: ends.0)))
        withExtendedLifetime(thread) {}
        let deadline = Clock.moment(inMilliseconds: 20_000)
        while move.source.paused && back.value == nil && Clock.now < deadline {
            Clock.sleep(nanoseconds: 1_000_000)
        }
        #expect(back.value == nil, "\(String(describing: back.value))")
        #expect(move.source.runs(100), "\(move.source.complaint ?? "")")
    }

    @Test("2.4 a guest is stopped when what is left fits into the downtime, or after so many rounds")
    func convergence() throws {
        for (rounds, milliseconds) in [(3, 0), (30, 3_600_000)] {
            var move = try Move(seed: 11)
            defer { move.end() }
            move.options.roundLimit = rounds
            move.options.downtimeMilliseconds = milliseconds
            let seen = Box<[GuestMigrationPhase]>([])
            move.options.onProgress = { progress in
                seen.change { if $0.last != progress.phase { $0.append(progress.phase) } }
            }
            move.source.resume()
            let outcome = try move.run()
            #expect(outcome.report?.rounds == (milliseconds == 0 ? 3 : 1), "\(outcome)")
            #expect(seen.value == [.settingUp, .iterating, .stopping, .finishing, .handingOver, .done])
            #expect(move.target.runs(20))
        }
    }
}
