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

    /// - Parameter title: what messages call the region, where that isn't a PCI function's.
    init(
        _ handle: OpenHandle, _ index: RegionIndex, of device: String, called title: String? = nil
    ) throws(VFIOError) {
        let operation = "ask about the region"
        let object = (title ?? "\(index)") + " of \(device)"
        let bytes: [UInt8]
        do throws(Errno) {
            bytes = try handle.ask(.deviceGetRegionInfo, RegionInfo(index: index.rawValue))
        } catch {
            throw VFIOError(
                operation: operation, object: object, errno: error,
                code: error == .invalid ? .notSupported : .refused,
                cause: error == .invalid ? "the device has no such region" : nil)
        }
        guard let head = bytes.get(RegionInfo.self) else { throw Diagnosis.malformed(operation, object, nil) }
        // Offsets within the region are added to the handle's: the sum must not wrap.
        guard !head.offset.addingReportingOverflow(head.size).overflow else {
            throw Diagnosis.malformed(operation, object, nil)
        }
        area = RegionArea(byteCount: head.size, offset: head.offset, flags: head.flags)
        do throws(CapabilityChainError) {
            // SAFETY: the array holds plain bytes, all of them initialised.
            var chain = CapabilityChain(of: head, in: unsafe bytes.span.bytes)
            while let capability = try chain.next() {
                switch RegionCapabilityID(rawValue: capability.id) {
                case .sparseMmap:
                    let areas = try capability.sparseMmapAreas()
                    var known: [SparseMmapArea] = []
                    for index in 0..<areas.count where areas[index].size > 0 { known.append(areas[index]) }
                    sparseAreas = known
                case .msixMappable: isMSIXMappable = true
                case .type:
                    let body = try capability.regionType()
                    kind = Region.Kind(type: body.type, subtype: body.subtype)
                default: break
                }
            }
        } catch {
            throw Diagnosis.malformed(operation, object, error)
        }
        if let sparseAreas, !Self.areAreas(sparseAreas, of: head.size) {
            throw Diagnosis.malformed(operation, object, nil)
        }
    }

    /// Whether areas lie inside a region of the given size, and none in another one: then there are no more of them
    /// than the region has pages.
    private static func areAreas(_ areas: [SparseMmapArea], of size: UInt64) -> Bool {
        guard areas.allSatisfy({ isInside($0, size) }) else { return false }
        let sorted = areas.sorted { $0.offset < $1.offset }
        // Inside the region, so the sums don't overflow.
        return zip(sorted, sorted.dropFirst()).allSatisfy { $0.offset + $0.size <= $1.offset }
    }

    /// Whether an area lies inside a region of the given size. Only whole pages can be mapped, so the last area may
    /// end with the page and not with the region.
    private static func isInside(_ area: SparseMmapArea, _ size: UInt64) -> Bool {
        let (end, overflow) = area.offset.addingReportingOverflow(area.size)
        return !overflow && area.offset <= size && (end <= size || end - size < UInt64(pageSize))
    }
}
