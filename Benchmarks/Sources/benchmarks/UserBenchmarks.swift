import DeviceModel
import Glibc
import IOVASpace
import LinuxSystem
import SoftwareDevices
import VFIOABI
import VFIOUser

let userSuite = Suite(
    name: "user", summary: "a device behind a socket, against the bare exchange of the same bytes"
) { options in
    do {
        try measureUser(options)
    } catch {
        print("the server can't be measured: \(error)")
    }
}

/// The client's end of a pair of sockets, and a thread that has the other end.
private final class Peer {
    let number: Int32
    private let socket: UnixSocket
    private var thread: WorkerThread?
    private let polls: Bool

    /// - Parameter polls: whether to look for answers without ever waiting.
    init(polls: Bool, processors: UInt64, _ serve: @escaping @Sendable (Int32) -> Void) throws(Errno) {
        self.polls = polls
        var numbers: (Int32, Int32) = (-1, -1)
        try UnixSocket.withPair { (a, b) throws(Errno) in
            numbers.0 = try Descriptor(duplicating: a.descriptor.number).release()
            numbers.1 = try Descriptor(duplicating: b.descriptor.number).release()
        }
        number = numbers.0
        socket = UnixSocket(owning: Descriptor(owning: numbers.0))
        let other = numbers.1
        thread = try WorkerThread {
            try? WorkerThread.bindCaller(toProcessors: processors)
            serve(other)
        }
    }

    deinit {
        socket.shutDown()
        thread = nil
    }

    @inline(__always)
    func send(_ bytes: UnsafeRawPointer, _ count: Int) {
        // SAFETY: the caller has so many bytes there.
        _ = unsafe Glibc.send(number, bytes, count, Int32(MSG_NOSIGNAL))
    }

    /// Hands a file over as the device's memory from 0 on.
    func map(_ file: Int32, _ byteCount: UInt64) throws(Errno) {
        let body = UserDMAMap(flags: [.read, .write], size: byteCount)
        let request = message(.dmaMap, body)
        // SAFETY: a UInt8 has no padding; the answer has 16 bytes.
        _ = try socket.send(unsafe request.span.bytes, descriptors: [file])
        var room = InlineArray<16, UInt8>(repeating: 0)
        var span = room.mutableSpan
        unsafe span.withUnsafeMutableBufferPointer {
            unsafe receiveAll(UnsafeMutableRawPointer($0.baseAddress.unsafelyUnwrapped), 16)
        }
    }

    /// Receives so many bytes, in as many pieces as they come.
    func receiveAll(_ bytes: UnsafeMutableRawPointer, _ count: Int) {
        var done = 0
        while done < count {
            // SAFETY: the caller has room for so many bytes there.
            let got = unsafe recv(number, bytes.advanced(by: done), count - done, 0)
            if got <= 0 { return }
            done += got
        }
    }

    /// Receives so many bytes, which were sent in one piece.
    @inline(__always)
    func receive(_ bytes: UnsafeMutableRawPointer, _ count: Int) {
        while true {
            // SAFETY: the caller has room for so many bytes there.
            let result = unsafe recv(number, bytes, count, polls ? Int32(MSG_DONTWAIT) : 0)
            if result > 0 || errno != EAGAIN { return }
            spinHint()
        }
    }
}

/// Answers so many bytes with so many, as fast as it can be done: the floor.
private func echo(_ number: Int32, _ request: Int, _ reply: Int, polls: Bool) {
    let room = UnsafeMutableRawPointer.allocate(byteCount: 4096, alignment: 16)
    // SAFETY: 4,096 bytes were allocated, and no message here is longer.
    unsafe room.initializeMemory(as: UInt8.self, repeating: 0, count: 4096)
    let socket = UnixSocket(owning: Descriptor(owning: number))
    defer { unsafe room.deallocate() }
    while true {
        let got = unsafe recv(number, room, request, polls ? Int32(MSG_DONTWAIT) : 0)
        if got < 0 && errno == EAGAIN {
            spinHint()
            continue
        }
        if got <= 0 { break }
        if reply > 0 { _ = unsafe Glibc.send(number, room, reply, Int32(MSG_NOSIGNAL)) }
    }
    socket.shutDown()
}

