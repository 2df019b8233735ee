import DeviceModel
import LinuxSystem
import VFIOABI
import VFIOHost

/// A parent of mediated devices, and what it has made. Guarded by `Core.lock`.
final class MediatedParentState {
    let parent: any MediatedParent
    /// The devices that there are, with their types' positions.
    var children: [(id: DeviceID, type: Int)] = []

    init(_ parent: any MediatedParent) { self.parent = parent }

    /// A type's name in sysfs.
    func name(of type: MediatedType) -> String { parent.driver + "-" + type.name }
}

extension MachineDevice {
    /// Whether a driver of the kernel made it up.
    var isMediated: Bool { id.bus == .mdev }
}

extension BusDevice {
    /// A mediated device, for a group that is emulated.
    /// - Parameters:
    ///   - device: the device.
    ///   - id: its name on the bus ``/VFIOHost/DeviceID/Bus/mdev``.
    ///   - driver: the name of the driver that made it.
    public init(mediated device: any MediatedDevice, named id: DeviceID, driver: String) {
        self.init(id, driver: driver, vfioDriver: driver) { (_) throws(Errno) in
            MediatedBusDriver(device)
        }
    }
}

extension SoftwareHost: MediatedDeviceMaker {
    /// The parents in the order of the description, with the types in theirs.
    public func mediatedParents() throws(InventoryError) -> [MediatedParentRecord] {
        core.lock.withLock {
            core.mediatedParents.map { state in
                var types: [MediatedTypeRecord] = []
                for (index, type) in state.parent.types.enumerated() {
                    types.append(
                        MediatedTypeRecord(
                            name: state.name(of: type), interface: DeviceAPI.pci,
                            availableInstances: state.parent.availableInstances(of: index),
                            title: type.title, summary: type.summary))
                }
                return MediatedParentRecord(name: state.parent.name, types: types)
            }
        }
    }

    /// Makes a mediated device, in a group of its own, and binds it to its driver.
    public func createMediatedDevice(_ text: String, type: String, of parent: String) throws(Errno) {
        try core.lock.withLock { () throws(Errno) in
            try core.createMediatedDevice(text, type: type, of: parent)
        }
    }

    /// Removes a mediated device. It waits for its users as `bind(_:to:waitingAtMost:)` does, without limit.
    public func removeMediatedDevice(_ name: String) throws(Errno) {
        let id = try core.lock.withLock { () throws(Errno) -> DeviceID in
            guard
                let device = core.devices.first(where: {
                    $0.id.bus == .mdev && $0.id.name.utf8.elementsEqual(name.utf8)
                })
            else { throw .noSuchEntry }
            // Somebody else is at it already.
            if device.isLeaving { throw .noDevice }
            return device.id
        }
        try unplug(id)
    }
}

extension Core {
    /// Makes a mediated device. With `lock` held. The tests are in the kernel's order.
    func createMediatedDevice(
        _ text: String, type name: String, of parent: String
    ) throws(Errno) {
        let found = mediatedParents.first { $0.parent.name.utf8.elementsEqual(parent.utf8) }
        guard let state = found,
            let type = state.parent.types.firstIndex(where: {
                state.name(of: $0).utf8.elementsEqual(name.utf8)
            })
        else { throw .noSuchEntry }
        // A write of nothing never gets to a driver.
        if text.utf8.isEmpty { return }
        // What comes after the UUID is a newline, and isn't looked at.
        guard (36...37).contains(text.utf8.count),
            let id = DeviceID(.mdev, String(decoding: text.utf8.prefix(36), as: UTF8.self))
        else { throw .invalid }
        if devices.contains(where: { $0.id == id }) { throw .exists }
        let device = try state.parent.makeDevice(of: type)
        state.children.append((id, type))
        do throws(MachineError) {
            try plug(
                BusDevice(mediated: device, named: id, driver: state.parent.driver), unusedGroupNumber(),
                true)
        } catch {
            // A number that nobody uses and a name that was free: only the driver can have said no.
            forgetMediated(id)
            if case .refused(_, _, let errno) = error { throw errno }
            throw .invalid
        }
    }

    /// A device is no longer part of the machine: its parent gets back what it was made of. With `lock` held.
    func forgetMediated(_ id: DeviceID) {
        for state in mediatedParents {
            guard let index = state.children.firstIndex(where: { $0.id == id }) else { continue }
            let child = state.children.remove(at: index)
            state.parent.reclaimDevice(of: child.type)
            return
        }
    }
}

/// A mediated device that a machine has from the start.
public struct MediatedDeviceName: Sendable, Equatable {
    /// Its UUID.
    public var uuid: String
    /// The whole name of its type: "mtty-1".
    public var type: String
    /// Its parent's name: "mtty".
    public var parent: String

    /// A device to be made.
    public init(_ uuid: String, type: String, of parent: String) {
        self.uuid = uuid
        self.type = type
        self.parent = parent
    }

    /// Whether both mean the same; written out, since comparing texts needs Unicode's tables.
    public static func == (a: Self, b: Self) -> Bool {
        a.uuid.utf8.elementsEqual(b.uuid.utf8) && a.type.utf8.elementsEqual(b.type.utf8)
            && a.parent.utf8.elementsEqual(b.parent.utf8)
    }
}
