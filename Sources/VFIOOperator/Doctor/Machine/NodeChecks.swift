import VFIOHost

/// The node of containers, `/dev/vfio/vfio`: the way in through groups.
struct ContainerNodeCheck: Check {
    let id = "node-container"
    let title = "/dev/vfio/vfio"

    func judge(_ examination: Examination, _ notes: inout Notes) -> Judgement? {
        let path = examination.roots.devices + "/vfio/vfio"
        let isRegistered = examination.isRegistered("vfio", &notes)
        let node = NodeAccess(path, notOpened: examination.reasonNotToOpen(isRegistered), &notes)
        switch node.state {
        case .opened, .allowed: return .ok("can be opened: the way in through groups")
        case .refused(let errno):
            return node.refusal(
                errno,
                owner: [.run("sudo chmod 0666 \(path)", "it is meant for everyone: it gives no device away")],
                module: "vfio-pci")
        case .absent:
            if isRegistered {
                return .failed(
                    "the kernel has it, and this /dev doesn't: a container?",
                    [.run("docker run --device /dev/vfio/vfio --device /dev/vfio/<group> …", "hand it in")])
            }
            if notes.exists(examination.roots.devices + "/iommu") {
                return .ok("not there; the way in through /dev/iommu is")
            }
            return .failed("not there: VFIO isn't loaded", [.run("sudo modprobe vfio-pci")])
        }
    }
}

/// `/dev/iommu`: the way in through the devices' own nodes.
struct IOMMUFDNodeCheck: Check {
    let id = "node-iommufd"
    let title = "/dev/iommu"

    func judge(_ examination: Examination, _ notes: inout Notes) -> Judgement? {
        let path = examination.roots.devices + "/iommu"
        let isRegistered = examination.isRegistered("iommu", &notes)
        let node = NodeAccess(path, notOpened: examination.reasonNotToOpen(isRegistered), &notes)
        switch node.state {
        case .opened, .allowed: return .ok("can be opened: the way in through devices' own nodes")
        case .refused(let errno):
            var judgement = node.refusal(
                errno,
                owner: [
                    .run("sudo chown \"$USER\" \(path)", "for now"),
                    .run(
                        "echo 'KERNEL==\"iommu\", GROUP=\"kvm\", MODE=\"0660\"' | sudo tee "
                            + "/etc/udev/rules.d/70-iommu.rules", "for good, for a group that the user is in"),
                ], module: "iommufd")
            // The way through groups is left.
            if judgement.result == .failed, notes.exists(examination.roots.devices + "/vfio/vfio") {
                judgement.result = .warning
                judgement.summary += "; the way through groups is left"
            }
            return judgement
        case .absent:
            if isRegistered {
                return .warning(
                    "the kernel has it, and this /dev doesn't: a container?",
                    [
                        .run(
                            "docker run --device /dev/iommu --device /dev/vfio/devices/vfio<N> …",
                            "hand it in")
                    ])
            }
            switch examination.module("iommufd", &notes) {
            case .available:
                return .ok(
                    "not there: iommufd isn't loaded; the way through groups doesn't need it",
                    [.run("sudo modprobe iommufd", "for those who want it")])
            case .absent:
                return .ok("not there: the kernel is without iommufd; the way through groups doesn't need it")
            default: return .ok("not there; the way through groups doesn't need it")
            }
        }
    }
}

extension Examination {
    /// Whether the kernel answers behind a node of this name. Where it doesn't, opening the node would load a module.
    func isRegistered(_ name: String, _ notes: inout Notes) -> Bool {
        notes.exists(sysfs + "/class/misc/" + name)
    }

    /// Why a node mustn't be opened; nil if it may.
    func reasonNotToOpen(_ isRegistered: Bool) -> String? {
        if doctor.kind != .linux { return "a software machine's nodes are names only" }
        return isRegistered ? nil : "that would load its module"
    }
}
