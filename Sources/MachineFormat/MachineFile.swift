import DeviceModel
import JSONText
import LinuxSystem
import NVMeController
import SoftwareDevices
import SoftwareHost
import VFIOHost

/// A software machine as a JSON file describes it:
///
/// ```json
/// { "iommu": { "pageSizes": ["4K", "2M"], "apertures": [["0x0", "0x7fffffffff"]] },
///   "groups": [ { "number": 26, "devices": [
///       { "address": "0000:01:00.0", "model": "nvme", "image": "disk.img" },
///       { "address": "0000:01:00.1", "model": "edu", "driver": "" } ] } ],
///   "process": { "lockedMemory": "64M" },
///   "mediated": [ { "uuid": "5f0c3b1e-8a3d-4c53-9d1e-7b9f7f7e1a01", "type": "mdpy-vga" } ],
///   "nodes": { "missing": ["/dev/iommu"], "denied": ["/dev/vfio/26"] },
///   "faults": ["map-dma=ENOMEM@3", "irq:0000:01:00.0=drop@10%"], "seed": 7 }
/// ```
///
/// What "faults" may say is told by `FaultRule.init(_:)` and `vfio list --help`; "seed" is what chance is drawn from
/// there. An "edu" with "virtualFunctions" (1 to 256) is one on PCI Express that can have so many; a "sampler" has a
/// region of every kind, the legacy ones too with "vga"; a "bridge" can be a member of a group, and a "bystander" is
/// only there. A "virtio-net" and an "82574" are network cards: with "mac", with the name of a "wire" that those of the
/// same name share (and all without one), with "loopback" or a "tap" of the system's at that wire. A mediated device's "type" is that of a serial card ("mtty-1", "mtty-2"), a frame buffer ("mdpy-vga",
/// "mdpy-xga", "mdpy-hd") or a Bochs display ("mbochs-small", "mbochs-medium", "mbochs-large"). All keys but "address" and "model" of a device and "number" of a group may be left out.
public enum MachineFile {
    /// Makes a machine from the text of a file.
    /// - Parameters:
    ///   - bytes: the text; at most ``byteLimit`` bytes should be read of a file.
    ///   - folder: what relative paths are put behind; empty, or with a slash at its end.
    /// - Throws: what is wrong, and where it stands.
    public static func parse(_ bytes: [UInt8], folder: String) throws(StrictObject.Problem)
        -> MachineDescription
    {
        let document: JSON
        do throws(JSONError) {
            document = try JSON(bytes, maximumDepth: 16, maximumCount: 65_536)
        } catch {
            throw StrictObject.Problem(description: "isn't JSON: \(error)")
        }
        return try machine(document, folder: folder)
    }

    /// The models of devices that have registers and can be driven; a machine's file knows "bridge" and "bystander"
    /// besides.
    public static var models: [String] { ["nvme", "edu", "virtio-net", "82574", "sampler"] }

    /// How long a file may be.
    public static let byteLimit = 1 << 20

    /// Makes a machine from a document.
    /// - Parameter folder: what relative paths are put behind; empty, or with a slash at its end.
    /// - Throws: what is wrong, and where it stands.
    public static func machine(_ document: JSON, folder: String) throws(StrictObject.Problem)
        -> MachineDescription
    {
        let root = try StrictObject(
            document, at: "",
            keys: [
                "iommu", "groups", "devices", "mediated", "process", "nodes", "parameters", "faults", "seed",
            ])
        var machine = MachineDescription()
        let wires = Wires()
        machine.mediatedParents = MediatedParents.make()
        for item in try root.list("mediated") {
            let object = try StrictObject(item.value, at: item.place, keys: ["uuid", "type"])
            let type = try object.requiredText("type")
            machine.mediatedDevices.append(
                MediatedDeviceName(
                    try object.requiredText("uuid"), type: type,
                    of: String(decoding: type.utf8.prefix { $0 != UInt8(ascii: "-") }, as: UTF8.self)))
        }
        if let object = try root.object("iommu", keys: iommuKeys + spaprKeys) {
            machine.iommu = try iommu(object)
        }
        for item in try root.list("groups") {
            machine.groups.append(try group(item.value, item.place, folder, wires))
        }
        for item in try root.list("devices") {
            machine.ungroupedDevices.append(try device(item.value, item.place, folder, wires))
        }
        if let object = try root.object("process", keys: ["lockedMemory", "ipcLock", "rawIO"]) {
            machine.process.lockedMemoryLimit = try object.size("lockedMemory")
            machine.process.mayExceedLockedMemory = try object.bool("ipcLock") ?? false
            machine.process.mayUseUnprotectedGroups = try object.bool("rawIO") ?? true
        }
        if let object = try root.object("parameters", keys: ModuleParameters.names) {
            machine.parameters = try parameters(object)
        }
        if let object = try root.object("nodes", keys: ["missing", "denied"]) {
            for item in try object.list("missing") {
                machine.nodes.append(NodePermission(try node(item), .missing))
            }
            for item in try object.list("denied") {
                machine.nodes.append(NodePermission(try node(item), .denied))
            }
        }
        if let seed = try root.size("seed") { machine.faults.seed = seed }
        for item in try root.list("faults") { machine.faults.rules.append(try fault(item)) }
        return machine
    }

