import VFIOABI

extension Device {
    /// What an IBM Z tells of a PCI function (`VFIO_DEVICE_INFO_CAP_ZPCI_…`): its firmware, and not configuration
    /// space, describes functions, and whoever gives one to a guest tells the guest the same.
    public struct ZPCI: Sendable, Equatable {
        /// The function: its addresses for DMA, its channel, its handle.
        public let base: ZPCIBaseCapability
        /// The group of functions that it belongs to: what all of them can do.
        public let group: ZPCIGroupCapability
        /// The utility string, in EBCDIC; empty if there is none.
        public let utilityString: [UInt8]
        /// The path to the function's inside; empty if it isn't told.
        public let functionPath: [UInt8]

        /// The capabilities, as they come.
        struct Parts {
            var base: ZPCIBaseCapability?
            var group: ZPCIGroupCapability?
            var utilityString: [UInt8] = []
            var functionPath: [UInt8] = []

            mutating func take(
                _ id: DeviceCapabilityID, _ capability: borrowing Capability
            ) throws(CapabilityChainError) {
                switch id {
                case .zpciBase: base = try capability.zpciBase()
                case .zpciGroup: group = try capability.zpciGroup()
                case .zpciUtility: utilityString = Self.copy(try capability.zpciUtilityString())
                case .zpciPFIP: functionPath = Self.copy(try capability.zpciFunctionPath())
                default: break
                }
            }

            private static func copy(_ bytes: RawSpan) -> [UInt8] {
                // SAFETY: any byte is an integer; the bounds are the span's own.
                (0..<bytes.byteCount).map { unsafe bytes.unsafeLoad(fromByteOffset: $0, as: UInt8.self) }
            }
        }

        /// Nil without the two that every such function has.
        init?(_ parts: Parts) {
            guard let base = parts.base, let group = parts.group else { return nil }
            self.base = base
            self.group = group
            utilityString = parts.utilityString
            functionPath = parts.functionPath
        }
    }
}
