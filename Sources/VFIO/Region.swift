import LinuxSystem
import VFIOABI
import VFIOHost

/// A region of a device: a BAR, the ROM, the configuration space, …
///
/// Where the host offers it the region is mapped, and an access there is one volatile load or store. Elsewhere an
/// access is one read or write through the host. Offsets are in bytes from the region's start and are checked;
/// accesses are aligned to their width.
///
/// It keeps its device open. Its windows and ``Register32``s must not outlive it; the latter keep it alive.
public final class Region: Sendable {
    /// The device.
    public let device: Device
    /// Which region it is.
    public let index: RegionIndex
    /// Its length in bytes.
    public let byteCount: UInt64
    /// What can be done with it.
    public let flags: RegionFlags
    /// What it is, for device-specific regions.
    public let kind: Kind?
    /// The parts that are mapped, in the host's order.
    public let mappedAreas: [MappedArea]
    /// Whether the host lets the MSI-X table be mapped with the rest (`VFIO_REGION_INFO_CAP_MSIX_MAPPABLE`).
    public let isMSIXMappable: Bool
    /// The bytes of the MSI-X table, if it lies in this region. The host programs the table: stores into it are
    /// refused, and no window is handed out that touches it.
    public let msixTable: Range<UInt64>?

    private let offset: UInt64

    /// What a device-specific region is: `VFIO_REGION_INFO_CAP_TYPE`.
    public struct Kind: Sendable, Equatable {
        /// The family.
        public let type: RegionType
        /// The kind within the family.
        public let subtype: RegionSubtype

        /// Names a kind.
        public init(type: RegionType, subtype: RegionSubtype) {
            self.type = type
            self.subtype = subtype
        }
    }

    /// A part of a region that is mapped.
    public struct MappedArea: Sendable {
        /// Where it begins in the region.
        public let offset: Int
        /// Its length in bytes.
        public var byteCount: Int { window.byteCount }
        /// Where this process sees it.
        package let window: MemoryWindow
        /// What the host mapped: whole pages.
        let mapping: MemoryWindow
    }

    init(_ index: RegionIndex, of device: Device, mapped isMapped: Bool) throws(VFIOError) {
        let title = device.title(of: index)
        let object = "\(title) of \(device.name)"
        let description = try RegionDescription(device.handle, index, of: device.name, called: title)
        guard description.area.byteCount > 0 else {
            throw VFIOError(
                operation: "use the region", object: object, code: .notSupported,
                cause: "the device has no such region")
        }
        mappedAreas = isMapped ? try Self.map(description, device.handle, object) : []
        self.device = device
        self.index = index
        byteCount = description.area.byteCount
        flags = description.area.flags
        kind = description.kind
        isMSIXMappable = description.isMSIXMappable
        msixTable = device.msixTable?.region == index ? device.msixTable?.bytes : nil
        offset = description.area.offset
    }

    deinit {
        // Before the device is closed, which the stored reference keeps open until after this.
        for area in mappedAreas { device.handle.host.unmap(area.mapping) }
    }

    /// Maps what can be mapped: all of it, or the areas that the host names. If one fails, none stays.
    private static func map(
        _ description: RegionDescription, _ handle: OpenHandle, _ object: String
    ) throws(VFIOError) -> [MappedArea] {
        let region = description.area
        guard region.flags.contains(.mmap), region.byteCount <= UInt64(Int.max) else { return [] }
        var protection: Mapping.Protection = []
        if region.flags.contains(.read) { protection.insert(.read) }
        if region.flags.contains(.write) { protection.insert(.write) }
        var mapped: [MappedArea] = []
        for area in description.sparseAreas ?? [SparseMmapArea(offset: 0, size: region.byteCount)] {
            let place = region.offset + area.offset
            let byteCount = Int(min(area.size, region.byteCount - area.offset))
            // Only whole pages can be mapped; what doesn't begin on one is read and written.
            guard byteCount > 0, place % UInt64(pageSize) == 0 else { continue }
            do throws(Errno) {
                let mapping = try handle.host.map(
                    handle.number, at: place, byteCount: byteCount, protection: protection)
                guard mapping.byteCount >= byteCount else {
                    handle.host.unmap(mapping)
                    throw .inputOutput
                }
                let window = mapping.window(at: 0, byteCount: byteCount)
                mapped.append(MappedArea(offset: Int(area.offset), window: window, mapping: mapping))
            } catch {
                for area in mapped { handle.host.unmap(area.mapping) }
                throw VFIOError(
                    operation: "map \(counted(byteCount, "byte")) at \(hex(area.offset))", object: object,
                    errno: error)
            }
        }
        return mapped
    }

    /// Whether all of it is mapped.
    public var isMapped: Bool {
        mappedAreas.contains { $0.offset == 0 && UInt64($0.byteCount) == byteCount }
    }

    /// The name by which messages call it.
    package var object: String { "\(device.title(of: index)) of \(device.name)" }

    /// The handle's offset of one of the region's bytes.
    func place(_ offset: Int) -> UInt64 { self.offset + UInt64(offset) }

    /// The mapped memory that holds all of a range, if there is any. The range lies inside the region.
    func mapped(_ offset: Int, _ width: Int) -> MemoryWindow? {
        for area in mappedAreas
        where offset >= area.offset && offset - area.offset <= area.byteCount
            && width <= area.byteCount - (offset - area.offset)
        {
            return area.window.window(at: offset - area.offset, byteCount: width)
        }
        return nil
    }

    /// Whether a range lies inside the region.
    func contains(_ offset: Int, _ width: Int) -> Bool {
        offset >= 0 && width >= 0 && UInt64(offset) <= byteCount
            && UInt64(width) <= byteCount - UInt64(offset)
    }

    /// Whether a range touches the MSI-X table.
    func touchesTable(_ offset: Int, _ width: Int) -> Bool {
        guard let msixTable, width > 0 else { return false }
        return msixTable.overlaps(UInt64(offset)..<UInt64(offset) + UInt64(width))
    }

    /// The memory of a range, where all of it is mapped; nil where it isn't, where it lies outside the region,
    /// and where it touches the MSI-X table. Valid as long as the region lives.
    public func window(at offset: Int, byteCount: Int) -> MemoryWindow? {
        guard contains(offset, byteCount), !touchesTable(offset, byteCount) else { return nil }
        return mapped(offset, byteCount)
    }

    /// A register of 32 bits for hot paths.
    /// - Throws: ``VFIOError/Code/outOfBounds`` if it lies outside the region, ``VFIOError/Code/misaligned`` if the
    ///   offset isn't a multiple of 4, ``VFIOError/Code/notSupported`` if it is part of the MSI-X table.
    public func register32(at offset: Int) throws(VFIOError) -> Register32 {
        try checkStore(offset, 4)
        return Register32(self, offset)
    }
}
