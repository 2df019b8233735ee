import DeviceModel
import IOVASpace
import LinuxSystem
import SoftwareDevices
import SoftwareHost
import Testing
import VFIO
import VFIOABI
import VFIOHost

/// A virtual machine that knows groups of a software host.
private final class VirtualMachine: VirtualMachineFiles {
    private let files: VFIODeviceFiles
    init(of host: SoftwareHost) { files = VFIODeviceFiles(of: host) }
    func add(_ handle: Int32) throws(Errno) { try files.add(handle) }
    func remove(_ handle: Int32) throws(Errno) { try files.remove(handle) }
    func close() {}
}

@Suite("Devices of other buses than PCI")
struct OtherBusTests {
    private static let uuid = "b7f4ae29-5b5a-4d1c-9d36-6f3d0c9d2f01"

    private func id(_ bus: DeviceID.Bus, _ name: String) throws -> DeviceID {
        try #require(DeviceID(bus, name))
    }

    /// A frame goes round: through two rings of one descriptor each.
    private func sendFrame(_ device: Device) throws -> [UInt8] {
        typealias Register = CalxedaXGMAC.Register
        let registers = try device.region(0)
        let memory = try device.addressSpace.allocate(byteCount: pageSize, below: IOVA(1 << 32))
        let base = UInt32(truncatingIfNeeded: memory.iova.rawValue)
        let window = memory.window
        for index in 0..<60 { window.store8(0x100 + index, UInt8(index) ^ 0x5a) }
        let transmit: [UInt32] = [
            CalxedaXGMAC.Descriptor.owned | CalxedaXGMAC.Descriptor.firstSegment
                | CalxedaXGMAC.Descriptor.lastSegment | CalxedaXGMAC.Descriptor.transmitRingEnd, 60,
            base + 0x100,
        ]
        let receive: [UInt32] = [
            CalxedaXGMAC.Descriptor.owned, CalxedaXGMAC.Descriptor.receiveRingEnd | 1024, base + 0x200,
        ]
        for (index, word) in transmit.enumerated() { window.store32(4 * index, word) }
        for (index, word) in receive.enumerated() { window.store32(0x40 + 4 * index, word) }
        try registers.store32(Int(Register.transmitBase), base)
        try registers.store32(Int(Register.receiveBase), base + 0x40)
        try registers.store32(
            Int(Register.interruptEnable),
            CalxedaXGMAC.Status.received | CalxedaXGMAC.Status.normalSummary)
        try registers.store32(Int(Register.macControl), 0xc)
        try registers.store32(Int(Register.dmaControl), 0x2002)
        try registers.store32(Int(Register.transmitPoll), 1)
        #expect(window.load32(0x40) == CalxedaXGMAC.Descriptor.wholeFrame | 60 << 16)
        return (0..<60).map { window.load8(0x200 + $0) }
    }

    @Test("a network controller on the platform bus moves a frame", arguments: [RouteChoice.group, .cdev])
    func platform(route: RouteChoice) throws {
        let id = try id(.platform, CalxedaXGMAC.name)
        let host = try SoftwareHost {
            IOMMU(.type1)
            IOMMUGroup(7) { BusDevice(CalxedaXGMAC(), id) }
        }
        #expect(try host.inventory().summary(of: id)?.firmware?.compatible == ["calxeda,hb-xgmac"])
        let device = try Device(opening: id, on: host, route)
        #expect(device.info.flags == [.platform, .reset] && device.info.regionCount == 1)
        #expect(device.address == nil && device.configurationArea.byteCount == 0)
        let line = try device.enableInterrupts(0, count: 1)
        // Lines don't exclude one another.
        let other = try device.enableInterrupts(1, count: 1)
        #expect(try sendFrame(device) == (0..<60).map { UInt8($0) ^ 0x5a })
        #expect(try line.take(0) == 1)
        let registers = try device.region(0)
        try line.unmask()
        #expect(try line.take(0) == 1, "still asserted")
        try registers.store32(Int(CalxedaXGMAC.Register.status), .max)
        try line.unmask()
        #expect(try line.take(0) == 0)
        #expect(try other.take(0) == 0)
        try device.reset()
        #expect(try registers.load32(Int(CalxedaXGMAC.Register.macControl)) == 0)
        withExtendedLifetime(device) {}
    }

