import DeviceModel
import LinuxSystem
import VFIOABI

/// A region's memory in the server's file.
final class RemoteRegion: Sendable {
    let areas: [SparseMmapArea]
    /// What is added to an offset in the region to have that in the file.
    private let fileOffset: UInt64
    /// The file, owned; -1 for none.
    private let number: Int32

    private init(_ answer: consuming Client.RegionAnswer) {
        areas = answer.areas
        fileOffset = answer.info.offset
        var number: Int32 = -1
        if let descriptor = answer.descriptor { number = descriptor.release() }
        self.number = number
    }

    deinit { if number >= 0 { _ = Descriptor(owning: number) } }

    /// One for each region; those that can't be mapped have no areas.
    static func all(
        of client: Client, _ description: RemoteDescription
    ) throws(ClientFailure) -> [RemoteRegion] {
        var all: [RemoteRegion] = []
        for index in description.regions.indices {
            all.append(RemoteRegion(try client.region(UInt32(index))))
        }
        return all
    }

    /// Where a part lies in the file.
    /// - Throws: `EINVAL` for one that isn't wholly in one of the areas.
    func place(_ offset: UInt64, _ byteCount: Int) throws(Errno) -> (descriptor: Int32, offset: UInt64) {
        let (end, overflow) = offset.addingReportingOverflow(UInt64(byteCount))
        let isInside = areas.contains { offset >= $0.offset && end <= $0.offset + $0.size }
        let place = offset.addingReportingOverflow(fileOffset)
        guard !overflow, isInside, !place.overflow else { throw .invalid }
        return (number, place.partialValue)
    }
}

/// A part of a region that a program has mapped. It shows the device's memory again after a connection was lost.
final class RemoteWindow {
    let region: Int
    let mapping: PCIMapping
    private let offset: UInt64
    /// What the program sees.
    var window: MemoryWindow { mapping.mapping.window }

    init(
        _ source: RemoteRegion, _ region: Int, at offset: UInt64, byteCount: Int,
        protection: Mapping.Protection
    ) throws(Errno) {
        let place = try source.place(offset, byteCount)
        mapping = try PCIMapping(
            place.descriptor, at: place.offset, byteCount: byteCount, protection: protection)
        self.region = region
        self.offset = offset
    }

    /// From now on it is a new server's memory, at the same addresses.
    func move(to source: RemoteRegion) throws(ClientFailure) {
        do throws(Errno) {
            let place = try source.place(offset, window.byteCount)
            try mapping.move(to: place.descriptor, at: place.offset)
        } catch {
            throw .lost(error)
        }
    }
}
