import LinuxSystem
import VFIOHost

/// Finds causes and remedies for what a host refuses.
enum Diagnosis {
    /// The commands that give a device to vfio-pci, or what to do where there are no commands.
    static func bindRemedy(_ device: DeviceSummary, _ host: HostKind) -> String {
        let (id, driver) = (device.id, device.id.bus.driver)
        if host != .linux { return "give \(id) the driver \(driver) in the description of the machine" }
        let folder = "/sys/bus/\(id.bus.name)/devices/\(id)"
        var commands = "modprobe \(driver); echo \(driver) > \(folder)/driver_override"
        if device.driver != nil { commands += "; echo \(id) > \(folder)/driver/unbind" }
        return commands + "; echo \(id) > /sys/bus/\(id.bus.name)/drivers_probe"
    }

    /// The host's inventory.
    static func inventory(of host: any Host, for operation: String) throws(VFIOError) -> Inventory {
        do throws(InventoryError) {
            return try host.inventory()
        } catch {
            throw VFIOError(
                operation: operation, object: error.path, errno: error.errno,
                code: error.errno == .accessDenied ? .permissionDenied : .refused,
                cause: "the list of devices and groups can't be read")
        }
    }

    /// Whether the nodes that a choice needs are missing altogether.
    static func missingNodes(_ inventory: Inventory, _ choice: RouteChoice) -> VFIOError? {
        let missing: String
        switch choice {
        case .automatic where !inventory.hasContainers && !inventory.hasIOMMUFD:
            missing = "neither /dev/vfio/vfio nor /dev/iommu is there"
        case .group where !inventory.hasContainers, .unprotected where !inventory.hasContainers:
            missing = "/dev/vfio/vfio isn't there"
        case .cdev where !inventory.hasIOMMUFD: missing = "/dev/iommu isn't there"
        default: return nil
        }
        return VFIOError(
            operation: "make an address space", object: choice == .cdev ? "/dev/iommu" : "/dev/vfio",
            code: .noVFIO,
            cause: missing + ": VFIO's modules aren't loaded, or the kernel is built without them",
            remedy: choice == .cdev
                ? "modprobe iommufd (Linux 6.6 or later, with device nodes), or take the way through groups"
                : "modprobe vfio-pci")
    }

    /// A device, if it is in a state in which it can be opened.
    static func openable(
        _ id: DeviceID, _ inventory: Inventory, _ host: HostKind
    ) throws(VFIOError) -> DeviceSummary {
        let object = "\(id)"
        guard let record = inventory.summary(of: id) else {
            throw VFIOError(
                operation: "open the device", object: object, code: .noSuchDevice,
                cause: id.address == nil
                    ? "there is no device of the name \(id) on the bus \(id.bus.name)"
                    : "there is no PCI device at \(id)",
                remedy: id.address == nil
                    ? "see /sys/bus/\(id.bus.name)/devices" : "look for its address with `vfio list`")
        }
        guard let driver = record.driver else {
            throw VFIOError(
                operation: "open the device", object: object, code: .noDriver,
                cause: "\(id) isn't bound to any driver", remedy: bindRemedy(record, host))
        }
        guard driver.isVFIO else {
            throw VFIOError(
                operation: "open the device", object: object, code: .boundToOtherDriver,
                cause: "\(id) is bound to \(driver.name)", remedy: bindRemedy(record, host))
        }
        return record
    }

    /// A device that has no node of its own, where one is asked for.
    static func noDeviceNode(_ record: DeviceSummary, _ inventory: Inventory) -> VFIOError {
        VFIOError(
            operation: "open the device through its own node", object: "\(record.id)",
            code: .notSupported,
            cause: record.isUnprotected
                ? "devices without an IOMMU have no node in /dev/vfio/devices"
                : "it has no node in /dev/vfio/devices: the kernel is older than 6.6 or has none",
            remedy: "take the way through its group")
    }

