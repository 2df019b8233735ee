import DeviceModel
import IOVASpace
import LinuxSystem
import VFIOABI

/// The vfio-ap driver of the software host: a mainframe's cryptographic queues (kernel.md G.5). The guest's processor
/// talks to them by instructions, so there are no regions; what is left are a reset and two notices. Without a virtual
/// machine it is good for nothing, and can't be opened.
final class APBusDriver: BusDriver, Sendable {
    private let matrix: CryptoMatrix
    private let interrupts = NoticeInterrupts(count: Int(APInterrupt.count))

    init(_ matrix: CryptoMatrix) { self.matrix = matrix }

    var needsVirtualMachine: Bool { true }

    func openDevice() throws(Errno) {
        interrupts.clear()
        matrix.setChangeHook { [interrupts] in
            interrupts.signal(Int(APInterrupt.configurationChange.rawValue))
        }
    }

    func closeDevice() {
        matrix.setChangeHook(nil)
        matrix.resetQueues()
        interrupts.clear()
    }

    func control(_ request: UInt32, _ argument: UInt) throws(Errno) -> Int32 {
        let argument = HostAddress(rawValue: argument)
        switch Request(rawValue: UInt(request)) {
        case .deviceGetInfo:
            try DeviceInfo.answer(argument, [.ap, .reset], regionCount: 0, irqCount: APInterrupt.count)
        case .deviceGetIRQInfo: try interrupts.describe(argument)
        case .deviceSetIRQs: try interrupts.set(argument)
        case .deviceReset: matrix.resetQueues()
        default: throw .notSupported
        }
        return 0
    }

    func regionInfo(index: UInt32) throws(Errno) -> RegionDescription { throw .invalid }

    func feature(
        _ id: UInt32, _ operation: FeatureOperation, isProbe: Bool, payload: HostAddress, room: UInt32
    ) throws(Errno) -> Int32 { throw .noSuchRequest }

    func read(at offset: UInt64, into bytes: inout MutableRawSpan) throws(Errno) -> Int { throw .invalid }
    func write(at offset: UInt64, _ bytes: RawSpan) throws(Errno) -> Int { throw .invalid }

    func map(
        at offset: UInt64, byteCount: Int, protection: Mapping.Protection
    ) throws(Errno) -> MemoryWindow { throw .invalid }

    func unmap(_ window: MemoryWindow) {}
    func attach(to addressSpace: (any DMAAddressSpace)?) {}
    func requestRelease(count: Int) { interrupts.signal(Int(APInterrupt.req.rawValue)) }
    func withdraw() {}
    func readAbsent(at offset: UInt64, into bytes: inout MutableRawSpan) throws(Errno) -> Int {
        throw .invalid
    }
    func writeAbsent(at offset: UInt64, _ bytes: RawSpan) throws(Errno) -> Int { throw .invalid }
    func resetAbsent() throws(Errno) -> Int32 { throw .inputOutput }
    func presenceChanged(isAbsent: Bool, reportsError: Bool) {}
}
