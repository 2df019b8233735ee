import DeviceModel
import IOVASpace
import LinuxSystem

/// A slot that writes down what it is asked for, with some memory behind it.
final class TestSlot: PCISlot, @unchecked Sendable {
    private let lock = Lock()
    private var sent: [String] = []
    private var level = false
    private var bytes = [UInt8](repeating: 0, count: 256)
    let base: UInt64 = 0x1000

    /// What was delivered since the last look: "msix 3", "line 1".
    func take() -> [String] {
        lock.withLock {
            defer { sent = [] }
            return sent
        }
    }

    var isLineHigh: Bool { lock.withLock { level } }

    func deliverMessage(_ kind: MessageKind, vector: Int) {
        lock.withLock { sent.append("\(kind) \(vector)") }
    }

    func setInterruptLine(_ asserted: Bool) {
        lock.withLock {
            level = asserted
            sent.append("line \(asserted ? 1 : 0)")
        }
    }

    private func place(_ iova: IOVA, _ count: Int, _ access: DMAAccess) throws(DMAFault) -> Int {
        guard iova.rawValue >= base, iova.rawValue - base <= UInt64(bytes.count - count) else {
            throw DMAFault(iova: iova, access: access, reason: .notMapped)
        }
        return Int(iova.rawValue - base)
    }

    func readMemory(at iova: IOVA, into span: inout MutableRawSpan) throws(DMAFault) {
        let at = try place(iova, span.byteCount, .read)
        for index in 0..<span.byteCount {
            span.storeBytes(of: bytes[at + index], toByteOffset: index, as: UInt8.self)
        }
    }

    func writeMemory(_ span: RawSpan, at iova: IOVA) throws(DMAFault) {
        let at = try place(iova, span.byteCount, .write)
        for index in 0..<span.byteCount {
            bytes[at + index] = unsafe span.unsafeLoad(fromByteOffset: index, as: UInt8.self)
        }
    }

    func withMemory(
        at iova: IOVA, byteCount: Int, for access: DMAAccess, _ body: (MemoryWindow) -> Bool
    ) throws(DMAFault) {
        throw DMAFault(iova: iova, access: access, reason: .notLendable)
    }
}

/// A model whose registers are one array per BAR.
final class TestModel: DeviceModel {
    let function: PCIFunction
    var values: [UInt64: UInt64] = [:]
    var resets: [ResetKind] = []

    init(_ function: PCIFunction) { self.function = function }

    func readRegister(bar: Int, offset: UInt64, width: Int) -> UInt64 {
        values[UInt64(bar) << 32 | offset] ?? 0
    }

    func writeRegister(bar: Int, offset: UInt64, width: Int, value: UInt64) {
        values[UInt64(bar) << 32 | offset] = value
    }

    func reset(_ kind: ResetKind) { resets.append(kind) }
}

/// A function in a slot.
struct Board {
    let slot = TestSlot()
    let model: TestModel
    var function: PCIFunction { model.function }
    var configuration: PCIConfiguration { function.configuration }

    init(_ bars: [Int: BAR] = [:], isExpress: Bool = false, rom: [UInt8] = []) {
        model = TestModel(
            PCIFunction(
                PCIIdentity(vendor: 0x1234, device: 0x5678, classCode: 0x01_0802, revision: 2), bars: bars,
                isExpress: isExpress, rom: rom))
        function.plug(into: slot)
    }

    /// Turns on memory and bus mastering.
    func enable() { configuration.write(0x6, at: 4, width: 2) }
}
