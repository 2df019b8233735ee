import DeviceModel
import Glibc
import IOVASpace
import LinuxSystem
import VFIOABI
import VFIOHost

@testable import SoftwareHost

/// A device without registers, for tests of the core.
final class PlainModel: DeviceModel {
    let function = PCIFunction(
        PCIIdentity(vendor: 0x1234, device: 0x11e8, classCode: 0xff0000), bars: [:], isExpress: true)
    func readRegister(bar: Int, offset: UInt64, width: Int) -> UInt64 { 0 }
    func writeRegister(bar: Int, offset: UInt64, width: Int, value: UInt64) {}
    func reset(_ kind: ResetKind) {}
}

/// A bus driver that keeps account of what the core asks of it.
final class RecordingBus: BusDriver, @unchecked Sendable {
    let address: PCIAddress
    private(set) var space: (any DMAAddressSpace)?
    private(set) var opened = 0
    private(set) var closed = 0
    /// Whether DMA worked at the moment of each closing.
    private(set) var dmaWorkedAtClose: [Bool] = []
    var openError: Errno?
    /// What `VFIO_DEVICE_GET_INFO` tells; nil for a device that doesn't answer it.
    var deviceFlags: DeviceFlags?
    /// Whether it answered, at each change of that.
    private(set) var presence: [Bool] = []
    var region = RegionDescription(flags: 3, size: 4096, offset: 1 << 40)
    /// What is mapped by `map`.
    let memory: Mapping

    init(_ address: PCIAddress) throws(Errno) {
        self.address = address
        memory = try Mapping(anonymous: pageSize)
    }

    var isOpen: Bool { opened > closed }

    func openDevice() throws(Errno) {
        if let openError { throw openError }
        opened += 1
    }
    func closeDevice() {
        dmaWorkedAtClose.append(canRead(0x10000))
        closed += 1
    }
    func control(_ request: UInt32, _ argument: UInt) throws(Errno) -> Int32 {
        if request == 0x3b6b, let deviceFlags {
            try UserMemory.store(
                DeviceInfo(flags: deviceFlags), to: HostAddress(UInt64(argument)))
            return 0
        }
        if request == 0x3b6b { return 7 }
        throw .noSuchRequest
    }
    func regionInfo(index: UInt32) throws(Errno) -> RegionDescription {
        guard index < 9 else { throw .invalid }
        return region
    }
    func feature(
        _ id: UInt32, _ operation: FeatureOperation, isProbe: Bool, payload: HostAddress, room: UInt32
    ) throws(Errno) -> Int32 {
        guard id == 5 else { throw .noSuchRequest }
        return Int32(room)
    }
    func read(at offset: UInt64, into bytes: inout MutableRawSpan) throws(Errno) -> Int { bytes.byteCount }
    func write(at offset: UInt64, _ bytes: RawSpan) throws(Errno) -> Int { bytes.byteCount }
    func map(
        at offset: UInt64, byteCount: Int, protection: Mapping.Protection
    ) throws(Errno) -> MemoryWindow {
        guard byteCount <= pageSize else { throw .invalid }
        return memory.window
    }
    func unmap(_ window: MemoryWindow) {}
    func attach(to addressSpace: (any DMAAddressSpace)?) { space = addressSpace }
    func readAbsent(at offset: UInt64, into bytes: inout MutableRawSpan) throws(Errno) -> Int { 0 }
    func writeAbsent(at offset: UInt64, _ bytes: RawSpan) throws(Errno) -> Int { 0 }
    func resetAbsent() throws(Errno) -> Int32 { throw .noSuchRequest }
    func presenceChanged(isAbsent: Bool, reportsError: Bool) { presence.append(!isAbsent) }
    /// What `count` was each time that the device was asked for.
    private let requests = Shared<[Int]>([])
    var releaseRequests: [Int] { requests.value }
    func requestRelease(count: Int) { requests.value += [count] }
    private(set) var isWithdrawn = false
    func withdraw() { isWithdrawn = true }

    /// Whether the device can read at an address.
    func canRead(_ iova: UInt64, _ count: Int = 1) -> Bool { read(iova, count) != nil }

