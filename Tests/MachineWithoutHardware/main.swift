import DeviceModel
import LinuxSystem
import NVMeController
import NVMeDriver
import SoftwareHost
import VFIO
import VFIOHost

let disk = NVMeController([try NVMeNamespace(MemoryStore(byteCount: 64 << 20))])
let sound = PCIIdentity(vendor: 0x1234, device: 0x0001, classCode: 0x04_0300)
let host = try SoftwareHost {
    IOMMU(.type1, pageSizes: [.kib4, .mib2])
    IOMMUGroup(26) {
        PCIDevice(disk, at: "0000:01:00.0")
        PCIDevice(bystander: sound, at: "0000:01:00.1", driver: "snd_hda_intel")
    }
    ProcessRights(lockedMemoryLimit: 1 << 20)
}

for device in try host.inventory().devices {
    let driver = device.driver?.name ?? "no driver"
    print("\(device.address) in group \(device.group ?? -1): \(driver)")
}

func open() throws(NVMeError) -> Controller { try Controller(opening: "0000:01:00.0", on: host) }

/// Takes a step, and says why it failed.
func report(_ step: () throws -> Void) {
    do { try step() } catch { print(error) }
}

report { _ = try open() }

try host.bind(PCIAddress(bus: 1, device: 0, function: 1), to: nil)
report { _ = try open() }

host.rights.lockedMemoryLimit = 64 << 20
do {
    let ssd = try open()
    let namespace = try ssd.defaultNamespace()
    print("\(ssd.identity.modelNumber): \(namespace.blockCount) blocks of \(namespace.blockByteCount) bytes")
    var block = [UInt8](repeating: 0, count: namespace.blockByteCount)
    block.replaceSubrange(0..<5, with: Array("hello".utf8))
    try ssd.write(blocks: 7..<8, from: block)
    try ssd.flush()
    try ssd.close()
}
print("locked for DMA: \(host.lockedByteCount) bytes")

do {
    let ssd = try open()
    let block = try ssd.read(blocks: 7..<8)
    print("block 7: \(String(decoding: block.prefix(5), as: UTF8.self))")
    host.inject(FaultRule(.device(.vanished)))
    report { _ = try ssd.read(blocks: 7..<8) }
}
print("devices left: \(try host.inventory().devices.count)")
