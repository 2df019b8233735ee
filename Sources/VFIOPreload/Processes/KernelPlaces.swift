import CLinux
import LinuxSystem
import SoftwareHost
import VFIOHost

/// The kernel's ends of the handles, in the process in which the kernel lives.
///
/// An open file's number in the kernel is that of the kernel's end.
final class KernelPlaces: HandlePlaces, @unchecked Sendable {
    // SAFETY: `isOpen` is only touched with `lock` held.
    private let lock = Lock()
    /// By the kernel's end.
    private var isOpen: [Bool] = []
    /// Tells of ends that are hung up, and of what others add (``watch(_:tag:)``).
    private let poller: Poller
    /// Tells this kernel from others.
    let kernel: UInt64

    init() throws(Errno) {
        poller = try Poller { Self.raise($0) }
        kernel = try RandomNumber.bits64()
    }

    // MARK: HandlePlaces

    func make(_ node: Node?) throws(Errno) -> (number: Int32, file: Int32) {
        let word = Handles.bits(of: node)
        if let caller = CallerOfThread.remote {
            let place = try caller.takePlace()
            do throws(Errno) {
                try enter(place.end, word)
            } catch {
                _ = caller.returnPlace()
                throw error
            }
            return (place.number, place.end)
        }
        let pair = try UnixSocket.makePair()
        let end = Self.raise(pair.1)
        do throws(Errno) {
            try enter(end, word)
            // Of ours before the program can know the number.
            if !Handles.add(pair.0, file: end, node: word) { throw .tooManyDescriptors }
        } catch {
            _ = Descriptor(owning: pair.0)
            drop(end)
            throw error
        }
        return (pair.0, end)
    }

    func discard(_ number: Int32) { close(number) { _ in } }

    func file(of number: Int32) -> Int32? {
        if let caller = CallerOfThread.remote { return caller.identity(of: number) }
        return Handles.file(of: number)
    }

    func close(_ number: Int32, _ release: (Int32) -> Void) {
        if let caller = CallerOfThread.remote {
            guard let end = caller.returnPlace() else { return }
            release(end)
            drop(end)
            return
        }
        guard let end = Handles.file(of: number) else { return }
        // No longer ours before the number is free: it may be given out again at once.
        Handles.remove(number)
        _ = Descriptor(owning: number)
        finish(end, release)
    }

    // MARK: the kernel's ends

    /// Moves a descriptor to where programs don't expect one, if there is room.
    static func raise(_ number: Int32) -> Int32 {
        var raised = clinux_dup_above(number, 800)
        if raised < 0 { raised = clinux_dup_above(number, 200) }
        if raised < 0 {
            Handles.protect(number)
            return number
        }
        _ = Descriptor(owning: number)
        Handles.protect(Int32(raised))
        return Int32(raised)
    }

    private func enter(_ end: Int32, _ node: UInt64) throws(Errno) {
        try UnixSocket.name(end, HandleName(kernel: kernel, file: end, node: node))
        lock.withLock {
            let index = Int(end)
            if index >= isOpen.count {
                isOpen.append(contentsOf: repeatElement(false, count: index + 1 - isOpen.count))
            }
            isOpen[index] = true
        }
        // Being hung up is told without being asked for.
        try poller.add(end, [], tag: UInt64(UInt32(bitPattern: end)))
    }

    /// Closes the kernel's end of a handle of which no copy is left, unless there is one, or another thread does it.
    /// - Parameter release: gets the open file before its number, which is the end's, can be given out again.
    private func finish(_ end: Int32, _ release: (Int32) -> Void) {
        let isLast = lock.withLock { () -> Bool in
            let index = Int(end)
            guard index >= 0, index < isOpen.count, isOpen[index],
                Poller.readiness(of: end, []).contains(.hungUp)
            else { return false }
            isOpen[index] = false
            return true
        }
        guard isLast else { return }
        release(end)
        closeEnd(end)
    }

    private func drop(_ end: Int32) {
        lock.withLock { if Int(end) < isOpen.count { isOpen[Int(end)] = false } }
        closeEnd(end)
    }

    private func closeEnd(_ end: Int32) {
        Handles.remove(end)
        _ = Descriptor(owning: end)
    }

    // MARK: watching

    /// The tag of what isn't a kernel's end.
    static let other = UInt64.max

    /// Watches something else as well; its events come with the tag ``other``.
    func watch(_ number: Int32) throws(Errno) { try poller.add(number, .readable, tag: Self.other) }

    /// Waits for ends that are hung up, and hands them over when they are closed.
    /// - Parameters:
    ///   - waits: whether to wait for something to happen.
    ///   - release: gets each open file that has gone.
    /// - Returns: whether something else that is watched is ready.
    func collect(waits: Bool, _ release: (Int32) -> Void) -> Bool {
        var events: [Poller.Event] = []
        do throws(Errno) {
            _ = try poller.wait(into: &events, milliseconds: waits ? nil : 0)
        } catch {
            return false
        }
        var isOtherReady = false
        for event in events {
            if event.tag == Self.other {
                isOtherReady = true
            } else {
                finish(Int32(truncatingIfNeeded: event.tag), release)
            }
        }
        return isOtherReady
    }

    /// How many handles there are, in all processes.
    var count: Int { lock.withLock { isOpen.count { $0 } } }

    // MARK: fork

    func lockForFork() { lock.lock() }
    func unlockAfterFork() { lock.unlock() }

    /// In a child of fork(2), which has no business with the ends that it has copies of.
    func forget() {
        for index in isOpen.indices where isOpen[index] { closeEnd(Int32(truncatingIfNeeded: index)) }
        poller.closeInChild()
        lock.unlock()
    }
}
