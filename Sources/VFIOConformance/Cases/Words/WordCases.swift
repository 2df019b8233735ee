import LinuxSystem
import VFIOABI
import VFIOHost

/// D.2, D.3, D.12 and D.14: the words of the header that few devices and machines know.
let wordCases: [Case] = [
    typedRegionCases, deviceCapabilityCases, memoryExportCases, peerCases, foreignExtensionCases,
].flatMap { $0 }

/// B.2: extensions that are another kernel's.
private let foreignExtensionCases: [Case] = [
    Case("B.2", "pKVM's IOMMU, of Android's kernel, is none here") { t in
        let container = try t.open(.container)
        t.expect(
            container.request(.checkExtension, VFIOABI.Extension.pkvm.rawValue), .value(0),
            "an empty container")
        let group = try t.open(t.edu.groupNode)
        try t.require(group.request(.groupSetContainer, container.number), "SET_CONTAINER")
        t.expect(
            container.request(.checkExtension, VFIOABI.Extension.pkvm.rawValue), .value(0), "with a group")
        t.expect(
            container.request(.setIOMMU, VFIOABI.Extension.pkvm.rawValue), .errno(.noDevice), "SET_IOMMU")
        try t.require(container.request(.setIOMMU, VFIOABI.Extension.type1v2.rawValue), "another IOMMU")
        t.expect(
            container.request(.checkExtension, VFIOABI.Extension.pkvm.rawValue), .value(0), "with an IOMMU")
    }
]
