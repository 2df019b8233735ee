/// Whether the modules that VFIO consists of are loaded, built in, or can be loaded.
struct ModulesCheck: Check {
    let id = "modules"
    let title = "modules"
    let isEssential = true
    let needsKernel = true

    func judge(_ examination: Examination, _ notes: inout Notes) -> Judgement? {
        let driver = examination.module("vfio-pci", &notes)
        let type1 = examination.module("vfio_iommu_type1", &notes)
        let iommufd = examination.module("iommufd", &notes)
        let isBound = notes.exists(examination.sysfs + "/bus/pci/drivers/vfio-pci")
        let named = [("vfio-pci", driver), ("vfio_iommu_type1", type1), ("iommufd", iommufd)]
        let text = named.filter { $0.1 != .unknown }.map { "\($0.0) \($0.1.words)" }.joined(separator: ", ")
        if !isBound && !driver.isThere {
            switch driver {
            case .available:
                return .warning(
                    "vfio-pci can be loaded, but isn't", [.run("sudo modprobe vfio-pci"), Self.atStart])
            case .absent:
                return .failed(
                    "this kernel has no vfio-pci",
                    [
                        .advice(
                            "install the rest of the kernel's modules (Ubuntu: linux-modules-extra-$(uname -r); "
                                + "a cloud image's kernel may be without)"),
                        .advice("a kernel needs CONFIG_VFIO_PCI for it"),
                    ])
            default:
                return .undetermined(
                    "whether there is a vfio-pci can't be told: it isn't loaded, and what modules there are isn't "
                        + "known here",
                    [.run("sudo modprobe vfio-pci", "try, on the machine itself rather than in a container")])
            }
        }
        if !type1.isThere && !iommufd.isThere {
            if case .available = type1 {
                return .warning(
                    "vfio_iommu_type1 can be loaded, but isn't", [.run("sudo modprobe vfio_iommu_type1")])
            }
            if case .available = iommufd {
                return .warning("iommufd can be loaded, but isn't", [.run("sudo modprobe iommufd")])
            }
            if case .absent = type1, case .absent = iommufd {
                return .failed(
                    "this kernel has neither vfio_iommu_type1 nor iommufd: nothing maps memory for devices",
                    [.advice("install the rest of the kernel's modules, or one with CONFIG_VFIO_IOMMU_TYPE1")]
                )
            }
            return .undetermined("whether there is a vfio_iommu_type1 can't be told")
        }
        return .ok(text)
    }

    private static let atStart = Remedy.run(
        "echo vfio-pci | sudo tee /etc/modules-load.d/vfio-pci.conf", "at every start")
}

/// How a module stands.
enum ModuleState: Equatable {
    /// It is at work: loaded, or part of the kernel.
    case loaded
    /// Part of the kernel.
    case builtIn
    /// There to be loaded.
    case available
    /// The kernel has none of the name.
    case absent
    /// Nobody can tell.
    case unknown

    /// Whether it is at work.
    var isThere: Bool { self == .loaded || self == .builtIn }

    /// In words.
    var words: String {
        switch self {
        case .loaded: "loaded"
        case .builtIn: "built in"
        case .available: "can be loaded"
        case .absent: "not there"
        case .unknown: "unknown"
        }
    }
}

extension Examination {
    /// How a module stands: by its folder in `/sys/module`, and by the lists that depmod(8) makes.
    ///
    /// Modules that are part of the kernel have a folder only if they have parameters or a version.
    func module(_ name: String, _ notes: inout Notes) -> ModuleState {
        let underscored = String(name.map { $0 == "-" ? "_" : $0 })
        let folder = sysfs + "/module/" + underscored
        if notes.exists(folder) { return .loaded }
        var quiet = Notes()
        guard let release = release(&quiet).value, !release.contains("/"), !release.isEmpty else {
            return .unknown
        }
        let lists = doctor.folders.modules + "/" + release
        func isListed(_ file: String, _ limit: Int) -> Bool? {
            notes.lines(lists + "/" + file, limit: limit) { Self.moduleName($0) == underscored }.value.map {
                !$0.isEmpty
            }
        }
        let builtIn = isListed("modules.builtin", 1 << 20)
        if builtIn == true { return .builtIn }
        let loadable = isListed("modules.dep", 8 << 20)
        if loadable == true { return .available }
        return builtIn == nil || loadable == nil ? .unknown : .absent
    }

    /// The name of the module that a line of these lists is about: "kernel/drivers/vfio/pci/vfio-pci.ko.xz: …".
    private static func moduleName(_ line: Substring) -> String? {
        guard let path = line.split(separator: ":", maxSplits: 1).first,
            let file = path.split(separator: "/").last, let name = file.split(separator: ".").first
        else { return nil }
        return String(name.map { $0 == "-" ? "_" : $0 })
    }
}
