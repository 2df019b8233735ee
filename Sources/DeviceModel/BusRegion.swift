import LinuxSystem

/// A range of addresses at which a device answers that isn't a PCI function.
public struct BusRegion: Sendable {
    /// The address space that it lies in.
    public enum Kind: Sendable, Equatable {
        /// Memory.
        case memory
        /// Ports. No VFIO driver gives access to them.
        case ports
    }

    /// Plain memory behind a whole region: reads and writes have no effect beyond it, so it may be mapped.
    public struct Memory: Sendable {
        /// The memory inside this process, as long as the region.
        public let window: MemoryWindow
        /// A descriptor of it, which others can map; valid as long as the model.
        public let descriptor: Int32
        /// Where in the descriptor's file it begins.
        public let fileOffset: UInt64

        /// Describes the memory. The model owns window and descriptor.
        public init(window: MemoryWindow, descriptor: Int32, fileOffset: UInt64 = 0) {
            self.window = window
            self.descriptor = descriptor
            self.fileOffset = fileOffset
        }
    }

    /// Its kind.
    public let kind: Kind
    /// Where the machine's bus has it.
    public let address: UInt64
    /// Its length in bytes, at least 1.
    public let byteCount: UInt64
    /// Whether it can't be written.
    public let isReadOnly: Bool
    /// The plain memory that it is; nil for registers.
    public let memory: Memory?

    /// Describes a range.
    /// - Precondition: it isn't empty, ends below 2^64 and has at most 2^40 bytes; the memory is as long.
    public init(
        _ kind: Kind = .memory, at address: UInt64, byteCount: UInt64, isReadOnly: Bool = false,
        memory: Memory? = nil
    ) {
        precondition(byteCount > 0 && byteCount <= 1 << 40, "not a region's length")
        precondition(!address.addingReportingOverflow(byteCount - 1).overflow, "beyond all addresses")
        precondition(memory == nil || UInt64(memory!.window.byteCount) == byteCount, "not as long")
        self.kind = kind
        self.address = address
        self.byteCount = byteCount
        self.isReadOnly = isReadOnly
        self.memory = memory
    }

    /// Whether it begins and ends at a page, so that a mapping shows nothing else.
    public var isPageAligned: Bool {
        address % UInt64(pageSize) == 0 && byteCount % UInt64(pageSize) == 0
    }
}

/// How a device uses an interrupt line of its own.
public enum LineTrigger: Sendable, Equatable {
    /// Asserted as long as there is a reason.
    case level
    /// Pulsed whenever there is a new reason.
    case edge
}
