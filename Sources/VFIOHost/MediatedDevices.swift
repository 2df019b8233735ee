import LinuxSystem

/// A device whose driver makes mediated devices (`/sys/class/mdev_bus`).
public struct MediatedParentRecord: Sendable {
    /// Its name.
    public var name: String
    /// The types of devices that it makes.
    public var types: [MediatedTypeRecord]

    /// Describes a parent.
    public init(name: String, types: [MediatedTypeRecord]) {
        self.name = name
        self.types = types
    }
}

/// A type of mediated devices (a folder of `mdev_supported_types`).
public struct MediatedTypeRecord: Sendable {
    /// Its name, which begins with the driver's: "mtty-1".
    public var name: String
    /// What kind of VFIO device comes of it: "vfio-pci".
    public var interface: String
    /// How many more can be made.
    public var availableInstances: Int
    /// A name for people, where there is one.
    public var title: String?
    /// More about it, where there is more.
    public var summary: String?

    /// Describes a type.
    public init(
        name: String, interface: String, availableInstances: Int, title: String? = nil,
        summary: String? = nil
    ) {
        self.name = name
        self.interface = interface
        self.availableInstances = availableInstances
        self.title = title
        self.summary = summary
    }
}

/// A host on whose machine mediated devices can be made: what an administrator does by sysfs (kernel.md G.6).
public protocol MediatedDeviceMaker: AnyObject, Sendable {
    /// The devices that make mediated devices, by name.
    func mediatedParents() throws(InventoryError) -> [MediatedParentRecord]

    /// Makes a mediated device, in a group of its own: writes a text to the `create` of a type.
    /// - Parameters:
    ///   - text: a UUID of 36 characters, and perhaps a newline after it.
    ///   - type: the type's whole name: "mtty-1".
    ///   - parent: the parent's name: "mtty".
    /// - Throws: `ENOENT` for an unknown parent or type; `EINVAL` for what isn't a UUID; `EEXIST` for one that is
    ///   taken; `EUSERS`, `ENOSPC` where nothing is left to make it of; what its driver says.
    func createMediatedDevice(_ text: String, type: String, of parent: String) throws(Errno)

    /// Removes a mediated device: writes 1 to its `remove`. Waits, as Linux does, while somebody has it open.
    /// - Parameter name: its UUID, in small letters.
    /// - Throws: `ENOENT` for a name without a mediated device; `ENODEV` for one that is being removed.
    func removeMediatedDevice(_ name: String) throws(Errno)
}

extension LinuxHost: MediatedDeviceMaker {
    /// Reads `/sys/class/mdev_bus`; what disappears meanwhile is left out.
    public func mediatedParents() throws(InventoryError) -> [MediatedParentRecord] {
        let root = sysfs + "/class/mdev_bus"
        var parents: [MediatedParentRecord] = []
        for name in try entries(in: root) {
            let folder = root + "/" + name + "/mdev_supported_types"
            var types: [MediatedTypeRecord] = []
            for type in (try? entries(in: folder)) ?? [] {
                let path = folder + "/" + type
                guard let left = attribute(path + "/available_instances"),
                    let count = AttributeText.decimal(left.utf8),
                    let interface = attribute(path + "/device_api")
                else { continue }
                types.append(
                    MediatedTypeRecord(
                        name: type, interface: interface, availableInstances: count,
                        title: attribute(path + "/name"), summary: attribute(path + "/description")))
            }
            types.sortCompactly { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
            parents.append(MediatedParentRecord(name: name, types: types))
        }
        parents.sortCompactly { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
        return parents
    }

    /// Writes to the type's `create`.
    public func createMediatedDevice(_ text: String, type: String, of parent: String) throws(Errno) {
        for part in [type, parent] where !Self.isFileName(part) { throw .noSuchEntry }
        try FileSystem.write(
            text, to: sysfs + "/class/mdev_bus/" + parent + "/mdev_supported_types/" + type + "/create")
    }

    /// Writes to the device's `remove`.
    public func removeMediatedDevice(_ name: String) throws(Errno) {
        guard Self.isFileName(name) else { throw .noSuchEntry }
        try FileSystem.write("1", to: sysfs + "/bus/mdev/devices/" + name + "/remove")
    }

    /// Whether a text is the name of one file, and leads nowhere else.
    private static func isFileName(_ text: String) -> Bool {
        let bytes = text.utf8
        return !bytes.isEmpty && !bytes.contains(UInt8(ascii: "/")) && !bytes.contains(0)
            && !bytes.elementsEqual(".".utf8) && !bytes.elementsEqual("..".utf8)
    }

    private func entries(in path: String) throws(InventoryError) -> [String] {
        do throws(Errno) {
            return try FileSystem.names(in: path, limit: 4096)
        } catch {
            if error == .noSuchEntry { return [] }
            throw InventoryError(path: path, errno: error)
        }
    }

    private func attribute(_ path: String) -> String? { try? FileSystem.text(of: path) }
}