/// A structure's bytes.
private func bytes(_ value: some ABIValue) -> [UInt8] {
    value.withBytes { span in
        (0..<span.byteCount).map { UInt8(truncatingIfNeeded: span.loadUnit(1, at: $0)) }
    }
}

/// One command of a client, as bytes.
private func message(
    _ command: UserCommand, _ body: some ABIValue, _ more: [UInt8] = [], flags: UserMessageFlags = []
) -> [UInt8] {
    let size = 16 + MemoryLayout.size(ofValue: body) + more.count
    return bytes(UserMessageHeader(id: 1, command: command, messageSize: UInt32(size), flags: flags))
        + bytes(body) + more
}

/// Sends a message and waits for the answer, again and again.
private func exchanges(
    _ peer: Peer, _ request: [UInt8], reply: Int, count: Int, _ options: Options
) -> Timing {
    var room = [UInt8](repeating: 0, count: 4096)
    // SAFETY: no answer here has more than 4,096 bytes.
    return unsafe request.withUnsafeBytes { bytes in
        unsafe room.withUnsafeMutableBytes { room in
            guard let from = bytes.baseAddress, let to = room.baseAddress else { return Timing([0]) }
            return measure(operations: count, repeats: options.repeats) {
                for _ in 0..<count {
                    unsafe peer.send(from, bytes.count)
                    unsafe peer.receive(to, reply)
                }
            }
        }
    }
}

/// Sends messages that want no answer, and one that does.
private func stream(_ peer: Peer, _ posted: [UInt8], _ last: [UInt8], reply: Int, _ options: Options)
    -> Timing
{
    var room = [UInt8](repeating: 0, count: 4096)
    return unsafe posted.withUnsafeBytes { bytes in
        unsafe last.withUnsafeBytes { last in
            unsafe room.withUnsafeMutableBytes { room in
                guard let from = bytes.baseAddress, let end = last.baseAddress, let to = room.baseAddress
                else { return Timing([0]) }
                return measure(operations: 20_000, repeats: options.repeats) {
                    for _ in 0..<20_000 { unsafe peer.send(from, bytes.count) }
                    unsafe peer.send(end, last.count)
                    unsafe peer.receive(to, reply)
                }
            }
        }
    }
}

private func negotiated(_ peer: Peer) {
    let hello = message(.version, UserVersion(), Array("{}".utf8) + [0])
    var room = [UInt8](repeating: 0, count: 4096)
    // SAFETY: the answer has less than 4,096 bytes.
    unsafe hello.withUnsafeBytes { unsafe peer.send($0.baseAddress.unsafelyUnwrapped, $0.count) }
    unsafe room.withUnsafeMutableBytes { unsafe peer.receive($0.baseAddress.unsafelyUnwrapped, 4096) }
}

