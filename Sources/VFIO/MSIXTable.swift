import LinuxSystem

/// Where a device's MSI-X table lies. The host programs it; a store into it could send an interrupt message to
/// wherever it likes.
struct MSIXTable: Sendable, Equatable {
    /// The BAR that it is in.
    let region: RegionIndex
    /// Its bytes in that BAR.
    let bytes: Range<UInt64>

    /// Finds the table by the device's MSI-X capability; nil if there is none or it can't be read.
    init?(_ handle: OpenHandle, _ area: RegionArea) {
        let configuration = ConfigurationReader(handle: handle, area: area)
        guard let capability = try? configuration.capability(0x11),
            let control = try? configuration.load(UInt16(0), at: capability + 2),
            let place = try? configuration.load(UInt32(0), at: capability + 4), place & 7 <= 5
        else { return nil }
        region = RegionIndex(rawValue: place & 7)
        let start = UInt64(place & ~7)
        bytes = start..<start + (UInt64(control & 0x7ff) + 1) * 16
    }
}
