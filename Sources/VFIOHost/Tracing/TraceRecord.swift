import LinuxSystem

/// One thing that happened: a call of ``Host`` that ended, or what a process knows when it begins to trace.
public struct TraceRecord: Sendable {
    /// What happened.
    public struct Kind: RawRepresentable, Equatable, Hashable, Sendable {
        /// The number in the file; unknown ones are kept.
        public var rawValue: UInt8
        /// Takes any number, known or not.
        public init(rawValue: UInt8) { self.rawValue = rawValue }
        /// A process began to trace, or is a fork of one that does; `text` is its command line.
        public static let process = Kind(rawValue: 1)
        /// A device that the host knows; `text` is its name and `identity` tells more.
        public static let device = Kind(rawValue: 2)
        /// A node was opened: `text` is its path, `result` the handle.
        public static let open = Kind(rawValue: 3)
        /// `handle` was closed.
        public static let close = Kind(rawValue: 4)
        /// A `request` was sent with an `argument`.
        public static let control = Kind(rawValue: 5)
        /// `byteCount` bytes at `offset` were asked for, `result` of them came: `data`.
        public static let read = Kind(rawValue: 6)
        /// `byteCount` bytes, `data`, were to be written at `offset`; `result` of them were.
        public static let write = Kind(rawValue: 7)
        /// The next `byteCount` bytes of a stream were asked for, `result` of them came: `data`.
        public static let receive = Kind(rawValue: 8)
        /// `byteCount` bytes, `data`, were to be written to a stream; `result` of them were.
        public static let send = Kind(rawValue: 9)
        /// `byteCount` bytes at `offset` were mapped with the protection `request`; they are at `argument`.
        public static let map = Kind(rawValue: 10)
        /// The mapping of `byteCount` bytes at `argument` ended.
        public static let unmap = Kind(rawValue: 11)
    }

    /// What a device says that it is.
    public struct Identity: Equatable, Sendable {
        /// The PCI vendor and device ID; 0 on other buses.
        public var vendor: UInt16
        /// The PCI device ID; 0 on other buses.
        public var device: UInt16
        /// Base class, sub-class and programming interface; 0 on other buses.
        public var classCode: UInt32
        /// The IOMMU group, -1 for none.
        public var group: Int32
        /// The number of its node `/dev/vfio/devices/vfio<number>`, -1 for none.
        public var node: Int32
    }

    /// Bytes that a structure points to.
    public struct Nested: Equatable, Sendable {
        /// Where in the structure their address is, in bytes.
        public var pointerOffset: Int
        /// The bytes.
        public var bytes: [UInt8]
    }

    /// What happened.
    public var kind: Kind
    /// When it began, in nanoseconds since the trace began.
    public var time: UInt64
    /// How long it took, in nanoseconds.
    public var duration: UInt64 = 0
    /// The process.
    public var process: Int32 = 0
    /// The thread.
    public var thread: Int32 = 0
    /// The handle, -1 where there is none.
    public var handle: Int32 = -1
    /// What it failed with; nil where it succeeded.
    public var errno: Errno?
    /// What it returned; 0 where it failed.
    public var result: Int64 = 0
    /// The request's number, or a mapping's protection.
    public var request: UInt32 = 0
    /// The request's argument, or a mapping's address.
    public var argument: UInt64 = 0
    /// Where in the handle's file.
    public var offset: UInt64 = 0
    /// How many bytes were asked for; `data` may hold less.
    public var byteCount: UInt64 = 0
    /// The structure that `argument` points to, before the request; nil where there is none, or the address was wrong.
    public var before: [UInt8]?
    /// The same after the request, where it changed.
    public var after: [UInt8]?
    /// Bytes that the structure points to, before the request.
    public var nestedBefore: Nested?
    /// The same after the request, where they changed.
    public var nestedAfter: Nested?
    /// What was read or written.
    public var data: [UInt8] = []
    /// A path or a name, in UTF-8.
    public var text: [UInt8] = []
    /// Who a device is; for ``Kind/device`` only.
    public var identity: Identity?

    /// A record.
    public init(_ kind: Kind, time: UInt64) {
        self.kind = kind
        self.time = time
    }
}
