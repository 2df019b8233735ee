import DeviceModel
import IOVASpace
import LinuxSystem
import Testing
import VFIOABI
import VFIOHost

@testable import SoftwareHost

/// A device that isn't a PCI function: registers that remember, and what a test asks for.
final class TestBusDevice: BusDeviceModel {
    let resources: BusResources
    var registers: [UInt64: UInt64] = [:]
    var reads: [(region: Int, offset: UInt64, width: Int)] = []
    var resets = 0
    var quiesced = 0
    var resetError: Errno?

    init(_ resources: BusResources) { self.resources = resources }

    func readRegister(region: Int, offset: UInt64, width: Int) -> UInt64 {
        reads.append((region, offset, width))
        return registers[UInt64(region) << 40 | offset] ?? 0
    }

    func writeRegister(region: Int, offset: UInt64, width: Int, value: UInt64) {
        registers[UInt64(region) << 40 | offset] = value
    }

    func reset() throws(Errno) {
        resets += 1
        if let resetError { throw resetError }
        registers = [:]
    }

    func quiesce() { quiesced += 1 }
}

/// The calls of a user of a driver of any bus.
struct BusBench {
    let driver: MappedBusDriver

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

    func store(_ value: UInt32, at offset: UInt64, region: UInt64 = 0) throws(Errno) {
        let bytes = (0..<4).map { UInt8(truncatingIfNeeded: value >> UInt32(8 * $0)) }
        _ = try write(region, offset, bytes)
    }

    func load(at offset: UInt64, region: UInt64 = 0) throws(Errno) -> UInt32 {
        try read(region, offset, 4).reversed().reduce(0) { $0 << 8 | UInt32($1) }
    }

    var info: DeviceInfo {
        get throws(Errno) {
            var info = DeviceInfo()
            try control(.deviceGetInfo, &info)
            return info
        }
    }

    func interrupt(_ index: UInt32) throws(Errno) -> IRQInfo {
        var info = IRQInfo(index: index)
        try control(.deviceGetIRQInfo, &info)
        return info
    }

    func setIRQs(
        _ index: UInt32, _ flags: IRQSetFlags, start: UInt32 = 0, count: UInt32, data: [UInt8] = [],
        argsz: UInt32? = nil
    ) throws(Errno) {
        try driver.setIRQs(index, flags, start: start, count: count, data: data, argsz: argsz)
    }

    func setEvent(
        _ index: UInt32, _ number: Int32, _ action: IRQSetFlags = .actionTrigger, start: UInt32 = 0
    ) throws(Errno) {
        try setIRQs(index, [.dataEventFD, action], start: start, count: 1, data: Bench.bytes([number]))
    }

    func reset() throws(Errno) {
        _ = try driver.control(UInt32(truncatingIfNeeded: Request.deviceReset.rawValue), 0)
    }

    private func control<T>(_ request: Request, _ value: inout T) throws(Errno) {
        var error: Errno?
        unsafe withUnsafeMutableBytes(of: &value) { buffer in
            do throws(Errno) {
                _ = try driver.control(
                    UInt32(truncatingIfNeeded: request.rawValue), UInt(bitPattern: buffer.baseAddress))
            } catch let failure {
                error = failure
            }
        }
        if let error { throw error }
    }
}

extension BusDriver {
    /// `VFIO_DEVICE_SET_IRQS`
    func setIRQs(
        _ index: UInt32, _ flags: IRQSetFlags, start: UInt32 = 0, count: UInt32, data: [UInt8] = [],
        argsz: UInt32? = nil
    ) throws(Errno) {
        let words = [argsz ?? UInt32(20 + data.count), flags.rawValue, index, start, count]
        var bytes = words.flatMap { word in
            (0..<4).map { UInt8(truncatingIfNeeded: word >> UInt32(8 * $0)) }
        }
        bytes += data
        var error: Errno?
        unsafe bytes.withUnsafeMutableBytes { buffer in
            do throws(Errno) {
                _ = try control(
                    UInt32(truncatingIfNeeded: Request.deviceSetIRQs.rawValue),
                    UInt(bitPattern: buffer.baseAddress))
            } catch let failure {
                error = failure
            }
        }
        if let error { throw error }
    }
}
