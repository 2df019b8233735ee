import IOVASpace
import LinuxSystem
import VFIO
import VFIOHost

@testable import SoftwareHost
@testable import VFIOGuest

/// A guest on a POWER host: RAM from 0, and devices behind tables of TCEs.
struct POWERMachine {
    static let ramByteCount = 2 << 20
    static let windowByteCount: UInt64 = 1 << 24
    /// Where the host has its second window.
    static let second: UInt64 = 1 << 59

    let machine: GuestMachine
    let block: RAMBlock
    let ram: MemoryRegion
    /// The table of the first window.
    let table: TCETable
    let region: MemoryRegion
    let deviceRoot: MemoryRegion
    /// What devices see.
    let space: GuestAddressSpace

    init(
        _ iommu: SPAPRIOMMU = SPAPRIOMMU(.pSeries), limit: UInt64? = nil, kernelTable: Int32? = nil,
        pageSize: UInt64 = 4096, ram pages: Mapping.PageKind = .ordinary
    ) throws {
        // Tests try what devices can't reach, too, which would freeze them.
        var iommu = iommu
        iommu.hasErrorHandling = false
        machine = try GuestMachine {
            $0.iommu = IOMMU(.spapr(iommu))
            $0.process.lockedMemoryLimit = limit
        }
        block = try Self.block("ram", byteCount: Self.ramByteCount, pages)
        ram = try MemoryRegion(ram: block, in: machine.memory)
        try machine.system.add(ram, at: 0)
        table = try TCETable(
            to: machine.space, pageSize: pageSize, byteCount: Self.windowByteCount, kernelTable: kernelTable)
        region = try Self.region("window 0", table, machine.memory)
        deviceRoot = try MemoryRegion("device", .container, byteCount: 1 << 64, in: machine.memory)
        try deviceRoot.add(region, at: 0)
        space = GuestAddressSpace("device memory", showing: deviceRoot)
    }

    var host: SoftwareHost { machine.host }

    /// Memory that is said to consist of pages of some length, and begins with one.
    static func block(
        _ name: String, byteCount: Int, _ pages: Mapping.PageKind = .ordinary
    ) throws -> RAMBlock {
        let owner = Memory(try Mapping(anonymous: byteCount + pages.byteCount))
        let start = owner.mapping.window.address.rawValue
        let skip = (pages.byteCount - Int(start % UInt(pages.byteCount))) % pages.byteCount
        return try RAMBlock(
            name, owner.mapping.window.window(at: skip, byteCount: byteCount), pages: pages, keeping: owner)
    }

    private final class Memory: Sendable {
        let mapping: Mapping
        init(_ mapping: consuming Mapping) { self.mapping = mapping }
    }

    static func region(_ name: String, _ table: TCETable, _ memory: GuestMemory) throws -> MemoryRegion {
        try MemoryRegion(name, .iommu(table), byteCount: UInt128(table.byteCount), in: memory)
    }

    /// A further table, and the region that it stands behind, which is nowhere yet.
    func window(
        _ name: String, byteCount: UInt64 = 1 << 26, pageSize: UInt64 = 4096, kernelTable: Int32? = nil
    ) throws -> (table: TCETable, region: MemoryRegion) {
        let table = try TCETable(
            to: machine.space, pageSize: pageSize, byteCount: byteCount, kernelTable: kernelTable)
        return (table, try Self.region(name, table, machine.memory))
    }

    func devices(
        machine files: (any VirtualMachineFiles)? = nil, _ options: DMAMapper.Options = .init()
    ) -> GuestDevices {
        GuestDevices(
            on: host, for: machine.memory, .automatic, options, machine: files, systemMemory: machine.space)
    }

    /// Gives the guest a device that sees the tables.
    func attach(
        _ index: Int = 0, to devices: GuestDevices? = nil,
        onFailure: (@Sendable (DMAMapper.Failure) -> Void)? = nil
    ) throws -> GivenDevice {
        GivenDevice(try machine.attach(index, to: devices ?? self.devices(), space, onFailure: onFailure))
    }

    func write(_ value: UInt64, at iova: UInt64) -> Bool { machine.probers[0].write(value, at: iova) }
    func read(at iova: UInt64) -> UInt64? { machine.probers[0].read(at: iova) }

    /// How much locked memory a window's table is charged for.
    func charge(_ byteCount: UInt64, pageSize page: UInt64 = 4096, levels: UInt32 = 1) -> UInt64 {
        guard case .spapr(let iommu) = host.core.iommu.kind else { return 0 }
        return iommu.tableByteCount(
            pageShift: UInt32(page.trailingZeroBitCount), windowByteCount: byteCount, levels: levels,
            hostPage: UInt64(pageSize)) ?? 0
    }

    /// What is locked with one device there, and nothing but the first window.
    var lockedAtRest: UInt64 { UInt64(Self.ramByteCount) + charge(Self.windowByteCount) }
}

/// A device that a guest has until it is taken away.
final class GivenDevice {
    private var device: GuestDevice?

    init(_ device: GuestDevice) { self.device = device }

    var container: GuestContainer? { device?.container }

    /// The host's windows.
    var windows: [TCEWindow] { container?.iommu.tce?.windows ?? [] }

    /// What became of the section that begins at an address.
    func outcome(at address: UInt64) -> DMAMapper.Outcome? {
        container?.mapper.outcomes.first { $0.section.range.first.rawValue == address }?.outcome
    }

    /// Takes it away from the guest, and closes it.
    func takeAway() {
        device?.detach()
        device = nil
    }
}
