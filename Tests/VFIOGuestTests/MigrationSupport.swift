import IOVASpace
import LinuxSystem
import MovedMachine
import Testing
import VFIO
import VFIOABI

@testable import VFIOGuest

/// A move from one machine to another in this process.
struct Move {
    let source: SmallMachine
    let target: SmallMachine
    var options = GuestMigrationSource.Options()
    var targetOptions = GuestMigrationDestination.Options()

    /// What became of it on both sides; nil for no error.
    struct Outcome {
        var source: GuestMigrationError?
        var target: GuestMigrationError?
        var report: GuestMigrationSource.Progress?
    }

    init(seed: UInt64, _ shape: SmallMachine.Shape = .init(), to other: SmallMachine.Shape? = nil) throws {
        source = try SmallMachine(seed: seed, shape)
        target = try SmallMachine(seed: 0, other ?? shape)
        options.patienceMilliseconds = 20_000
        targetOptions.patienceMilliseconds = 20_000
    }

    func end() {
        source.end()
        target.end()
    }

    /// Moves the machine.
    /// - Parameter between: what stands between both: gets the ends of two connections and carries bytes from one to the
    ///   other.
    func run(
        _ between: (@Sendable (borrowing UnixSocket, borrowing UnixSocket) -> Void)? = nil,
        _ prepared: (GuestMigrationSource) -> Void = { _ in }
    ) throws -> Outcome {
        let outcome = Box(Outcome())
        let mover = GuestMigrationSource(source.movable, options)
        let taker = GuestMigrationDestination(target.movable, targetOptions)
        let ends = try Self.pair()
        let threads = Box<[WorkerThread]>([])
        var farEnd = ends.1
        if let between {
            let far = try Self.pair()
            let near = ends.1
            farEnd = far.1
            let middle = far.0
            let thread = try WorkerThread {
                between(
                    UnixSocket(owning: Descriptor(owning: near)),
                    UnixSocket(owning: Descriptor(owning: middle)))
            }
            threads.change { $0.append(thread) }
        }
        let end = farEnd
        do {
            // Nobody else keeps it: it is waited for below.
            let thread = try WorkerThread {
                do throws(GuestMigrationError) {
                    try taker.run(over: UnixSocket(owning: Descriptor(owning: end)))
                } catch {
                    outcome.change { $0.target = error }
                }
            }
            threads.change { $0.append(thread) }
        }
        prepared(mover)
        do throws(GuestMigrationError) {
            let report = try mover.run(over: UnixSocket(owning: Descriptor(owning: ends.0)))
            outcome.change { $0.report = report }
        } catch {
            outcome.change { $0.source = error }
        }
        threads.value = []
        return outcome.value
    }

    /// The numbers of two connected sockets.
    static func pair() throws(Errno) -> (Int32, Int32) {
        var numbers: (Int32, Int32) = (-1, -1)
        try UnixSocket.withPair { (one, other) throws(Errno) in
            numbers = (one.release(), other.release())
        }
        return numbers
    }

    /// What isn't as it should be with a guest that stayed where it was; nil if all is.
    func complaintAboutSource() -> String? {
        if source.paused { return "the processor is paused" }
        if source.memory.isLoggingForMigration { return "pages are logged" }
        for device in source.devices {
            guard let state = try? device.device.migrationState() else { return "no state" }
            if state != .running { return "\(device.id) is in state \(state.rawValue)" }
            // A log that was still kept would be in the way of a new one.
            let page = IOVARange(IOVA(0), byteCount: 4096)!
            guard (try? device.device.startDMALogging(of: [page])) != nil else {
                return "\(device.id) still logs what it writes"
            }
            try? device.device.stopDMALogging()
        }
        if !source.runs(100) { return "the guest doesn't run on: \(source.complaint ?? "it stands still")" }
        return nil
    }
}
