import LinuxSystem
import VFIOABI
import VFIOHost

/// Where a region lies in its device's handle.
public struct RegionArea: Sendable, Equatable {
    /// Its length in bytes; 0 if there is no such region.
    public let byteCount: UInt64
    /// Where it begins in the handle's offsets.
    let offset: UInt64
    /// What can be done with it.
    public let flags: RegionFlags
}

/// What a host tells of a region: `VFIO_DEVICE_GET_REGION_INFO`, capabilities included.
struct RegionDescription {
    let area: RegionArea
    /// The parts that can be mapped, where not all of it can.
    var sparseAreas: [SparseMmapArea]?
    /// Whether the MSI-X table may be mapped with the rest.
    var isMSIXMappable = false
    /// What a device-specific region is.
    var kind: Region.Kind?

    init(_ handle: OpenHandle, _ index: RegionIndex, of device: String) throws(VFIOError) {
        let operation = "ask about the region"
        let object = "\(index) of \(device)"
        let bytes: [UInt8]
        do throws(Errno) {
            bytes = try handle.ask(.deviceGetRegionInfo, RegionInfo(index: index.rawValue))
        } catch {
            throw VFIOError(
                operation: operation, object: object, errno: error,
                code: error == .invalid ? .notSupported : .refused,
                cause: error == .invalid ? "the device has no such region" : nil)
        }
        guard let head = bytes.get(RegionInfo.self) else { throw Diagnosis.malformed(operation, object) }
        // Offsets within the region are added to the handle's: the sum must not wrap.
        guard !head.offset.addingReportingOverflow(head.size).overflow else {
            throw Diagnosis.malformed(operation, object)
        }
        area = RegionArea(byteCount: head.size, offset: head.offset, flags: head.flags)
        guard head.flags.contains(.caps), head.capabilityOffset != 0 else { return }
        guard let list = CapabilityList(in: bytes, from: head.capabilityOffset, after: RegionInfo.byteCount)
        else {
            throw Diagnosis.malformed(operation, object)
        }
        for entry in list.entries {
            switch RegionCapabilityID(rawValue: entry.id) {
            case .sparseMmap:
                guard let areas = Self.areas(bytes, at: entry.offset, within: head.size) else {
                    throw Diagnosis.malformed(operation, object)
                }
                sparseAreas = areas
            case .msixMappable: isMSIXMappable = true
            case .type:
                guard let body = bytes.get(RegionTypeCapability.self, at: entry.offset) else {
                    throw Diagnosis.malformed(operation, object)
                }
                kind = Region.Kind(type: body.type, subtype: body.subtype)
            default: break
            }
        }
    }

    private static func areas(_ bytes: [UInt8], at offset: Int, within size: UInt64) -> [SparseMmapArea]? {
        guard let head = bytes.get(SparseMmapCapability.self, at: offset) else { return nil }
        let start = offset + SparseMmapCapability.byteCount
        guard Int(head.areaCount) <= (bytes.count - start) / SparseMmapArea.byteCount else { return nil }
        var areas: [SparseMmapArea] = []
        for index in 0..<Int(head.areaCount) {
            let place = start + index * SparseMmapArea.byteCount
            guard let area = bytes.get(SparseMmapArea.self, at: place) else { return nil }
            let (end, overflow) = area.offset.addingReportingOverflow(area.size)
            // Only whole pages can be mapped, so the last area may end with the page and not with the region.
            guard !overflow, area.offset <= size, end <= size || end - size < UInt64(pageSize) else {
                return nil
            }
            if area.size > 0 { areas.append(area) }
        }
        return areas
    }
}
