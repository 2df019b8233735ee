import DeviceModel
import IOVASpace
import LinuxSystem

/// The slot that a server plugs its device into: DMA goes to the memory that the client has mapped, interrupts go
/// to the client's eventfds. All of it may be used from any thread.
final class ServerSlot: PCISlot {
    /// Where interrupts go.
    let interrupts = PCIInterrupts()
    /// Where DMA goes.
    let memory: ClientMemory

    init(_ limits: Limits) { memory = ClientMemory(limit: limits.mappingCount) }

    func readMemory(at iova: IOVA, into bytes: inout MutableRawSpan) throws(DMAFault) {
        try memory.read(at: iova, into: &bytes)
    }

    func writeMemory(_ bytes: RawSpan, at iova: IOVA) throws(DMAFault) {
        try memory.write(bytes, at: iova)
    }

    func withMemory(
        at iova: IOVA, byteCount: Int, for access: DMAAccess, _ body: (MemoryWindow) -> Bool
    ) throws(DMAFault) {
        try memory.lend(at: iova, byteCount: byteCount, for: access, body)
    }

    func deliverMessage(_ kind: MessageKind, vector: Int) { interrupts.deliver(kind, vector: vector) }

    func setInterruptLine(_ asserted: Bool) { interrupts.setLine(asserted) }
}
