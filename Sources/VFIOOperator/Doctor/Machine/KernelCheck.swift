import VFIOHost

/// What of VFIO the running kernel has, by its version and its configuration.
struct KernelCheck: Check {
    let id = "kernel"
    let title = "kernel"
    let needsKernel = true

    /// A part of VFIO: since when it is there, and the setting that a kernel is built with it by.
    private struct Feature: Sendable {
        let name: String
        let since: KernelVersion
        let setting: String
        /// Whether the running kernel has it, where something besides its configuration tells.
        let presence: @Sendable (Examination, inout Notes) -> Bool?
    }

    private static let features = [
        Feature(
            name: "iommufd", since: KernelVersion(6, 2), setting: "CONFIG_IOMMUFD",
            presence: { hasIOMMUFD($0, &$1) }),
        Feature(
            name: "device nodes", since: KernelVersion(6, 6), setting: "CONFIG_VFIO_DEVICE_CDEV",
            presence: { hasDeviceNodes($0, &$1) }),
        Feature(
            name: "VF tokens with them", since: KernelVersion(6, 17), setting: "CONFIG_VFIO_DEVICE_CDEV",
            presence: { hasDeviceNodes($0, &$1) }),
        Feature(
            name: "device memory as dma-buf", since: KernelVersion(6, 19), setting: "CONFIG_VFIO_PCI_DMABUF",
            presence: { _, _ in nil }),
    ]

    /// VFIO's own module needs iommufd's where the kernel is built with it: where one is loaded, the other is.
    private static func hasIOMMUFD(_ examination: Examination, _ notes: inout Notes) -> Bool? {
        if notes.exists(examination.sysfs + "/class/misc/iommu") { return true }
        return notes.exists(examination.sysfs + "/class/misc/vfio") ? false : nil
    }

    /// Devices have nodes where the kernel has them; the class `vfio-dev` is there without them too.
    private static func hasDeviceNodes(_ examination: Examination, _ notes: inout Notes) -> Bool? {
        let devices = examination.boundDevices.filter { !$0.isUnprotected }
        guard let device = devices.first(where: { $0.deviceNode != nil }) ?? devices.first else {
            // They need iommufd.
            return hasIOMMUFD(examination, &notes) == false ? false : nil
        }
        let folder = examination.sysfs + "/bus/\(device.id.bus.name)/devices/\(device.id)/vfio-dev"
        notes.note(folder, device.deviceNode.map { "vfio\($0), with a node" } ?? "without a node")
        return device.deviceNode != nil
    }

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
            } else {
                switch feature.presence(examination, &notes) {
                case true?: has.append(feature.name)
                case false?: lacks.append("\(feature.name) (not built in)")
                case nil: may.append(feature.name)
                }
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
