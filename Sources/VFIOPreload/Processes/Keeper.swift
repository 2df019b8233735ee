import CLinux
import LinuxSystem

/// A process that keeps the kernel of the run when the process in which it lived ends, or goes on as another program,
/// while others have files open still.
///
/// It is a copy of that process, made at the last moment by fork(2), with all that devices and files have come to; their
/// threads are started again. Its copy of the memory stands for the pages that Linux would keep pinned. It ends when the
/// last handle has gone. A process that is killed leaves none: to others the kernel is gone then (`ENODEV`).
struct Keeper {
    /// Our end of a pipe: it is closed when this process ends, or becomes another program.
    private let end: Int32

    /// Makes one, which waits for this process's end.
    ///
    /// From now on nobody is served here any more.
    /// - Parameter willFork: called before, and with false after the fork: it is this one that is meant.
    /// - Returns: nil if there can't be one.
    static func make(for service: KernelService, _ willFork: (Bool) -> Void) -> Keeper? {
        var ends = InlineArray<2, Int32>(repeating: -1)
        // SAFETY: room for two numbers.
        let result = unsafe withUnsafeMutableBytes(of: &ends) {
            unsafe clinux_pipe($0.baseAddress?.assumingMemoryBound(to: Int32.self))
        }
        guard result >= 0 else { return nil }
        // The copy gets no signals, ever: they are meant for the program.
        _ = clinux_hold_signals(.max, 1)
        ForkGate.close()
        willFork(true)
        let place = clinux_fork_away()
        willFork(false)
        if place == 1 { takeOver(service, when: ends[0], isClosedAt: ends[1]) }
        _ = clinux_hold_signals(.max, 0)
        _ = clinux_close(ends[0])
        guard place == 0 else {
            _ = clinux_close(ends[1])
            ForkGate.open()
            return nil
        }
        Handles.protect(ends[1])
        return Keeper(end: ends[1])
    }

    /// Nothing has come of it: the kernel stays here.
    func sendAway() {
        // SAFETY: a byte of a local array.
        _ = try? unsafe Descriptor.write(end, [UInt8(1)].span.bytes)
        Handles.remove(end)
        _ = clinux_close(end)
        ForkGate.open()
    }

    /// What the copy does.
    private static func takeOver(
        _ service: KernelService, when ending: Int32, isClosedAt other: Int32
    ) -> Never {
        let name: StaticString = "vfio-keeper"
        // SAFETY: a StaticString's text ends with a NUL.
        unsafe clinux_name_thread(
            UnsafeRawPointer(name.utf8Start).assumingMemoryBound(to: CChar.self))
        _ = clinux_close(other)
        closeWhatIsTheProgramsOwn(but: ending)
        var byte: UInt8 = 0
        // SAFETY: room for one byte.
        let count = unsafe withUnsafeMutableBytes(of: &byte) { (bytes) -> Int in
            var span = unsafe MutableRawSpan(_unsafeBytes: bytes)
            return (try? Descriptor.read(ending, into: &span)) ?? 1
        }
        if count == 0 {
            _ = clinux_close(ending)
            ForkGate.openInChild()
            WorkerThread.startAllAgain()
            service.goOn()
            // A little longer than the last handle: the next may be on its way.
            var rounds = 0
            while rounds < 3 {
                Clock.sleep(nanoseconds: 100_000_000)
                rounds = service.places.count == 0 ? rounds + 1 : 0
            }
            service.end()
        }
        clinux_exit_at_once(0)
        // It doesn't return.
        while true { Clock.sleep(nanoseconds: 1_000_000_000) }
    }

    /// Whoever reads from the other end of a pipe waits for all copies to be closed.
    private static func closeWhatIsTheProgramsOwn(but kept: Int32) {
        for name in (try? FileSystem.names(in: "/proc/self/fd")) ?? [] {
            guard let number = Int32(name), number != kept,
                // What kept a device open for a mapping of the program's is of no more use.
                Handles.contains(number) || !Handles.isProtected(number)
            else { continue }
            Handles.remove(number)
            _ = clinux_close(number)
        }
        // Nothing of ours is to come to lie where errors are written to.
        while let null = try? Descriptor(opening: "/dev/null", .readWrite).release(), null >= 0 {
            if null > 2 {
                _ = clinux_close(null)
                return
            }
        }
    }
}
