import LinuxSystem
import VFIOABI
import VFIOHost

/// The token that users of virtual functions show.
struct Token {
    /// Its 16 bytes.
    let bytes: [UInt8]

    /// A token of 16 bytes in a row, from one on.
    init(from first: UInt8) { bytes = (0..<16).map { first &+ $0 } }

    /// The option of a device's name.
    var option: String { " vf_token=\(text)" }

    /// 8-4-4-4-12 digits.
    var text: String {
        var text = ""
        for (index, byte) in bytes.enumerated() {
            if [4, 6, 8, 10].contains(index) { text += "-" }
            text += hexadecimal(byte, digits: 2)
        }
        return text
    }
}

/// A device that is about to be opened, again and again, with one token or another.
struct Door {
    let trial: Trial
    let record: DeviceRecord
    /// The group; nil for a device's own node.
    let group: File?

    /// Opens the device by the way in of the run.
    func open(_ token: Token?) throws -> (answer: Answer, device: File?) {
        if let group {
            let (answer, file) = trial.getDevice(record.name + (token?.option ?? ""), from: group)
            return (answer, file)
        }
        let iommufd = try trial.open(.iommu)
        let node = try trial.openNode(of: record)
        var bind = DeviceBindIOMMUFD(iommufd: iommufd.number)
        let memory = try trial.buffer(16)
        if let token {
            memory.bytes = token.bytes
            bind.flags = .token
            bind.tokenUUID = UInt64(memory.address.rawValue)
        }
        let answer = node.request(.deviceBindIOMMUFD, &bind)
        guard answer == .success else {
            node.close()
            return (answer, nil)
        }
        return (.descriptor, node)
    }

    /// Opens the device and closes it again.
    func trying(_ token: Token?) throws -> Answer {
        let (answer, device) = try open(token)
        device?.close()
        return answer
    }
}

extension Trial {
    /// A device that can have virtual functions.
    var physicalFunction: DeviceRecord {
        get throws {
            try device("a device that can have virtual functions (SR-IOV)") { record in
                guard record.physicalFunction == nil else { return false }
                if kernel.kind == .software { return record.vendor == 0x1234 && record.device == 0x11e9 }
                return FileSystem.exists("/sys/bus/pci/devices/\(record.address)/sriov_totalvfs")
            }
        }
    }

    /// Writes `sriov_numvfs`.
    func setCount(_ count: Int, of physical: DeviceRecord) throws -> Answer {
        let machine = try machine
        return .of { () throws(Errno) in
            try machine.setVirtualFunctionCount(count, of: physical.address)
        }
    }

    /// Lets vfio-pci make virtual functions, or not; at the end of the case there are none, and all is as before.
    func allowVirtualFunctions(_ isAllowed: Bool, of physical: DeviceRecord) throws {
        let machine = try machine
        let name = "vfio_pci.enable_sriov"
        do throws(Errno) {
            let old = try machine.parameter(name)
            try machine.setParameter(name, to: isAllowed ? "Y" : "N")
            atEnd {
                try? machine.setParameter(name, to: "Y")
                try? machine.setVirtualFunctionCount(0, of: physical.address)
                try? machine.setParameter(name, to: old)
            }
        } catch {
            throw skip("vfio-pci can't make virtual functions here: \(error.name)")
        }
    }

    /// Makes virtual functions, until the end of the case.
    func makeVirtualFunctions(_ count: Int) throws -> (physical: DeviceRecord, virtual: [DeviceRecord]) {
        let physical = try physicalFunction
        try allowVirtualFunctions(true, of: physical)
        try require(setCount(count, of: physical), "sriov_numvfs")
        return (physical, try virtualFunctions(of: physical))
    }

    /// The virtual functions that there are, by address.
    func virtualFunctions(of physical: DeviceRecord) throws -> [DeviceRecord] {
        try inventory.devices.filter { $0.physicalFunction == physical.address }.sorted {
            $0.address < $1.address
        }
    }

    /// Gets a device ready for being opened.
    func door(to record: DeviceRecord) throws -> Door {
        Door(trial: self, record: record, group: route == .cdev ? nil : try attach(record).group)
    }
}
