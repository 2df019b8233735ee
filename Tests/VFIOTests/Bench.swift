import HostTestSupport
import DeviceModel
import LinuxSystem
import SoftwareHost
import VFIO
import VFIOHost

/// A device with a BAR of registers, one of plain memory with the MSI-X table behind it, and all kinds of
/// interrupts.
final class Bench: DeviceModel {
    let function: PCIFunction
    private let memory: Mapping
    private let file: Descriptor
    private var registers = [UInt64](repeating: 0, count: 8)

    /// Where the MSI-X table begins in BAR 2.
    static let tableOffset: UInt64 = 0x2000

    init(vectors: Int = 4) throws {
        file = try MemoryFile.create("bench", byteCount: 0x2000)
        memory = try Mapping(sharing: file.number, at: 0, byteCount: 0x2000)
        function = PCIFunction(
            PCIIdentity(vendor: 0x1b36, device: 0x0001, classCode: 0xff0000, revision: 3),
            bars: [0: BAR(.memory32, byteCount: 0x1000), 2: BAR(.memory64, byteCount: 0x4000)],
            isExpress: true)
        function.addMSI(vectors: 2)
        function.addMSIX(vectors: vectors, table: (2, Self.tableOffset), pending: (2, 0x3000))
        function.addExpress()
        function.addMemory(
            BARMemory(bar: 2, offset: 0, window: memory.window, descriptor: file.number))
    }

    func readRegister(bar: Int, offset: UInt64, width: Int) -> UInt64 {
        guard bar == 0, offset < 64 else { return .max }
        return registers[Int(offset / 8)] >> (offset % 8 * 8)
    }

    func writeRegister(bar: Int, offset: UInt64, width: Int, value: UInt64) {
        guard bar == 0, offset < 64 else { return }
        let shift = offset % 8 * 8
        let mask = (width == 8 ? UInt64.max : (1 << UInt64(width * 8)) - 1) << shift
        registers[Int(offset / 8)] = registers[Int(offset / 8)] & ~mask | value << shift & mask
    }

    func reset(_ kind: ResetKind) { registers = [UInt64](repeating: 0, count: 8) }
}

/// Where the bench device sits.
let benchAddress = PCIAddress(bus: 1, device: 0, function: 0)

/// A machine with a bench device in group 26 and whatever else is asked for.
func machine(
    vectors: Int = 4, _ change: (inout MachineDescription) throws -> Void = { _ in }
) throws -> FaultyHost {
    var description = MachineDescription()
    description.iommu = IOMMU(
        .type1, pageSizes: [.kib4, .mib2], apertures: [0...0x7f_ffff_ffff], reserved: [IOMMU.x86MessageWindow]
    )
    description.groups = [IOMMUGroup(26, devices: [PCIDevice(try Bench(vectors: vectors), at: benchAddress)])]
    try change(&description)
    return FaultyHost(try SoftwareHost(description))
}

/// The error that a body throws.
func failure<R: ~Copyable>(_ body: () throws(VFIOError) -> R) -> VFIOError? {
    do throws(VFIOError) {
        _ = try body()
        return nil
    } catch {
        return error
    }
}

extension VFIOError {
    /// Whether the message says all of these.
    func says(_ parts: String...) -> Bool { parts.allSatisfy { description.contains($0) } }
}
