import LinuxSystem
import VFIOHost

extension Diagnosis {
    /// A device without a group, where one is needed.
    static func noGroup(_ record: DeviceSummary) -> VFIOError {
        VFIOError(
            operation: "open the device", object: "\(record.id)", code: .noIOMMU,
            cause: "\(record.id) is in no IOMMU group: the machine has no IOMMU, or it is off",
            remedy: "turn the IOMMU on (firmware; intel_iommu=on on the kernel's command line)")
    }

    /// A group that can't be used because of what else is in it.
    static func notViable(
        _ number: Int, _ inventory: Inventory, _ host: HostKind, errno: Errno?
    ) -> VFIOError {
        let blockers = inventory.blockers(ofGroup: number)
        var error = VFIOError(
            operation: "use the group", object: "group \(number)", errno: errno, code: .notViable)
        if blockers.isEmpty {
            error.cause =
                "group \(number) isn't viable: another user or the kernel has the DMA of one of its members"
            error.remedy = "see which process has a device of the group (fuser -v /dev/vfio/\(number))"
            return error
        }
        let named = blockers.map { "\($0.id) is bound to \($0.driver?.name ?? "a driver")" }
        error.cause = "group \(number) isn't viable: " + joined(named)
        let first = blockers.map { bindRemedy($0, host) }
        error.remedy =
            (blockers.count == 1 ? "bind it to vfio-pci: " : "bind them to vfio-pci: ")
            + first.joined(separator: "; ")
            + " (or leave \(blockers.count == 1 ? "it" : "them") without a driver)"
        return error
    }

    /// A group that can't be joined to a container.
    static func join(
        _ number: Int, _ errno: Errno, _ inventory: Inventory, _ host: HostKind
    ) -> VFIOError {
        var error = VFIOError(operation: "join the container", object: "group \(number)", errno: errno)
        switch errno {
        case .notPermitted:
            if !inventory.blockers(ofGroup: number).isEmpty {
                return notViable(number, inventory, host, errno: errno)
            }
            error.code = .permissionDenied
            error.cause = "the group's DMA belongs to somebody else, or its IOMMU doesn't isolate interrupts"
            error.remedy =
                "close its other user; for the interrupts: modprobe vfio_iommu_type1 allow_unsafe_interrupts=1"
        case .busy:
            error.code = .busy
            error.cause = "another user has the group's DMA"
        case .invalid:
            error.cause =
                "the group is in a container already, or its ranges don't fit what is mapped in this one"
        case .noDevice:
            error.code = .noSuchDevice
            error.cause = "the group is gone"
        default: break
        }
        return error
    }

    /// A container whose IOMMU can't be set.
    static func setIOMMU(_ number: Int, _ errno: Errno, unprotected: Bool) -> VFIOError {
        var error = VFIOError(
            operation: "set the container's IOMMU for group \(number)", object: "/dev/vfio/vfio", errno: errno
        )
        switch errno {
        case .notPermitted where unprotected:
            error.code = .permissionDenied
            error.cause = "a container without an IOMMU needs the capability CAP_SYS_RAWIO"
            error.remedy = "run with that capability, e.g. as root"
        case .notPermitted:
            error.code = .permissionDenied
            error.cause = "the platform doesn't isolate the group's message-signalled interrupts"
            error.remedy = "accept the risk: modprobe vfio_iommu_type1 allow_unsafe_interrupts=1"
        case .noDevice:
            error.code = .noVFIO
            error.cause = "the kernel has no type 1 IOMMU driver for it"
            error.remedy = "modprobe vfio_iommu_type1"
        default: break
        }
        return error
    }

    /// A device that a group wouldn't give.
    static func groupDevice(_ record: DeviceSummary, _ errno: Errno, _ host: HostKind) -> VFIOError {
        device(record, errno, host, "open the device")
    }

    /// A device that an iommufd couldn't be bound to.
    static func bind(
        _ record: DeviceSummary, _ errno: Errno, _ inventory: Inventory, _ host: HostKind
    ) -> VFIOError {
        if errno == .notPermitted, let group = record.group, !inventory.blockers(ofGroup: group).isEmpty {
            return notViable(group, inventory, host, errno: errno)
        }
        var error = device(record, errno, host, "bind the device to the iommufd")
        switch errno {
        case .notPermitted:
            error.code = .permissionDenied
            error.cause = "another owner has its group's DMA, or its IOMMU doesn't isolate interrupts"
            error.remedy =
                "close its other user; for the interrupts: modprobe iommufd allow_unsafe_interrupts=1"
        case .busy:
            error.code = .busy
            error.cause = "its group is open through /dev/vfio/\(record.group.map { "\($0)" } ?? "<group>")"
            error.remedy = "close the group, or open the device through it"
        case .invalid:
            error.code = .busy
            error.cause =
                "another handle of \(record.id) is bound already, or its IOMMU isn't cache-coherent"
            error.remedy = "end the process that has the device"
        default: break
        }
        return error
    }

    /// A device that couldn't be attached to an IOAS.
    static func attach(_ record: DeviceSummary, _ errno: Errno) -> VFIOError {
        var error = VFIOError(
            operation: "attach the device to the I/O address space", object: "\(record.id)", errno: errno
        )
        switch errno {
        case .addressInUse:
            error.code = .reservedRange
            error.cause = "something is mapped where \(record.id) has reserved addresses"
            error.remedy = "open all devices before memory is mapped, or open it in a space of its own"
        case .invalid:
            error.cause =
                "other devices of its group are attached elsewhere, or its IOMMU differs from theirs"
        case .busy:
            error.code = .busy
            error.cause = "it, or a device of its group, is being reset"
        case .noMemory:
            error.code = .memlockLimit
            error.cause = "the memory that is mapped already can't be locked"
        default: break
        }
        return error
    }

    private static func device(
        _ record: DeviceSummary, _ errno: Errno, _ host: HostKind, _ operation: String
    ) -> VFIOError {
        var error = VFIOError(operation: operation, object: "\(record.id)", errno: errno)
        switch errno {
        case .noDevice:
            error.code = .noSuchDevice
            error.cause = "\(record.id) isn't bound to a VFIO driver any more"
            error.remedy = bindRemedy(record, host)
        case .accessDenied:
            error.code = .permissionDenied
            error.cause =
                "it is a virtual function whose physical function is bound to VFIO, or has such functions in use, "
                + "and the token that was shown isn't theirs (or there was none)"
            error.remedy = "open it with the token that the physical function's user has set"
        case .again:
            error.code = .busy
            error.cause = "the device can't be reset at the moment"
            error.remedy = "try again"
        case .tooManyDescriptors:
            error.cause = "this process has as many open descriptors as it may"
            error.remedy = "raise the limit (ulimit -n)"
        case .inputOutput:
            error.cause = "the device doesn't answer (it may be in a low-power state that it can't leave)"
        default: break
        }
        return error
    }

    /// "a", "a and b", "a, b and c"
    static func joined(_ items: [String]) -> String {
        guard let last = items.last, items.count > 1 else { return items.first ?? "" }
        return items.dropLast().joined(separator: ", ") + " and " + last
    }
}
