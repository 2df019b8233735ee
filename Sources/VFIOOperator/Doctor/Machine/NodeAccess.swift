import LinuxSystem

/// Whether this process may use a device node: what its mode says, and what open(2) says.
struct NodeAccess {
    /// What was found.
    enum State: Equatable {
        /// It isn't there.
        case absent
        /// It was opened, and closed again.
        case opened
        /// It wasn't opened, for the reason given; its mode lets this process read and write it.
        case allowed
        /// open(2) refused, or the mode would.
        case refused(Errno)
    }

    let path: String
    let state: State
    /// Whether the mode lets this process read and write it.
    let isAllowedByMode: Bool

    /// Looks at a node.
    /// - Parameter reason: why it isn't to be opened; nil to open it.
    init(_ path: String, notOpened reason: String?, _ notes: inout Notes) {
        self.path = path
        let rights: (mode: UInt32, owner: UInt32, group: UInt32)
        do throws(Errno) {
            rights = try FileSystem.rights(of: path)
        } catch {
            notes.note(path, error == .noSuchEntry ? "not there" : "\(error)")
            state = error == .noSuchEntry ? .absent : .refused(error)
            isAllowedByMode = false
            return
        }
        let digits = String(rights.mode, radix: 8)
        notes.note(
            path,
            "mode \(String(repeating: "0", count: max(0, 4 - digits.count)))\(digits), user \(rights.owner), "
                + "group \(rights.group)")
        isAllowedByMode = FileSystem.isReadableAndWritable(path)
        if let reason {
            notes.note(path, "not opened: \(reason)")
            state = isAllowedByMode ? .allowed : .refused(.accessDenied)
            return
        }
        do throws(Errno) {
            try Descriptor(opening: path, [.readWrite, .nonBlocking]).close()
            notes.note("open(\"\(path)\", O_RDWR)", "done, and closed again")
            state = .opened
        } catch {
            notes.note("open(\"\(path)\", O_RDWR)", "\(error)")
            state = .refused(error)
        }
    }

    /// Why a refused node can't be used, and what helps.
    /// - Parameters:
    ///   - owner: the command that gives it to this user for good or for now.
    ///   - module: the module that answers behind it.
    func refusal(_ errno: Errno, owner: [Remedy], module: String?) -> Judgement {
        Self.refusal(path, errno, isAllowedByMode: isAllowedByMode, owner: owner, module: module)
    }

    /// The same, of facts alone.
    static func refusal(
        _ path: String, _ errno: Errno, isAllowedByMode: Bool, owner: [Remedy], module: String?
    ) -> Judgement {
        switch errno {
        case .accessDenied where !isAllowedByMode:
            return .failed("this user may not read and write \(path)", owner)
        case .accessDenied:
            return .failed(
                "\(path): the mode allows it, and open(2) doesn't: the folder is mounted without devices (nodev), "
                    + "or a security module forbids it",
                [
                    .run("findmnt -T \(path) -o TARGET,OPTIONS"),
                    .run("sudo dmesg | grep -i -e apparmor -e avc"),
                ])
        case .notPermitted:
            return .failed(
                "\(path): the mode allows it, and open(2) says EPERM: the control group has no access to the device",
                [
                    .run("docker run --device \(path) …", "for a container (podman has the same option)"),
                    .advice("for a service of systemd: DeviceAllow=\(path) rw"),
                ])
        case .noSuchAddress, .noDevice:
            return .failed(
                "\(path) is there, but nothing answers behind it",
                module.map { [.run("sudo modprobe \($0)")] } ?? [])
        case .busy:
            return .failed(
                "\(path) is in use",
                [.run("sudo fuser -v \(path)", "see who has it")])
        default:
            return .undetermined("\(path) can't be opened: \(errno)")
        }
    }
}
