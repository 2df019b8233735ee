import DeviceModel
import VFIOHost

// Devices that vfio-pci knows by name (kernel.md D.1).

extension PCIIdentity {
    /// Whether the function is a bridge between PCI buses, whose header isn't an endpoint's: no user may have one.
    var isBridge: Bool { classCode >> 8 == 0x0604 }

    /// Whether the device is on vfio-pci's denylist: a user could harm the machine with it.
    var isDenied: Bool {
        guard vendor == 0x8086 else { return false }
        switch device {
        // QuickAssist C3000, C620 and DH8950, and their virtual functions.
        case 0x19e2, 0x19e3, 0x37c8, 0x37c9, 0x0435, 0x0443: return true
        // The data streaming and the in-memory analytics accelerator of Sapphire Rapids.
        case 0x0b25, 0x0cfe: return true
        default: return false
        }
    }

    /// Whether the device asserts its interrupt line although Interrupt Disable is set: vfio-pci then does without
    /// the line.
    var hasBrokenLine: Bool {
        guard vendor == 0x8086 else { return false }
        switch device {
        // Controllers of the 700 series and the X550.
        case 0x1572, 0x1574, 0x1580...0x1581, 0x1583...0x158b, 0x37d0...0x37d2, 0x1563: return true
        default: return false
        }
    }
}