    @Test("errors name a region and an interrupt of a platform device by their numbers")
    func names() throws {
        let id = try id(.platform, CalxedaXGMAC.name)
        let host = try SoftwareHost {
            IOMMU(.type1)
            IOMMUGroup(7) { BusDevice(CalxedaXGMAC(), id) }
        }
        let device = try Device(opening: id, on: host)
        let region = #expect(throws: VFIOError.self) { _ = try device.region(5) }
        #expect(region?.object == "region 5 of fff51000.ethernet")
        let vectors = #expect(throws: VFIOError.self) { _ = try device.enableInterrupts(3, count: 1) }
        #expect(vectors?.code == .tooFewVectors && vectors?.cause == "the device has no interrupt 3")
        #expect(throws: VFIOError.self) { try device.setBusMaster(true) }
    }

    @Test("what can't be reset is only bound where nobody minds")
    func unresettable() throws {
        let id = try id(.platform, "9010000.rtc")
        let amba = try self.id(.amba, "9010000.rtc")
        var machine = MachineDescription {
            IOMMU(.type1)
            IOMMUGroup(7) { BusDevice(PrimeCellClock(), id) }
        }
        #expect(throws: MachineError.self) { _ = try SoftwareHost(machine) }
        machine.groups = [IOMMUGroup(7, otherDevices: [BusDevice(PrimeCellClock(), amba)])]
        let host = try SoftwareHost(machine)
        let device = try Device(opening: amba, on: host)
        #expect(device.info.flags == .amba && !device.canReset)
        let identification = try device.region(0).load32(0xfe0)
        #expect(identification == PrimeCellClock.peripheralID & 0xff)
        var unbound = BusDevice(SeattleXGBE(), id)
        unbound.driver = nil
        machine.groups = [IOMMUGroup(7, otherDevices: [unbound])]
        let later = try SoftwareHost(machine)
        #expect(throws: VFIOError.self) { _ = try Device(opening: id, on: later) }
        try later.bind(id, to: "vfio-platform")
        #expect(try Device(opening: id, on: later).info.interruptKindCount == 3)
    }

    @Test("a CDX device fills memory once it may start transactions", arguments: [RouteChoice.group, .cdev])
    func cdx(route: RouteChoice) throws {
        let id = try id(.cdx, "cdx-00:01")
        let mailbox = try CDXMailbox()
        let host = try SoftwareHost {
            IOMMU(.type1)
            IOMMUGroup(7) { BusDevice(mailbox, id) }
        }
        let device = try Device(opening: id, on: host, route)
        let region = try device.region(0)
        #expect(region.isMapped)
        let messages = try device.enableInterrupts(0, count: 2)
        let memory = try device.addressSpace.allocate(byteCount: pageSize)
        func order(_ number: UInt64) throws {
            try region.store64(CDXMailbox.Register.address, memory.iova.rawValue)
            try region.store64(CDXMailbox.Register.byteCount, 16)
            try region.store64(CDXMailbox.Register.pattern, number)
            try region.store64(CDXMailbox.Register.order, number)
        }
        try order(1)
        #expect(try messages.wait(CDXMailbox.Message.failed, milliseconds: 20_000) == 1)
        try device.setBusMaster(true)
        try order(7)
        #expect(try messages.wait(CDXMailbox.Message.done, milliseconds: 20_000) == 1)
        #expect(try UserMemory.load(UInt8(0), from: memory.window.address + 15) == 7)
        try device.setBusMaster(false)
        try order(8)
        #expect(try messages.wait(CDXMailbox.Message.failed, milliseconds: 20_000) == 1)
    }

