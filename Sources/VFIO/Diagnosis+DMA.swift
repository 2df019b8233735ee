import IOVASpace
import LinuxSystem
import VFIOHost

extension Diagnosis {
    /// What is known of an address space when it refuses a mapping.
    struct MapState {
        let info: IOMMUInfo
        let reservedRegions: [ReservedRegion]
        let mappedByteCount: UInt64
        let mappingCount: Int
    }

    /// The first device is missing.
    static func noDevice(_ operation: String) -> VFIOError {
        VFIOError(
            operation: operation, object: AddressSpace.object, code: .noDeviceYet,
            cause: "no device has been opened in it, so what its IOMMU can translate isn't known",
            remedy: "open a device first")
    }

    /// There is no IOMMU to map with.
    static func noTranslation(_ operation: String) -> VFIOError {
        VFIOError(
            operation: operation, object: AddressSpace.object, code: .noIOMMU,
            cause: "its devices were opened without an IOMMU: there is nothing that could translate for them")
    }

    /// Memory that couldn't be allocated.
    static func allocation(
        _ operation: String, _ errno: Errno, _ pages: Mapping.PageKind, byteCount: Int
    ) -> VFIOError {
        var error = VFIOError(
            operation: operation, object: AddressSpace.object, errno: errno, code: .noMemory)
        switch pages {
        case .huge2MiB, .huge1GiB:
            let size = pages == .huge2MiB ? "2 MiB" : "1 GiB"
            let name = pages == .huge2MiB ? "hugepages-2048kB" : "hugepages-1048576kB"
            let count = byteCount / pages.byteCount
            error.cause = "\(counted(count, "free huge page")) of \(size) \(count == 1 ? "is" : "are") needed"
            error.remedy = "reserve them: echo N > /sys/kernel/mm/hugepages/\(name)/nr_hugepages"
        default:
            error.cause = "the machine, or this process's limit, has no \(counted(byteCount, "byte")) left"
        }
        return error
    }

    /// Memory or a length that isn't whole pages.
    static func misaligned(_ operation: String, _ window: MemoryWindow, unit: UInt64) -> VFIOError {
        let cause: String
        if window.byteCount <= 0 {
            cause = "the length is 0"
        } else if UInt64(window.byteCount) % unit != 0 {
            cause = "\(window.byteCount) bytes aren't a multiple of the IOMMU's page size, \(unit) bytes"
        } else {
            cause =
                "the memory at \(hex(window.address.rawValue)) doesn't begin on a page of the IOMMU, \(unit) bytes"
        }
        return VFIOError(operation: operation, object: AddressSpace.object, code: .misaligned, cause: cause)
    }

    /// Why a range can't be mapped, as far as the IOMMU's ranges say; nil if it can.
    static func range(
        _ operation: String, _ range: IOVARange, _ usable: [IOVARange], _ reserved: [ReservedRegion]
    ) -> VFIOError? {
        // The first address that can't be used decides what the message is about.
        var first = range.first
        for part in usable.sorted(by: { $0.first < $1.first }) where part.contains(first) {
            if part.last >= range.last { return nil }
            guard let next = part.last.advanced(by: 1) else { return nil }
            first = next
        }
        var error = VFIOError(operation: operation, object: AddressSpace.object, code: .outsideAperture)
        if let region = reserved.first(where: { $0.first <= first.rawValue && first.rawValue <= $0.last }) {
            error.code = .reservedRange
            error.cause =
                "\(range) touches \(hex(region.first))...\(hex(region.last)), which is reserved "
                + "(\(region.kind))"
        } else if let below = usable.last(where: { $0.last < first }),
            let above = usable.first(where: { $0.first > first })
        {
            error.code = .reservedRange
            error.cause =
                "\(range) touches \(hex(below.last.rawValue &+ 1))...\(hex(above.first.rawValue &- 1)), "
                + "which is reserved"
        } else {
            error.cause = "\(range) isn't inside what the IOMMU translates: \(list(usable))"
        }
        error.remedy = "choose an IOVA in \(list(usable)), or leave the choice open"
        return error
    }

