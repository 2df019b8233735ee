import LinuxSystem
import VFIO

/// The memory of this process that an ``IOMMUEntry`` leads to.
public struct IOMMUTarget: Sendable {
    /// The region that is seen there.
    public let region: MemoryRegion
    /// Its memory. Whoever maps it keeps this until it is unmapped.
    public let block: RAMBlock
    /// Where the entry's first byte lies in the block.
    public let offset: UInt64
    /// What a device may do: no writing where the entry or the region forbids it.
    public let permissions: DMAPermissions

    /// Where the entry's first byte lies in this process.
    public var address: HostAddress { block.window.address + Int(offset) }
}

/// Why an ``IOMMUEntry`` isn't followed: the guest maps something that devices can't be given.
public enum IOMMURejection: Error, Hashable, Sendable, CustomStringConvertible {
    /// The entry maps nothing.
    case noPermissions
    /// It leads to another address space than the system's memory.
    case otherSpace(String)
    /// It would go on beyond the last address.
    case wraps
    /// Nothing is seen there.
    case nothingThere(GuestAddress)
    /// What is seen there is no memory but this region.
    case notMemory(GuestAddress, String)
    /// What is seen there is translated once more, and nobody would hear when that changes.
    case translatedAgain(GuestAddress, String)
    /// It allows only writing, and this region can only be read.
    case readOnly(String)
    /// Nobody but the guest may reach the memory of this region.
    case protected(String)
    /// The region is kept from devices.
    case hidden(String)
    /// The entry is longer than what is seen there of this region, which is so many bytes.
    case truncated(String, available: UInt64)
    /// Parts of the memory of this region are discarded: a device would bring them back.
    case notPopulated(String)
    /// The entry, or the memory behind it, isn't whole pages of the machine's IOMMU, of so many bytes.
    case misaligned(UInt64)
    /// The machine's IOMMU doesn't translate these addresses, or not all of them.
    case outsideWindows
    /// A part of another device that can't be mapped.
    case unreachableDevice(String)

    /// In words.
    public var description: String {
        switch self {
        case .noPermissions: "it allows nothing"
        case .otherSpace(let name): "it leads to the address space \(name), not to system memory"
        case .wraps: "it goes beyond the last address"
        case .nothingThere(let address): "there is nothing at \(address)"
        case .notMemory(let address, let name): "at \(address) there is no memory but \(name)"
        case .translatedAgain(let address, let name): "at \(address) \(name) translates once more"
        case .readOnly(let name): "it allows only writing, and \(name) can only be read"
        case .protected(let name): "only the guest may reach \(name)"
        case .hidden(let name): "\(name) is kept from devices"
        case .truncated(let name, let count): "only \(count) bytes of \(name) are seen there"
        case .notPopulated(let name): "parts of \(name) are discarded"
        case .misaligned(let page): "it isn't whole pages of \(page) bytes"
        case .outsideWindows: "the machine's IOMMU doesn't translate all of it"
        case .unreachableDevice(let text): "peer-to-peer access won't work: \(text)"
        }
    }
}

extension IOMMUEntry {
    /// Finds the memory that the entry leads to, all of it.
    ///
    /// Call it under the memory map's lock, so that what is found is still seen when it is used.
    /// - Parameter system: the guest's system memory, the only address space that an entry may lead to.
    /// - Throws: why no device may be given what is there.
    public func resolve(in system: GuestAddressSpace) throws(IOMMURejection) -> IOMMUTarget {
        guard !permissions.isEmpty else { throw .noPermissions }
        guard target === system else { throw .otherSpace(target.name) }
        let first = translated.rawValue
        guard !first.addingReportingOverflow(lastOffset).overflow else { throw .wraps }
        guard let section = system.section(at: translated) else { throw .nothingThere(translated) }
        let region = section.region
        guard let block = region.block else {
            if case .iommu = region.kind { throw .translatedAgain(translated, region.name) }
            throw .notMemory(translated, region.name)
        }
        guard !block.isProtected else { throw .protected(region.name) }
        guard !section.isHiddenFromDevices else { throw .hidden(region.name) }
        let available = section.range.last.rawValue - first
        guard lastOffset <= available else {
            throw .truncated(region.name, available: available + 1)
        }
        let offset = section.offset + (first - section.range.first.rawValue)
        // Never beyond the block's end: a region isn't longer than its block.
        if let manager = region.discardManager {
            guard manager.isPopulated(offset..<offset + lastOffset + 1) else {
                throw .notPopulated(region.name)
            }
        }
        let allowed = section.isReadOnly ? permissions.intersection(.read) : permissions
        guard !allowed.isEmpty else { throw .readOnly(region.name) }
        return IOMMUTarget(region: region, block: block, offset: offset, permissions: allowed)
    }
}