    /// A device without an IOMMU, where that wasn't asked for.
    static func unprotected(_ record: DeviceSummary) -> VFIOError {
        VFIOError(
            operation: "open the device", object: "\(record.id)", code: .noIOMMU,
            cause:
                "its group\(record.group.map { " \($0)" } ?? "") has no IOMMU: the device could overwrite any "
                + "memory of the machine",
            remedy:
                "turn the IOMMU on (firmware; intel_iommu=on on the kernel's command line), or ask for the "
                + "way without protection")
    }

    /// Opens a node.
    static func open(
        _ node: Node, on host: any Host, for record: DeviceSummary? = nil
    ) throws(VFIOError) -> Handle {
        do throws(Errno) {
            return try Handle(opening: node, on: host)
        } catch {
            throw Diagnosis.node(node, error, host.kind, record)
        }
    }

    /// A node that can't be opened.
    static func node(
        _ node: Node, _ errno: Errno, _ host: HostKind, _ record: DeviceSummary?
    ) -> VFIOError {
        let path = "/dev/" + node.path
        var error = VFIOError(operation: "open the node", object: path, errno: errno)
        let subject = record.map { "\($0.id)" } ?? "the device"
        switch errno {
        case .noSuchEntry:
            error.code = .noVFIO
            switch node {
            case .container, .iommu:
                error.cause =
                    "\(path) isn't there: the module isn't loaded, or the kernel is built without it"
                error.remedy = node == .iommu ? "modprobe iommufd" : "modprobe vfio-pci"
            case .group, .unprotectedGroup:
                error.cause = "\(path) isn't there: no device of the group is bound to a VFIO driver any more"
                error.remedy = record.map { bindRemedy($0, host) }
            case .device:
                error.cause =
                    "\(path) isn't there: \(subject) isn't bound to a VFIO driver any more, or the "
                    + "kernel has no device nodes"
            }
        case .accessDenied, .notPermitted:
            error.code = .permissionDenied
            if case .unprotectedGroup = node, errno == .notPermitted {
                error.cause = "a group without an IOMMU needs the capability CAP_SYS_RAWIO"
                error.remedy = "run with that capability, e.g. as root"
            } else {
                error.cause = "this user may not read and write \(path)"
                error.remedy = permissionRemedy(node, path)
            }
        case .busy:
            error.code = .busy
            switch node {
            case .group(let number), .unprotectedGroup(let number):
                error.cause =
                    "group \(number) is open already, or a device of it is open through its own node: "
                    + "both exclude another user"
                error.remedy =
                    "end the process that has it (fuser -v \(path)), or open the device in the address "
                    + "space that has the group"
            default: error.cause = "\(path) is in use"
            }
        case .noDevice, .noSuchAddress:
            error.code = .noVFIO
            switch node {
            case .container, .iommu:
                error.cause = "\(path) is there, but nothing answers: the module isn't loaded"
                error.remedy = node == .iommu ? "modprobe iommufd" : "modprobe vfio-pci"
            default: error.cause = "\(subject) is gone, or was taken from its VFIO driver"
            }
        case .tooManyDescriptors:
            error.cause = "this process has as many open descriptors as it may"
            error.remedy = "raise the limit (ulimit -n)"
        default: break
        }
        return error
    }

    private static func permissionRemedy(_ node: Node, _ path: String) -> String {
        switch node {
        case .container: "chmod 0666 \(path): the container node is meant for everyone"
        case .group, .unprotectedGroup:
            "chown $USER \(path), or a udev rule: SUBSYSTEM==\"vfio\", OWNER=\"<user>\""
        case .device: "chown $USER \(path), or a udev rule: SUBSYSTEM==\"vfio-dev\", OWNER=\"<user>\""
        case .iommu: "chown $USER \(path), or a udev rule: KERNEL==\"iommu\", OWNER=\"<user>\""
        }
    }
}
