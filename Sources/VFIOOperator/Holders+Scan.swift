import LinuxSystem
import PCIDecoder
import VFIOHost

extension Holders {
    /// The most processes and descriptors that are looked at.
    private static let mostProcesses = 1 << 18
    private static let mostDescriptors = 1 << 17
    private static let mostEntries = 1 << 16

    /// Looks through the processes of a machine.
    /// - Parameters:
    ///   - roots: its folders.
    ///   - excluded: a process that isn't looked at: a command's own, which holds at most what its caller left open.
    public init(in roots: SystemRoots, except excluded: Int32? = nil) {
        self.init()
        guard let names = try? FileSystem.names(in: roots.processes, limit: Self.mostProcesses) else {
            isPartial = true
            return
        }
        isPartial = names.count == Self.mostProcesses || !Self.seesWholeMachine(roots.processes)
        let numbers = NodeNumbers(in: roots)
        for process in names.compactMap({ Int32($0) }).sorted() where process > 0 && process != excluded {
            scan(process, roots, numbers)
        }
    }

    private mutating func scan(_ process: Int32, _ roots: SystemRoots, _ numbers: NodeNumbers) {
        let folder = roots.processes + "/\(process)"
        let names: [String]
        do throws(Errno) {
            names = try FileSystem.names(in: folder + "/fd", limit: Self.mostDescriptors)
        } catch {
            // One that has ended meanwhile holds nothing, and the kernel's own threads never do.
            if error != .noSuchEntry && error != .noSuchProcess && !Self.isKernelThread(folder) {
                unreadable += 1
            }
            return
        }
        if names.count == Self.mostDescriptors { isPartial = true }
        var identity: (name: String, user: UInt32?)?
        for number in names.compactMap({ Int32($0) }).sorted() {
            let target: String
            do throws(Errno) {
                target = try FileSystem.linkTarget(folder + "/fd/\(number)")
            } catch {
                // Listing them and seeing what they are of are two different permissions.
                if error == .accessDenied || error == .notPermitted {
                    unreadable += 1
                    return
                }
                continue
            }
            guard let held = Self.held(target, folder, number, roots, numbers) else { continue }
            guard entries.count < Self.mostEntries else {
                isPartial = true
                return
            }
            let known = identity ?? Self.identity(folder)
            identity = known
            entries.append(
                Entry(
                    held,
                    Holder(process: process, name: known.name, descriptor: number, user: known.user)))
        }
    }

    /// What a descriptor is of, by what its link says; nil for what isn't VFIO's.
    private static func held(
        _ target: String, _ folder: String, _ number: Int32, _ roots: SystemRoots, _ numbers: NodeNumbers
    ) -> Held? {
        let bytes = target.utf8
        if bytes.starts(with: "anon_inode:".utf8) {
            guard bytes.elementsEqual("anon_inode:[vfio-device]".utf8) else { return nil }
            return device(folder + "/fdinfo/\(number)").map { .device($0) } ?? .unknownDevice
        }
        guard bytes.first == UInt8(ascii: "/") else { return nil }
        let path = withoutPrefix(target, roots.devices)
        let named = Node(path: path.utf8.hasSuffix(" (deleted)") ? String(path.dropLast(10)) : path)
        // A container may have the node at another place. Only what looks like a device's node is asked after: stat
        // of a file on a server that doesn't answer would wait for it.
        guard named != nil || bytes.starts(with: "/dev/".utf8) || target.contains("/vfio/") else {
            return nil
        }
        let link = folder + "/fd/\(number)"
        do throws(Errno) {
            if let found = try FileSystem.characterDeviceNumber(link) {
                if let node = numbers.node(found.major, found.minor) { return .node(node) }
            } else if try FileSystem.status(link).kind == .regular {
                return nil
            }
        } catch {
            // Its name is all there is to go by.
        }
        return named.map { .node($0) }
    }

    /// A path below the folder of nodes as it would be below /dev.
    private static func withoutPrefix(_ path: String, _ devices: String) -> String {
        path.utf8.starts(with: (devices + "/").utf8)
            ? "/dev/" + String(decoding: path.utf8.dropFirst(devices.utf8.count + 1), as: UTF8.self) : path
    }

