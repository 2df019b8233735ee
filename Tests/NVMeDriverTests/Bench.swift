import DeviceModel
import LinuxSystem
import NVMe
import NVMeController
import SoftwareHost
import Testing
import VFIO
import VFIOHost

@testable import NVMeDriver

/// A machine with one NVMe controller whose registers a test may tamper with.
final class Bench {
    static let address = "0000:01:00.0"
    let host: SoftwareHost
    let controller: NVMeController
    let faults: Faults

    init(
        blockCounts: [Int] = [8192], blockSize: Int = 512, settings: NVMeController.Settings = .init()
    ) throws {
        let namespaces = try blockCounts.map {
            try NVMeNamespace(MemoryStore(byteCount: UInt64($0 * blockSize)), blockSize: blockSize)
        }
        let controller = NVMeController(namespaces, settings: settings)
        let faults = Faults(controller)
        self.controller = controller
        self.faults = faults
        host = try SoftwareHost(
            MachineDescription {
                IOMMU(.type1)
                IOMMUGroup(26) { PCIDevice(faults, at: Bench.address) }
            })
    }

    func open(_ change: (inout ControllerOptions) -> Void = { _ in }) throws(NVMeError) -> Controller {
        var options = ControllerOptions()
        change(&options)
        return try Controller(opening: Self.address, on: host, options)
    }
}

/// A controller between whose registers and driver a test stands.
final class Faults: DeviceModel {
    private let inner: NVMeController
    var function: PCIFunction { inner.function }

    /// Submission queues whose doorbells get lost.
    var deafQueues: Set<UInt16> = []
    /// Writes to CC get lost.
    var ignoresConfiguration = false
    /// Every register reads as all ones.
    var isGone = false
    /// CSTS says that the controller gave up.
    var isFatal = false
    /// What CAP.TO says, in units of 500 ms; nil for what the controller says.
    var readyTime: UInt8?
    /// How often a doorbell of an I/O queue was written.
    var doorbellCount = 0

    init(_ inner: NVMeController) { self.inner = inner }

    func readRegister(bar: Int, offset: UInt64, width: Int) -> UInt64 {
        if isGone { return UInt64.max >> UInt64(64 - 8 * width) }
        var value = inner.readRegister(bar: bar, offset: offset, width: width)
        if offset == RegisterOffset.status, isFatal { value |= 2 }
        if offset == RegisterOffset.capabilities, width >= 4, let readyTime {
            value = (value & ~0xff00_0000) | UInt64(readyTime) << 24
        }
        return value
    }

    func writeRegister(bar: Int, offset: UInt64, width: Int, value: UInt64) {
        if isGone { return }
        if offset == RegisterOffset.configuration, ignoresConfiguration { return }
        if let target = Doorbell(stride: 0).target(at: offset), offset < 0x2000 {
            switch target {
            case .submissionTail(let queue):
                if queue > 0 { doorbellCount += 1 }
                if deafQueues.contains(queue) { return }
            case .completionHead: break
            }
        }
        inner.writeRegister(bar: bar, offset: offset, width: width, value: value)
    }

    func reset(_ kind: ResetKind) { inner.reset(kind) }
    func quiesce() { inner.quiesce() }
}

/// The error that a body throws.
func failure<R: ~Copyable>(_ body: () throws(NVMeError) -> R) -> NVMeError? {
    do throws(NVMeError) {
        _ = try body()
        return nil
    } catch {
        return error
    }
}
