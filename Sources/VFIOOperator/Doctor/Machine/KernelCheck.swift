/// What of VFIO the running kernel has, by its version and its configuration.
struct KernelCheck: Check {
    let id = "kernel"
    let title = "kernel"
    let needsKernel = true

    /// A part of VFIO: since when it is there, and the setting that a kernel is built with it by.
    private struct Feature {
        let name: String
        let since: KernelVersion
        let setting: String
        /// What is in sysfs where the kernel has it and it is loaded; nil where nothing tells.
        let trace: String?
    }

    private static let features = [
        Feature(
            name: "iommufd", since: KernelVersion(6, 2), setting: "CONFIG_IOMMUFD", trace: "/class/misc/iommu"
        ),
        Feature(
            name: "device nodes", since: KernelVersion(6, 6), setting: "CONFIG_VFIO_DEVICE_CDEV",
            trace: "/class/vfio-dev"),
        Feature(
            name: "VF tokens with them", since: KernelVersion(6, 17), setting: "CONFIG_VFIO_DEVICE_CDEV",
            trace: "/class/vfio-dev"),
        Feature(
            name: "device memory as dma-buf", since: KernelVersion(6, 19), setting: "CONFIG_VFIO_PCI_DMABUF",
            trace: nil),
    ]

    func judge(_ examination: Examination, _ notes: inout Notes) -> Judgement? {
        guard let release = examination.release(&notes).value else {
            return .undetermined("the kernel's version can't be read")
        }
        guard let version = KernelVersion(release: release) else {
            return .undetermined("the kernel's version isn't understood: \(release)")
        }
        if version < KernelVersion(3, 6) {
            return .failed("Linux \(release): VFIO came with Linux 3.6", [.advice("install a newer kernel")])
        }
        let settings = settings(examination, release, &notes)
        // Only what is known to be left out is: a setting that the configuration doesn't name at all may be an
        // older or a newer kernel's.
        if let settings, settings["CONFIG_VFIO_PCI"] == nil, settings["CONFIG_VFIO"] == nil {
            return .failed(
                "Linux \(release) is built without VFIO (CONFIG_VFIO, CONFIG_VFIO_PCI)",
                [.advice("use a kernel of the distribution, or build one with these settings")])
        }
        var has: [String] = []
        var lacks: [String] = []
        var may: [String] = []
        for feature in Self.features {
            if version < feature.since {
                lacks.append("\(feature.name) (since \(feature.since))")
            } else if let settings {
                if settings[feature.setting] == nil {
                    lacks.append("\(feature.name) (\(feature.setting) isn't set)")
                } else {
                    has.append(feature.name)
                }
            } else if let trace = feature.trace, notes.exists(examination.sysfs + trace) {
                has.append(feature.name)
            } else {
                may.append(feature.name)
            }
        }
        var text = "Linux \(release): groups"
        if !has.isEmpty { text += ", " + has.joined(separator: ", ") }
        if !lacks.isEmpty { text += "; without " + lacks.joined(separator: ", ") }
        if !may.isEmpty {
            text += "; perhaps " + may.joined(separator: ", ") + " (how it is built isn't told)"
        }
        return .ok(text)
    }

    /// What the kernel is built with, by its configuration file; nil where there is none to read.
    private func settings(
        _ examination: Examination, _ release: String, _ notes: inout Notes
    ) -> [String: Substring]? {
        let folders = examination.doctor.folders
        for path in ["\(folders.boot)/config-\(release)", "\(folders.modules)/\(release)/config"] {
            let lines = notes.lines(path) { line in
                line.hasPrefix("CONFIG_VFIO") || line.hasPrefix("CONFIG_IOMMUFD=")
            }
            guard let lines = lines.value else { continue }
            var settings: [String: Substring] = [:]
            for line in lines {
                let parts = line.split(separator: "=", maxSplits: 1)
                if parts.count == 2 { settings[String(parts[0])] = parts[1] }
            }
            return settings
        }
        return nil
    }
}
