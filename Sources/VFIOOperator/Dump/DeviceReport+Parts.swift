extension DeviceReport {
    /// What an open device told.
    public struct Opened: Sendable, Equatable {
        /// The way in: "group", "cdev" or "unprotected".
        public var route: String
        /// Why that way.
        public var routeReason: String
        /// Whether it can be reset alone (`VFIO_DEVICE_FLAGS_RESET`).
        public var canReset = false
        /// The atomic operations that the path to memory completes, in bits (32, 64, 128).
        public var atomics: [Int] = []
        /// Its regions; empty ones aren't there.
        public var regions: [Region] = []
        /// Its kinds of interrupts; those without vectors aren't there.
        public var interrupts: [Interrupt] = []
        /// The features of the uAPI's header, each with what the device can do of it.
        public var features: [Feature] = []
        /// How it can be moved to another host.
        public var migration: Migration?
        /// What its DMA can reach.
        public var addresses: Addresses?
        /// The functions that a hot reset hits; nil where that isn't known.
        public var hotReset: [ResetFunction]?
        /// Why there is no hot reset of it, where there is none.
        public var hotResetRefusal: String?

        /// A device that was opened.
        public init(route: String, routeReason: String) {
            self.route = route
            self.routeReason = routeReason
        }
    }

    /// A region.
    public struct Region: Sendable, Equatable {
        /// Its number.
        public var index: Int
        /// "BAR 0", "configuration", "region 9", …
        public var name: String
        /// Its length in bytes.
        public var byteCount: UInt64
        /// Whether it can be read, written, mapped.
        public var isReadable = false
        /// Whether it can be written.
        public var isWritable = false
        /// Whether it, or a part of it, can be mapped.
        public var isMappable = false
        /// The parts that the host says can be mapped, where not all of it can.
        public var sparseAreas: [Area]?
        /// The parts that this process could map.
        public var mapped: [Area] = []
        /// Why mapping failed, if it did.
        public var mappingProblem: String?
        /// Whether the MSI-X table may be mapped with the rest.
        public var isMSIXMappable = false
        /// Where the MSI-X table lies in it.
        public var msixTable: Area?
        /// What it is, for device-specific ones: the numbers of the family and of the kind.
        public var type: RegionType?

        /// Describes a region.
        public init(index: Int, name: String, byteCount: UInt64) {
            self.index = index
            self.name = name
            self.byteCount = byteCount
        }

        /// "rwm", with a dash for what can't be done.
        public var access: String {
            (isReadable ? "r" : "-") + (isWritable ? "w" : "-") + (isMappable ? "m" : "-")
        }
    }

    /// What a device-specific region is (`VFIO_REGION_INFO_CAP_TYPE`).
    public struct RegionType: Sendable, Equatable {
        /// The family.
        public var type: UInt32
        /// The kind within the family.
        public var subtype: UInt32

        /// States numbers.
        public init(type: UInt32, subtype: UInt32) {
            self.type = type
            self.subtype = subtype
        }
    }

    /// A part of a region.
    public struct Area: Sendable, Equatable {
        /// Where it begins, in bytes from the region's start.
        public var offset: UInt64
        /// Its length in bytes.
        public var byteCount: UInt64

        /// Describes a part.
        public init(offset: UInt64, byteCount: UInt64) {
            self.offset = offset
            self.byteCount = byteCount
        }
    }

    /// A kind of interrupts.
    public struct Interrupt: Sendable, Equatable {
        /// Its number.
        public var index: Int
        /// "INTx", "MSI-X", "interrupt 2", …
        public var name: String
        /// How many vectors there are.
        public var count: Int
        /// What can be done with them, in words.
        public var flags: [String]

        /// Describes a kind of interrupts.
        public init(index: Int, name: String, count: Int, flags: [String]) {
            self.index = index
            self.name = name
            self.count = count
            self.flags = flags
        }
    }

    /// A feature of the uAPI.
    public struct Feature: Sendable, Equatable {
        /// Its number.
        public var number: Int
        /// The uAPI's word for it, without `VFIO_DEVICE_FEATURE_`.
        public var word: String
        /// Whether it can be asked for something.
        public var canGet: Bool
        /// Whether it can be told something.
        public var canSet: Bool

        /// Describes a feature.
        public init(number: Int, word: String, canGet: Bool, canSet: Bool) {
            self.number = number
            self.word = word
            self.canGet = canGet
            self.canSet = canSet
        }
    }

    /// How a device can be moved.
    public struct Migration: Sendable, Equatable {
        /// "STOP_COPY", "P2P", "PRE_COPY".
        public var flags: [String]
        /// The state that it is in: "RUNNING", …; nil where it doesn't say.
        public var state: String?

        /// Describes how a device can be moved.
        public init(flags: [String], state: String?) {
            self.flags = flags
            self.state = state
        }
    }

    /// What a device's DMA can reach.
    public struct Addresses: Sendable, Equatable {
        /// The ranges of I/O virtual addresses, both ends included.
        public var ranges: [ClosedRange<UInt64>]
        /// The page sizes, one bit each.
        public var pageSizes: UInt64
        /// How many more mappings fit; nil where there is no limit, or it isn't known.
        public var mappingsLeft: UInt32?
        /// The page sizes in which dirty pages are reported by the IOMMU, one bit each; 0 for not at all.
        public var dirtyPageSizes: UInt64

        /// Describes what can be reached.
        public init(
            ranges: [ClosedRange<UInt64>], pageSizes: UInt64, mappingsLeft: UInt32? = nil,
            dirtyPageSizes: UInt64 = 0
        ) {
            self.ranges = ranges
            self.pageSizes = pageSizes
            self.mappingsLeft = mappingsLeft
            self.dirtyPageSizes = dirtyPageSizes
        }
    }

    /// A function that a hot reset hits.
    public struct ResetFunction: Sendable, Equatable {
        /// Where it sits.
        public var address: String
        /// Whose it is, in words: "group 26", "bound to the same iommufd", …
        public var owner: String
        /// The driver that it is bound to, where that is known.
        public var driver: String?
        /// Who else has it or its group open, as far as that can be seen.
        public var holders: [String] = []

        /// Describes a function.
        public init(address: String, owner: String, driver: String?) {
            self.address = address
            self.owner = owner
            self.driver = driver
        }
    }
}
