import DeviceModel

extension NVMeController {
    /// What a controller is like. Numbers outside of their range are brought to its nearer end.
    public struct Settings: Sendable {
        /// SN: up to 20 ASCII characters. Names of namespaces are made from it unless they are given.
        public var serialNumber = "SWIFTVFIO0"
        /// MN: up to 40 ASCII characters.
        public var modelNumber = "swift-vfio NVMe controller"
        /// FR: up to 8 ASCII characters.
        public var firmwareRevision = "1.0"
        /// The PCI vendor and device. The default is a vendor number that emulators share.
        public var vendor: UInt16 = 0x1234
        /// The PCI device number.
        public var device: UInt16 = 0x5646
        /// The most pairs of I/O queues: 1...255. MSI-X has one vector more.
        public var queuePairs = 16
        /// The most entries of an I/O queue (CAP.MQES + 1): 2...65536.
        public var queueEntries = 2048
        /// MDTS: a command moves up to 4096 << this bytes; 1...10.
        public var maximumTransferExponent: UInt8 = 7
        /// NN: the largest identifier that a namespace can have; 1...1024.
        public var namespaceLimit = 16
        /// Whether the volatile write cache is on after a reset.
        public var isWriteCacheEnabled = true
        /// Whether Doorbell Buffer Config is offered.
        public var hasDoorbellBuffers = true
        /// Whether SGLs are offered.
        public var hasSGLs = true
        /// Whether the function sits on the root bus, without a link.
        public var isIntegrated = false

        /// A controller as most users want it.
        public init() {}

        func normalized() -> Settings {
            var settings = self
            settings.queuePairs = min(max(queuePairs, 1), 255)
            settings.queueEntries = min(max(queueEntries, 2), 65536)
            settings.maximumTransferExponent = min(max(maximumTransferExponent, 1), 10)
            settings.namespaceLimit = min(max(namespaceLimit, 1), 1024)
            return settings
        }
    }
}
