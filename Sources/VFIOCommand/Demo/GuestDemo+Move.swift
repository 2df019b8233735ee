import DeviceModel
import LinuxSystem
import SoftwareDevices
import VFIO
import VFIOGuest

/// A guest that has been moved.
struct FarGuest {
    /// The machine that it is on.
    let machine: DemoMachine
    /// Its devices there.
    let engines: [DemoEngine]
}

extension GuestDemo {
    /// The guest goes to another machine while its program runs.
    /// - Parameter engine: the first device.
    /// - Returns: the guest on the other machine.
    mutating func move(_ engine: DemoEngine) throws -> FarGuest {
        let here = [engine, try machine.addEngine(1)]
        let program = try DemoProgram(guest, here)
        defer { program.end() }
        let far = try DemoMachine(nil)
        let there = [try far.addEngine(0), try far.addEngine(1)]
        let farProgram = try DemoProgram(far.guest, there)
        defer { farProgram.end() }
        // Until both are compared.
        farProgram.isHeldBack = true

        program.resume()
        while program.count < 100, program.failure == nil { Clock.sleep(nanoseconds: 100_000) }
        let before = program.count
        story.say(
            "A live move",
            "a program runs in the guest: it has counted to \(Human.grouped(before)), and \(here[0].device.id) and "
                + "\(here[1].device.id) copy what it counts")
        let progress = try Self.carry(
            machine.movable(here, program), to: far.movable(there, farProgram))
        if let failure = program.failure { throw failure }
        let count = try program.countInMemory
        try program.checkCopies()
        try compare(far)

        story.detail(
            "to another machine over a socket: \(Human.bytes(progress.sentBytes)) in \(Self.count(progress.rounds, "round")) "
                + "while it ran; pages: \(Human.grouped(progress.pages)) with contents, "
                + "\(Human.grouped(progress.zeroPages)) of zeros; devices' states: \(Human.bytes(progress.deviceBytes))"
        )
        story.detail(
            "it was stopped for \(Human.nanoseconds(progress.downtimeNanoseconds)), having counted to "
                + "\(Human.grouped(count))")
        story.detail(
            "compared before it goes on: \(Human.bytes(guest.ram.byteCount + guest.rom.byteCount)) of memory and the states "
                + "of both devices, byte for byte: the same")
        farProgram.isHeldBack = false
        farProgram.resume()
        let deadline = Clock.moment(inMilliseconds: 10_000)
        while farProgram.count < count + 100, farProgram.failure == nil, Clock.now < deadline {
            Clock.sleep(nanoseconds: 100_000)
        }
        farProgram.pause()
        if let failure = farProgram.failure { throw failure }
        let later = try farProgram.countInMemory
        try farProgram.checkCopies()
        try require(later >= count + 100, "the program doesn't go on where the guest went")
        let still = try program.countInMemory
        try require(still == count, "the program goes on where the guest was")
        story.detail(
            "there it goes on: it has counted to \(Human.grouped(later)), and the devices copy it; here it stays at "
                + Human.grouped(still))
        for engine in here { engine.device.detach() }
        return FarGuest(machine: far, engines: there)
    }

    /// Moves a guest over a pair of sockets, the far end on a thread of its own.
    private static func carry(
        _ source: MovableGuest, to destination: MovableGuest
    ) throws -> GuestMigrationSource.Progress {
        var options = GuestMigrationSource.Options()
        // Should nobody but the IOMMU know what is written, each round sends everything.
        options.roundLimit = 10
        var result: Result<GuestMigrationSource.Progress, GuestMigrationError>?
        let failure = try UnixSocket.withPair { (one, other) throws(Errno) -> GuestMigrationError? in
            let arrival = Arrival(of: destination, over: other)
            do {
                let thread = try WorkerThread { arrival.run() }
                defer { withExtendedLifetime(thread) {} }
                do throws(GuestMigrationError) {
                    result = .success(try GuestMigrationSource(source, options).run(over: one))
                } catch {
                    result = .failure(error)
                }
            }
            // The thread has ended.
            return arrival.failure
        }
        guard let result else { throw CommandFailure.refused("the guest wasn't sent") }
        let progress = try result.get()
        if let failure { throw failure }
        return progress
    }

    /// The end of a move at which the guest arrives.
    private final class Arrival: @unchecked Sendable {
        // SAFETY: used by the thread that runs it, and by its maker when that has ended.
        private let guest: MovableGuest
        private var socket: UnixSocket?
        private(set) var failure: GuestMigrationError?

        init(of guest: MovableGuest, over socket: consuming UnixSocket) {
            self.guest = guest
            self.socket = consume socket
        }

        func run() {
            guard let socket = socket.take() else { return }
            do throws(GuestMigrationError) {
                try GuestMigrationDestination(guest).run(over: socket)
            } catch {
                failure = error
            }
        }
    }

    /// Ends the demo unless both machines hold the same.
    private func compare(_ far: DemoMachine) throws {
        for (here, there) in [(guest.ram, far.guest.ram), (guest.rom, far.guest.rom)] {
            for offset in stride(from: 0, to: Int(here.byteCount), by: 8)
            where here.window.load64(offset) != there.window.load64(offset) {
                throw CommandFailure.refused(
                    "\(here.name) is different at \(Self.hex(UInt64(offset))) after the move")
            }
        }
        for (index, model) in machine.models.enumerated() {
            var (here, there) = (StateWriter(), StateWriter())
            model.saveState(to: &here)
            far.models[index].saveState(to: &there)
            try require(
                here.bytes == there.bytes, "the state of device \(index + 1) is different after the move")
        }
    }
}
