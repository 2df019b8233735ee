import Glibc
import LinuxSystem
import MovedMachine
import Testing
import VFIO

@testable import VFIOGuest

@Suite("A guest moves to another process", .serialized)
struct GuestMigrationProcessTests {
    /// The program that the build put beside the tests, which are a program themselves.
    private static var peer: String {
        get throws {
            let own = try FileSystem.linkTarget("/proc/self/exe")
            return String(own.prefix(through: try #require(own.lastIndex(of: "/")))) + "MigrationPeer"
        }
    }

    @Test("2.4 it goes to another process over a socket, byte by byte the same, runs there, and comes back")
    func thereAndBack() throws {
        let path = "/tmp/gm-\(getpid()).sock"
        let peer = try Self.peer
        for turn in 0..<6 {
            unlink(path)
            var random = randomSeed("a move between processes")
            let seed = random.next()
            let machine = try SmallMachine(seed: seed)
            let after = try SmallMachine(seed: 0)
            defer {
                machine.end()
                after.end()
                unlink(path)
            }
            let listener = try UnixSocket(listening: path)
            let code = Box<Int?>(nil)
            let steps = 20 + random.below(500)
            let child = Box<WorkerThread?>(
                try WorkerThread {
                    code.value = (try? ChildProcess.run(peer, [path, "\(turn)", "\(steps)"])) ?? -1
                })
            machine.resume()
            #expect(machine.runs(UInt64(random.below(300))))
            try GuestMigrationSource(machine.movable).run(over: listener.accept())
            let left = machine.steps
            #expect(machine.paused && machine.complaint == nil)
            try GuestMigrationDestination(after.movable).run(over: listener.accept())
            #expect(after.steps >= left + UInt64(steps))
            #expect(after.runs(100), "\(after.complaint ?? "it stands still")")
            child.value = nil
            #expect(code.value == 0)
        }
    }
}
