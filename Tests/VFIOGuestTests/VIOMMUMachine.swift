import IOVASpace
import LinuxSystem
import VFIO
import VFIOHost

@testable import VFIOGuest

/// A machine whose devices see nothing but what an IOMMU of the guest's translates.
struct VIOMMUMachine {
    let machine: GuestMachine
    let guest: VIOMMUGuest
    let iommu: any GuestIOMMU
    /// The region that the IOMMU stands behind.
    let region: MemoryRegion
    let deviceRoot: MemoryRegion
    /// What devices see.
    let space: GuestAddressSpace

    init(byteCount: UInt128 = 1 << 48, _ make: (VIOMMUGuest) throws -> any GuestIOMMU) throws {
        machine = try GuestMachine()
        guest = try VIOMMUGuest(machine.memory, machine.system, machine.space)
        iommu = try make(guest)
        region = try MemoryRegion("iommu", .iommu(iommu), byteCount: byteCount, in: machine.memory)
        deviceRoot = try MemoryRegion("device", .container, byteCount: 1 << 64, in: machine.memory)
        try deviceRoot.add(region, at: 0)
        space = GuestAddressSpace("device memory", showing: deviceRoot)
    }

    /// Gives the guest the first device.
    func attach(
        _ route: RouteChoice = .group, onFailure: (@Sendable (DMAMapper.Failure) -> Void)? = nil
    ) throws -> GuestDevice {
        try machine.attach(0, to: machine.devices(route), space, onFailure: onFailure)
    }

    func write(_ value: UInt64, at iova: UInt64) -> Bool { machine.probers[0].write(value, at: iova) }
    func read(at iova: UInt64) -> UInt64? { machine.probers[0].read(at: iova) }
}

extension GuestDevice {
    /// Who follows the guest's IOMMU for this device, section by section.
    var followers: [VIOMMUFollower] {
        (container?.mapper.outcomes ?? []).compactMap {
            if case .followed(let follower) = $0.outcome { follower as? VIOMMUFollower } else { nil }
        }
    }

    var rejections: [IOMMURejection] { followers.flatMap { $0.takeRejections().entries.map(\.reason) } }
}

/// An IOMMU that tells what a test wants it to, also what no good one would.
final class ScriptedIOMMU: GuestIOMMU, @unchecked Sendable {
    let notifiers = IOMMUNotifiers()
    let target: GuestAddressSpace
    var entries: [IOMMUEntry] = []
    var page: UInt64 = 4096
    var kinds = 1
    var asked: [UInt64] = []
    /// Answers with an entry that isn't about the address.
    var isAstray = false

    init(_ target: GuestAddressSpace) { self.target = target }

    var smallestPage: UInt64 { page }
    var indexCount: Int { kinds }
    func index(for access: IOMMUAccessAttributes) -> Int { access.isSecure ? 1 : 0 }

    func translate(_ offset: UInt64, for access: DMAPermissions, index: Int) -> IOMMUEntry {
        asked.append(offset)
        if isAstray { return entry(0x10_0000, 0x1000, to: 0, []) }
        if let known = entries.first(where: { $0.iova <= offset && offset - $0.iova <= $0.lastOffset }) {
            return known
        }
        // Empty up to the next one.
        let next = entries.map(\.iova).filter { $0 > offset }.min() ?? 0
        return entry(offset, next &- offset, to: 0, [])
    }

    func entry(
        _ iova: UInt64, _ byteCount: UInt64, to address: UInt64, _ permissions: DMAPermissions = .readWrite,
        in space: GuestAddressSpace? = nil
    ) -> IOMMUEntry {
        IOMMUEntry(
            target: space ?? target, iova: iova, translated: GuestAddress(address),
            lastOffset: byteCount &- 1, permissions: permissions)
    }

    func map(
        _ iova: UInt64, _ byteCount: UInt64, to address: UInt64, _ permissions: DMAPermissions = .readWrite,
        in space: GuestAddressSpace? = nil
    ) {
        notifiers.tell(.map, entry(iova, byteCount, to: address, permissions, in: space))
    }

    func unmap(_ iova: UInt64, _ byteCount: UInt64) {
        notifiers.tell(.unmap, entry(iova, byteCount, to: 0, []))
    }
}
