import DeviceModel
import IOVASpace
import LinuxSystem
import VFIO
import VFIOABI
import VFIOUser

/// A device that reads or writes memory, so many bytes so many times, in the middle of a register write.
private final class Mover: DeviceModel {
    let function = PCIFunction(
        PCIIdentity(vendor: 0x1234, device: 3, classCode: 0xff_0000),
        bars: [0: BAR(.memory32, byteCount: 4096)])
    private let memory: Mapping
    private let byteCount: Int
    private var doneCount: UInt64 = 0

    init(byteCount: Int) throws(Errno) {
        self.byteCount = byteCount
        memory = try Mapping(anonymous: byteCount)
    }

    /// How many transfers succeeded.
    func readRegister(bar: Int, offset: UInt64, width: Int) -> UInt64 { doneCount }

    /// - Parameter value: how many transfers; at offset 0 the device reads, at 4 it writes.
    func writeRegister(bar: Int, offset: UInt64, width: Int, value: UInt64) {
        // SAFETY: the model's own memory, which lives as long.
        let buffer = unsafe memory.window.window(at: 0, byteCount: byteCount).unsafeBytes
        var span = unsafe MutableRawSpan(_unsafeBytes: buffer)
        for _ in 0..<value {
            do throws(DMAFault) {
                if offset == 0 {
                    try function.dma.read(IOVA(0), into: &span)
                } else {
                    try function.dma.write(span.bytes, to: IOVA(0))
                }
                doneCount += 1
            } catch {
                return
            }
        }
    }

    func reset(_ kind: ResetKind) {}
}

/// A bare client that answers what the device's transfers ask for, and the same without a device.
final class DMAMessages {
    private let device: SocketPeer
    private let bare: SocketPeer
    private let start: [UInt8]
    private var answer: [UInt8]
    private let question: Int

    /// How many transfers a register write begins.
    static let batch = 100

    init(isRead: Bool, byteCount: Int = 4096, _ placement: Placement = .together) throws {
        let batch = Self.batch
        let room = byteCount + 4096
        device = try SocketPeer.client(
            of: try Server(connected: Mover(byteCount: byteCount), polls: placement.polls), placement,
            roomByteCount: room)
        device.enableDevice()
        device.exchange(
            message(.dmaMap, UserDMAMap(flags: [.read, .write], size: 1 << 20)), reply: 16)
        let start = message(
            .regionWrite, UserRegionAccess(offset: isRead ? 0 : 4, region: 0, count: 4),
            [UInt8(batch), 0, 0, 0])
        let question = isRead ? 32 : 32 + byteCount
        let answer = message(
            isRead ? .dmaRead : .dmaWrite, UserDMAAccess(address: 0, count: UInt64(byteCount)),
            [UInt8](repeating: 1, count: isRead ? byteCount : 0), flags: .reply)
        let answerByteCount = answer.count
        bare = try SocketPeer(placement, roomByteCount: room) { number in
            let end = RawEnd(number, roomByteCount: room, polls: placement.polls)
            while end.receive(start.count), end.send(32) {
                for _ in 0..<batch {
                    guard end.send(question), end.receive(answerByteCount) else { return }
                }
            }
        }
        self.start = start
        self.answer = answer
        self.question = question
    }

    private func run(_ peer: SocketPeer) {
        peer.exchange(start, reply: 32)
        for _ in 0..<Self.batch {
            peer.receive(question)
            // The id is the server's.
            answer[0] = peer.byte(0)
            answer[1] = peer.byte(1)
            peer.send(answer)
        }
    }

    /// Has the device do so many transfers, or some more.
    func run(_ count: Int) {
        for _ in 0..<(count + Self.batch - 1) / Self.batch { run(device) }
    }

    /// The same bytes without a device.
    func runBare(_ count: Int) {
        for _ in 0..<(count + Self.batch - 1) / Self.batch { run(bare) }
    }
}

/// The library's client, which answers what the device's transfers ask for.
final class RemoteTransfers {
    private let running: RunningServer
    private let device: Device
    private let region: Region
    private let memory: Mapping
    private let mapping: DMAMapping
    private let isRead: Bool
    private var expected: UInt32 = 0

    init(isRead: Bool, byteCount: Int = 4096, _ placement: Placement = .together) throws {
        running = try RunningServer(try Mover(byteCount: byteCount), placement)
        let host = try VFIOUserHost(running.takeSocket(), limits: placement.limits)
        device = try Device(opening: VFIOUserHost.deviceAddress, on: host)
        try device.setMemoryEnabled(true)
        try device.setBusMaster(true)
        region = try device.region(.bar0)
        // In no file that the server could map.
        memory = try Mapping(anonymous: 1 << 20)
        mapping = try device.addressSpace.map(memory.window, at: IOVA(0))
        self.isRead = isRead
    }

    /// Has the device do so many transfers.
    func run(_ count: Int) throws {
        var left = count
        while left > 0 {
            let batch = min(left, DMAMessages.batch)
            try region.store32(isRead ? 0 : 4, UInt32(batch))
            expected &+= UInt32(batch)
            // Answered once they are done.
            guard try region.load32(8) == expected else { throw Errno.inputOutput }
            left -= batch
        }
    }
}

private let sizes = [("4 B", 4), ("4 KiB", 4096), ("128 KiB", 128 << 10)]

func measureDMAMessages(_ options: Options) throws {
    var table = ComparisonTable("a message of the server's, with its answer", reference: "the same bytes")
    for placement in Placement.all {
        try WorkerThread.bindCaller(toProcessors: placement.near)
        for (name, byteCount) in sizes {
            for isRead in [true, false] {
                let messages = try DMAMessages(isRead: isRead, byteCount: byteCount, placement)
                let comparison = Comparison(
                    turns: options.turns / 3 + 1, operations: byteCount > 4096 ? 100 : 400,
                    of: messages.run, against: messages.runBare)
                table.add(
                    "\(isRead ? "DMA_READ" : "DMA_WRITE") of \(name), \(placement.name)", comparison)
            }
        }
    }
    try WorkerThread.bindCaller(toProcessors: .max)
    table.print()
}

func measureOwnClientsMemory(_ options: Options) throws {
    var table = ComparisonTable("both sides are the library's", reference: "the same bytes")
    for placement in Placement.all {
        try WorkerThread.bindCaller(toProcessors: placement.near)
        for (name, byteCount) in sizes {
            for isRead in [true, false] {
                let own = try RemoteTransfers(isRead: isRead, byteCount: byteCount, placement)
                let messages = try DMAMessages(isRead: isRead, byteCount: byteCount, placement)
                let comparison = try Comparison(
                    turns: options.turns / 3 + 1, operations: byteCount > 4096 ? 100 : 400,
                    of: own.run, against: messages.runBare)
                table.add(
                    "\(isRead ? "DMA_READ" : "DMA_WRITE") of \(name), \(placement.name)", comparison)
            }
        }
    }
    try WorkerThread.bindCaller(toProcessors: .max)
    table.print()
}
