import LinuxSystem

extension Intel82574Core {
    private typealias Cause = Intel82574.Cause
    private typealias Counter = Intel82574Statistics.Counter

    func receive(_ frame: RawSpan) -> Bool {
        guard frame.byteCount >= 14 else { return true }
        let (destination, tag) = MemoryWindow.withReadOnlyWindow(on: frame) { window in
            (
                MACAddress(destinationOf: window),
                window.byteCount >= 18 && window.loadNetwork16(12) == 0x8100
                    ? window.loadNetwork16(14) : nil
            )
        }
        // On a wire there are no frames of fewer than 60 bytes and their checksum.
        let byteCount = max(frame.byteCount, 60)
        let isReceived = lock.withLock { () -> Bool in
            let isOn = state[Register.receiveControl] & Intel82574.ReceiveControl.enable != 0
            guard isOn, !state.isStopped else { return false }
            state.statistics.countArrival(byteCount)
            switch state.verdict(on: destination, byteCount: byteCount, tag: tag) {
            case .filtered: return false
            case .tooLong:
                state.statistics.count(Counter.oversized)
                return false
            case .received: return true
            }
        }
        guard isReceived else { return true }
        guard inbox.append(frame, padded: 60) else {
            lose()
            return false
        }
        lock.withLock { state.statistics.countReceived(destination, byteCount) }
        receiveTurnstile.run(.data) { deliver() }
        return true
    }

    /// Counts a frame that there was no room for.
    private func lose() {
        lock.withLock {
            state.statistics.count(Counter.missed)
            state.statistics.count(Counter.overruns)
        }
        raise(Cause.receiveOverrun)
    }

    /// Moves frames that wait into the driver's buffers.
    func deliver() -> Turnstile.Outcome {
        var causes: UInt32 = 0
        defer { raise(causes) }
        while let frame = inbox.first {
            switch deliver(frame) {
            case .starved: return .starved
            case .gone(let raised):
                causes |= raised
                inbox.removeFirst()
            }
        }
        return .finished
    }

    /// What has become of a frame.
    private enum Fate {
        /// It was delivered, or lost; either may be a cause of interrupts.
        case gone(UInt32)
        /// It waits for buffers.
        case starved
    }

    private func deliver(_ original: MemoryWindow) -> Fate {
        var report = Intel82574Receiver.Report()
        let settings = lock.withLock { state.receiveSettings }
        guard let settings else { return .gone(0) }
        let frame = receiver.prepare(original, settings, &report)
        let packet = PacketLayout(frame, typeAt: 12)
        receiver.check(frame, packet, settings, &report)
        let (ring, registers) = lock.withLock { () -> (RingPlace, UInt64) in
            if state.isHashing {
                report.hash = state.hash(frame, packet)
                report.queue = state.queue(of: report.hash)
            }
            let registers = Register.receiveRing + UInt64(report.queue) * Ring.stride
            return (state.ring(at: registers), registers)
        }
        let needed = (frame.byteCount + settings.bufferByteCount - 1) / settings.bufferByteCount
        if needed > ring.ready {
            // A frame that never fits is lost at once.
            if ring.count > 0 && needed >= ring.count {
                lose()
                return .gone(0)
            }
            if !receiver.hasCountedStarvation {
                receiver.hasCountedStarvation = true
                lock.withLock { state.statistics.count(Counter.withoutBuffers) }
            }
            return .starved
        }
        receiver.hasCountedStarvation = false
        guard receiver.place(frame, in: ring, count: needed, settings, report) else {
            lose()
            return .gone(0)
        }
        return .gone(
            lock.withLock { () -> UInt32 in
                let head = (ring.head + needed) % ring.count
                state[registers + Ring.head] = UInt32(head)
                var causes = Cause.received | Cause.receiveQueue << UInt32(report.queue)
                let left = state.ring(at: registers).ready
                // RDMTS: half, a quarter or an eighth of the ring.
                if left <= ring.count >> Int(1 + min(state[Register.receiveControl] >> 8 & 3, 2)) {
                    causes |= Cause.receiveLow
                    state.statistics.count(Counter.receiveLow)
                }
                return causes
            })
    }
}

extension Intel82574Core.State {
    private typealias Register = Intel82574.Register

    /// How frames are received; nil if they aren't.
    var receiveSettings: Intel82574Receiver.Settings? {
        let control = self[Register.receiveControl]
        // DTYP 1 is packet split, which isn't there.
        guard control & Intel82574.ReceiveControl.enable != 0, !isStopped, control >> 10 & 3 == 0 else {
            return nil
        }
        let isLong = control & Intel82574.ReceiveControl.longBuffers != 0
        let takes = self[Register.control] & Intel82574.Control.vlanMode != 0
        return Intel82574Receiver.Settings(
            bufferByteCount: (isLong ? 32_768 : 2048) >> Int(control >> 16 & 3),
            isExtended: self[Register.receiveFilter] & Intel82574.extendedStatus != 0,
            stripsChecksum: control & Intel82574.ReceiveControl.stripsChecksum != 0,
            tagType: takes ? UInt16(truncatingIfNeeded: self[Register.vlanType]) : nil,
            checksums: self[Register.receiveChecksum])
    }
}
