extension Intel82574 {
    /// Offsets in BAR 0 (82574 datasheet, chapter 10), as far as something comes of them. The registers of the second
    /// queue of each direction lie 0x100 behind those of the first.
    public enum Register {
        /// CTRL
        public static let control: UInt64 = 0x0000
        /// STATUS
        public static let status: UInt64 = 0x0008
        /// EECD
        public static let memoryControl: UInt64 = 0x0010
        /// EERD
        public static let memoryRead: UInt64 = 0x0014
        /// CTRL_EXT
        public static let extendedControl: UInt64 = 0x0018
        /// MDIC
        public static let phyAccess: UInt64 = 0x0020
        /// VET
        public static let vlanType: UInt64 = 0x0038
        /// ICR
        public static let interruptCause: UInt64 = 0x00c0
        /// ICS
        public static let interruptSet: UInt64 = 0x00c8
        /// IMS
        public static let interruptMaskSet: UInt64 = 0x00d0
        /// IMC
        public static let interruptMaskClear: UInt64 = 0x00d8
        /// EIAC
        public static let automaticClear: UInt64 = 0x00dc
        /// IAM
        public static let automaticMask: UInt64 = 0x00e0
        /// IVAR
        public static let vectors: UInt64 = 0x00e4
        /// RCTL
        public static let receiveControl: UInt64 = 0x0100
        /// TCTL
        public static let transmitControl: UInt64 = 0x0400
        /// PBA
        public static let packetBuffer: UInt64 = 0x1000
        /// EEMNGCTL
        public static let managementControl: UInt64 = 0x1010
        /// EEWR
        public static let memoryWrite: UInt64 = 0x102c
        /// RDBAL, RDBAH, RDLEN, RDH, RDT of the first queue
        public static let receiveRing: UInt64 = 0x2800
        /// TDBAL, TDBAH, TDLEN, TDH, TDT of the first queue
        public static let transmitRing: UInt64 = 0x3800
        /// CRCERRS, the first of the statistics
        public static let statistics: UInt64 = 0x4000
        /// RXCSUM
        public static let receiveChecksum: UInt64 = 0x5000
        /// RFCTL
        public static let receiveFilter: UInt64 = 0x5008
        /// MTA, 128 words
        public static let multicastTable: UInt64 = 0x5200
        /// RAL and RAH, 16 pairs
        public static let receiveAddress: UInt64 = 0x5400
        /// VFTA, 128 words
        public static let vlanTable: UInt64 = 0x5600
        /// MRQC
        public static let multipleQueues: UInt64 = 0x5818
        /// SWSM
        public static let semaphore: UInt64 = 0x5b50
        /// RETA, 32 words
        public static let redirection: UInt64 = 0x5c00
        /// RSSRK, 10 words
        public static let hashKey: UInt64 = 0x5c80
        /// SYSTIML
        public static let timeLow: UInt64 = 0xb600
        /// SYSTIMH
        public static let timeHigh: UInt64 = 0xb604
        /// TIMINCA
        public static let timeIncrement: UInt64 = 0xb608
    }

    /// Where the registers of a ring lie from its first on.
    enum Ring {
        static let low: UInt64 = 0x00
        static let high: UInt64 = 0x04
        static let byteCount: UInt64 = 0x08
        static let head: UInt64 = 0x10
        static let tail: UInt64 = 0x18
        /// From one queue to the next.
        static let stride: UInt64 = 0x100
    }

    /// Bits of CTRL.
    public enum Control {
        /// FD: full duplex.
        public static let fullDuplex: UInt32 = 1 << 0
        /// GIO Master Disable.
        public static let masterDisable: UInt32 = 1 << 2
        /// SLU: set link up.
        public static let linkUp: UInt32 = 1 << 6
        /// RST: reset all but the PHY; clears itself.
        public static let reset: UInt32 = 1 << 26
        /// VME: tags of VLANs are taken off and put on.
        public static let vlanMode: UInt32 = 1 << 30
        /// PHY_RST
        public static let phyReset: UInt32 = 1 << 31
    }

    /// Bits of CTRL_EXT.
    public enum ExtendedControl {
        /// EIAME: a message masks its cause, if IAM has it.
        public static let masksByMessage: UInt32 = 1 << 24
        /// IAME: reading ICR masks what IAM has.
        public static let masksByReading: UInt32 = 1 << 27
    }

    /// Bits of ICR, ICS, IMS and IMC.
    public enum Cause {
        /// TXDW: a transmit descriptor was written back.
        public static let transmitted: UInt32 = 1 << 0
        /// TXQE: a transmit queue is empty.
        public static let transmitEmpty: UInt32 = 1 << 1
        /// LSC: the link has changed.
        public static let link: UInt32 = 1 << 2
        /// RXDMT0: few receive descriptors are left.
        public static let receiveLow: UInt32 = 1 << 4
        /// RXO: a frame was lost.
        public static let receiveOverrun: UInt32 = 1 << 6
        /// RXT0: a frame was received.
        public static let received: UInt32 = 1 << 7
        /// MDAC: an access to the PHY is done.
        public static let phyAccess: UInt32 = 1 << 9
        /// RXQ0, RXQ1: a frame was received in that queue.
        public static let receiveQueue: UInt32 = 1 << 20
        /// TXQ0, TXQ1: a descriptor of that queue was written back.
        public static let transmitQueue: UInt32 = 1 << 22
        /// OTHER: anything but the queues.
        public static let other: UInt32 = 1 << 24
        /// INT_ASSERTED: one of the causes isn't masked.
        public static let asserted: UInt32 = 1 << 31

        /// What OTHER stands for.
        static let others = link | receiveOverrun | phyAccess | 1 << 16 | 1 << 17 | 1 << 18
        /// All that can be set.
        static let all: UInt32 = 0x01f7_ffff
    }

    /// Bits of RCTL.
    public enum ReceiveControl {
        /// EN
        public static let enable: UInt32 = 1 << 1
        /// UPE: all unicast frames.
        public static let allUnicast: UInt32 = 1 << 3
        /// MPE: all multicast frames.
        public static let allMulticast: UInt32 = 1 << 4
        /// LPE: frames of more than 1522 bytes.
        public static let longFrames: UInt32 = 1 << 5
        /// LBM: what is sent is received.
        public static let loopBack: UInt32 = 1 << 6
        /// BAM: broadcast frames.
        public static let broadcast: UInt32 = 1 << 15
        /// VFE: only VLANs in the table.
        public static let vlanFilter: UInt32 = 1 << 18
        /// BSEX: buffers are sixteen times as long.
        public static let longBuffers: UInt32 = 1 << 25
        /// SECRC: the checksum of the frame is taken off.
        public static let stripsChecksum: UInt32 = 1 << 26
    }

    /// Bits of TCTL.
    public enum TransmitControl {
        /// EN
        public static let enable: UInt32 = 1 << 1
        /// PSP: short frames are filled up.
        public static let padsShort: UInt32 = 1 << 3
    }

    /// RFCTL's EXSTEN: receive descriptors are extended ones.
    public static let extendedStatus: UInt32 = 1 << 15

    /// Bits of RXCSUM.
    public enum ReceiveChecksum {
        /// IPOFL: checksums of IPv4 are checked.
        public static let network: UInt32 = 1 << 8
        /// TUOFL: checksums of TCP and UDP are checked.
        public static let transport: UInt32 = 1 << 9
        /// PCSD: descriptors hold the RSS hash in place of the frame's checksum.
        public static let replacesSum: UInt32 = 1 << 13
    }
}
