import IOVASpace
import LinuxSystem
import SoftwareDevices
import SoftwareHost
import VFIO
import VFIOHost

/// A small driver of legacy virtio network cards.
final class VirtioDriver {
    typealias Register = VirtioNetworkCard.Register
    typealias Feature = VirtioNetworkCard.Feature

    let device: Device
    let ports: Region
    let memory: SharedMemory
    var headerCount = 10
    private var added: [UInt16] = [0, 0, 0]
    private var seen: [UInt16] = [0, 0, 0]

    static let bufferByteCount = 2048
    private static let queueSpace = 0x4000

    init(_ index: Int, on host: SoftwareHost) throws {
        device = try Device(opening: cardAddress(index), on: host)
        ports = try device.region(.bar0)
        memory = try SharedMemory(device.addressSpace, byteCount: 0x140000)
        try device.setBusMaster(true)
        try device.setPortsEnabled(true)
    }

    // MARK: rings

    func descriptors(_ queue: Int) -> Int { queue * Self.queueSpace }
    func available(_ queue: Int) -> Int { descriptors(queue) + 4096 }
    func used(_ queue: Int) -> Int { descriptors(queue) + 8192 }
    func buffer(_ queue: Int, _ index: Int) -> Int {
        0x10000 + queue * 0x80000 + index * Self.bufferByteCount
    }

    /// Resets the card and makes it ready.
    func start(_ features: UInt32 = Feature.mac | Feature.status) throws {
        try ports.store8(Int(Register.status), 0)
        try ports.store8(Int(Register.status), 3)
        try ports.store32(Int(Register.driverFeatures), features)
        headerCount = features & Feature.mergedBuffers != 0 ? 12 : 10
        for queue in 0..<3 {
            memory.put([UInt8](repeating: 0, count: 0x3000), at: descriptors(queue))
            added[queue] = 0
            seen[queue] = 0
            try ports.store16(Int(Register.queueSelect), UInt16(queue))
            try ports.store32(
                Int(Register.queueAddress),
                UInt32((memory.base + UInt64(descriptors(queue))) >> 12))
        }
        try ports.store8(Int(Register.status), 7)
    }

    func describe(
        _ queue: Int, _ index: Int, at offset: Int, count: Int, flags: UInt16, next: Int = 0
    ) {
        let place = descriptors(queue) + 16 * index
        memory.store(memory.base + UInt64(offset), at: place)
        memory.store(UInt32(count), at: place + 8)
        memory.store(flags, at: place + 12)
        memory.store(UInt16(next), at: place + 14)
    }

    /// Puts the buffer that a descriptor begins on the available ring.
    func add(_ queue: Int, _ head: Int) {
        memory.store(UInt16(head), at: available(queue) + 4 + 2 * (Int(added[queue]) % 256))
        added[queue] &+= 1
        memory.store(added[queue], at: available(queue) + 2)
    }

    func setAvailableIndex(_ queue: Int, _ value: UInt16) {
        added[queue] = value
        memory.store(value, at: available(queue) + 2)
    }

    func notify(_ queue: Int) throws { try ports.store16(Int(Register.queueNotify), UInt16(queue)) }

    /// The next buffer that the card has given back.
    func takeUsed(_ queue: Int) -> (head: Int, count: Int)? {
        let index = memory.load(UInt16(0), at: used(queue) + 2)
        if index == seen[queue] { return nil }
        let place = used(queue) + 4 + 8 * (Int(seen[queue]) % 256)
        seen[queue] &+= 1
        return (
            Int(memory.load(UInt32(0), at: place)), Int(memory.load(UInt32(0), at: place + 4))
        )
    }

    var isQuiet: Bool { memory.load(UInt16(0), at: used(0)) & 1 != 0 }

    // MARK: frames

    /// Provides buffers to receive into.
    func provide(_ indices: Range<Int>, count: Int = bufferByteCount, notifying: Bool = true) throws {
        for index in indices {
            describe(0, index, at: buffer(0, index), count: count, flags: 2)
            add(0, index)
        }
        if notifying { try notify(0) }
    }

    /// How a frame to send is laid out.
    enum Layout: CaseIterable { case one, two, many, indirect }

    /// Puts a frame on the ring, from buffer `index` on; it takes up to four descriptors.
    func enqueue(_ frame: [UInt8], _ index: Int, _ layout: Layout = .two) {
        let place = buffer(1, index)
        memory.put([UInt8](repeating: 0xee, count: headerCount), at: place)
        memory.put(frame, at: place + headerCount)
        let total = headerCount + frame.count
        switch layout {
        case .one: describe(1, index, at: place, count: total, flags: 0)
        case .two:
            describe(1, index, at: place, count: headerCount, flags: 1, next: index + 1)
            describe(1, index + 1, at: place + headerCount, count: frame.count, flags: 0)
        case .many:
            // Cuts inside the header and inside the addresses.
            let cuts = [0, 3, headerCount + 5, headerCount + 6, total]
            for piece in 0..<4 {
                describe(
                    1, index + piece, at: place + cuts[piece], count: cuts[piece + 1] - cuts[piece],
                    flags: piece == 3 ? 0 : 1, next: index + piece + 1)
            }
        case .indirect:
            let table = place + 1792
            memory.store(memory.base + UInt64(place), at: table)
            memory.store(UInt32(headerCount), at: table + 8)
            memory.store(UInt32(1 | 1 << 16), at: table + 12)
            memory.store(memory.base + UInt64(place + headerCount), at: table + 16)
            memory.store(UInt32(frame.count), at: table + 24)
            memory.store(UInt32(0), at: table + 28)
            describe(1, index, at: table, count: 32, flags: 4)
        }
        add(1, index)
    }

    /// Sends a frame and takes its buffer back.
    func send(_ frame: [UInt8], _ layout: Layout = .two) throws -> Bool {
        enqueue(frame, 0, layout)
        try notify(1)
        return takeUsed(1)?.head == 0
    }

    /// The next frame that was received; its buffers are provided again.
    func receive() -> [UInt8]? {
        guard let first = takeUsed(0) else { return nil }
        var bytes = memory.bytes(at: buffer(0, first.head), count: first.count)
        let buffers = headerCount == 12 ? Int(bytes[10]) | Int(bytes[11]) << 8 : 1
        bytes.removeFirst(headerCount)
        add(0, first.head)
        for _ in 1..<max(buffers, 1) {
            guard let more = takeUsed(0) else { return nil }
            bytes += memory.bytes(at: buffer(0, more.head), count: more.count)
            add(0, more.head)
        }
        return bytes
    }

    /// Gives the card a command.
    /// - Returns: its answer: 0 for done; nil if there is none.
    func command(_ bytes: [UInt8]) throws -> UInt8? {
        let place = buffer(2, 0)
        memory.put(bytes, at: place)
        memory.store(UInt8(0xaa), at: place + 1024)
        describe(2, 0, at: place, count: bytes.count, flags: 1, next: 1)
        describe(2, 1, at: place + 1024, count: 1, flags: 2)
        add(2, 0)
        try notify(2)
        guard let given = takeUsed(2), given.count == 1 else { return nil }
        return memory.load(UInt8(0), at: place + 1024)
    }
}