    /// A fault by its text, e.g. "map-dma=ENOMEM@3".
    private static func fault(
        _ item: (value: JSON, place: String)
    ) throws(StrictObject.Problem) -> FaultRule {
        guard case .string(let text) = item.value else {
            throw StrictObject.Problem(description: "\(item.place) must be a text like \"map-dma=ENOMEM@3\"")
        }
        do throws(FaultTextError) {
            return try FaultRule(text)
        } catch {
            throw StrictObject.Problem(description: "\(item.place): \(error)")
        }
    }

    /// A node by its path, e.g. "/dev/vfio/26".
    private static func node(_ item: (value: JSON, place: String)) throws(StrictObject.Problem) -> Node {
        guard case .string(let path) = item.value, let node = Node(path: path) else {
            throw StrictObject.Problem(
                description: "\(item.place) must be the path of a node like /dev/vfio/vfio, /dev/vfio/26, "
                    + "/dev/vfio/devices/vfio0 or /dev/iommu")
        }
        return node
    }

    private static let iommuKeys = [
        "type", "pageSizes", "apertures", "reserved", "isolatedMSI", "tracksDirtyPages",
        "nestsPageTables",
    ]
    /// What only an IOMMU of type 1 has.
    static let type1Keys = ["apertures", "reserved", "isolatedMSI", "tracksDirtyPages", "nestsPageTables"]

    private static func parameters(_ object: StrictObject) throws(StrictObject.Problem) -> ModuleParameters {
        var parameters = ModuleParameters()
        for name in ModuleParameters.names {
            guard let text = try object.word(name) else { continue }
            do throws(Errno) {
                try parameters.set(name, to: text)
            } catch {
                throw object.problem(name, "can't be \(text)")
            }
        }
        return parameters
    }

    private static func iommu(_ object: StrictObject) throws(StrictObject.Problem) -> IOMMU {
        var iommu = IOMMU()
        let type = try object.text("type") ?? "type1"
        switch Word(type) {
        case "type1": iommu.kind = .type1
        case "spapr": iommu.kind = .spapr(SPAPRIOMMU())
        case "none": iommu.kind = .none
        default:
            throw object.problem("type", "is \"\(type)\"; known are \"type1\", \"spapr\" and \"none\"")
        }
        let sizes = try object.list("pageSizes")
        if !sizes.isEmpty {
            iommu.pageSizes = []
            for item in sizes {
                let size = try StrictObject.size(item.value, at: item.place)
                guard size.nonzeroBitCount == 1, size >= 4096 else {
                    throw StrictObject.Problem(
                        description: "\(item.place): \(size) isn't a power of two of 4096 or more")
                }
                iommu.pageSizes.insert(IOMMU.PageSizes(rawValue: size))
            }
        }
        if iommu.spapr != nil {
            iommu.kind = .spapr(try spapr(object, pageSizes: sizes.isEmpty ? nil : iommu.pageSizes))
            return iommu
        }
        try refuse(spaprKeys, in: object, kind: "spapr")
        let apertures = try ranges(object, "apertures")
        if !apertures.isEmpty { iommu = IOMMU(iommu.kind, pageSizes: iommu.pageSizes, apertures: apertures) }
        if try !object.list("reserved").isEmpty {
            iommu.reserved =
                [IOMMU.x86MessageWindow] + (try ranges(object, "reserved")).map { ReservedRange($0) }
        }
        iommu.hasIsolatedMSI = try object.bool("isolatedMSI") ?? true
        iommu.tracksDirtyPages = try object.bool("tracksDirtyPages") ?? false
        iommu.nestsPageTables = try object.bool("nestsPageTables") ?? false
        return iommu
    }

    /// A list of pairs, the last address included.
    private static func ranges(
        _ object: StrictObject, _ key: String
    ) throws(StrictObject.Problem) -> [ClosedRange<UInt64>] {
        var ranges: [ClosedRange<UInt64>] = []
        for item in try object.list(key) {
            guard case .array(let bounds) = item.value, bounds.count == 2 else {
                throw StrictObject.Problem(
                    description: "\(item.place) must be a pair like [\"0x0\", \"0x7fffffffff\"]")
            }
            let first = try StrictObject.size(bounds[0], at: item.place)
            let last = try StrictObject.size(bounds[1], at: item.place)
            guard first <= last else {
                throw StrictObject.Problem(description: "\(item.place): the first address is above the last")
            }
            ranges.append(first...last)
        }
        return ranges
    }

