import DeviceModel
import IOVASpace
import LinuxSystem
import Testing
import VFIOABI
import VFIOHost

@testable import SoftwareHost

/// A device with nothing but what a test asks for: registers that remember, counted accesses.
final class TestDevice: DeviceModel {
    let function: PCIFunction
    var registers: [UInt64: UInt64] = [:]
    var reads: [(bar: Int, offset: UInt64, width: Int)] = []
    var writes: [(bar: Int, offset: UInt64, width: Int, value: UInt64)] = []
    var resets: [ResetKind] = []
    var quiesced = 0
    /// Carried out inside a register write.
    var onWrite: ((UInt64) -> Void)?

    init(_ function: PCIFunction) { self.function = function }

    func readRegister(bar: Int, offset: UInt64, width: Int) -> UInt64 {
        reads.append((bar, offset, width))
        return registers[UInt64(bar) << 32 | offset] ?? 0
    }

    func writeRegister(bar: Int, offset: UInt64, width: Int, value: UInt64) {
        writes.append((bar, offset, width, value))
        registers[UInt64(bar) << 32 | offset] = value
        onWrite?(value)
    }

    func reset(_ kind: ResetKind) {
        resets.append(kind)
        registers = [:]
    }

    func quiesce() { quiesced += 1 }
}

/// Plain memory for a BAR, and what keeps it alive.
final class TestMemory {
    let file: Descriptor
    let mapping: Mapping

    init(byteCount: Int) throws(Errno) {
        file = try MemoryFile.create("test BAR", byteCount: UInt64(max(byteCount, pageSize)))
        mapping = try Mapping(sharing: file.number, at: 0, byteCount: byteCount)
    }

    func part(bar: Int, at offset: UInt64, from start: Int = 0, byteCount: Int? = nil) -> BARMemory {
        BARMemory(
            bar: bar, offset: offset,
            window: mapping.window.window(at: start, byteCount: byteCount ?? mapping.window.byteCount),
            descriptor: file.number, fileOffset: UInt64(start))
    }
}

/// A driver with its device and the calls of a user.
final class Bench {
    let device: TestDevice
    let driver: PCIBusDriver
    var function: PCIFunction { device.function }
    private var keeps: [TestMemory] = []

    init(_ device: TestDevice, isAloneOnBus: Bool = false, dynamic: Bool = true, keeping: [TestMemory] = []) {
        self.device = device
        keeps = keeping
        driver = PCIBusDriver(
            model: device, address: PCIAddress(bus: 1, device: 2, function: 0), hasDynamicVectors: dynamic)
        guard isAloneOnBus else { return }
        driver.pciBus = PCIBus(number: 1, isResettable: true)
        driver.pciBus.add()
    }

    // MARK: regions

    func read(_ region: UInt64, _ offset: UInt64, _ count: Int) throws(Errno) -> [UInt8] {
        var bytes = [UInt8](repeating: 0xcc, count: count)
        var span = bytes.mutableSpan
        var raw = unsafe span.mutableBytes
        let done = try driver.read(at: region << 40 | offset, into: &raw)
        return Array(bytes[0..<done])
    }

    func write(_ region: UInt64, _ offset: UInt64, _ bytes: [UInt8]) throws(Errno) -> Int {
        try unsafe driver.write(at: region << 40 | offset, bytes.span.bytes)
    }

    func config(_ offset: Int, _ width: Int) -> UInt32 {
        guard let bytes = try? read(7, UInt64(offset), width), bytes.count == width else {
            return 0xdead_beef
        }
        return bytes.reversed().reduce(0) { $0 << 8 | UInt32($1) }
    }

    func setConfig(_ offset: Int, _ width: Int, _ value: UInt32) {
        let bytes = (0..<width).map { UInt8(truncatingIfNeeded: value >> UInt32(8 * $0)) }
        #expect((try? write(7, UInt64(offset), bytes)) == width)
    }

    /// The chain of capabilities as a user walks it.
    var chain: [UInt8] {
        var ids: [UInt8] = []
        var at = Int(config(0x34, 1))
        while at >= 0x40 && ids.count < 64 {
            ids.append(UInt8(config(at, 1)))
            at = Int(config(at + 1, 1))
        }
        return ids
    }

    /// The chain of extended capabilities.
    var extendedChain: [UInt16] {
        var ids: [UInt16] = []
        var at = 0x100
        while at != 0 && ids.count < 64 {
            let header = config(at, 4)
            ids.append(UInt16(truncatingIfNeeded: header))
            at = Int(header >> 20)
        }
        return ids
    }

    // MARK: interrupts

