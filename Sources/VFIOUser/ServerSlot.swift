import DeviceModel
import IOVASpace
import LinuxSystem
import VFIOABI

/// The slot that a server plugs its device into: DMA goes to the memory that the client has mapped, interrupts go
/// to the client's eventfds. All of it may be used from any thread.
final class ServerSlot: PCISlot, @unchecked Sendable {
    // SAFETY: `current` and `transferLimit` are guarded by the lock, the rest is constant.
    /// Where interrupts go.
    let interrupts = PCIInterrupts()
    /// What is counted and traced.
    let monitor: ServerMonitor
    /// Where DMA goes.
    let memory: ClientMemory
    private let lock = Lock()
    /// Where the client can be asked for memory; nil without a client.
    private var current: Channel?
    private var transferLimit = 0

    init(_ limits: Limits) {
        monitor = ServerMonitor(interrupts)
        memory = ClientMemory(limit: limits.mappingCount, monitor)
    }

    /// There is a client; or there is none any more (nil).
    /// - Parameter transferLimit: the most bytes of data that a message may have.
    func connect(_ channel: Channel?, transferLimit: Int) {
        lock.withLock {
            current = channel
            self.transferLimit = min(transferLimit, Channel.mostData)
        }
    }

    /// Ends the client's connection, from any thread.
    func hangUp() { lock.withLock { current }?.end(.closed) }

    /// The device is about to be reset: what it waits for doesn't come any more.
    func suspendCalls() { lock.withLock { current }?.suspend() }

    /// The device has been reset.
    func resumeCalls() { lock.withLock { current }?.resume() }

    func readMemory(at iova: IOVA, into bytes: inout MutableRawSpan) throws(DMAFault) {
        do throws(DMAFault) {
            try memory.read(at: iova, into: &bytes)
        } catch {
            guard error.reason == .notLendable else { throw error }
            try MemoryWindow.withWindow(on: &bytes) { (window) throws(DMAFault) in
                try ask(iova, window, .read)
            }
        }
    }

    func writeMemory(_ bytes: RawSpan, at iova: IOVA) throws(DMAFault) {
        do throws(DMAFault) {
            try memory.write(bytes, at: iova)
        } catch {
            guard error.reason == .notLendable else { throw error }
            try MemoryWindow.withReadOnlyWindow(on: bytes) { (window) throws(DMAFault) in
                try ask(iova, window, .write)
            }
        }
    }

    /// Memory without a descriptor is not lent: a device copies it.
    func withMemory(
        at iova: IOVA, byteCount: Int, for access: DMAAccess, _ body: (MemoryWindow) -> Bool
    ) throws(DMAFault) {
        try memory.lend(at: iova, byteCount: byteCount, for: access, body)
    }

    func deliverMessage(_ kind: MessageKind, vector: Int) { interrupts.deliver(kind, vector: vector) }

    func setInterruptLine(_ asserted: Bool) { interrupts.setLine(asserted) }

    // MARK: memory without a descriptor

    /// Reads or writes memory of which at least a part has no descriptor. The client is asked for that part, in as
    /// many messages as it takes; nothing is done unless all of the range is mapped.
    @inline(never)
    private func ask(_ iova: IOVA, _ data: MemoryWindow, _ access: DMAAccess) throws(DMAFault) {
        let (channel, limit) = lock.withLock { (current, transferLimit) }
        guard let channel, limit > 0 else {
            throw DMAFault(iova: iova, access: access, reason: .remote(.gone))
        }
        var done = 0
        while done < data.byteCount {
            done += try memory.stretch(iova, done, data.byteCount, access).byteCount
        }
        done = 0
        while done < data.byteCount {
            let stretch = try memory.stretch(iova, done, data.byteCount, access)
            let at = IOVA(iova.rawValue &+ UInt64(done))
            let count = stretch.isShared ? stretch.byteCount : min(stretch.byteCount, limit)
            let part = data.window(at: done, byteCount: count)
            if stretch.isShared {
                try memory.copy(at, part, access)
            } else {
                do throws(DMAFault.RemoteObstacle) {
                    try channel.call(access == .read ? .dmaRead : .dmaWrite, at: at.rawValue, part)
                } catch {
                    throw DMAFault(iova: at, access: access, reason: .remote(error))
                }
            }
            done += count
        }
    }
}