    /// The name of the device that a descriptor is of, as the kernel tells it.
    private static func device(_ path: String) -> String? {
        let label = "vfio-device-syspath:"
        guard let bytes = try? FileSystem.bytes(of: path) else { return nil }
        for line in bytes.split(separator: 0x0a) where line.starts(with: label.utf8) {
            guard let last = line.dropFirst(label.utf8.count).split(separator: UInt8(ascii: "/")).last else {
                return nil
            }
            return String(decoding: last.filter { $0 > 0x20 }, as: UTF8.self)
        }
        return nil
    }

    /// What a process calls itself, and whose it is.
    private static func identity(_ folder: String) -> (name: String, user: UInt32?) {
        var comm = (try? FileSystem.bytes(of: folder + "/comm", limit: 64)) ?? []
        if comm.last == 0x0a { comm.removeLast() }
        var user: UInt32?
        let status = (try? FileSystem.bytes(of: folder + "/status")) ?? []
        for line in status.split(separator: 0x0a) where line.starts(with: "Uid:".utf8) {
            // Real, effective, saved, and the file system's.
            let words = line.dropFirst(4).split { $0 == 0x20 || $0 == 0x09 }
            if words.count > 1 { user = UInt32(String(decoding: words[1], as: UTF8.self)) }
        }
        return (comm.isEmpty ? "?" : PrintableText.of(comm), user)
    }

    /// Whether a process is a thread of the kernel: `PF_KTHREAD` among the flags of `/proc/<pid>/stat`, which all may
    /// read.
    private static func isKernelThread(_ folder: String) -> Bool {
        // The name in parentheses may hold anything; the flags are the seventh word after it.
        guard let bytes = try? FileSystem.bytes(of: folder + "/stat", limit: 4096),
            let end = bytes.lastIndex(of: UInt8(ascii: ")"))
        else { return false }
        let words = bytes[(end + 1)...].split(separator: 0x20)
        guard words.count > 6, let flags = UInt32(String(decoding: words[6], as: UTF8.self)) else {
            return false
        }
        return flags & 0x0020_0000 != 0
    }

    /// Whether all processes of the machine are listed: procfs hides those of other users where it is mounted so
    /// (`hidepid`), and those outside from a container.
    private static func seesWholeMachine(_ processes: String) -> Bool {
        guard FileSystem.exists(processes + "/1") else { return false }
        // The first namespace of processes has a fixed number (PROC_PID_INIT_INO).
        guard let space = try? FileSystem.linkTarget(processes + "/self/ns/pid") else { return true }
        return space == "pid:[4026531836]"
    }
}

/// Which device numbers belong to which nodes: what sysfs says of its classes.
struct NodeNumbers {
    private var nodes: [UInt64: Node] = [:]

    /// Reads the `dev` of all that is in the classes `vfio`, `vfio-dev` and `misc`.
    init(in roots: SystemRoots) {
        for (folder, path) in [("vfio", "vfio/"), ("vfio-dev", "vfio/devices/")] {
            let root = roots.sysfs + "/class/" + folder
            for name in (try? FileSystem.names(in: root)) ?? [] {
                if let node = Node(path: "/dev/" + path + name) { add(root + "/" + name, node) }
            }
        }
        add(roots.sysfs + "/class/misc/vfio", .container)
        add(roots.sysfs + "/class/misc/iommu", .iommu)
    }

    /// The node with a device number.
    func node(_ major: UInt32, _ minor: UInt32) -> Node? { nodes[UInt64(major) << 32 | UInt64(minor)] }

    private mutating func add(_ folder: String, _ node: Node) {
        guard let text = try? FileSystem.text(of: folder + "/dev") else { return }
        let parts = text.utf8.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
        guard parts.count == 2, let major = UInt32(Substring(parts[0])),
            let minor = UInt32(Substring(parts[1]))
        else { return }
        nodes[UInt64(major) << 32 | UInt64(minor)] = node
    }
}

extension String.UTF8View {
    fileprivate func hasSuffix(_ text: String) -> Bool { suffix(text.utf8.count).elementsEqual(text.utf8) }
}
