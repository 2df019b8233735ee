import LinuxSystem
import VFIOABI
import VFIOHost

/// An eventfd that a case waits for, and that can be one of several in an array.
final class Event {
    private let descriptor: EventDescriptor

    /// - Parameter counts: whether its first reader should find something.
    init(signalled counts: UInt64 = 0) throws(Errno) {
        descriptor = try EventDescriptor()
        if counts > 0 { descriptor.signal(counts) }
    }

    /// For a uAPI structure.
    var number: Int32 { descriptor.number }

    /// Adds to the counter.
    func signal(_ count: UInt64 = 1) { descriptor.signal(count) }

    /// How often it was signalled since it was last asked. For what is signalled within a request.
    var taken: UInt64 { (try? descriptor.take()) ?? .max }

    /// Whether the counter isn't 0; it is left as it is.
    var isSignalled: Bool { descriptor.isSignalled }

    /// Waits for an interrupt that the device raises: a kernel's interrupt handler runs when it runs.
    /// - Returns: how often it was signalled; 0 after five seconds without.
    func arrives() -> UInt64 { ((try? descriptor.wait(milliseconds: 5000)) ?? nil) ?? 0 }

    /// Whether nothing comes for a moment. What comes later is missed; what comes is always wrong.
    func isSilent() -> Bool { ((try? descriptor.wait(milliseconds: 40)) ?? nil) == nil }
}

extension Trial {
    /// A new eventfd.
    func event(signalled counts: UInt64 = 0) throws -> Event { try Event(signalled: counts) }

    /// A descriptor that is open and no eventfd.
    func notAnEventFD() throws -> Descriptor { try Descriptor(opening: "/dev/null") }
}

/// A number that stands for no open descriptor.
let closedDescriptor: Int32 = 987_654

extension IRQSetFlags {
    /// `DATA_NONE | ACTION_TRIGGER`: with count 0, disables; otherwise signals as the device would.
    static var loop: IRQSetFlags { [.dataNone, .actionTrigger] }
    /// `DATA_BOOL | ACTION_TRIGGER`
    static var loopSome: IRQSetFlags { [.dataBool, .actionTrigger] }
    /// `DATA_EVENTFD | ACTION_TRIGGER`
    static var events: IRQSetFlags { [.dataEventFD, .actionTrigger] }
    /// `DATA_NONE | ACTION_MASK`
    static var mask: IRQSetFlags { [.dataNone, .actionMask] }
    /// `DATA_NONE | ACTION_UNMASK`
    static var unmask: IRQSetFlags { [.dataNone, .actionUnmask] }
    /// `DATA_EVENTFD | ACTION_UNMASK`
    static var unmaskEvent: IRQSetFlags { [.dataEventFD, .actionUnmask] }
}

extension File {
    /// SET_IRQS with bytes behind the header.
    /// - Parameter argsz: the size that is declared; nil for the right one.
    func setIRQs(
        _ index: PCIInterrupt, _ flags: IRQSetFlags, start: UInt32 = 0, count: UInt32 = 1,
        data: [UInt8] = [], argsz: UInt32? = nil
    ) -> Answer {
        setIRQs(
            IRQSet(
                argsz: argsz ?? UInt32(20 + data.count), flags: flags, index: index.rawValue, start: start,
                count: count), data)
    }

    /// SET_IRQS, every field as given.
    func setIRQs(_ header: IRQSet, _ data: [UInt8] = []) -> Answer {
        // SAFETY: a structure of plain integers without padding; the address is used during the call only.
        var bytes = unsafe withUnsafeBytes(of: header) { unsafe Array($0) }
        bytes += data
        return unsafe bytes.span.withUnsafeBytes { buffer in
            request(.deviceSetIRQs, UInt(bitPattern: buffer.baseAddress))
        }
    }

    /// Gives vectors their eventfds.
    func setEvents(_ index: PCIInterrupt, start: UInt32 = 0, _ numbers: [Int32]) -> Answer {
        setIRQs(index, .events, start: start, count: UInt32(numbers.count), data: bytes(of: numbers))
    }

    /// An eventfd that unmasks the line.
    func setUnmaskEvent(_ number: Int32) -> Answer {
        setIRQs(.intx, .unmaskEvent, data: bytes(of: [number]))
    }

    /// Ends the use of an index.
    func disable(_ index: PCIInterrupt) -> Answer { setIRQs(index, .loop, count: 0) }

    /// What is told of an index.
    func irqInfo(_ index: PCIInterrupt) -> (answer: Answer, info: IRQInfo) {
        var info = IRQInfo(index: index.rawValue)
        let answer = request(.deviceGetIRQInfo, &info)
        return (answer, info)
    }
}

/// Numbers as the bytes that a request carries.
func bytes(of numbers: [Int32]) -> [UInt8] {
    numbers.flatMap { number in (0..<4).map { UInt8(truncatingIfNeeded: number >> Int32(8 * $0)) } }
}

/// Where the regions of a PCI device are, for files of vfio-pci.
enum Place {
    /// A place in configuration space.
    static func configuration(_ offset: UInt64) -> UInt64 { UInt64(7) << 40 | offset }
    /// COMMAND
    static var command: UInt64 { configuration(4) }
}

/// An edu device that is open and answers.
struct Edu {
    let setup: Setup
    var device: File { setup.device }

    /// Raises the interrupt: sets bits of its status.
    func raise(_ bits: UInt32 = 1) { device.store(bits, at: 0x60) }

    /// Takes the interrupt back: clears all bits of its status.
    func acknowledge() { device.store(UInt32.max, at: 0x64) }

    /// The status.
    func status() throws -> UInt32 { try device.load(UInt32.self, at: 0x24) }

    /// Writes COMMAND.
    func setCommand(_ value: UInt16) { device.store(value, at: Place.command) }
}

/// What cases do with an NVMe disk.
enum Disk {
    /// Controller Configuration: a register that a reset clears.
    static let register: UInt64 = 0x14
    /// Entries of the usual sizes; the controller stays disabled.
    static let value: UInt32 = 0x0046_0000

    /// Writes the register.
    static func setUpRegister(_ device: File) { device.store(value, at: register) }
}

extension Trial {
    /// Opens an edu device and lets it answer and send messages.
    func openEdu() throws -> Edu {
        let edu = Edu(setup: try setUp(self.edu))
        edu.setCommand(0x6)
        return edu
    }

    /// Opens an NVMe disk; its registers are left alone.
    func openDisk() throws -> File { try setUp(nvme).device }

    /// A further file of a device that is open through its group.
    func openAgain(_ setup: Setup) throws -> File {
        guard let group = setup.group else { throw Halt.broken("the device wasn't opened through its group") }
        let (answer, file) = getDevice(setup.record.name, from: group)
        guard let file else { throw Halt.broken("GET_DEVICE_FD for the second time: \(answer)") }
        return file
    }
}

extension File {
    /// Where a capability begins in configuration space; nil if there is none.
    func capability(_ id: UInt8) throws -> UInt64? {
        var at = try load(UInt8.self, at: Place.configuration(0x34)) & 0xfc
        for _ in 0..<48 where at >= 0x40 {
            if try load(UInt8.self, at: Place.configuration(UInt64(at))) == id { return UInt64(at) }
            at = try load(UInt8.self, at: Place.configuration(UInt64(at) + 1)) & 0xfc
        }
        return nil
    }
}
