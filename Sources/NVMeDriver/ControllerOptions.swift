import VFIO

/// How a controller is to be driven. The defaults suit a program that reads and writes a disk.
public struct ControllerOptions: Sendable {
    /// Through which interface of VFIO the device is opened.
    public var route: RouteChoice = .automatic
    /// How completions are waited for.
    public var interrupts: InterruptChoice = .automatic
    /// Entries of the admin queues, 2...4096.
    public var adminEntryCount = 32
    /// How many queue pairs the one-call operations share: as many of them can be under way at a time. 0 for
    /// programs that use queues of their own only.
    public var sharedQueueCount = 1
    /// Entries of each shared queue, 2...4096; no more than the controller has.
    public var sharedEntryCount = 64
    /// How many I/O queue pairs to ask the controller for, the shared ones included.
    public var queuePairCount = 16
    /// The most bytes of one command; no more than the controller takes (MDTS).
    public var maximumTransfer = 1 << 20
    /// Bytes of DMA memory for each shared queue, through which plain memory is copied.
    public var bounceByteCount = 1 << 20
    /// How long an I/O command may take, in milliseconds; nil for as long as it likes, which also saves
    /// reading the clock with each submission.
    public var timeout: Int? = 30_000
    /// How long an admin command may take, in milliseconds.
    public var adminTimeout = 60_000
    /// Whether to use shadow doorbells where the controller has them.
    public var usesShadowDoorbells = true
    /// Which asynchronous events the controller is asked to tell; those it doesn't know are left out.
    public var events: EventChoice = .all

    /// The defaults.
    public init() {}

    /// How completions are waited for. Whoever polls gets completions sooner in any case: waiting begins
    /// with a moment of polling.
    public enum InterruptChoice: Sendable, Equatable {
        /// MSI-X with a vector for each queue where there is, else MSI, else the pin, else polling.
        case automatic
        /// MSI-X or nothing.
        case msix
        /// MSI or nothing.
        case msi
        /// The interrupt pin or nothing.
        case pin
        /// No interrupts.
        case polling
    }

    /// Which asynchronous events to ask for.
    public enum EventChoice: Sendable, Equatable {
        /// None.
        case none
        /// All that the driver has words for.
        case all
    }
}
