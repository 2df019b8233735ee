import LinuxSystem
import VFIOABI
import VFIOHost

/// A mediated device that is open.
struct MediatedBench {
    /// Its UUID.
    let name: String
    let device: File

    /// Where a region begins in the device's offsets.
    func offset(_ index: UInt32) throws -> UInt64 {
        let (answer, info) = device.regionInfo(index)
        guard answer == .success else { throw Halt.broken("GET_REGION_INFO \(index): \(answer)") }
        return info.offset
    }

    /// GET_INFO, after which its driver knows how many interrupts there are.
    func meet() -> (answer: Answer, info: DeviceInfo) {
        var info = DeviceInfo()
        return (device.request(.deviceGetInfo, &info), info)
    }

    /// What QUERY_GFX_PLANE answers.
    struct Plane {
        let answer: Answer
        let info: GFXPlaneInfo
        /// The size and the number.
        var text: String { "\(info.width) by \(info.height), number \(info.dmabufID)" }
    }

    /// QUERY_GFX_PLANE
    func plane(_ flags: GFXPlaneFlags, type: UInt32 = 1, argsz: UInt32 = 64) -> Plane {
        var info = GFXPlaneInfo(argsz: argsz, flags: flags, drmPlaneType: type)
        let answer = device.request(.deviceQueryGFXPlane, &info)
        return Plane(answer: answer, info: info)
    }
}

extension Trial {
    /// The UUIDs that cases use.
    static let mediatedNames = (0..<8).map { "5f0c3b1e-8a3d-4c53-9d1e-7b9f7f7e1b0\($0)" }

    /// Who makes mediated devices on this machine.
    var mediatedDevices: any MediatedDeviceMaker {
        get throws {
            let machine = try machine
            do throws(Errno) {
                return try machine.mediatedDevices()
            } catch {
                throw skip("mediated devices can't be made here: \(error.name)")
            }
        }
    }

    /// Makes a mediated device for the rest of the case.
    func makeMediated(_ type: String, named name: String = mediatedNames[0]) throws {
        let maker = try mediatedDevices
        do throws(Errno) {
            try maker.create(name, type)
        } catch .noSuchEntry {
            throw skip("there is no parent for mediated devices of type \(type)")
        } catch {
            throw Halt.broken("\(type) can't be made: \(error.name)")
        }
        atEnd { try? maker.removeMediatedDevice(name) }
    }

    /// What is known of a mediated device that must be there.
    func summary(ofMediated name: String) throws -> DeviceSummary {
        guard let found = try DeviceID(.mdev, name).flatMap({ try inventory.summary(of: $0) }) else {
            throw Halt.broken("there is no device \(name)")
        }
        return found
    }

    /// Opens a mediated device by the way in of the run.
    func openMediated(_ name: String = mediatedNames[0]) throws -> MediatedBench {
        let place = try summary(ofMediated: name)
        guard route == .cdev else {
            let container = try open(route == .compat ? .iommu : .container)
            let group = try open(.group(place.group ?? -1))
            let answer = group.request(.groupSetContainer, container.number)
            if route == .compat && answer == .errno(.notSupported) {
                throw skip("an iommufd can't take a container's place here")
            }
            try require(answer, "SET_CONTAINER")
            try require(container.request(.setIOMMU, IOMMUType.type1v2.rawValue), "SET_IOMMU")
            let (got, device) = getDevice(name, from: group)
            guard let device else { throw Halt.broken("GET_DEVICE_FD: \(got)") }
            return MediatedBench(name: name, device: device)
        }
        guard let node = place.deviceNode else { throw skip("\(name) has no node below /dev/vfio/devices") }
        let iommufd = try open(.iommu)
        let device = try open(.device(node))
        var bind = DeviceBindIOMMUFD(iommufd: iommufd.number)
        try require(device.request(.deviceBindIOMMUFD, &bind), "BIND_IOMMUFD")
        return MediatedBench(name: name, device: device)
    }

    /// Makes a mediated device and opens it.
    func mediated(_ type: String) throws -> MediatedBench {
        try makeMediated(type)
        return try openMediated()
    }
}

extension MediatedDeviceMaker {
    /// Makes a device of a type, whose name begins with that of its parent.
    func create(_ text: String, _ type: String) throws(Errno) {
        try createMediatedDevice(text, type: type, of: String(type.prefix { $0 != "-" }))
    }

    /// How many more devices of a type can be made.
    func instances(of type: String) throws -> Int {
        for parent in try mediatedParents() {
            for one in parent.types where one.name == type { return one.availableInstances }
        }
        throw Halt.broken("there is no type \(type)")
    }
}
