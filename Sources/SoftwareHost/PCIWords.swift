/// Numbers of vfio.h that the PCI bus driver speaks.
enum PCIWords {
    static let getInfo: UInt32 = 0x3b6b
    static let getRegionInfo: UInt32 = 0x3b6c
    static let getIRQInfo: UInt32 = 0x3b6d
    static let setIRQs: UInt32 = 0x3b6e
    static let reset: UInt32 = 0x3b6f
    static let getHotResetInfo: UInt32 = 0x3b70
    static let hotReset: UInt32 = 0x3b71
}
