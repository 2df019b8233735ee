import LinuxSystem
import VFIOABI
import VFIOHost

/// Memory of a device's BAR as a DMA-BUF: another device can be given it as a target of its DMA. See
/// ``Device/exportMemory(of:_:)``. Closed when it goes; what was mapped of it stays mapped.
///
/// While the device's memory is disabled, when it is reset and after it was closed, the memory is taken back: DMA
/// to it is refused. It comes back when the device's memory is enabled again.
public struct ExportedMemory: ~Copyable, Sendable {
    /// The descriptor of the DMA-BUF; on a host in this process it is that host's handle.
    public let handle: Handle
    /// Its length in bytes: that of all ranges together.
    public let byteCount: UInt64
}

extension Device {
    /// Makes a DMA-BUF of parts of a BAR: `VFIO_DEVICE_FEATURE_DMA_BUF`.
    /// - Parameters:
    ///   - index: the BAR.
    ///   - ranges: the parts in bytes, whole pages, in the order in which they follow each other in the DMA-BUF.
    ///     Only one that is made of a single part can be mapped by an iommufd.
    /// - Throws: ``VFIOError/Code/notSupported`` where the host doesn't export memory, or not of this region;
    ///   ``VFIOError/Code/outOfBounds`` for parts that aren't whole pages of the BAR.
    public func exportMemory(
        of index: RegionIndex, _ ranges: [Range<UInt64>]
    ) throws(VFIOError) -> ExportedMemory {
        let operation = "export memory of \(index)"
        var bytes = [UInt8](
            repeating: 0,
            count: DeviceFeatureRequest<DMABufFeature>.minimumSize
                + MemoryLayout<RegionDMARange>.stride * ranges.count)
        let payload = DMABufFeature(
            regionIndex: index.rawValue,
            openFlags: UInt32(bitPattern: Descriptor.OpenOptions.readWrite.union(.closedOnExec).rawValue),
            rangeCount: UInt32(clamping: ranges.count))
        var request = DeviceFeatureRequest(.dmaBuf, .get, payload)
        request.header.argsz = UInt32(clamping: bytes.count)
        bytes.put(request.header, at: 0)
        bytes.put(request.payload, at: MemoryLayout<DeviceFeature>.size)
        var total: UInt64 = 0
        for (number, range) in ranges.enumerated() {
            let length = range.upperBound - range.lowerBound
            bytes.put(
                RegionDMARange(offset: range.lowerBound, length: length),
                at: DeviceFeatureRequest<DMABufFeature>.minimumSize
                    + MemoryLayout<RegionDMARange>.stride * number)
            total = total.addingReportingOverflow(length).partialValue
        }
        do throws(Errno) {
            let number = try handle.send(.deviceFeature, bytes: &bytes)
            return ExportedMemory(handle: Handle(owning: number, on: handle.host), byteCount: total)
        } catch {
            var failure = VFIOError(operation: operation, object: name, errno: error)
            switch error {
            case .noSuchRequest, .notSupported:
                failure.code = .notSupported
                failure.cause = "the host doesn't export memory of devices"
            case .noDevice:
                failure.code = .notSupported
                failure.cause = "it isn't a BAR whose memory can be exported"
            case .invalid, .overflow:
                failure.code = .outOfBounds
                failure.cause = "the parts must be whole pages of the BAR, and at least one"
            default: break
            }
            throw failure
        }
    }
}
