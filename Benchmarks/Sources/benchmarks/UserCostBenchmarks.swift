import DeviceModel
import Glibc
import LinuxSystem
import SoftwareDevices
import VFIO
import VFIOABI
import VFIOUser

let userCostSuite = Suite(
    name: "user-cost", summary: "what a message costs in memory management, on both sides of a socket"
) { options in
    do {
        try measureCosts(options)
    } catch {
        print("the server can't be measured: \(error)")
    }
}

private func measureCosts(_ options: Options) throws {
    var table = Table(["a message with its answer", "retains and releases", "objects made"])
    let count = options.isQuick ? 1000 : 10_000
    func add(_ name: String, _ body: (Int) throws -> Void) throws {
        // What is made once is made now.
        try body(100)
        guard let cost = try MemoryManagement.during({ try body(count) }) else {
            table.add([name, "not known", "not known"])
            return
        }
        func each(_ number: UInt64) -> String { fixed(Double(number) / Double(count), 3) }
        table.add([name, each(cost.references), each(cost.objects)])
    }
    let access = UserRegionAccess(offset: Educational.Register.liveness, region: 0, count: 4)
    let read = message(.regionRead, access)
    let write = message(.regionWrite, access, [1, 2, 3, 4])
    let posted = message(.regionWrite, access, [1, 2, 3, 4], flags: .noReply)

    // The server's side alone: this side is bare.
    let plain = try SocketPeer.client(of: try Server(connected: Educational()), .together)
    try add("read, the server") { for _ in 0..<$0 { plain.exchange(read, reply: 36) } }
    try add("write, the server") { for _ in 0..<$0 { plain.exchange(write, reply: 32) } }
    try add("posted write and a read, the server") {
        for _ in 0..<$0 {
            plain.send(posted)
            plain.exchange(read, reply: 36)
        }
    }
    plain.exchange(
        message(.dmaMap, UserDMAMap(flags: [.read, .write], address: 0, size: 1 << 20)), reply: 16)
    try add("write to a device with memory by messages, the server") {
        for _ in 0..<$0 { plain.exchange(write, reply: 32) }
    }
    try add("DMA_READ of 4 KiB and its answer, the server", DMAMessages(isRead: true).run)
    try add("DMA_WRITE of 4 KiB and its answer, the server", DMAMessages(isRead: false).run)

    // Both sides.
    let running = try RunningServer(Educational(), .together)
    let client = try Client(running.takeSocket())
    var value: UInt32 = 0
    try add("read, both sides") {
        for _ in 0..<$0 {
            // SAFETY: any four bytes are a number.
            try unsafe withUnsafeMutableBytes(of: &value) {
                var span = unsafe MutableRawSpan(_unsafeBytes: $0)
                try client.read(region: 0, at: access.offset, into: &span)
            }
        }
    }
    try add("write, both sides") {
        for _ in 0..<$0 {
            // SAFETY: as above.
            try unsafe withUnsafeBytes(of: value) {
                let span = unsafe RawSpan(_unsafeBytes: $0)
                try client.write(region: 0, at: access.offset, span)
            }
        }
    }
    let hosted = try RunningServer(Educational(), .together)
    let device = try Device(opening: VFIOUserHost.deviceAddress, on: try VFIOUserHost(hosted.takeSocket()))
    try device.setMemoryEnabled(true)
    let register = try device.region(.bar0).register32(at: Int(access.offset))
    try add("read of a register of the typed API, both sides") {
        var sum: UInt64 = 0
        for _ in 0..<$0 { sum &+= UInt64(register.load()) }
        keep(sum)
    }
    try add("write of a register of the typed API, both sides") {
        for _ in 0..<$0 { register.store(1) }
    }
    try add("DMA_READ of 4 KiB and its answer, both sides", RemoteTransfers(isRead: true).run)
    try add("DMA_WRITE of 4 KiB and its answer, both sides", RemoteTransfers(isRead: false).run)
    table.print()
}
