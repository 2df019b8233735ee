import DeviceModel
import IOVASpace
import LinuxSystem

/// The slot that the PCI bus driver plugs its device into: DMA goes to the address space that the device is
/// attached to, interrupts go to the driver's interrupt state.
///
/// Nothing here takes the driver's device lock, so a model may use all of it from within a register access.
/// The slot knows neither driver nor model: a function holds its slot, and a link back would be a cycle.
final class PCIDriverSlot: PCISlot, @unchecked Sendable {
    // SAFETY: `space` is guarded by `gate`; everything else is constant.

    /// Where interrupts go.
    let interrupts: PCIInterrupts
    /// Held for reading during an access, so that detaching waits until accesses under way have ended.
    private let gate = ReadWriteLock()
    private var space: (any DMAAddressSpace)?

    init(interrupts: PCIInterrupts) { self.interrupts = interrupts }

    /// Changes where DMA goes; nil refuses all of it. Returns once no access uses the former address space.
    func attach(to space: (any DMAAddressSpace)?) { gate.withWriteLock { self.space = space } }

    func readMemory(at iova: IOVA, into bytes: inout MutableRawSpan) throws(DMAFault) {
        try gate.withReadLock { () throws(DMAFault) in
            guard let space else { throw DMAFault(iova: iova, access: .read, reason: .notAttached) }
            try space.readMemory(at: iova, into: &bytes)
        }
    }

    func writeMemory(_ bytes: RawSpan, at iova: IOVA) throws(DMAFault) {
        try gate.withReadLock { () throws(DMAFault) in
            guard let space else { throw DMAFault(iova: iova, access: .write, reason: .notAttached) }
            try space.writeMemory(bytes, at: iova)
        }
    }

    func withMemory(
        at iova: IOVA, byteCount: Int, for access: DMAAccess, _ body: (MemoryWindow) -> Bool
    ) throws(DMAFault) {
        try gate.withReadLock { () throws(DMAFault) in
            guard let space else { throw DMAFault(iova: iova, access: access, reason: .notAttached) }
            try space.withMemory(at: iova, byteCount: byteCount, for: access, body)
        }
    }

    func deliverMessage(_ kind: MessageKind, vector: Int) { interrupts.deliver(kind, vector: vector) }

    func setInterruptLine(_ asserted: Bool) { interrupts.setLine(asserted) }
}
