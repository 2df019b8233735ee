import IOVASpace
import LinuxSystem
import VFIO
import VFIOHost

/// A small driver of QEMU's `edu` device, as in its documentation (docs/specs/edu).
struct EduDevice {
    let lab: Lab
    let device: Device
    let registers: Region

    enum Register {
        static let identification = 0x00
        static let liveness = 0x04
        static let factorial = 0x08
        static let status = 0x20
        static let interruptStatus = 0x24
        static let interruptRaise = 0x60
        static let interruptAcknowledge = 0x64
        static let source = 0x80
        static let destination = 0x88
        static let count = 0x90
        static let command = 0x98
    }

    enum Direction {
        case fromMemory, toMemory
    }

    /// Where the device itself sees its buffer.
    static let buffer: UInt32 = 0x40000
    /// The most that is moved at once. QEMU 7.2 ends itself at a transfer that reaches the end of the buffer.
    static let mostBytes = 2048
    /// The device drives 28 address bits.
    static let addressLimit = IOVA(1 << 28)
    /// The bit of the interrupt status that the end of a transfer sets.
    static let transferDone: UInt32 = 0x100

    /// Opens the device, lets it answer and start transactions.
    init(_ lab: Lab) throws { try self.init(lab, try lab.open()) }

    /// Lets an open device answer and start transactions.
    init(_ lab: Lab, _ device: Device) throws {
        self.lab = lab
        self.device = device
        try device.setMemoryEnabled(true)
        try device.setBusMaster(true)
        registers = try device.region(.bar0)
    }

    var space: AddressSpace { device.addressSpace }

    /// Memory that the device can reach.
    func memory(_ byteCount: Int = pageSize, access: DMAPermissions = [.read, .write]) throws -> DMAMemory {
        try space.allocate(byteCount: byteCount, access: access, below: Self.addressLimit)
    }

    /// Waits until a register has or hasn't any of the bits.
    func wait(_ register: Int, _ bits: UInt32, set: Bool, _ what: String) throws {
        let deadline = Clock.now + UInt64(lab.patience) * 1_000_000
        while (try registers.load32(register) & bits != 0) != set {
            try expect(Clock.now < deadline, "\(what) didn't happen within \(lab.patience) ms")
            Clock.sleep(nanoseconds: 1_000_000)
        }
    }

    /// Moves bytes between memory and the buffer and waits for the end. Whether anything arrived is for the
    /// caller to look at: the device doesn't tell.
    func transfer(
        _ direction: Direction, _ iova: IOVA, _ byteCount: Int, buffer offset: Int = 0,
        signalling: Bool = false
    ) throws {
        try expect(byteCount <= Self.mostBytes && offset + byteCount < 4096, "a transfer that ends QEMU")
        try expect(iova < Self.addressLimit, "an address with more bits than the device drives")
        try wait(Register.command, 1, set: false, "the end of the transfer before")
        let memory = UInt32(iova.rawValue)
        let buffer = Self.buffer + UInt32(offset)
        let isToMemory = direction == .toMemory
        try registers.store32(Register.source, isToMemory ? buffer : memory)
        try registers.store32(Register.destination, isToMemory ? memory : buffer)
        try registers.store32(Register.count, UInt32(byteCount))
        // What memory holds must be there before the device is told to look.
        Fence.beforeDoorbell()
        try registers.store32(Register.command, 1 | (isToMemory ? 2 : 0) | (signalling ? 4 : 0))
        try wait(Register.command, 1, set: false, "the end of the transfer")
        Fence.afterCompletion()
    }

    /// Shows that DMA works: moves a pattern from memory to the buffer, and from there to other memory.
    func checkGoodTransfer(_ seed: Int, _ when: String) throws {
        let source = try memory()
        let target = try memory()
        Pattern.fill(source.window, seed)
        try transfer(.fromMemory, source.iova, 512)
        try transfer(.toMemory, target.iova, 512)
        let window = target.window.window(at: 0, byteCount: 512)
        try Pattern.expect(window, seed, "a good transfer \(when) didn't arrive")
        try target.release()
        try source.release()
    }
}

/// Bytes that tell where they come from.
enum Pattern {
    static func byte(_ index: Int, _ seed: Int) -> UInt8 {
        UInt8(truncatingIfNeeded: (index &* 37) ^ (index >> 8) ^ (seed &* 101) &+ 1)
    }

    static func fill(_ window: MemoryWindow, _ seed: Int) {
        for index in 0..<window.byteCount { window.store8(index, byte(index, seed)) }
    }

    /// Ends the scenario unless all bytes are the pattern's; tells what is there instead.
    static func expect(_ window: MemoryWindow, _ seed: Int, _ text: String) throws(Unexpected) {
        var count = 0
        var first: Int?
        for index in 0..<window.byteCount where window.load8(index) != byte(index, seed) {
            count += 1
            first = first ?? index
        }
        guard let first else { return }
        let found = (first..<min(first + 8, window.byteCount)).map {
            hexadecimal(window.load8($0), digits: 2)
        }
        throw Unexpected(
            "\(text): \(count) of \(window.byteCount) bytes differ, from \(first) on: "
                + found.joined(separator: " "))
    }

    /// Whether eight bytes in a row of the pattern are at their place: more than chance would leave there.
    static func hasTraces(_ window: MemoryWindow, _ seed: Int) -> Bool {
        var run = 0
        for index in 0..<window.byteCount {
            run = window.load8(index) == byte(index, seed) ? run + 1 : 0
            if run == 8 { return true }
        }
        return false
    }
}
