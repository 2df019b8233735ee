import IOVASpace
import LinuxSystem
import SoftwareDevices
import SoftwareHost
import VFIO
import VFIOHost

/// A small driver of Intel's 82574.
final class GigabitDriver {
    typealias Register = Intel82574.Register
    typealias Control = Intel82574.Control
    typealias Cause = Intel82574.Cause

    let device: Device
    let registers: Region
    let memory: SharedMemory
    /// How many descriptors each ring has.
    let ringCount: Int
    var isExtended = false
    private var sendTail = [0, 0]
    private var sendSeen = [0, 0]
    private var receiveTail = [0, 0]
    private var receiveSeen = [0, 0]

    static let bufferByteCount = 2048

    init(_ index: Int, on host: SoftwareHost, ringCount: Int = 256) throws {
        self.ringCount = ringCount
        device = try Device(opening: cardAddress(index), on: host)
        registers = try device.region(.bar0)
        memory = try SharedMemory(device.addressSpace, byteCount: 0x210000)
        try device.setBusMaster(true)
        try device.setMemoryEnabled(true)
        try device.setPortsEnabled(true)
    }

    func read(_ register: UInt64) throws -> UInt32 { try registers.load32(Int(register)) }
    func write(_ register: UInt64, _ value: UInt32) throws { try registers.store32(Int(register), value) }

    // MARK: what drivers do at first

    func memoryWord(_ index: Int) throws -> UInt16 {
        try write(Register.memoryRead, UInt32(index) << 2 | 1)
        let answer = try read(Register.memoryRead)
        return answer & 2 != 0 ? UInt16(answer >> 16) : 0xdead
    }

    /// Accesses a register of the PHY.
    /// - Returns: what MDIC says afterwards.
    func phy(_ register: UInt32, writing value: UInt16? = nil, address: UInt32 = 1) throws -> UInt32 {
        let operation: UInt32 = value == nil ? 2 : 1
        try write(
            Register.phyAccess, UInt32(value ?? 0) | register << 16 | address << 21 | operation << 26)
        return try read(Register.phyAccess)
    }

    func descriptor(_ ring: Int, _ queue: Int, _ index: Int) -> Int {
        0x4000 * ring + 0x2000 * queue + 16 * index
    }
    func buffer(_ ring: Int, _ queue: Int, _ index: Int) -> Int {
        0x10000 + (ring * 2 + queue) * 0x80000 + index * Self.bufferByteCount
    }

    /// Resets the card and makes rings.
    /// - Parameter receive: further bits of RCTL.
    func start(receive: UInt32 = Intel82574.ReceiveControl.stripsChecksum) throws {
        try write(Register.control, try read(Register.control) | Control.reset)
        memory.put([UInt8](repeating: 0, count: 0x8000), at: 0)
        for queue in 0..<2 {
            for (ring, base) in [(0, Register.receiveRing), (1, Register.transmitRing)] {
                let place = base + 0x100 * UInt64(queue)
                let address = memory.base + UInt64(descriptor(ring, queue, 0))
                try write(place, UInt32(truncatingIfNeeded: address))
                try write(place + 4, UInt32(truncatingIfNeeded: address >> 32))
                try write(place + 8, UInt32(16 * ringCount))
            }
            (sendTail[queue], sendSeen[queue]) = (0, 0)
            (receiveTail[queue], receiveSeen[queue]) = (0, 0)
        }
        try write(Register.receiveFilter, isExtended ? Intel82574.extendedStatus : 0)
        try write(
            Register.transmitControl,
            Intel82574.TransmitControl.enable | Intel82574.TransmitControl.padsShort)
        try write(
            Register.receiveControl,
            Intel82574.ReceiveControl.enable | Intel82574.ReceiveControl.broadcast | receive)
    }

    // MARK: sending

    /// Puts a descriptor on a ring.
    func add(_ first: UInt64, _ second: UInt64, _ queue: Int = 0) {
        let place = descriptor(1, queue, sendTail[queue])
        memory.store(first, at: place)
        memory.store(second, at: place + 8)
        sendTail[queue] = (sendTail[queue] + 1) % ringCount
    }

    /// Puts a context descriptor on a ring.
    func addContext(
        network: (start: Int, sum: Int, end: Int), transport: (start: Int, sum: Int, end: Int),
        payload: Int = 0, header: Int = 0, segment: Int = 0, command: UInt8, _ queue: Int = 0
    ) {
        let first =
            UInt64(network.start) | UInt64(network.sum) << 8 | UInt64(network.end) << 16
            | UInt64(transport.start) << 32 | UInt64(transport.sum) << 40 | UInt64(transport.end) << 48
        let second =
            UInt64(payload) | UInt64(command | 0x20) << 24 | UInt64(header) << 40 | UInt64(segment) << 48
        add(first, second, queue)
    }

