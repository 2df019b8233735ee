import LinuxSystem
import VFIOABI

/// A.7 and D.2: what an open device says of itself.
let deviceInfoCases: [Case] = [
    Case("D.2", "a PCI device has nine regions and five interrupts", on: [.group, .cdev, .noIOMMU]) { t in
        let setup = try t.setUp(t.anyDevice)
        var info = DeviceInfo()
        t.expect(setup.device.request(.deviceGetInfo, &info), .success, "GET_INFO")
        t.expect(info.regionCount, equals: 9, "num_regions")
        t.expect(info.irqCount, equals: 5, "num_irqs")
        t.expect(info.flags.contains(.pci), "it says that it is a PCI device")
    }
]
