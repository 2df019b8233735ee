import LinuxSystem
import VFIOHost

/// Whether this process may open the device: the node of its group, or its own.
struct DeviceNodeCheck: Check {
    let id = "node"
    let title = "access"
    let isEssential = true

    func judge(_ examination: Examination, _ notes: inout Notes) -> Judgement? {
        guard let subject = examination.subject, subject.summary.driver?.isVFIO == true else { return nil }
        let devices = examination.roots.devices
        var candidates: [(path: String, isGroup: Bool)] = []
        if let number = subject.summary.deviceNode {
            candidates.append(("\(devices)/\(Node.device(number).path)", false))
        }
        if let group = subject.summary.group {
            let node: Node = subject.summary.isUnprotected ? .unprotectedGroup(group) : .group(group)
            candidates.append(("\(devices)/\(node.path)", true))
        }
        if candidates.isEmpty { return nil }
        var worst: Judgement?
        var opened: [String] = []
        for candidate in candidates {
            // Opening either has no effect on the device; a group's node keeps others out while it is open, which is for
            // the moment of the trial.
            let reason = examination.doctor.kind == .linux ? nil : "a software machine's nodes are names only"
            let node = NodeAccess(candidate.path, notOpened: reason, &notes)
            switch node.state {
            case .opened, .allowed: opened.append(candidate.path)
            case .absent: continue
            case .refused(.busy) where candidate.isGroup:
                worst = .warning(
                    "\(candidate.path) is open already: by another program, or through the device's own node",
                    [.run("sudo fuser -v \(candidate.path)", "see by whom")])
            case .refused(.notPermitted) where subject.summary.isUnprotected:
                worst = .failed(
                    "\(candidate.path) needs the capability CAP_SYS_RAWIO: it has no IOMMU",
                    [.advice("run the program with it, e.g. as root")])
            case .refused(let errno):
                worst = node.refusal(
                    errno, owner: Self.owner(candidate.path, candidate.isGroup), module: "vfio-pci")
            }
        }
        if !opened.isEmpty { return .ok("may open " + opened.joined(separator: " and ")) }
        if let worst { return worst }
        return .failed(
            "none of its nodes is there: \(candidates.map(\.path).joined(separator: ", "))",
            [
                .run(
                    "docker run "
                        + candidates.map { "--device \($0.path)" }.joined(separator: " ") + " …",
                    "in a container: hand them in"),
                .advice("on the machine itself: udev may still be at work, or /dev isn't a devtmpfs"),
            ])
    }

    private static func owner(_ path: String, _ isGroup: Bool) -> [Remedy] {
        [
            .run("sudo chown \"$USER\" \(path)", "until it is bound anew"),
            .run(
                "echo 'SUBSYSTEM==\"\(isGroup ? "vfio" : "vfio-dev")\", GROUP=\"kvm\", MODE=\"0660\"' | sudo tee "
                    + "/etc/udev/rules.d/70-vfio.rules",
                "for good, for a group that the user is in"),
        ]
    }
}
