import IOVASpace
import LinuxSystem
import VFIOABI
import VFIOHost

// How an iommufd goes about its work, and which of its spaces VFIO's own requests act on (kernel.md F.3).
extension IOMMUFD {
    /// Says where addresses may be chosen from, and that these ranges must stay usable: a device that reserves a part
    /// of them can't be attached. `IOMMU_IOAS_ALLOW_IOVAS`
    /// - Parameter ranges: not overlapping, each longer than a byte; empty for everywhere.
    public func allow(_ ranges: [IOVARange], in space: IOAS) throws(Errno) {
        var entries = ranges.map { IOASIOVARange(start: $0.first.rawValue, last: $0.last.rawValue) }
        var span = entries.mutableSpan
        // SAFETY: the host only reads the array's own memory, during the call.
        try unsafe span.withUnsafeMutableBytes { (buffer) throws(Errno) in
            var request = IOASAllowIOVAs(
                ioasID: space.id, rangeCount: UInt32(truncatingIfNeeded: ranges.count),
                ranges: UInt64(UInt(bitPattern: buffer.baseAddress)))
            try handle.borrowed.send(.ioasAllowIOVAs, &request)
        }
    }

    /// Whether a space's page tables may hold large pages: `IOMMU_OPTION_HUGE_PAGES`.
    public func usesLargePages(in space: IOAS) throws(Errno) -> Bool {
        try get(.hugePages, of: space.id) != 0
    }

    /// Lets page tables hold large pages, or not: `IOMMU_OPTION_HUGE_PAGES`.
    /// - Throws: `EINVAL` if there are mappings in a page table, `EADDRINUSE` if there are some that aren't whole
    ///   pages.
    public func setUsesLargePages(_ isOn: Bool, in space: IOAS) throws(Errno) {
        try set(.hugePages, of: space.id, to: isOn ? 1 : 0)
    }

    /// Whether locked memory is counted for the process, as VFIO's containers do it, and not for the user:
    /// `IOMMU_OPTION_RLIMIT_MODE`.
    public var countsLockedMemoryByProcess: Bool {
        get throws(Errno) { try get(.rlimitMode, of: 0) != 0 }
    }

    /// Says for whom locked memory is counted: `IOMMU_OPTION_RLIMIT_MODE`.
    /// - Throws: `EPERM` without `CAP_SYS_RESOURCE`, `EBUSY` if there is an object already.
    public func setCountsLockedMemoryByProcess(_ isOn: Bool) throws(Errno) {
        try set(.rlimitMode, of: 0, to: isOn ? 1 : 0)
    }

    private func get(_ option: IOMMUFDOptionID, of object: UInt32) throws(Errno) -> UInt64 {
        var request = IOMMUFDOption(optionID: option, operation: .get, objectID: object)
        try handle.borrowed.send(.iommufdOption, &request)
        return request.value
    }

    private func set(_ option: IOMMUFDOptionID, of object: UInt32, to value: UInt64) throws(Errno) {
        var request = IOMMUFDOption(optionID: option, operation: .set, objectID: object, value: value)
        try handle.borrowed.send(.iommufdOption, &request)
    }

    /// The space that VFIO's own requests act on where the iommufd is in a container's place: `IOMMU_VFIO_IOAS`; nil
    /// if there is none.
    public var containerSpace: IOAS? {
        get throws(Errno) {
            var request = VFIOCompatibilityIOAS(operation: .get)
            do throws(Errno) {
                try handle.borrowed.send(.iommufdVFIOIOAS, &request)
            } catch {
                if error == .noDevice { return nil }
                throw error
            }
            return IOAS(id: request.ioasID)
        }
    }

    /// Chooses the space that VFIO's own requests act on: `IOMMU_VFIO_IOAS`; nil for none.
    public func setContainerSpace(_ space: IOAS?) throws(Errno) {
        var request = VFIOCompatibilityIOAS(
            ioasID: space?.id ?? 0, operation: space == nil ? .clear : .set)
        try handle.borrowed.send(.iommufdVFIOIOAS, &request)
    }

    /// Counts the locked memory for the calling process from now on, which the iommufd was handed to:
    /// `IOMMU_IOAS_CHANGE_PROCESS`.
    /// - Throws: `EINVAL` if there is a mapping that isn't of a file.
    public func changeProcess() throws(Errno) {
        var request = IOASChangeProcess()
        try handle.borrowed.send(.ioasChangeProcess, &request)
    }
}
