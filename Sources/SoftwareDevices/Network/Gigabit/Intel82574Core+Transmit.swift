import LinuxSystem

extension Intel82574Core {
    private typealias Cause = Intel82574.Cause

    /// A ring as its registers tell of it.
    struct RingPlace {
        let base: UInt64
        /// How many descriptors there are; 0 if there is no ring.
        let count: Int
        let head: Int
        let tail: Int

        /// How many descriptors are the card's.
        var ready: Int {
            guard count > 0, head < count, tail < count else { return 0 }
            return tail >= head ? tail - head : tail + count - head
        }
    }

    /// Sends what the driver has put on the rings.
    func transmit() {
        sendTurnstile.run(.room) {
            var causes: UInt32 = 0
            for queue in 0..<2 { causes |= transmit(queue: queue) }
            raise(causes)
            return .finished
        }
    }

    /// - Returns: the causes of interrupts.
    private func transmit(queue: Int) -> UInt32 {
        let registers = Register.transmitRing + UInt64(queue) * Ring.stride
        var causes: UInt32 = 0
        // No more than was there at first: who adds more writes the tail again.
        var left = -1
        while left != 0 {
            let (ring, settings) = lock.withLock { (state.ring(at: registers), state.transmitSettings) }
            guard let settings else { break }
            left = left < 0 ? ring.ready : min(left, ring.ready)
            let count = min(left, ring.count - ring.head, 32)
            guard count > 0 else { break }
            let outcome = transmitter.carryOut(
                queue: queue, at: ring.base &+ UInt64(16 * ring.head), count: count, settings,
                send: send)
            guard outcome.count > 0 else { break }
            left -= outcome.count
            causes |= lock.withLock { () -> UInt32 in
                let head = (ring.head + outcome.count) % ring.count
                state[registers + Ring.head] = UInt32(head)
                for _ in 0..<outcome.segmentedCount {
                    state.statistics.count(Intel82574Statistics.Counter.segmented)
                }
                var causes: UInt32 = 0
                if outcome.isReported || state.interrupts.isTransmitAlwaysTold {
                    causes = Cause.transmitted | Cause.transmitQueue << UInt32(queue)
                }
                if head == Int(state[registers + Ring.tail]) { causes |= Cause.transmitEmpty }
                return causes
            }
        }
        return causes
    }

    /// Sends a frame to the wire, or to the card itself.
    private func send(_ frame: MemoryWindow) {
        guard frame.byteCount >= 14 else { return }
        let (port, loopsBack) = lock.withLock {
            state.statistics.countSent(MACAddress(destinationOf: frame), frame.byteCount)
            return (state.port, state.loopsBack)
        }
        // SAFETY: the card's own memory, which stays as it is until the frame is sent.
        let bytes = unsafe RawSpan(_unsafeBytes: UnsafeRawBufferPointer(frame.unsafeBytes))
        if loopsBack {
            _ = receive(bytes)
        } else {
            port?.send(bytes)
        }
    }
}

extension MACAddress {
    /// The destination of a frame of at least six bytes.
    init(destinationOf frame: MemoryWindow) {
        let (high, low) = (frame.load32(0).byteSwapped, frame.load16(4).byteSwapped)
        self.init(rawValue: UInt64(high) << 16 | UInt64(low))
    }
}

extension Intel82574Core.State {
    /// A ring whose registers begin at an offset.
    func ring(at offset: UInt64) -> Intel82574Core.RingPlace {
        typealias Ring = Intel82574.Ring
        let low = UInt64(self[offset + Ring.low] & ~15)
        return Intel82574Core.RingPlace(
            base: low | UInt64(self[offset + Ring.high]) << 32,
            count: Int(self[offset + Ring.byteCount] & 0xf_ff80) / 16,
            head: Int(self[offset + Ring.head] & 0xffff), tail: Int(self[offset + Ring.tail] & 0xffff))
    }

    /// How frames are sent; nil if they aren't.
    var transmitSettings: Intel82574Transmitter.Settings? {
        let control = self[Intel82574.Register.transmitControl]
        guard control & Intel82574.TransmitControl.enable != 0, !isStopped else { return nil }
        let puts = self[Intel82574.Register.control] & Intel82574.Control.vlanMode != 0
        return Intel82574Transmitter.Settings(
            padsShort: control & Intel82574.TransmitControl.padsShort != 0,
            tagType: puts
                ? UInt16(truncatingIfNeeded: self[Intel82574.Register.vlanType]) : nil)
    }
}
