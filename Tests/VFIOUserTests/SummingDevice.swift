import DeviceModel
import IOVASpace

/// Adds up bytes in its driver's memory, and interrupts when it is done.
final class SummingDevice: DeviceModel {
    let function: PCIFunction
    private var address: UInt64 = 0
    private var sum: UInt64 = 0

    init() {
        function = PCIFunction(
            PCIIdentity(vendor: 0x1234, device: 0x5a5a, classCode: 0x12_0000),
            bars: [0: BAR(.memory32, byteCount: 4096)])
        function.addMSI(vectors: 1, hasMasks: false)
    }

    func readRegister(bar: Int, offset: UInt64, width: Int) -> UInt64 {
        switch offset {
        case 0x00: address
        case 0x10: sum
        default: 0
        }
    }

    func writeRegister(bar: Int, offset: UInt64, width: Int, value: UInt64) {
        switch offset {
        case 0x00: address = value  // where to read
        case 0x08: add(Int(min(value, 4096)))  // how much: starts the work
        default: break
        }
    }

    func reset(_ kind: ResetKind) { (address, sum) = (0, 0) }

    private func add(_ count: Int) {
        var bytes = [UInt8](repeating: 0, count: count)
        do throws(DMAFault) {
            var span = bytes.mutableSpan
            var raw = span.mutableBytes
            try function.dma.read(IOVA(address), into: &raw)
            sum = bytes.reduce(0) { $0 + UInt64($1) }
        } catch {
            sum = .max
        }
        function.signal(vector: 0)
    }
}
