import IOVASpace
import LinuxSystem
import SoftwareDevices
import SoftwareHost
import VFIO
import VFIOHost

let address = PCIAddress(bus: 1, device: 0, function: 0)

/// A machine with the device, which is bound to a driver that can move it.
func makeMachine() throws -> SoftwareHost {
    try SoftwareHost {
        IOMMUGroup(1) { PCIDevice(Educational(), at: "0000:01:00.0", driver: "software-vfio-pci") }
    }
}

/// One side of the move: the device, its registers, and memory that it can reach.
final class Side {
    let device: Device
    let registers: Region
    let memory: DMAMemory

    init(on host: any Host) throws {
        device = try Device(opening: address, on: host)
        try device.setMemoryEnabled(true)
        try device.setBusMaster(true)
        registers = try device.region(.bar0)
        memory = try device.addressSpace.allocate(byteCount: 4096, below: IOVA(1 << 28))
    }

    /// Puts a text into the device's own buffer.
    func setBuffer(_ text: String) throws {
        memory.window.zero(at: 0, byteCount: 64)
        memory.window.write(Array(text.utf8).span.bytes, at: 0)
        try transfer(from: UInt32(memory.iova.rawValue), to: 0x40000, command: 1)
    }

    /// What is in the buffer, fetched by the device.
    func buffer() throws -> String {
        try transfer(from: 0x40000, to: UInt32(memory.iova.rawValue), command: 3)
        let bytes = (0..<64).map { memory.window.load8($0) }.prefix { $0 != 0 }
        return String(decoding: bytes, as: UTF8.self)
    }

    private func transfer(from: UInt32, to: UInt32, command: UInt32) throws {
        try registers.store32(0x80, from)
        try registers.store32(0x88, to)
        try registers.store32(0x90, 64)
        Fence.beforeDoorbell()
        try registers.store32(0x98, command)
        while try registers.load32(0x98) & 1 != 0 { spinHint() }
        Fence.afterCompletion()
    }
}

let hosts = (here: try makeMachine(), there: try makeMachine())
let here = try Side(on: hosts.here)
let there = try Side(on: hosts.there)
try here.setBuffer("carried across")
try here.registers.store32(0x08, 6)
print("here: \(try here.buffer()), \(try here.registers.load32(0x08))")
print("there: \(try there.buffer().isEmpty ? "nothing" : "something"), \(try there.registers.load32(0x08))")

let ways = try here.device.migrationCapabilities()
print("stop and copy: \(ways.contains(.stopCopy)), pre-copy: \(ways.contains(.preCopy))")

func takeState(of device: Device) throws -> [UInt8] {
    guard let out = try device.setMigrationState(.stopCopy) else { return [] }
    let state = try out.readAll()
    try device.setMigrationState(.stop)
    return state
}

let state = try takeState(of: here.device)
print("the state has \(state.count) bytes; it works here: \(try here.device.migrationState() == .running)")

func giveState(_ state: [UInt8], to device: Device) throws {
    let into = try device.setMigrationState(.resuming)
    try into?.write(state)
    try device.setMigrationState(.running)
}

var damaged = state
damaged[damaged.count / 2] ^= 1
do {
    try giveState(damaged, to: there.device)
} catch {
    print(error)
    try there.device.resetOutOfMigration()
}
print("it works there: \(try there.device.migrationState() == .running)")

try giveState(state, to: there.device)
try there.device.setMemoryEnabled(true)
try there.device.setBusMaster(true)
print("there: \(try there.buffer()), \(try there.registers.load32(0x08))")

try hosts.there.failNextMove(of: address, entering: .stop)
do {
    _ = try takeState(of: there.device)
} catch {
    print(error)
    try there.device.resetOutOfMigration()
}
print("it works there: \(try there.device.migrationState() == .running)")
