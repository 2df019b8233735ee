/// Class codes in words (PCI Code and ID Assignment).
public enum PCIClass {
    /// The name of a class code: base class and sub-class.
    public static func name(_ classCode: UInt32) -> String {
        switch classCode >> 8 {
        case 0x0101: "IDE controller"
        case 0x0106: "SATA controller"
        case 0x0107: "SAS controller"
        case 0x0108: classCode & 0xff == 0x02 ? "NVMe controller" : "non-volatile memory controller"
        case 0x0200: "Ethernet controller"
        case 0x0207: "InfiniBand controller"
        case 0x0280: "network controller"
        case 0x0300: "VGA controller"
        case 0x0302: "3D controller"
        case 0x0380: "display controller"
        case 0x0401: "audio device"
        case 0x0403: "audio device"
        case 0x0500: "memory controller"
        case 0x0502: "CXL memory device"
        case 0x0600: "host bridge"
        case 0x0601: "ISA bridge"
        case 0x0604: "PCI bridge"
        case 0x0680: "bridge"
        case 0x0700: "serial controller"
        case 0x0780: "communication controller"
        case 0x0806: "IOMMU"
        case 0x0880: "system peripheral"
        case 0x0c03: "USB controller"
        case 0x0c05: "SMBus"
        case 0x1000: "encryption controller"
        case 0x1200: "processing accelerator"
        default: baseName(classCode >> 16)
        }
    }

    private static func baseName(_ base: UInt32) -> String {
        switch base {
        case 0x00: "unclassified device"
        case 0x01: "storage controller"
        case 0x02: "network controller"
        case 0x03: "display controller"
        case 0x04: "multimedia controller"
        case 0x05: "memory controller"
        case 0x06: "bridge"
        case 0x07: "communication controller"
        case 0x08: "system peripheral"
        case 0x09: "input device"
        case 0x0c: "serial bus controller"
        case 0x0d: "wireless controller"
        case 0x10: "encryption controller"
        case 0x12: "processing accelerator"
        case 0xff: "unassigned class"
        default: "class 0x" + String(base, radix: 16)
        }
    }
}
