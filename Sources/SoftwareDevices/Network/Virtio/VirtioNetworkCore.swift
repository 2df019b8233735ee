import DeviceModel
import LinuxSystem

/// What a virtio network card consists of. It is apart from the model so that the wire can hold it while the model
/// alone decides how long the card lives.
///
/// `lock` guards the registers, and is never held while the host, the wire or the function is called. The queues
/// belong to whoever has passed their turnstile.
final class VirtioNetworkCore: WireEnd, @unchecked Sendable {
    // SAFETY: as told above.

    /// What the driver has set.
    struct Registers {
        var driverFeatures: UInt32 = 0
        var queueSelect: UInt16 = 0
        var status: UInt8 = 0
        var interruptStatus: UInt8 = 0
        var configurationVector = VirtioNetworkCard.noVector
        var pages: InlineArray<3, UInt32> = .init(repeating: 0)
        var vectors: InlineArray<3, UInt16> = .init(repeating: VirtioNetworkCard.noVector)
        var address: MACAddress
        var filter = VirtioReceiveFilter()

        init(_ address: MACAddress) { self.address = address }
    }

    let function: PCIFunction
    let lock = Lock()
    var registers: Registers
    private let firstAddress: MACAddress
    private var isStopped = false
    private var port: WirePort?

    private let receiveTurnstile = Turnstile()
    /// Of the queues for frames to send and for commands.
    private let sendTurnstile = Turnstile()
    private let queues: [Virtqueue]
    private let inbox = FrameQueue(byteCount: 64 << 10)
    private let outgoing = ScratchMemory(byteCount: NetworkWire.longestFrame + 1)
    private let header = ScratchMemory(byteCount: 16)
    private var taken: [Virtqueue.Chain] = []
    private let level = InterruptLevel()

    init(_ function: PCIFunction, _ address: MACAddress) {
        self.function = function
        firstAddress = address
        registers = Registers(address)
        queues = [Virtqueue(function.dma), Virtqueue(function.dma), Virtqueue(function.dma)]
        taken.reserveCapacity(64)
    }

    func attach(to port: WirePort) { lock.withLock { self.port = port } }

    func detach() {
        let port = lock.withLock { () -> WirePort? in
            defer { self.port = nil }
            isStopped = true
            return self.port
        }
        port?.disconnect()
    }

    var currentAddress: MACAddress { lock.withLock { registers.address } }

    var brokenQueueCount: Int {
        let count = receiveTurnstile.pause {
            sendTurnstile.pause { queues.reduce(0) { $0 + ($1.isBroken ? 1 : 0) } }
        }
        // What has come meanwhile.
        receiveTurnstile.run(.room) { deliver() }
        return count
    }

    // MARK: resets

    /// Puts everything into its first state.
    func reset() {
        receiveTurnstile.pause {
            sendTurnstile.pause {
                lock.withLock {
                    registers = Registers(firstAddress)
                    isStopped = false
                    level.want(false)
                }
                for queue in queues { queue.place(at: 0) }
                inbox.removeAll()
            }
        }
        level.tell(function)
    }

    /// Ends all work until a reset; what arrives is lost.
    func stop() {
        lock.withLock { isStopped = true }
        receiveTurnstile.pause { sendTurnstile.pause { inbox.removeAll() } }
    }

    /// Gives a queue its rings. The other queues go on meanwhile.
    func placeQueue(_ index: Int, at page: UInt32) {
        let turnstile = index == VirtioNetworkCard.Queue.receive ? receiveTurnstile : sendTurnstile
        turnstile.pause {
            lock.withLock { registers.pages[index] = page }
            queues[index].place(at: page)
        }
    }

    // MARK: interrupts

    /// Tells the driver that buffers of a queue were given back.
    private func signal(queue: Int) {
        raise(VirtioNetworkCard.Cause.queue, lock.withLock { registers.vectors[queue] })
    }

    /// Raises an interrupt: a message, or the line for a cause.
    private func raise(_ cause: UInt8, _ vector: UInt16) {
        if function.isMessageSignalled {
            if vector != VirtioNetworkCard.noVector { function.signal(vector: Int(vector)) }
            return
        }
        lock.withLock {
            registers.interruptStatus |= cause
            level.want(true)
        }
        level.tell(function)
    }

    /// Reads the interrupt's cause and so acknowledges it.
    func takeInterruptStatus() -> UInt8 {
        let status = lock.withLock { () -> UInt8 in
            defer { registers.interruptStatus = 0 }
            level.want(false)
            return registers.interruptStatus
        }
        level.tell(function)
        return status
    }

    /// Whether the wire has a link.
    var hasLink: Bool { lock.withLock { port }?.isUp ?? false }

    func linkChanged() {
        let vector = lock.withLock { () -> UInt16? in
            let isTold = registers.driverFeatures & VirtioNetworkCard.Feature.status != 0 && !isStopped
            return isTold ? registers.configurationVector : nil
        }
        if let vector { raise(VirtioNetworkCard.Cause.configuration, vector) }
    }

    // MARK: sending

    /// The header before each frame, in bytes.
    private func headerByteCount(_ features: UInt32) -> Int {
        features & VirtioNetworkCard.Feature.mergedBuffers != 0 ? 12 : 10
    }