    /// No place is free.
    static func noGap(
        _ operation: String, _ usable: [IOVARange], _ limit: IOVA?, _ mapped: UInt64
    ) -> VFIOError {
        let below = limit.map { " below \(hex($0.rawValue))" } ?? ""
        return VFIOError(
            operation: operation, object: AddressSpace.object, code: .noSpace,
            cause: "no free range of I/O virtual addresses\(below) is long enough; the IOMMU translates "
                + "\(list(usable)), and \(counted(mapped, "byte")) are mapped")
    }

    /// A mapping that the host refused.
    static func map(
        _ operation: String, _ range: IOVARange, _ access: DMAPermissions, _ errno: Errno, _ state: MapState,
        _ host: any Host
    ) -> VFIOError {
        var error = VFIOError(operation: operation, object: AddressSpace.object, errno: errno)
        switch errno {
        case .noMemory: memory(&error, range, state, host)
        case .exists:
            error.code = .overlap
            error.cause = "\(range) is mapped already by somebody else who shares the address space"
        case .noSpace:
            error.code = .entryLimit
            error.cause = "the IOMMU's table of mappings is full: \(state.mappingCount) are there"
            error.remedy =
                "map larger pieces, or raise the limit: modprobe vfio_iommu_type1 dma_entry_limit=N"
        case .badAddress:
            error.code = .badMemory
            error.cause =
                access.contains(.write)
                ? "not all of the memory is there and writable" : "not all of the memory is there"
        case .invalid:
            if let known = Diagnosis.range(operation, range, state.info.usableRanges, state.reservedRegions) {
                error.code = known.code
                error.cause = known.cause
                error.remedy = known.remedy
            } else {
                error.cause =
                    "the host refuses the range although it says that it translates "
                    + list(state.info.usableRanges)
            }
        case .overflow:
            error.code = .outsideAperture
            error.cause = "\(range) goes beyond the end of the address space"
        default: break
        }
        return error
    }

    private static func memory(
        _ error: inout VFIOError, _ range: IOVARange, _ state: MapState, _ host: any Host
    ) {
        let limit =
            (try? host.inventory())?.lockedMemoryLimit
            ?? (host.kind == .linux ? ProcessLimits.lockedMemory : nil)
        let (total, overflow) = state.mappedByteCount.addingReportingOverflow(range.byteCount)
        let needed = overflow ? UInt64.max : total
        error.code = .memlockLimit
        let mapped =
            "\(counted(range.byteCount, "byte")) are to be locked, and this address space has locked "
            + "\(state.mappedByteCount) already"
        guard let limit else {
            error.cause = "the limit of locked memory is too low: \(mapped)"
            error.remedy = "raise the limit to at least \(counted(needed, "byte"))"
            return
        }
        if limit == .max {
            error.code = .noMemory
            error.cause = "the machine is out of memory (locked memory isn't limited): \(mapped)"
            return
        }
        error.cause = "the limit of locked memory (RLIMIT_MEMLOCK) is \(limit) bytes: \(mapped)"
        if limit >= needed {
            error.cause?.append(", beside what else this process or user has locked")
        }
        let kibibytes = needed / 1024 + (needed % 1024 == 0 ? 0 : 1)
        error.remedy =
            "raise it to at least \(needed) bytes: ulimit -l \(kibibytes), or LimitMEMLOCK=\(needed) in a service"
    }

    /// Another number of bytes was unmapped than was mapped.
    static func unmappedSize(_ operation: String, expected: UInt64, actual: UInt64) -> VFIOError {
        VFIOError(
            operation: operation, object: AddressSpace.object, code: .unmappedSizeDiffers,
            cause:
                "the host unmapped \(counted(actual, "byte")) where \(expected) were mapped; a device may still "
                + "reach the memory, so it stays allocated")
    }

    private static func list(_ ranges: [IOVARange]) -> String {
        if ranges.isEmpty { return "nothing" }
        // A host may tell of thousands; a message shows the first few.
        let shown = ranges.prefix(8).map { "\($0)" }
        return joined(ranges.count > 8 ? shown + ["\(ranges.count - 8) more"] : Array(shown))
    }
}
