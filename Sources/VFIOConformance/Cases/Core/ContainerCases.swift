import LinuxSystem
import VFIOABI
import VFIOHost

/// A.3: a container, before and after it has a group and an IOMMU.
let containerCases: [Case] = [
    Case("A.3", "the version is 0, whatever the argument and the state") { t in
        let container = try t.open(.container)
        t.expect(container.request(.getAPIVersion), .value(0), "new container")
        t.expect(container.request(.getAPIVersion, 77), .value(0), "with an argument")
        let attached = try t.attach(t.anyDevice)
        t.expect(attached.container.request(.getAPIVersion), .value(0), "with an IOMMU")
    },
    Case("A.3", "a container without an IOMMU refuses what it doesn't know with EINVAL") { t in
        let container = try t.open(.container)
        t.expect(container.request(.iommuGetInfo), .errno(.invalid), "IOMMU_GET_INFO without an argument")
        t.expect(container.request(.iommuMapDMA, DMAMap()), .errno(.invalid), "MAP_DMA")
        t.expect(container.request(Request(rawValue: 0x1234)), .errno(.invalid), "an unknown request")
    },
]