    /// The driver has put something into a queue.
    func notify(_ index: Int) {
        switch index {
        case VirtioNetworkCard.Queue.receive: receiveTurnstile.run(.room) { deliver() }
        case VirtioNetworkCard.Queue.transmit, VirtioNetworkCard.Queue.control:
            sendTurnstile.run(.room) {
                if lock.withLock({ isStopped }) { return .finished }
                transmit()
                obey()
                return .finished
            }
        default: break
        }
    }

    private func transmit() {
        let queue = queues[VirtioNetworkCard.Queue.transmit]
        let (features, port) = lock.withLock { (registers.driverFeatures, self.port) }
        let skipped = headerByteCount(features)
        // No more than fits the queue at once: who adds more notifies again.
        for _ in 0..<Virtqueue.size {
            guard let chain = queue.take() else { break }
            guard let count = queue.read(chain, skipping: skipped, into: outgoing.window) else { break }
            if count > 0 {
                // SAFETY: the card's own memory, of which so many bytes were filled.
                let bytes = unsafe UnsafeRawBufferPointer(
                    outgoing.window.window(at: 0, byteCount: count).unsafeBytes)
                port?.send(unsafe RawSpan(_unsafeBytes: bytes))
            }
            queue.give(chain.head, written: 0)
        }
        if queue.publish() { signal(queue: VirtioNetworkCard.Queue.transmit) }
    }

    /// Carries out commands.
    private func obey() {
        let queue = queues[VirtioNetworkCard.Queue.control]
        for _ in 0..<Virtqueue.size {
            guard let chain = queue.take() else { break }
            // The longest useful command: two full tables of addresses.
            let room = outgoing.window.window(at: 0, byteCount: 4096)
            guard let count = queue.read(chain, skipping: 0, into: room) else { break }
            let command = room.window(at: 0, byteCount: count)
            let isDone = lock.withLock { registers.obey(command) }
            header.window.store8(0, isDone ? 0 : 1)
            guard let written = queue.write(header.window.window(at: 0, byteCount: 1), to: chain) else {
                break
            }
            queue.give(chain.head, written: written)
        }
        if queue.publish() { signal(queue: VirtioNetworkCard.Queue.control) }
    }

    // MARK: receiving

    func receive(_ frame: RawSpan) -> Bool {
        guard frame.byteCount >= 14 else { return true }
        var number: UInt64 = 0
        for index in 0..<6 {
            // SAFETY: the frame has at least 14 bytes; any byte is an integer.
            number = unsafe number << 8 | UInt64(frame.unsafeLoad(fromByteOffset: index, as: UInt8.self))
        }
        let destination = MACAddress(rawValue: number)
        let isWanted = lock.withLock {
            !isStopped && registers.status & VirtioNetworkCard.Status.driverReady != 0
                && registers.filter.accepts(destination, by: registers.address)
        }
        guard isWanted else { return true }
        guard inbox.append(frame) else { return false }
        receiveTurnstile.run(.data) { deliver() }
        return true
    }

    /// Moves frames that wait into the driver's buffers.
    private func deliver() -> Turnstile.Outcome {
        let queue = queues[VirtioNetworkCard.Queue.receive]
        let (features, goesOn) = lock.withLock { (registers.driverFeatures, !isStopped) }
        guard goesOn else { return .finished }
        var outcome = Turnstile.Outcome.finished
        while let frame = inbox.firstWithHeader {
            if deliver(frame, to: queue, features) {
                inbox.removeFirst()
                continue
            }
            // Out of buffers: ask to hear of new ones, and look again at those that came before that was seen.
            queue.setQuiet(false)
            if deliver(frame, to: queue, features) {
                inbox.removeFirst()
                continue
            }
            outcome = .starved
            break
        }
        if outcome == .finished { queue.setQuiet(true) }
        if queue.publish() { signal(queue: VirtioNetworkCard.Queue.receive) }
        return outcome
    }

    /// Puts a frame into one buffer, or into several where the driver allows that.
    /// - Returns: false if it has to wait for buffers.
    private func deliver(_ frame: MemoryWindow, to queue: Virtqueue, _ features: UInt32) -> Bool {
        let headerCount = headerByteCount(features)
        let isMerged = headerCount == 12
        // What is written: the header that the driver knows, and the frame behind it.
        let skipped = FrameQueue.headerByteCount - headerCount
        let packet = frame.window(at: skipped, byteCount: frame.byteCount - skipped)
        let total = packet.byteCount
        taken.removeAll(keepingCapacity: true)
        var room = 0
        while room < total {
            guard taken.count < 64, let chain = queue.take(keepingOthers: !taken.isEmpty) else {
                // A queue that is broken takes nothing any more, nor does it get better by waiting.
                if queue.isBroken { return true }
                queue.untake(taken)
                return taken.count == 64
            }
            taken.append(chain)
            room += queue.byteCount(chain, writable: true, limit: total)
            if !isMerged && room < total {
                // The frame doesn't fit, now or later; the buffer waits for another.
                queue.untake(taken)
                return true
            }
        }
        packet.zero(at: 0, byteCount: headerCount)
        if isMerged { packet.store16(10, UInt16(taken.count)) }
        var done = 0
        for chain in taken {
            let left = packet.window(at: done, byteCount: total - done)
            guard let count = queue.write(left, to: chain) else { return true }
            if done == 0 && count < headerCount {
                // A first buffer without room for the header: against the rules.
                queue.breakDown()
                return true
            }
            done += count
            queue.give(chain.head, written: count)
        }
        return true
    }
}
