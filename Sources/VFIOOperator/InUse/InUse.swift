import LinuxSystem
import PCIDecoder
import VFIOHost

/// What a machine uses a device for: what would be lost if its driver were taken away.
///
/// Read from the folder of the device in sysfs and everything below it, from the mounts of this process and of those that
/// it may look into (`/proc/<process>/mountinfo`), and from `/proc/swaps`. What can't be read isn't taken for unused: it
/// is told in ``undetermined``. Everything is bounded, whatever the folders hold.
///
/// Works without rights, and for devices of all buses.
public struct InUse: Sendable, Equatable {
    /// What it is used for: what is active first, in the order of the kinds.
    public var uses: [Use]
    /// What couldn't be told, a sentence each; empty where everything was read.
    public var undetermined: [String]

    /// The uses that are active: each is a reason not to take the driver away.
    public var active: [Use] { uses.filter(\.isActive) }

    /// Reads what a device is used for.
    public init(of device: DeviceID, in roots: SystemRoots) {
        var reading = InUseReading(device, roots)
        reading.read()
        let order = Use.Kind.allCases
        uses = reading.uses.enumerated().sorted { a, b in
            if a.element.isActive != b.element.isActive { return a.element.isActive }
            let (one, other) = (
                order.firstIndex(of: a.element.kind) ?? 0, order.firstIndex(of: b.element.kind) ?? 0
            )
            return one != other ? one < other : a.offset < b.offset
        }.map(\.element)
        undetermined = reading.undetermined
    }
}

/// The reading of one device's uses.
struct InUseReading {
    let device: DeviceID
    let roots: SystemRoots
    /// The device's own folder.
    let folder: String
    var uses: [Use] = []
    var undetermined: [String] = []

    init(_ device: DeviceID, _ roots: SystemRoots) {
        self.device = device
        self.roots = roots
        folder = roots.sysfs + "/bus/\(device.bus.name)/devices/\(device.name)"
    }

    mutating func read() {
        var tree = PartTree(of: folder, sysfs: roots.sysfs)
        tree.walk()
        if !tree.isReadable { undetermined.append("\(folder) can't be read") }
        if tree.isCut {
            undetermined.append(
                "there is more below \(folder) than is looked at: what is left out may be in use")
        }
        readBlocks(tree.parts.filter { $0.subsystem == "block" })
        readNetwork(tree.parts.filter { $0.subsystem == "net" })
        readFunctions()
        readOthers(tree.parts)
    }

    /// An attribute of the device or of a part; nil where it isn't there or can't be read.
    func text(_ path: String) -> String? { try? FileSystem.text(of: path) }

    private mutating func readNetwork(_ interfaces: [Part]) {
        for interface in interfaces {
            let name = interface.name
            guard let flags = text(interface.path + "/flags").flatMap({ HexadecimalText.value($0) }) else {
                undetermined.append(
                    "whether \(PrintableText.of(name.utf8, limit: 1024)) is up: its flags can't be read")
                continue
            }
            // IFF_UP of linux/if.h.
            let isUp = flags & 1 != 0
            var sentence = "\(name) is \(isUp ? "up" : "down")"
            if isUp, text(interface.path + "/operstate") == "down" { sentence += " (without a carrier)" }
            if let master = try? FileSystem.linkTarget(interface.path + "/master") {
                sentence += " and belongs to \(PathText.last(master))"
            }
            uses.append(
                Use(
                    .network, name, sentence, isActive: isUp,
                    remedy: isUp ? "ip link set \(name) down" : nil))
        }
        // The class of network controllers; a driver that has it, and no interface that this process can see.
        guard interfaces.isEmpty, device.address != nil,
            let code = text(folder + "/class").flatMap({ HexadecimalText.value($0) }), code >> 16 == 2,
            let driver = try? FileSystem.linkTarget(folder + "/driver"),
            !DriverRecord(named: PathText.last(driver)).letsGroupBeUsed
        else { return }
        undetermined.append(
            "no network interface of it is to be seen here: it may be up in another network namespace")
    }

    private mutating func readFunctions() {
        guard let text = text(folder + "/sriov_numvfs"), let count = Int(text), count > 0 else { return }
        uses.append(
            Use(
                .virtualFunctions, device.name,
                count == 1
                    ? "a virtual function of it is enabled" : "\(count) virtual functions of it are enabled",
                isActive: true, remedy: "echo 0 > \(folder)/sriov_numvfs"))
    }

    private mutating func readOthers(_ parts: [Part]) {
        let consoles = (text(roots.sysfs + "/class/tty/console/active") ?? "").split(separator: " ")
        for part in parts {
            let name = part.name
            switch part.subsystem {
            case "tty":
                if consoles.contains(where: { $0 == name }) {
                    uses.append(
                        Use(.console, name, "\(name) is a console of this machine", isActive: true))
                }
            case "mdev":
                uses.append(
                    Use(
                        .mediated, name, "the mediated device \(name) is made from it", isActive: true,
                        remedy: "vfio mdev remove \(name)"))
            case "drm" where name.hasPrefix("card") && !name.contains("-"):
                let lit = parts.filter {
                    $0.subsystem == "drm" && $0.name.hasPrefix(name + "-")
                        && text($0.path + "/enabled") == "enabled"
                }.map { $0.name.dropFirst(name.count + 1) }
                uses.append(
                    Use(
                        .display, name,
                        lit.isEmpty
                            ? "\(name) is a display that shows nothing"
                            : "\(name) shows a picture at \(lit.joined(separator: ", "))", isActive: false))
            case "sound" where name.hasPrefix("card"):
                let id = text(part.path + "/id").map { " (\($0))" } ?? ""
                uses.append(Use(.sound, name, "\(name)\(id) is a sound card", isActive: false))
            case "input" where name.hasPrefix("input"):
                let label = text(part.path + "/name").map { " (\($0))" } ?? ""
                uses.append(Use(.input, name, "\(name)\(label) takes a person's input", isActive: false))
            case "usb" where name.hasPrefix("usb"):
                let attached = parts.filter {
                    $0.subsystem == "usb" && $0.path.hasPrefix(part.path + "/") && !$0.name.contains(":")
                }.map { text($0.path + "/product") ?? $0.name }
                uses.append(
                    Use(
                        .usb, name,
                        attached.isEmpty
                            ? "\(name) is a USB bus with nothing attached"
                            : "\(name) is a USB bus with \(attached.joined(separator: ", "))", isActive: false
                    ))
            case "infiniband":
                uses.append(Use(.rdma, name, "\(name) is a device for RDMA", isActive: false))
            case "watchdog":
                uses.append(Use(.watchdog, name, "\(name) is a watchdog", isActive: false))
            default: break
            }
        }
    }
}