    private static func group(
        _ value: JSON, _ place: String, _ folder: String, _ wires: Wires
    ) throws(StrictObject.Problem) -> IOMMUGroup {
        let object = try StrictObject(value, at: place, keys: ["number", "devices", "emulated"])
        guard let number = Int(exactly: try object.requiredSize("number")) else {
            throw object.problem("number", "is too large")
        }
        var devices: [PCIDevice] = []
        var others: [BusDevice] = []
        for item in try object.list("devices") {
            if let other = try otherDevice(item.value, item.place) {
                others.append(other)
            } else {
                devices.append(try device(item.value, item.place, folder, wires))
            }
        }
        return IOMMUGroup(
            number, devices: devices, otherDevices: others, isEmulated: try object.bool("emulated") ?? false)
    }

    /// Makes one device.
    /// - Parameters:
    ///   - place: where it stands in the file, for complaints.
    ///   - folder: what relative paths are put behind.
    ///   - wires: those of the machine.
    public static func device(
        _ value: JSON, _ place: String, _ folder: String, _ wires: Wires = Wires()
    ) throws(StrictObject.Problem) -> PCIDevice {
        let object = try StrictObject(
            value, at: place,
            keys: [
                "address", "model", "driver", "image", "readOnly", "size", "blockSize", "serial", "vendor",
                "device",
                "class", "virtualFunctions", "vga",
            ] + networkKeys)
        let address = try object.requiredText("address")
        let model: any DeviceModel
        let name = try object.requiredText("model")
        switch Word(name) {
        case "nvme": model = try disk(object, folder)
        case "edu":
            guard let count = try object.size("virtualFunctions") else {
                model = Educational()
                break
            }
            guard count >= 1 && count <= 256 else {
                throw object.problem("virtualFunctions", "must be 1 to 256")
            }
            model = Educational(virtualFunctions: Int(count))
        case "sampler":
            let isVGA = try object.bool("vga") ?? false
            do throws(Errno) {
                model = try RegionSampler(isVGA: isVGA)
            } catch {
                throw object.problem("model", "can't be made: \(error)")
            }
        case "virtio-net": model = try networkCard(object, isVirtio: true, at: address, wires)
        case "82574": model = try networkCard(object, isVirtio: false, at: address, wires)
        case "bridge": return PCIDevice(bridgeAt: address)
        case "bystander":
            let identity = PCIIdentity(
                vendor: UInt16(try number(object, "vendor", object.requiredSize("vendor"), below: 1 << 16)),
                device: UInt16(try number(object, "device", object.requiredSize("device"), below: 1 << 16)),
                classCode: UInt32(try number(object, "class", object.size("class") ?? 0, below: 1 << 24)))
            return PCIDevice(bystander: identity, at: address, driver: try driver(object, nil))
        default:
            throw object.problem(
                "model",
                "is \"\(name)\"; known are \"nvme\", \"edu\", \"virtio-net\", \"82574\", \"sampler\", "
                    + "\"bridge\" and \"bystander\"")
        }
        return PCIDevice(model, at: address, driver: try driver(object, "vfio-pci"))
    }

    /// A number that must fit into its register.
    private static func number(
        _ object: StrictObject, _ key: String, _ value: UInt64, below limit: UInt64
    ) throws(StrictObject.Problem) -> UInt64 {
        guard value < limit else { throw object.problem(key, "must be below 0x\(hexadecimal(limit))") }
        return value
    }

    /// The driver that a device is bound to; an empty text means none.
    private static func driver(_ object: StrictObject, _ usual: String?) throws(StrictObject.Problem)
        -> String?
    {
        guard let name = try object.text("driver") else { return usual }
        return name.utf8.isEmpty ? nil : name
    }

    private static func disk(
        _ object: StrictObject, _ folder: String
    ) throws(StrictObject.Problem) -> NVMeController {
        guard let blockSize = Int(exactly: try object.size("blockSize") ?? 512) else {
            throw object.problem("blockSize", "is too large")
        }
        var settings = NVMeController.Settings()
        if let serial = try object.text("serial") { settings.serialNumber = serial }
        let image = try object.text("image")
        let isReadOnly = try object.bool("readOnly") ?? false
        let byteCount = try object.size("size") ?? 64 << 20
        do throws(BlockStoreError) {
            let store: any BlockStore
            if let image {
                store = try FileStore(
                    path: image.utf8.first == UInt8(ascii: "/") ? image : folder + image,
                    blockSize: blockSize,
                    readOnly: isReadOnly)
            } else {
                store = try MemoryStore(byteCount: byteCount)
            }
            return NVMeController([try NVMeNamespace(store, blockSize: blockSize)], settings: settings)
        } catch {
            throw object.problem(image == nil ? "size" : "image", "can't be used: \(error)")
        }
    }
}

/// What mediated devices are made of on software machines: all that there is.
public enum MediatedParents {
    /// A serial card, a frame buffer and a Bochs display.
    public static func make() -> [any MediatedParent] {
        [SerialCardParent(), FrameBufferParent(), BochsDisplayParent()]
    }
}