private func measureUser(_ options: Options) throws {
    let access = UserRegionAccess(offset: Educational.Register.liveness, region: 0, count: 4)
    let read = message(.regionRead, access)
    let write = message(.regionWrite, access, [1, 2, 3, 4])
    let posted = message(.regionWrite, access, [1, 2, 3, 4], flags: .noReply)
    var table = Table(["operation", "ns (minimum)", "ns (median)", "the same bytes", "ratio"])
    func add(_ name: String, _ timing: Timing, _ other: Timing) {
        table.add([
            name, fixed(timing.minimum), fixed(timing.median), fixed(other.minimum),
            fixed(timing.minimum / other.minimum, 2),
        ])
    }
    func server(polls: Bool, processors: UInt64) throws -> Peer {
        let server = try Server(connected: Educational(), polls: polls ? .max : 0)
        let peer = try Peer(polls: polls, processors: processors) { number in
            _ = try? server.serve(UnixSocket(owning: Descriptor(owning: number)))
        }
        negotiated(peer)
        return peer
    }
    func floor(_ request: Int, _ reply: Int, polls: Bool, processors: UInt64) throws -> Peer {
        try Peer(polls: polls, processors: processors) { echo($0, request, reply, polls: polls) }
    }
    let all = UInt64.max
    defer { try? WorkerThread.bindCaller(toProcessors: all) }
    var places: [(name: String, client: UInt64, server: UInt64, polls: Bool)] = [
        ("same processor", 1, 1, false)
    ]
    // A machine with one processor can do without the rest.
    if (try? WorkerThread.bindCaller(toProcessors: 2)) != nil {
        places += [("two processors", 1, 2, false), ("two processors, polling", 1, 2, true)]
    }
    for place in places {
        try WorkerThread.bindCaller(toProcessors: place.client)
        let count = options.isQuick ? 5000 : 20_000
        // Interleaved, so that both see the same neighbours.
        for (name, request, reply) in [("read of 4 bytes", read, 36), ("write of 4 bytes", write, 32)] {
            var bare: [Double] = []
            var served: [Double] = []
            let one = Options(repeats: 1, isQuick: options.isQuick)
            let other = try floor(request.count, reply, polls: place.polls, processors: place.server)
            for _ in 0..<options.repeats {
                bare.append(exchanges(other, request, reply: reply, count: count, one).minimum)
            }
            _ = consume other
            let device = try server(polls: place.polls, processors: place.server)
            for _ in 0..<options.repeats {
                served.append(exchanges(device, request, reply: reply, count: count, one).minimum)
            }
            add("\(name), \(place.name)", Timing(served), Timing(bare))
        }
    }
    try WorkerThread.bindCaller(toProcessors: 1)
    let bare = try Peer(polls: false, processors: 1) { number in
        // Counts bytes; the last message is the only one of its length.
        let socket = UnixSocket(owning: Descriptor(owning: number))
        let room = UnsafeMutableRawPointer.allocate(byteCount: 65_536, alignment: 16)
        defer { unsafe room.deallocate() }
        var total = 0
        while true {
            // SAFETY: 65,536 bytes were allocated; 36 of them are sent back, whatever they are.
            let got = unsafe recv(number, room, 65_536, 0)
            if got <= 0 { break }
            total += got
            if total == 20_000 * 36 + 32 {
                total = 0
                _ = unsafe Glibc.send(number, room, 36, Int32(MSG_NOSIGNAL))
            }
        }
        socket.shutDown()
    }
    let bareStream = stream(bare, posted, read, reply: 36, options)
    let device = try server(polls: false, processors: 1)
    add(
        "posted write of 4 bytes, same processor", stream(device, posted, read, reply: 36, options),
        bareStream)
    print(
        "Nanoseconds per operation; ratios of minimums to the bare exchange of as many bytes in this run.\n")
    table.print()
    try measureMaps(options)
    try measureDirtyReports(options)
}

/// A device that says of all memory in 16 GiB at once that it wrote it.
private final class Writer: DeviceModel, @unchecked Sendable {
    let function = PCIFunction(
        PCIIdentity(vendor: 0x1234, device: 1, classCode: 0xff_0000),
        bars: [0: BAR(.memory32, byteCount: 4096)])
    func readRegister(bar: Int, offset: UInt64, width: Int) -> UInt64 { 0 }
    func writeRegister(bar: Int, offset: UInt64, width: Int, value: UInt64) {
        // Lent memory counts as written, so nothing has to be touched.
        try? function.dma.withMemory(IOVA(0), byteCount: Int(value) << 30, for: .write) { _ in false }
    }
    func reset(_ kind: ResetKind) {}
}

