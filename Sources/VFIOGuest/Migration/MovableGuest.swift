import LinuxSystem
import VFIO
import VFIOABI

/// A guest's processors, as a migration sees them.
public protocol GuestProcessors: AnyObject, Sendable {
    /// Stops them; when this returns none writes to memory or touches a device.
    func pause()
    /// Lets them go on.
    func resume()
}

/// A further part of a guest that moves with it: its processors' registers, an emulated device, what is plugged.
public protocol MovableState: AnyObject, Sendable {
    /// What both sides call it: at most 255 bytes.
    var name: String { get }
    /// The state, at most a mebibyte. The guest is stopped.
    func save() throws(VFIOGuestError) -> [UInt8]
    /// Takes over a state; the bytes may be anybody's. The guest is stopped.
    func load(_ bytes: [UInt8]) throws(VFIOGuestError)
}

/// All that there is to move of a guest, or where it is to arrive.
///
/// Both sides describe the guest alike: blocks of RAM with the same names and lengths, devices of the same kind and
/// name, further states of the same name.
public final class MovableGuest: Sendable {
    /// The guest's memory map.
    public let memory: GuestMemory
    /// Its RAM; each block once.
    public let blocks: [RAMBlock]
    /// Its devices.
    public let devices: [MovableDevice]
    /// Its processors.
    public let processors: any GuestProcessors
    /// What else there is.
    public let states: [any MovableState]

    /// Describes a guest.
    public init(
        _ memory: GuestMemory, blocks: [RAMBlock], devices: [MovableDevice],
        processors: any GuestProcessors, states: [any MovableState] = []
    ) {
        self.memory = memory
        self.blocks = blocks
        self.devices = devices
        self.processors = processors
        self.states = states
    }

    /// The most blocks, devices or states that a guest can be moved with.
    static let mostParts = 1024

    /// What keeps the guest from being moved, all of it, each with the thing's name; empty if nothing does.
    ///
    /// Devices that are stopped for another reason aren't running: that counts too.
    public func blockers() -> [VFIOGuestError] {
        var found: [VFIOGuestError] = []
        func refuse(
            _ object: String, _ cause: String, _ remedy: String? = nil, _ error: VFIOGuestError? = nil
        ) {
            found.append(
                VFIOGuestError(
                    operation: "move it to another host", object: object, errno: error?.errno,
                    code: .notMovable, cause: cause, remedy: remedy))
        }
        for (kind, names) in [
            ("blocks of RAM", blocks.map(\.name)), ("devices", devices.map(\.name)),
            ("states", states.map(\.name)),
        ] {
            if names.count > Self.mostParts { refuse("the guest", "it has \(names.count) \(kind)") }
            for name in names where name.utf8.count > 255 { refuse(name, "its name has more than 255 bytes") }
            var seen: Set<String> = []
            for name in names where !seen.insert(name).inserted {
                refuse(name, "two \(kind) have that name", "name them differently")
            }
        }
        for device in devices { examine(device, refuse) }
        let others = devices.filter { $0.capabilities.contains(.stopCopy) && !$0.sparesPeers }
        if devices.count > 1 {
            for device in others {
                refuse(
                    device.name,
                    "it can't be kept from DMA to other devices (P2P), and the guest has \(devices.count) devices"
                )
            }
        }
        for container in containers { examine(container, refuse) }
        return found
    }

    /// The containers that the devices are in.
    private var containers: [GuestContainer] {
        var found: [GuestContainer] = []
        for device in devices {
            if let container = device.guestDevice.container, !found.contains(where: { $0 === container }) {
                found.append(container)
            }
        }
        return found
    }

    private func examine(
        _ device: MovableDevice, _ refuse: (String, String, String?, VFIOGuestError?) -> Void
    ) {
        guard device.isMovable else {
            return refuse(device.name, "its owner doesn't let it be moved", nil, nil)
        }
        do throws(VFIOGuestError) {
            try device.prepare()
        } catch {
            return refuse(device.name, "\(error)", nil, error)
        }
        guard device.capabilities.contains(.stopCopy) else {
            return refuse(
                device.name, "the device's driver on the host can't move it",
                "bind it to the variant of vfio-pci that is made for it", nil)
        }
        if device.state != .running {
            refuse(device.name, "it is in migration state \(device.state.rawValue), not running", nil, nil)
        }
    }

    private func examine(
        _ container: GuestContainer, _ refuse: (String, String, String?, VFIOGuestError?) -> Void
    ) {
        memory.lock.withLock {
            let names = devices.filter { $0.guestDevice.container === container }.map(\.name)
                .joined(separator: ", ")
            switch container.mapper.tracker.bestSource {
            case .everything:
                refuse(
                    names, "neither the devices nor the IOMMU can tell which pages were written",
                    "use devices that keep a log, or an IOMMU that does", nil)
            case .devices:
                if container.space.sections.contains(where: { $0.region.isTranslated }) {
                    refuse(
                        names, "the devices' own logs don't go together with an IOMMU of the guest's",
                        "take the guest's IOMMU away", nil)
                }
            case .iommu:
                guard let info = container.iommu.information else { return }
                let pages = info.longestDirtyBitmap.multipliedReportingOverflow(by: 8)
                for section in container.space.sections where section.region.isRAM && !pages.overflow {
                    let count = UInt64(section.range.lastOffset) / UInt64(pageSize) + 1
                    guard count > pages.partialValue else { continue }
                    refuse(
                        "section \(section)",
                        "it has \(count) pages; a dirty bitmap of the IOMMU's can have \(pages.partialValue)",
                        "put the memory together from smaller regions", nil)
                }
            }
        }
    }
}
