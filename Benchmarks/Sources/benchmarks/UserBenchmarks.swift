import DeviceModel
import Glibc
import IOVASpace
import LinuxSystem
import SoftwareDevices
import VFIOABI
import VFIOUser

let userSuite = Suite(
    name: "user", summary: "registers behind a socket, against the bare exchange of the same bytes"
) { options in
    do {
        try measureAccesses(options)
        try measureOwnClient(options)
        try measureLongReads(options)
        try measurePostedWrites(options)
    } catch {
        print("the server can't be measured: \(error)")
    }
}

/// A register that reads as the complement of what was written.
private let register = UserRegionAccess(offset: Educational.Register.liveness, region: 0, count: 4)

private let readRequest = message(.regionRead, register)
private let writeRequest = message(.regionWrite, register, [1, 2, 3, 4])

/// The server alone: the client's side is as plain for the one as for the other.
private func measureAccesses(_ options: Options) throws {
    var table = ComparisonTable("operation", reference: "the same bytes")
    for placement in Placement.all {
        try WorkerThread.bindCaller(toProcessors: placement.near)
        let device = try SocketPeer.client(
            of: try Server(connected: Educational(), polls: placement.polls), placement)
        for (name, request, reply) in [
            ("read of 4 bytes", readRequest, 36), ("write of 4 bytes", writeRequest, 32),
        ] {
            let bare = try SocketPeer.echo(request.count, reply, placement)
            let comparison = Comparison(turns: options.turns, operations: 500) { count in
                for _ in 0..<count { device.exchange(request, reply: reply) }
            } against: { count in
                for _ in 0..<count { bare.exchange(request, reply: reply) }
            }
            table.add("\(name), \(placement.name)", comparison)
        }
    }
    try WorkerThread.bindCaller(toProcessors: .max)
    print("Nanoseconds per operation; the ratio is the median of many turns beside one another.\n")
    table.print()
}

/// Both sides: the library's client and its server.
private func measureOwnClient(_ options: Options) throws {
    var table = ComparisonTable("both sides are the library's", reference: "the same bytes")
    for placement in Placement.all {
        try WorkerThread.bindCaller(toProcessors: placement.near)
        let running = try RunningServer(Educational(), placement)
        let client = try Client(running.takeSocket(), limits: placement.limits)
        let bare = try SocketPeer.echo(readRequest.count, 36, placement)
        var value: UInt32 = 0
        let reading = try Comparison(turns: options.turns, operations: 500) { count in
            for _ in 0..<count {
                // SAFETY: any four bytes are a number.
                try unsafe withUnsafeMutableBytes(of: &value) {
                    var span = unsafe MutableRawSpan(_unsafeBytes: $0)
                    try client.read(region: 0, at: register.offset, into: &span)
                }
            }
        } against: { count in
            for _ in 0..<count { bare.exchange(readRequest, reply: 36) }
        }
        table.add("read of 4 bytes, \(placement.name)", reading)
        let bareWrite = try SocketPeer.echo(writeRequest.count, 32, placement)
        let writing = try Comparison(turns: options.turns, operations: 500) { count in
            for _ in 0..<count {
                // SAFETY: as above.
                try unsafe withUnsafeBytes(of: value) {
                    let span = unsafe RawSpan(_unsafeBytes: $0)
                    try client.write(region: 0, at: register.offset, span)
                }
            }
        } against: { count in
            for _ in 0..<count { bareWrite.exchange(writeRequest, reply: 32) }
        }
        table.add("write of 4 bytes, \(placement.name)", writing)
    }
    try WorkerThread.bindCaller(toProcessors: .max)
    table.print()
}

/// A device with a megabyte of memory that is reached by messages.
private final class Store: DeviceModel {
    let function = PCIFunction(
        PCIIdentity(vendor: 0x1234, device: 2, classCode: 0xff_0000),
        bars: [0: BAR(.memory32, byteCount: 1 << 20)])
    private let memory: Mapping

    init() throws(Errno) {
        memory = try Mapping(anonymous: 1 << 20)
        for offset in stride(from: 0, to: 1 << 20, by: 8) { memory.window.store64(offset, UInt64(offset)) }
        function.addMemory(BARMemory(bar: 0, offset: 0, window: memory.window, descriptor: -1))
    }

    func readRegister(bar: Int, offset: UInt64, width: Int) -> UInt64 { 0 }
    func writeRegister(bar: Int, offset: UInt64, width: Int, value: UInt64) {}
    func reset(_ kind: ResetKind) {}
}

private func measureLongReads(_ options: Options) throws {
    var table = ComparisonTable("read of a device's memory", reference: "the same bytes")
    for placement in Placement.all {
        try WorkerThread.bindCaller(toProcessors: placement.near)
        let room = (1 << 20) + 64
        let device = try SocketPeer.client(
            of: try Server(connected: Store(), polls: placement.polls), placement, roomByteCount: room)
        for (name, byteCount) in [
            ("64 B", 64), ("512 B", 512), ("4 KiB", 4096), ("64 KiB", 65_536), ("1 MiB", 1 << 20),
        ] {
            let request = message(
                .regionRead, UserRegionAccess(offset: 0, region: 0, count: UInt32(byteCount)))
            let bare = try SocketPeer.echo(request.count, 32 + byteCount, placement, roomByteCount: room)
            let operations = byteCount > 4096 ? max(2, (1 << 21) / byteCount) : 300
            let comparison = Comparison(turns: options.turns, operations: operations) { count in
                for _ in 0..<count { device.exchange(request, reply: 32 + byteCount) }
            } against: { count in
                for _ in 0..<count { bare.exchange(request, reply: 32 + byteCount) }
            }
            guard byteCount < 16 || device.byte(32 + byteCount - 8) == UInt8((byteCount - 8) & 0xff) else {
                print("the data is wrong")
                return
            }
            table.add("\(name), \(placement.name)", comparison)
        }
    }
    try WorkerThread.bindCaller(toProcessors: .max)
    table.print()
}

/// Writes that want no answer, and one read that does behind so many.
private func measurePostedWrites(_ options: Options) throws {
    let posted = message(.regionWrite, register, [1, 2, 3, 4], flags: .noReply)
    let batch = 1000
    var table = ComparisonTable("operation", reference: "the same bytes")
    for placement in Placement.all {
        try WorkerThread.bindCaller(toProcessors: placement.near)
        let device = try SocketPeer.client(
            of: try Server(connected: Educational(), polls: placement.polls), placement)
        let bare = try SocketPeer(placement) { number in
            let end = RawEnd(number, roomByteCount: 65_536, polls: placement.polls)
            // As many at a time as there are, up to the read.
            var missing = batch * posted.count + readRequest.count
            while let got = end.receiveSome(atMost: missing) {
                missing -= got
                guard missing == 0 else { continue }
                missing = batch * posted.count + readRequest.count
                if !end.send(36) { break }
            }
        }
        func stream(_ peer: SocketPeer) {
            for _ in 0..<batch { peer.send(posted) }
            peer.exchange(readRequest, reply: 36)
        }
        let comparison = Comparison(turns: options.turns, operations: 2) { count in
            for _ in 0..<count { stream(device) }
        } against: { count in
            for _ in 0..<count { stream(bare) }
        }
        table.add("\(batch) posted writes of 4 bytes and a read, \(placement.name)", comparison)
    }
    try WorkerThread.bindCaller(toProcessors: .max)
    table.print()
}
