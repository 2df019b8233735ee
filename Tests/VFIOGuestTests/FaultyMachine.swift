import HostTestSupport
import IOVASpace
import LinuxSystem
import SoftwareHost
import VFIO
import VFIOABI
import VFIOHost

@testable import VFIOGuest

/// A guest whose host fails and lies as it is told to, and writes down what it is asked for.
struct FaultyMachine {
    let machine: GuestMachine
    let host: FaultyHost
    let devices: GuestDevices
    let maps = Box<[DMAMap]>([])
    let unmaps = Box<[DMAUnmap]>([])

    init(
        _ choice: RouteChoice = .group, _ options: DMAMapper.Options = .init(),
        _ change: (inout MachineDescription) -> Void = { _ in }
    ) throws {
        machine = try GuestMachine(change)
        host = FaultyHost(machine.host)
        devices = GuestDevices(on: host, for: machine.memory, choice, options)
        let (maps, unmaps) = (self.maps, self.unmaps)
        host.watch(.iommuMapDMA, DMAMap()) { map in maps.change { $0.append(map) } }
        host.watch(.iommuUnmapDMA, DMAUnmap()) { unmap in unmaps.change { $0.append(unmap) } }
    }

    /// RAM that the guest sees.
    @discardableResult
    func ram(_ name: String = "ram", pages: Int, at address: UInt64) throws -> MemoryRegion {
        let ram = try machine.ram(name, pages: pages)
        try machine.system.add(ram, at: address)
        return ram
    }

    func attach(
        _ index: Int = 0, onFailure: (@Sendable (DMAMapper.Failure) -> Void)? = nil
    ) throws -> GuestDevice {
        try machine.attach(index, to: devices, onFailure: onFailure)
    }

    /// Changes what the host tells of its IOMMU; its capabilities come one by one, as their places.
    func amendInfo(_ change: @escaping (inout IOMMUType1Info) -> Void) {
        host.amend(.iommuGetInfo) { argument in
            let address = HostAddress(rawValue: argument)
            guard var info = try? UserMemory.load(IOMMUType1Info(), from: address) else { return }
            change(&info)
            try? UserMemory.store(info, to: address)
        }
    }

    /// Changes what the host tells of its log of written pages.
    func amendMigration(_ change: @escaping (inout Type1MigrationCapability) -> Void) {
        host.amend(.iommuGetInfo) { argument in
            let start = HostAddress(rawValue: argument)
            guard let info = try? UserMemory.load(IOMMUType1Info(), from: start) else { return }
            var offset = Int(info.capabilityOffset)
            while offset != 0 {
                let place = start + offset
                guard let header = try? UserMemory.load(CapabilityHeader(), from: place) else { return }
                if header.id == IOMMUCapabilityID.migration.rawValue,
                    var capability = try? UserMemory.load(Type1MigrationCapability(), from: place)
                {
                    change(&capability)
                    try? UserMemory.store(capability, to: place)
                }
                offset = Int(header.next)
            }
        }
    }

    /// Whether nothing is open, mapped or pinned.
    var isIdle: Bool {
        host.openCount == 0 && host.mappingCount == 0 && machine.host.lockedByteCount == 0
            && devices.containers.isEmpty
    }
}

extension FaultyHost {
    /// Takes the place of the host for the answer to a question whose answer may be longer than its structure.
    /// - Parameter bytes: the whole answer; its first word is how long it says that it is.
    func answer(_ request: Request, with bytes: @escaping (UInt32) -> [UInt8]?) {
        answer(request) { argument in
            let address = HostAddress(rawValue: argument)
            guard let room = try? UserMemory.load(UInt32(0), from: address),
                let index = try? UserMemory.load(UInt32(0), from: address + 8),
                var answer = bytes(index)
            else { return nil }
            let wanted = UInt32(answer.count)
            if wanted > room { answer = Array(answer.prefix(request == .deviceGetRegionInfo ? 32 : 24)) }
            for (offset, byte) in answer.enumerated() where offset < Int(room) {
                try? UserMemory.store(byte, to: address + offset)
            }
            try? UserMemory.store(max(wanted, room), to: address)
            return .success(0)
        }
    }
}

extension [UInt8] {
    /// The bytes of structures, one behind the other.
    init(of parts: [any ABIValue]) {
        self = []
        for part in parts { append(part) }
    }

    private mutating func append(_ part: some ABIValue) {
        Swift.withUnsafeBytes(of: part) { bytes in append(contentsOf: bytes) }
    }
}
