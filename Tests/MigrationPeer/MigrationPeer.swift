import Glibc
import LinuxSystem
import MovedMachine
import VFIOGuest

/// The other process of a test: takes a machine over from a socket, lets it run, and sends it back.
///
/// `MigrationPeer SOCKET SEED STEPS`; the exit code says how far it came.
@main
struct MigrationPeer {
    static func main() {
        let words = CommandLine.arguments
        guard words.count == 4, let seed = UInt64(words[2]), let steps = UInt64(words[3]) else { exit(2) }
        do {
            let machine = try SmallMachine(seed: seed)
            try GuestMigrationDestination(machine.movable).run(over: UnixSocket(connecting: words[1]))
            guard machine.runs(steps) else { exit(3) }
            try GuestMigrationSource(machine.movable).run(over: UnixSocket(connecting: words[1]))
            guard machine.complaint == nil else { exit(4) }
            machine.end()
        } catch {
            print("\(error)")
            exit(5)
        }
    }
}
