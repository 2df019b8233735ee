extension VirtioNetworkCard {
    /// Offsets in BAR 0, which is in port space (virtio 1.0, 4.1.4.8). What is specific to network cards follows at
    /// ``configuration`` or, while MSI-X is enabled, four bytes behind it.
    public enum Register {
        /// Read only, 32 bits: what the device can do (``Feature``).
        public static let deviceFeatures: UInt64 = 0
        /// 32 bits: which of that the driver makes use of.
        public static let driverFeatures: UInt64 = 4
        /// 32 bits: the number of the 4096-byte page where the rings of the selected queue begin.
        public static let queueAddress: UInt64 = 8
        /// Read only, 16 bits: how many descriptors the selected queue has; 0 if it doesn't exist.
        public static let queueSize: UInt64 = 12
        /// 16 bits: selects a queue.
        public static let queueSelect: UInt64 = 14
        /// Write only, 16 bits: there are new buffers in this queue.
        public static let queueNotify: UInt64 = 16
        /// 8 bits: how far the driver has come (``Status``); 0 resets the device.
        public static let status: UInt64 = 18
        /// Read only, 8 bits: why there was an interrupt; reading clears it.
        public static let interruptStatus: UInt64 = 19
        /// 16 bits, while MSI-X is enabled: the vector of changes of the configuration; 0xffff for none.
        public static let configurationVector: UInt64 = 20
        /// 16 bits, while MSI-X is enabled: the vector of the selected queue; 0xffff for none.
        public static let queueVector: UInt64 = 22
        /// The hardware address in six bytes, and behind it 16 bits whose lowest tells of the link.
        public static let configuration: UInt64 = 20
    }

    /// Bits of ``Register/deviceFeatures`` that the device offers (virtio 1.0, 5.1.3 and 6).
    public enum Feature {
        /// VIRTIO_NET_F_MAC: it has a hardware address.
        public static let mac: UInt32 = 1 << 5
        /// VIRTIO_NET_F_MRG_RXBUF: a frame may fill several buffers; headers have 12 bytes instead of 10.
        public static let mergedBuffers: UInt32 = 1 << 15
        /// VIRTIO_NET_F_STATUS: it tells whether there is a link.
        public static let status: UInt32 = 1 << 16
        /// VIRTIO_NET_F_CTRL_VQ: queue 2 takes commands.
        public static let controlQueue: UInt32 = 1 << 17
        /// VIRTIO_NET_F_CTRL_RX: among them which frames to receive.
        public static let receiveModes: UInt32 = 1 << 18
        /// VIRTIO_NET_F_CTRL_RX_EXTRA: more of these.
        public static let moreReceiveModes: UInt32 = 1 << 20
        /// VIRTIO_NET_F_CTRL_MAC_ADDR: the hardware address can be set by a command.
        public static let setAddress: UInt32 = 1 << 23
        /// VIRTIO_F_ANY_LAYOUT: a header needs no descriptor of its own.
        public static let anyLayout: UInt32 = 1 << 27
        /// VIRTIO_F_INDIRECT_DESC: descriptors may be in tables of their own.
        public static let indirectDescriptors: UInt32 = 1 << 28

        /// All that the device offers.
        public static let all =
            mac | mergedBuffers | status | controlQueue | receiveModes | moreReceiveModes | setAddress
            | anyLayout | indirectDescriptors
    }

    /// Bits of ``Register/status`` that matter to the device.
    public enum Status {
        /// DRIVER_OK: the driver is ready; frames are received from then on.
        public static let driverReady: UInt8 = 4
    }

    /// Bits of ``Register/interruptStatus``.
    public enum Cause {
        /// Buffers were given back.
        public static let queue: UInt8 = 1
        /// The link has changed.
        public static let configuration: UInt8 = 2
    }

    /// The queues.
    public enum Queue {
        /// Buffers to receive into.
        public static let receive = 0
        /// Frames to send.
        public static let transmit = 1
        /// Commands.
        public static let control = 2
        /// How many there are.
        public static let count = 3
    }

    /// No vector.
    public static let noVector: UInt16 = 0xffff
}