    /// What the device reads at an address; nil if it is refused.
    func read(_ iova: UInt64, _ count: Int = 1) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: count)
        guard let space else { return nil }
        do {
            var span = bytes.mutableSpan
            var raw = span.mutableBytes
            try space.readMemory(at: IOVA(iova), into: &raw)
        } catch { return nil }
        return bytes
    }

    /// Why the device can't write at an address; nil if it can.
    func write(_ iova: UInt64, _ bytes: [UInt8]) -> DMAFault.Reason? {
        guard let space else { return .notAttached }
        do throws(DMAFault) {
            try space.writeMemory(bytes.span.bytes, at: IOVA(iova))
            return nil
        } catch { return error.reason }
    }
}

/// A machine with recording devices, and short ways to ask it for something. Answers are the result, or the
/// negative error number.
final class Rig: @unchecked Sendable {
    let host: SoftwareHost
    private let made: Shared<[RecordingBus]>
    /// In the order in which drivers took their devices.
    var buses: [RecordingBus] { made.value }
    let memory: Mapping

    static let address = "0000:01:00.0"
    static let twin = "0000:01:00.1"
    static let other = "0000:02:00.0"

    /// Group 26 with two devices, group 27 with one.
    init(_ change: (inout MachineDescription) -> Void = { _ in }) throws {
        var machine = MachineDescription {
            IOMMU(.type1)
            IOMMUGroup(26) {
                PCIDevice(PlainModel(), at: Rig.address)
                PCIDevice(PlainModel(), at: Rig.twin)
            }
            IOMMUGroup(27) { PCIDevice(PlainModel(), at: Rig.other) }
        }
        change(&machine)
        let made = Shared<[RecordingBus]>([])
        self.made = made
        host = try SoftwareHost(machine) { (_, address, _) throws(Errno) -> any BusDriver in
            let bus = try RecordingBus(address)
            made.value += [bus]
            return bus
        }
        memory = try Mapping(anonymous: 256 * pageSize)
        for page in 0..<256 { memory.window.store8(page * pageSize, UInt8(page)) }
    }

    var base: UInt64 { UInt64(memory.window.address.rawValue) }

    func open(_ node: Node) -> Int32 { answer { () throws(Errno) in try host.open(node) } }
    func answer(_ body: () throws(Errno) -> Int32) -> Int32 {
        do throws(Errno) { return try body() } catch { return -error.rawValue }
    }
    func ask(_ handle: Int32, _ request: Request, _ argument: UInt = 0) -> Int32 {
        answer { () throws(Errno) in
            try host.control(handle, UInt32(truncatingIfNeeded: request.rawValue), argument)
        }
    }
    func ask<T>(_ handle: Int32, _ request: Request, _ value: inout T) -> Int32 {
        withUnsafeMutablePointer(to: &value) { ask(handle, request, UInt(bitPattern: $0)) }
    }
    func ask<T>(_ handle: Int32, _ request: Request, with value: T) -> Int32 {
        var value = value
        return ask(handle, request, &value)
    }

    func status(_ group: Int32) -> Int32 {
        var status = GroupStatus()
        let answer = ask(group, .groupGetStatus, &status)
        return answer < 0 ? answer : Int32(status.flags.rawValue)
    }
    func setContainer(_ group: Int32, _ container: Int32) -> Int32 {
        ask(group, .groupSetContainer, with: container)
    }
    func device(_ group: Int32, _ name: String = Rig.address) -> Int32 {
        name.withCString { ask(group, .groupGetDeviceFD, UInt(bitPattern: $0)) }
    }
    func map(
        _ container: Int32, _ iova: UInt64, pages: Int = 1, from page: Int = 0,
        flags: DMAMapFlags = [.read, .write], argsz: UInt32 = 32
    ) -> Int32 {
        ask(
            container, .iommuMapDMA,
            with: DMAMap(
                argsz: argsz, flags: flags, vaddr: base + UInt64(page * pageSize), iova: iova,
                size: UInt64(pages * pageSize)))
    }
    /// The size that comes back, or the negative error number.
    func unmap(_ container: Int32, _ iova: UInt64, size: UInt64, flags: DMAUnmapFlags = []) -> Int64 {
        var request = DMAUnmap(flags: flags, iova: iova, size: size)
        let answer = ask(container, .iommuUnmapDMA, &request)
        return answer < 0 ? Int64(answer) : Int64(request.size)
    }

    /// A container with group 26 and type1 set.
    func ready(_ kind: UInt = 3) -> (container: Int32, group: Int32) {
        let container = open(.container)
        let group = open(.group(26))
        precondition(setContainer(group, container) == 0)
        precondition(ask(container, .setIOMMU, kind) == 0)
        return (container, group)
    }
}

/// A generator that can be started again with a seed that a failing test printed.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