    /// Puts a frame on a ring in pieces, as data descriptors.
    func addData(
        _ bytes: [UInt8], cuts: [Int] = [], command: UInt8 = 0x0b, options: UInt8 = 0, tag: UInt16 = 0,
        _ queue: Int = 0
    ) {
        let place = buffer(1, queue, sendTail[queue])
        memory.put(bytes, at: place)
        let ends = cuts + [bytes.count]
        var start = 0
        for (index, end) in ends.enumerated() {
            let isLast = index == ends.count - 1
            let bits = UInt64(isLast ? command | 0x20 : command & ~0x09 | 0x20)
            add(
                memory.base + UInt64(place + start),
                UInt64(end - start) | 1 << 20 | bits << 24 | UInt64(options) << 40 | UInt64(tag) << 48, queue)
            start = end
        }
    }

    /// Puts a frame on a ring as a legacy descriptor.
    func addLegacy(_ bytes: [UInt8], command: UInt8 = 0x0b, sum: (start: Int, place: Int) = (0, 0)) {
        let place = buffer(1, 0, sendTail[0])
        memory.put(bytes, at: place)
        add(
            memory.base + UInt64(place),
            UInt64(bytes.count) | UInt64(sum.place) << 16 | UInt64(command) << 24 | UInt64(sum.start) << 40)
    }

    /// Tells the card of what was put on a ring.
    func ring(_ queue: Int = 0) throws {
        try write(Register.transmitRing + 0x100 * UInt64(queue) + 0x18, UInt32(sendTail[queue]))
    }

    /// How many descriptors were reported as done since the last time.
    func takeSent(_ queue: Int = 0) -> Int {
        var count = 0
        while sendSeen[queue] != sendTail[queue],
            memory.load(UInt8(0), at: descriptor(1, queue, sendSeen[queue]) + 12) & 1 != 0
        {
            sendSeen[queue] = (sendSeen[queue] + 1) % ringCount
            count += 1
        }
        return count
    }

    /// Sends a frame.
    /// - Returns: whether it was reported.
    func send(_ bytes: [UInt8]) throws -> Bool {
        sendSeen[0] = sendTail[0]
        addLegacy(bytes)
        try ring()
        return takeSent() == 1
    }

    // MARK: receiving

    /// Provides buffers, up to all but one of the ring.
    func provide(_ count: Int, _ queue: Int = 0) throws {
        for _ in 0..<count {
            let place = descriptor(0, queue, receiveTail[queue])
            memory.store(memory.base + UInt64(buffer(0, queue, receiveTail[queue])), at: place)
            memory.store(UInt64(0), at: place + 8)
            receiveTail[queue] = (receiveTail[queue] + 1) % ringCount
        }
        try write(Register.receiveRing + 0x100 * UInt64(queue) + 0x18, UInt32(receiveTail[queue]))
    }

    struct Received: Equatable {
        var bytes: [UInt8] = []
        var status: UInt32 = 0
        var errors: UInt32 = 0
        var tag: UInt16 = 0
        var hash: UInt32 = 0
        var hashType: UInt32 = 0
    }

    /// The next frame that was received, of as many buffers as it fills.
    func receive(_ queue: Int = 0) -> Received? {
        var result = Received()
        while true {
            let index = receiveSeen[queue]
            let place = descriptor(0, queue, index)
            let (first, second) = (
                memory.load(UInt64(0), at: place), memory.load(UInt64(0), at: place + 8)
            )
            let count: Int
            if isExtended {
                result.status = UInt32(second & 0xfffff)
                result.errors = UInt32(second >> 24 & 0xff)
                count = Int(second >> 32 & 0xffff)
                result.hash = UInt32(first >> 32)
                result.hashType = UInt32(first & 15)
            } else {
                result.status = UInt32(second >> 32 & 0xff)
                result.errors = UInt32(second >> 40 & 0xff)
                count = Int(second & 0xffff)
            }
            guard result.status & 1 != 0 else { return nil }
            result.tag = UInt16(second >> 48)
            result.bytes += memory.bytes(at: buffer(0, queue, index), count: count)
            memory.store(UInt64(0), at: place + 8)
            receiveSeen[queue] = (index + 1) % ringCount
            if result.status & 2 != 0 { return result }
        }
    }
}