/// Reports of dirty pages, bitmap and all, as the client waits for them; the copy is one of as many bytes.
private func measureDirtyReports(_ options: Options) throws {
    var table = Table([
        "report of dirty 4 KiB pages", "µs (minimum)", "µs (median)", "µs for a copy of the bits", "ratio",
    ])
    for gibibytes in [1, 16] {
        let file = try MemoryFile.create("guest", byteCount: UInt64(gibibytes) << 30)
        let server = try Server(connected: Writer())
        let peer = try Peer(polls: false, processors: 2) { number in
            _ = try? server.serve(UnixSocket(owning: Descriptor(owning: number)))
        }
        negotiated(peer)
        try peer.map(file.number, UInt64(gibibytes) << 30)
        exchange(
            peer, message(.regionWrite, UserRegionAccess(offset: 4, region: 7, count: 4), [7, 0, 0, 0]),
            reply: 32)
        let start = FeatureFlags(.dmaLoggingStart, .set)
        exchange(
            peer,
            message(
                .deviceFeature, DeviceFeature(argsz: 24, flags: start),
                bytes(UserDMALoggingControl(pageSize: 4096))),
            reply: 40)
        let bitmap = gibibytes << 15
        let report = message(
            .deviceFeature,
            DeviceFeature(argsz: UInt32(32 + bitmap), flags: FeatureFlags(.dmaLoggingReport, .get)),
            bytes(UserDMALoggingReport(iova: 0, length: UInt64(gibibytes) << 30, pageSize: 4096)))
        let access = UserRegionAccess(offset: 0, region: 0, count: 4)
        let dirtying = message(.regionWrite, access, [UInt8(gibibytes), 0, 0, 0])
        var room = [UInt8](repeating: 0, count: bitmap + 48)
        let source = [UInt8](repeating: 1, count: bitmap)
        let copy = measure(operations: 1, repeats: options.repeats * 10) {
            // SAFETY: the room is longer than the source.
            unsafe room.withUnsafeMutableBytes { room in
                unsafe source.withUnsafeBytes { unsafe room.copyMemory(from: $0) }
            }
        }
        for isDirty in [false, true] {
            var samples: [Double] = []
            for _ in 0..<options.repeats * 10 {
                if isDirty { exchange(peer, dirtying, reply: 32) }
                let begin = now()
                // SAFETY: the room has the whole answer's length.
                unsafe report.withUnsafeBytes { unsafe peer.send($0.baseAddress.unsafelyUnwrapped, $0.count) }
                unsafe room.withUnsafeMutableBytes {
                    unsafe peer.receiveAll($0.baseAddress.unsafelyUnwrapped, bitmap + 48)
                }
                samples.append(Double(now() - begin))
            }
            guard room[48] == (isDirty ? 0xff : 0), room[bitmap + 47] == room[48] else {
                print("the report is wrong")
                return
            }
            let timing = Timing(samples)
            table.add([
                "\(gibibytes) GiB, \(isDirty ? "fully dirty" : "clean")", fixed(timing.minimum / 1000),
                fixed(timing.median / 1000), fixed(copy.minimum / 1000),
                fixed(timing.minimum / copy.minimum, 2),
            ])
        }
    }
    table.print()
}

/// Mapping and unmapping with other mappings present.
private func measureMaps(_ options: Options) throws {
    var table = Table(["map and unmap 4 KiB without a descriptor", "ns (minimum)", "ns (median)", "ratio"])
    var first: Timing?
    for present in options.isQuick ? [16, 4096] : [16, 256, 4096, 65_000] {
        let server = try Server(connected: Educational())
        let peer = try Peer(polls: false, processors: 1) { number in
            _ = try? server.serve(UnixSocket(owning: Descriptor(owning: number)))
        }
        negotiated(peer)
        for index in 0..<present {
            let body = UserDMAMap(flags: [.read, .write], address: UInt64(index) << 13, size: 4096)
            exchange(peer, message(.dmaMap, body), reply: 16)
        }
        let address = UInt64(present / 2) << 13 | 4096
        let map = message(.dmaMap, UserDMAMap(flags: [.read, .write], address: address, size: 4096))
        let unmap = message(.dmaUnmap, UserDMAUnmap(address: address, size: 4096))
        let timing = measure(operations: 2000, repeats: options.repeats) {
            for _ in 0..<2000 {
                exchange(peer, map, reply: 16)
                exchange(peer, unmap, reply: 40)
            }
        }
        let base = first ?? timing
        first = base
        table.add([
            "\(grouped(present)) present", fixed(timing.minimum), fixed(timing.median),
            fixed(timing.minimum / base.minimum, 2),
        ])
    }
    table.print()
}

/// One exchange, not measured by itself.
private func exchange(
    _ peer: Peer, _ request: [UInt8], reply: Int
) {
    var room = InlineArray<64, UInt8>(repeating: 0)
    var span = room.mutableSpan
    // SAFETY: the answers have at most 64 bytes.
    unsafe request.withUnsafeBytes { unsafe peer.send($0.baseAddress.unsafelyUnwrapped, $0.count) }
    unsafe span.withUnsafeMutableBufferPointer {
        unsafe peer.receive(UnsafeMutableRawPointer($0.baseAddress.unsafelyUnwrapped), reply)
    }
}
