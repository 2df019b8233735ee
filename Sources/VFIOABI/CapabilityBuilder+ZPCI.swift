// What a host tells of a PCI function of an IBM Z. Base and group are of version 2, as since Linux 5.19.

extension CapabilityBuilder where Structure == DeviceInfo {
    /// `VFIO_DEVICE_INFO_CAP_ZPCI_BASE`: the function.
    public mutating func appendZPCIBase(_ base: ZPCIBaseCapability) throws(CapabilityBuilderError) {
        try append(id: DeviceCapabilityID.zpciBase.rawValue, version: 2, base)
    }

    /// `VFIO_DEVICE_INFO_CAP_ZPCI_GROUP`: the group of functions that it belongs to.
    public mutating func appendZPCIGroup(_ group: ZPCIGroupCapability) throws(CapabilityBuilderError) {
        try append(id: DeviceCapabilityID.zpciGroup.rawValue, version: 2, group)
    }

    /// `VFIO_DEVICE_INFO_CAP_ZPCI_UTIL`: the utility string, in EBCDIC.
    public mutating func appendZPCIUtility(_ string: Span<UInt8>) throws(CapabilityBuilderError) {
        try append(
            id: DeviceCapabilityID.zpciUtility.rawValue,
            ZPCIUtilityCapability(size: UInt32(clamping: string.count)), records: string)
    }

    /// `VFIO_DEVICE_INFO_CAP_ZPCI_PFIP`: the path to the function's inside.
    public mutating func appendZPCIFunctionPath(_ path: Span<UInt8>) throws(CapabilityBuilderError) {
        try append(
            id: DeviceCapabilityID.zpciPFIP.rawValue,
            ZPCIPFIPCapability(size: UInt32(clamping: path.count)), records: path)
    }
}
