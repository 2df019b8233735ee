import IOVASpace
import LinuxSystem
import SoftwareDevices
import SoftwareHost
import VFIO
import VFIOHost

let host = try SoftwareHost {
    IOMMU(.type1, pageSizes: [.kib4, .mib2])
    IOMMUGroup(1) { PCIDevice(Educational(), at: "0000:01:00.0") }
}
let address = PCIAddress(bus: 1, device: 0, function: 0)
let device = try Device(opening: address, on: host)
let identity = device.configuration
print("\(device.id) is \(hex(try identity.vendor)):\(hex(try identity.deviceID))")
print("way in: \(device.route)")

func hex(_ number: some BinaryInteger) -> String { String(number, radix: 16) }

try device.setMemoryEnabled(true)
let registers = try device.region(.bar0)
print("identification: \(hex(try registers.load32(0x00)))")
try registers.store32(0x04, 0x0000_ffff)
print("liveness: \(hex(try registers.load32(0x04)))")
try registers.store32(0x08, 10)
print("10! is \(try registers.load32(0x08))")

try device.setBusMaster(true)
do {
    let interrupts = try device.enableInterrupts(.msi, count: 1)
    try registers.store32(0x20, 0x80)  // an interrupt when the factorial is there
    try registers.store32(0x08, 12)
    let count = try interrupts.wait(0, milliseconds: 1000)
    let causes = try registers.load32(0x24)
    try registers.store32(0x64, causes)  // seen: no cause is left
    print("\(count ?? 0) interrupt, cause \(hex(causes)): 12! is \(try registers.load32(0x08))")
    try interrupts.disable()
}

/// Moves bytes between memory and the device's buffer, which the device sees at 0x40000.
func transfer(_ byteCount: Int, at iova: IOVA, toMemory: Bool) throws {
    let memory = UInt32(iova.rawValue)
    try registers.store32(0x80, toMemory ? 0x40000 : memory)  // from
    try registers.store32(0x88, toMemory ? memory : 0x40000)  // to
    try registers.store32(0x90, UInt32(byteCount))
    Fence.beforeDoorbell()  // what memory holds comes first
    try registers.store32(0x98, toMemory ? 3 : 1)
    while try registers.load32(0x98) & 1 != 0 { spinHint() }
    Fence.afterCompletion()  // what the device wrote comes after
}

let space = device.addressSpace
let reach = IOVA(1 << 28)  // the device drives 28 address bits
let text = Array("what the device has seen".utf8)
let oldPlace: IOVA
do {
    let source = try space.allocate(byteCount: text.count, below: reach)
    let target = try space.allocate(byteCount: text.count, below: reach)
    source.window.write(text.span.bytes, at: 0)
    try transfer(text.count, at: source.iova, toMemory: false)
    try transfer(text.count, at: target.iova, toMemory: true)
    let copy = (0..<text.count).map { target.window.load8($0) }
    print("came back: \(String(decoding: copy, as: UTF8.self))")
    print("mapped for DMA: \(space.mappedByteCount) bytes")
    oldPlace = target.iova
    try target.release()
    try source.release()
}

print("mapped for DMA: \(space.mappedByteCount) bytes")
try transfer(text.count, at: oldPlace, toMemory: true)
print("refused by the IOMMU: \(host.dmaFaults.count) transfer")
do {
    _ = try Device(opening: address, on: host)
} catch {
    print(error)
}
