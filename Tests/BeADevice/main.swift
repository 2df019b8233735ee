import DeviceModel
import IOVASpace
import LinuxSystem
import SoftwareHost
import VFIO
import VFIOHost
import VFIOUser

/// Turns text in its driver's memory into capitals.
final class Capitals: DeviceModel {
    let function: PCIFunction
    var address: UInt64 = 0
    var status: UInt64 = 0

    init() {
        function = PCIFunction(
            PCIIdentity(vendor: 0x1234, device: 0x0ca9, classCode: 0x12_0000),
            bars: [0: BAR(.memory32, byteCount: 4096)])
        function.addMSI(vectors: 1, hasMasks: false)
    }

    func readRegister(bar: Int, offset: UInt64, width: Int) -> UInt64 {
        switch offset {
        case 0x00: 0x5350_4143  // "CAPS", lowest byte first
        case 0x08: address  // 64 bits, or the lower half
        case 0x0c: address >> 32
        case 0x18: status
        default: 0
        }
    }

    func writeRegister(bar: Int, offset: UInt64, width: Int, value: UInt64) {
        switch offset {
        case 0x08 where width == 8: address = value
        case 0x08: address = address & ~0xffff_ffff | value
        case 0x0c: address = address & 0xffff_ffff | value << 32
        case 0x10: capitalize(value)
        default: break
        }
    }

    func reset(_ kind: ResetKind) { (address, status) = (0, 0) }
}

extension Capitals {
    /// What the status register says after the work.
    enum Outcome: UInt64 {
        case done = 1
        case refused = 2
        case tooLong = 3
    }

    func capitalize(_ byteCount: UInt64) {
        let outcome = work(byteCount)
        status = outcome.rawValue
        function.signal(vector: 0)
    }

    private func work(_ byteCount: UInt64) -> Outcome {
        guard byteCount <= 4096 else { return .tooLong }
        var text = [UInt8](repeating: 0, count: Int(byteCount))
        do throws(DMAFault) {
            var span = text.mutableSpan
            var bytes = span.mutableBytes
            try function.dma.read(IOVA(address), into: &bytes)
            for index in text.indices where (0x61...0x7a).contains(text[index]) { text[index] -= 0x20 }
            try function.dma.write(text.span.bytes, to: IOVA(address))
            return .done
        } catch {
            return .refused
        }
    }
}

/// Finds the device and has a text turned into capitals.
func drive(_ address: PCIAddress, on host: any Host) throws {
    let device = try Device(opening: address, on: host)
    try device.setMemoryEnabled(true)
    try device.setBusMaster(true)
    let registers = try device.region(.bar0)
    guard try registers.load32(0x00) == 0x5350_4143 else { return print("that is another device") }

    let interrupts = try device.enableInterrupts(.msi, count: 1)
    let memory = try device.addressSpace.allocate(byteCount: 4096)
    let text = Array("written once, hosted anywhere".utf8)
    memory.window.write(text.span.bytes, at: 0)

    func order(_ iova: UInt64, _ byteCount: UInt32) throws -> UInt32? {
        try registers.store64LowHigh(0x08, iova)
        Fence.beforeDoorbell()
        try registers.store32(0x10, byteCount)
        guard try interrupts.wait(0, milliseconds: 5000) != nil else { return nil }
        Fence.afterCompletion()
        return try registers.load32(0x18)
    }

    guard try order(memory.iova.rawValue, UInt32(text.count)) == 1 else { return print("no answer") }
    let answer = (0..<text.count).map { memory.window.load8($0) }
    print("\(host.kind): \(String(decoding: answer, as: UTF8.self))")
    print("a place that isn't mapped: status \(try order(0xdead_0000, 16) ?? 0)")
    print("more than there is room for: status \(try order(memory.iova.rawValue, .max) ?? 0)")
}

let machine = try SoftwareHost {
    IOMMUGroup(1) { PCIDevice(Capitals(), at: "0000:01:00.0") }
}
try drive(PCIAddress(bus: 1, device: 0, function: 0), on: machine)

let path = "/tmp/capitals-\(Clock.now).sock"
let server = try Server(Capitals(), at: path)
let thread = try WorkerThread { try? server.run() }
try drive(VFIOUserHost.deviceAddress, on: VFIOUserHost(connecting: path))
server.stop()