    @discardableResult
    func setIRQs(
        _ index: PCIInterrupt, _ flags: IRQSetFlags, start: UInt32 = 0, count: UInt32, data: [UInt8] = [],
        argsz: UInt32? = nil
    ) throws(Errno) -> Int32 {
        let words = [
            argsz ?? UInt32(20 + data.count), flags.rawValue, index.rawValue, start, count,
        ]
        var bytes = words.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> UInt32(8 * $0)) }
        }
        bytes += data
        return try control(.deviceSetIRQs, &bytes)
    }

    @discardableResult
    func setEvents(_ index: PCIInterrupt, start: UInt32 = 0, _ numbers: [Int32]) throws(Errno) -> Int32 {
        try setIRQs(
            index, [.dataEventFD, .actionTrigger], start: start, count: UInt32(numbers.count),
            data: Self.bytes(numbers))
    }

    static func bytes(_ numbers: [Int32]) -> [UInt8] {
        numbers.flatMap { number in (0..<4).map { UInt8(truncatingIfNeeded: number >> Int32(8 * $0)) } }
    }

    /// A feature, asked for as the core does it.
    @discardableResult
    func feature(
        _ id: UInt32, _ operation: FeatureOperation = .set, isProbe: Bool = false,
        payload: InlineArray<2, Int32> = [0, 0], room: UInt32 = 8
    ) throws(Errno) -> Int32 {
        var payload = payload
        driver.beginUse()
        defer { driver.endUse() }
        return try unsafe withUnsafeMutableBytes(of: &payload) { (buffer) throws(Errno) -> Int32 in
            try driver.feature(
                id, operation, isProbe: isProbe,
                payload: HostAddress(rawValue: UInt(bitPattern: buffer.baseAddress)), room: room)
        }
    }

    /// A request without data.
    @discardableResult
    func control(_ request: Request) throws(Errno) -> Int32 {
        driver.beginUse()
        defer { driver.endUse() }
        return try driver.control(UInt32(request.rawValue), 0)
    }

    func control(_ request: Request, _ bytes: inout [UInt8]) throws(Errno) -> Int32 {
        var span = bytes.mutableSpan
        return try unsafe span.withUnsafeMutableBytes { (buffer) throws(Errno) -> Int32 in
            driver.beginUse()
            defer { driver.endUse() }
            return try driver.control(UInt32(request.rawValue), UInt(bitPattern: buffer.baseAddress))
        }
    }

    func control<T: BitwiseCopyable>(_ request: Request, _ value: inout T) throws(Errno) -> Int32 {
        try unsafe withUnsafeMutableBytes(of: &value) { (buffer) throws(Errno) -> Int32 in
            driver.beginUse()
            defer { driver.endUse() }
            return try driver.control(UInt32(request.rawValue), UInt(bitPattern: buffer.baseAddress))
        }
    }

    func irqInfo(_ index: UInt32) throws(Errno) -> IRQInfo {
        var info = IRQInfo(index: index)
        _ = try control(.deviceGetIRQInfo, &info)
        return info
    }
}

/// The errno of a call that fails, nil of one that doesn't.
func errno<R>(_ body: () throws -> R) -> Errno? {
    do {
        _ = try body()
        return nil
    } catch {
        return error as? Errno ?? Errno(rawValue: 0)
    }
}

extension EventDescriptor {
    /// How often it was signalled since it was last asked.
    var taken: UInt64 { (try? take()) ?? .max }
}

/// Address space that covers one page of memory, for the slot's tests.
final class TestSpace: DMAAddressSpace, @unchecked Sendable {
    private let lock = Lock()
    private var bytes = [UInt8](repeating: 0, count: 4096)
    let base: UInt64 = 0x10_0000

    private func place(_ iova: IOVA, _ count: Int, _ access: DMAAccess) throws(DMAFault) -> Int {
        guard iova.rawValue >= base, iova.rawValue - base <= 4096 - UInt64(count) else {
            throw DMAFault(iova: iova, access: access, reason: .notMapped)
        }
        return Int(iova.rawValue - base)
    }

    func readMemory(at iova: IOVA, into bytes: inout MutableRawSpan) throws(DMAFault) {
        let at = try place(iova, bytes.byteCount, .read)
        lock.withLock {
            for index in 0..<bytes.byteCount {
                bytes.storeBytes(of: self.bytes[at + index], toByteOffset: index, as: UInt8.self)
            }
        }
    }

    func writeMemory(_ bytes: RawSpan, at iova: IOVA) throws(DMAFault) {
        let at = try place(iova, bytes.byteCount, .write)
        lock.withLock {
            for index in 0..<bytes.byteCount {
                self.bytes[at + index] = unsafe bytes.unsafeLoad(fromByteOffset: index, as: UInt8.self)
            }
        }
    }

    func withMemory(
        at iova: IOVA, byteCount: Int, for access: DMAAccess, _ body: (MemoryWindow) -> Bool
    ) throws(DMAFault) {
        throw DMAFault(iova: iova, access: access, reason: .notLendable)
    }
}

/// An Express device: registers, an MSI-X table and memory in BAR 0, memory in BAR 2, ports in BAR 4, a ROM.
func expressBench(dynamic: Bool = true) throws -> Bench {
    let partial = try TestMemory(byteCount: 0x4000)
    let whole = try TestMemory(byteCount: 0x4000)
    let function = PCIFunction(
        PCIIdentity(vendor: 0x1b36, device: 0x11e8, classCode: 0x00ff_0000, revision: 7),
        bars: [
            0: BAR(.memory64, byteCount: 0x1_0000),
            2: BAR(.memory32, byteCount: 0x4000, isPrefetchable: true),
            4: BAR(.io, byteCount: 32),
        ], isExpress: true, rom: [0x55, 0xaa] + [UInt8](repeating: 0x11, count: 1000))
    function.addPowerManagement()
    function.addMSI(vectors: 4)
    function.addMSIX(vectors: 8, table: (bar: 0, offset: 0x2000), pending: (bar: 0, offset: 0x3000))
    function.addExpress()
    function.addMemory(partial.part(bar: 0, at: 0x4000))
    function.addMemory(whole.part(bar: 2, at: 0))
    return Bench(TestDevice(function), dynamic: dynamic, keeping: [partial, whole])
}

/// A conventional device: registers in BAR 0, a line, power management that loses the state.
func conventionalBench(
    isAloneOnBus: Bool = false, noSoftReset: Bool = false, hasAdvancedFeatures: Bool = false
) -> Bench {
    let function = PCIFunction(
        PCIIdentity(vendor: 0x1234, device: 0x5678, classCode: 0x07_0002),
        bars: [0: BAR(.memory32, byteCount: 256)], interruptPin: 1)
    function.addPowerManagement(noSoftReset: noSoftReset)
    if hasAdvancedFeatures { function.addAdvancedFeatures() }
    return Bench(TestDevice(function), isAloneOnBus: isAloneOnBus)
}
