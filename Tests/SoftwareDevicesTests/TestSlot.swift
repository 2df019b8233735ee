import DeviceModel
import IOVASpace
import LinuxSystem

/// A slot with flat memory at a chosen address, which notes what the device sends.
final class TestSlot: PCISlot, @unchecked Sendable {
    let base: UInt64
    var memory: [UInt8]
    /// Whether the device may write the memory.
    var isWritable = true
    private(set) var messages: [Int] = []
    private(set) var line = false

    init(base: UInt64, byteCount: Int) {
        self.base = base
        memory = [UInt8](repeating: 0, count: byteCount)
    }

    private func range(_ iova: IOVA, _ count: Int, _ access: DMAAccess) throws(DMAFault) -> Range<Int> {
        guard iova.rawValue >= base, iova.rawValue - base <= UInt64(memory.count),
            UInt64(memory.count) - (iova.rawValue - base) >= UInt64(count)
        else { throw DMAFault(iova: iova, access: access, reason: .notMapped) }
        if access == .write && !isWritable {
            throw DMAFault(iova: iova, access: access, reason: .notPermitted)
        }
        let start = Int(iova.rawValue - base)
        return start..<start + count
    }

    func readMemory(at iova: IOVA, into bytes: inout MutableRawSpan) throws(DMAFault) {
        let range = try range(iova, bytes.byteCount, .read)
        for index in range {
            bytes.storeBytes(of: memory[index], toByteOffset: index - range.lowerBound, as: UInt8.self)
        }
    }

    func writeMemory(_ bytes: RawSpan, at iova: IOVA) throws(DMAFault) {
        let range = try range(iova, bytes.byteCount, .write)
        for index in range {
            // SAFETY: the offset is below the span's length; every byte is a UInt8.
            memory[index] = unsafe bytes.unsafeLoad(fromByteOffset: index - range.lowerBound, as: UInt8.self)
        }
    }

    func withMemory(
        at iova: IOVA, byteCount: Int, for access: DMAAccess, _ body: (MemoryWindow) -> Bool
    ) throws(DMAFault) {
        throw DMAFault(iova: iova, access: access, reason: .notLendable)
    }

    func deliverMessage(_ kind: MessageKind, vector: Int) { messages.append(vector) }

    func setInterruptLine(_ asserted: Bool) { line = asserted }
}