    @Test("a channel device's regions are found by their kinds, and it runs a program")
    func channel() throws {
        let id = try id(.mdev, Self.uuid)
        let drum = ChannelDrum()
        let host = try SoftwareHost {
            IOMMU(.type1)
            IOMMUGroup(90, isEmulated: true) { BusDevice(drum, id) }
        }
        let device = try Device(opening: id, on: host, .group)
        #expect(device.info.flags == [.ccw, .reset])
        let channel = try Channel(device)
        #expect(try channel.information()[4..<8] == [0, 0x81, 0x4f, 0xb2])
        let interrupt = try device.enableInterrupts(.channelProgram, count: 1)
        let memory = try device.addressSpace.allocate(byteCount: 2 * pageSize, below: IOVA(1 << 31))
        let place = UInt32(truncatingIfNeeded: memory.iova.rawValue)
        memory.window.store32(0, UInt32(0xe420_0010).bigEndian)
        memory.window.store32(4, (place + 0x800).bigEndian)
        try channel.start(Channel.Request(program: place))
        #expect(try interrupt.take(0) == 1)
        #expect(memory.window.load8(0x800) == 0xff)
        let status = try channel.status()
        #expect(status.isStart && !status.isAlert && status.device == 0x0c && status.residual == 9)
        #expect(status.program == place + 8)
        drum.setHeldUp(true)
        try channel.start(Channel.Request(program: place))
        let busy = #expect(throws: VFIOError.self) { try channel.start(Channel.Request(program: place)) }
        #expect(busy?.code == .busy)
        try channel.halt()
        #expect(try channel.status().isHalt)
        try channel.clear()
        #expect(try channel.status().isClear)
        drum.setHeldUp(false)
        let reports = try device.enableInterrupts(.channelReport, count: 1)
        drum.subchannel.report(0x0404_0000)
        #expect(try reports.take(0) == 1)
        #expect(try channel.nextReport() == 0x0404_0000)
        #expect(try channel.nextReport() == nil)
        let wrong = #expect(throws: VFIOError.self) { try channel.start(Channel.Request(program: 0)) }
        #expect(wrong?.errno == .invalid && wrong?.operation == "start a channel program")
    }

    @Test("cryptographic queues tell of changes, once a virtual machine has them")
    func crypto() throws {
        let id = try id(.mdev, Self.uuid)
        let matrix = CryptoMatrix()
        let host = try SoftwareHost {
            IOMMU(.type1)
            IOMMUGroup(90, isEmulated: true) { BusDevice(matrix, id) }
        }
        #expect(throws: VFIOError.self) { _ = try Device(opening: id, on: host, .group) }
        let machine = VirtualMachine(of: host)
        let device = try Device(opening: id, in: AddressSpace(on: host, .group, for: machine))
        #expect(device.info.flags == [.ap, .reset] && device.info.regionCount == 0)
        let changes = try device.enableInterrupts(.cryptoChange, count: 1)
        try matrix.assign(.adapter, 4)
        try matrix.assign(.domain, 9)
        try matrix.assign(.domain, 9)
        #expect(try changes.take(0) == 2)
        let resets = matrix.resetCount
        try device.reset()
        #expect(matrix.resetCount == resets + 1)
    }

    @Test("the name of a device of another bus takes no options")
    func options() throws {
        let id = try id(.platform, CalxedaXGMAC.name)
        let host = try SoftwareHost {
            IOMMU(.type1)
            IOMMUGroup(7) { BusDevice(CalxedaXGMAC(), id) }
        }
        let container = try host.open(.container)
        let group = try host.open(.group(7))
        defer {
            host.close(group)
            host.close(container)
        }
        func send(_ handle: Int32, _ request: Request, _ argument: UInt) throws(Errno) -> Int32 {
            try host.control(handle, UInt32(truncatingIfNeeded: request.rawValue), argument)
        }
        var number = container
        _ = try unsafe withUnsafeMutablePointer(to: &number) { pointer throws(Errno) in
            try send(group, .groupSetContainer, UInt(bitPattern: pointer))
        }
        _ = try send(container, .setIOMMU, 3)
        func open(_ name: String) -> Errno? {
            let text = Array(name.utf8) + [0]
            return unsafe text.withUnsafeBufferPointer { bytes in
                do throws(Errno) {
                    host.close(try send(group, .groupGetDeviceFD, UInt(bitPattern: bytes.baseAddress)))
                    return nil
                } catch {
                    return error
                }
            }
        }
        #expect(open("fff51000.ethernet ") == .noDevice)
        #expect(open("fff51000.etherne") == .noDevice)
        #expect(open("fff51000.ethernet") == nil)
    }
}
