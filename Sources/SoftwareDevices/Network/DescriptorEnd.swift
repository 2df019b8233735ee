import LinuxSystem

/// An end of a wire that is a descriptor, of which each read and each write is a frame: a TAP interface of the system,
/// or a datagram socket with another program behind it.
///
/// A thread waits for frames from there. Frames that the descriptor doesn't take at once are lost and counted.
public final class DescriptorEnd {
    /// The place at the wire.
    public let port: WirePort
    private let core: DescriptorEndCore
    private let pump: FramePump

    /// Connects a descriptor.
    /// - Throws: `EMFILE`, `EAGAIN` where the system lacks the means to wait.
    public init(_ descriptor: consuming Descriptor, on wire: NetworkWire) throws(Errno) {
        core = DescriptorEndCore(descriptor)
        let port = wire.connect(core)
        do throws(Errno) {
            pump = try FramePump(core, port)
        } catch {
            port.disconnect()
            throw error
        }
        self.port = port
    }

    /// Connects a TAP interface, which is made if it isn't there.
    /// - Parameter name: of the interface, at most 15 bytes.
    /// - Throws: `ENAMETOOLONG`; `EPERM` where the user may not; `EBUSY` where another program has it; `ENOENT`
    ///   where the system has no TAPs.
    public convenience init(tap name: String, on wire: NetworkWire) throws(Errno) {
        try self.init(try Self.openTAP(name), on: wire)
    }

    deinit {
        port.disconnect()
        pump.stop()
    }

    private static func openTAP(_ name: String) throws(Errno) -> Descriptor {
        let bytes = Array(name.utf8)
        guard bytes.count > 0, bytes.count < 16, !bytes.contains(0) else { throw .nameTooLong }
        let descriptor = try Descriptor(opening: "/dev/net/tun", [.readWrite, .nonBlocking])
        // struct ifreq: the name in 16 bytes, and the flags IFF_TAP and IFF_NO_PI.
        let request = ScratchMemory(byteCount: 40)
        for (index, byte) in bytes.enumerated() { request.window.store8(index, byte) }
        request.window.store16(16, 0x1002)
        // TUNSETIFF
        try descriptor.control(0x4004_54ca, request.window.address.rawValue)
        withExtendedLifetime(request) {}
        return descriptor
    }
}

/// What the wire holds of a descriptor.
private final class DescriptorEndCore: WireEnd, @unchecked Sendable {
    // SAFETY: constant.
    let descriptor: Descriptor

    init(_ descriptor: consuming Descriptor) { self.descriptor = descriptor }

    func receive(_ frame: RawSpan) -> Bool {
        // A writer must not wait, whatever the descriptor's own flags say.
        guard Poller.readiness(of: descriptor.number, .writable).contains(.writable) else { return false }
        return (try? Descriptor.write(descriptor.number, frame)) == frame.byteCount
    }

    func linkChanged() {}
}

/// The thread that sends to a wire what a descriptor has.
private final class FramePump: Sendable {
    private final class Events: Sendable {
        let poller: Poller
        let stop: EventDescriptor

        init(_ number: Int32) throws(Errno) {
            poller = try Poller()
            stop = try EventDescriptor()
            try poller.add(number, .readable, tag: 0)
            try poller.add(stop.number, .readable, tag: 1)
        }
    }

    private let events: Events
    private let thread: WorkerThread

    init(_ core: DescriptorEndCore, _ port: WirePort) throws(Errno) {
        let events = try Events(core.descriptor.number)
        self.events = events
        thread = try WorkerThread {
            var seen: [Poller.Event] = []
            let memory = ScratchMemory(byteCount: NetworkWire.longestFrame)
            while true {
                seen.removeAll(keepingCapacity: true)
                do throws(Errno) { _ = try events.poller.wait(into: &seen) } catch { return }
                let goesOn = ForkGate.passing { () -> Bool in
                    for event in seen {
                        guard event.tag != 1, event.interest.contains(.readable),
                            Self.forward(from: core, by: memory.window, to: port)
                        else { return false }
                    }
                    return true
                }
                if !goesOn { return }
            }
        }
    }

    /// Reads a frame and sends it.
    /// - Returns: false if no more will come.
    private static func forward(
        from core: DescriptorEndCore, by memory: MemoryWindow, to port: WirePort
    ) -> Bool {
        // SAFETY: only this thread uses the memory, which keeps it through the call.
        var span = unsafe MutableRawSpan(_unsafeBytes: memory.unsafeBytes)
        do throws(Errno) {
            let count = try Descriptor.read(core.descriptor.number, into: &span)
            // An empty datagram, or the end of what can't be a descriptor of frames.
            if count == 0 {
                return !Poller.readiness(of: core.descriptor.number, .readable).contains(.hungUp)
            }
            let frame = memory.window(at: 0, byteCount: count)
            // SAFETY: as above; so many bytes were read.
            port.send(unsafe RawSpan(_unsafeBytes: UnsafeRawBufferPointer(frame.unsafeBytes)))
            return true
        } catch {
            // An interface that is down now may come up again.
            return error == .again || error == .inputOutput
        }
    }

    func stop() { events.stop.signal() }
}
