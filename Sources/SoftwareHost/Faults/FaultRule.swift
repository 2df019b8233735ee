import LinuxSystem
import VFIOABI
import VFIOHost

/// What is to go wrong on a machine, and when: in ``MachineDescription/faults``, or rule by rule while the host
/// runs (``SoftwareHost/inject(_:)``).
///
/// **Repeatable.** Each rule counts the events that it is about, and whether it fires depends on nothing but
/// that count, the seed and the rule's place (first, second, …, those injected later after those of the plan).
/// So the same plan does the same to the same sequence of events, whatever happens besides. Which event of
/// several threads comes first is up to them.
public struct FaultPlan: Sendable, Equatable {
    /// What chance is drawn from.
    public var seed: UInt64
    /// The rules. Where several fire at once, the first one counts.
    public var rules: [FaultRule]

    /// A plan; by default one by which nothing goes wrong.
    public init(seed: UInt64 = 1, rules: [FaultRule] = []) {
        self.seed = seed
        self.rules = rules
    }
}

/// One thing that goes wrong: what, where and when.
///
/// Has a form as text, see ``init(_:)``.
public struct FaultRule: Sendable, Equatable {
    /// What goes wrong.
    public var fault: Fault
    /// To which devices or files.
    public var scope: FaultScope
    /// At which of the events that `fault` and `scope` describe.
    public var moment: FaultMoment

    /// A rule; by default for everything that it could be about, and always.
    public init(_ fault: Fault, on scope: FaultScope = .any, _ moment: FaultMoment = .always) {
        self.fault = fault
        self.scope = scope
        self.moment = moment
    }
}

/// What can go wrong.
public enum Fault: Sendable, Equatable {
    /// A request (`ioctl`) fails before anything is done: the given one, or any (nil).
    case request(Request?, Errno)
    /// A node can't be opened: the given one, or any (nil).
    case open(Node?, Errno)
    /// A read at a device's handle fails, or one of its state on the way to another host.
    case read(Errno)
    /// A write at a device's handle fails, or one of a state that comes to it.
    case write(Errno)
    /// A mapping of a part of a device fails.
    case map(Errno)
    /// Locking memory for DMA fails on the way: after that many pages. Locking no more than them isn't an event.
    case pin(afterPages: UInt64, Errno)
    /// A device's access to read memory is refused, as by an IOMMU.
    case dmaRead
    /// Something happens to what a device writes to memory: to writes of one length in bytes, or to all (nil).
    case dmaWrite(byteCount: Int?, DMAWriteFault)
    /// Something happens to an interrupt: of one vector, or to all (nil). The interrupt line is vector 0; its
    /// assertion is the event.
    case interrupt(vector: Int?, InterruptFault)
    /// Something happens to a device as a whole. The events are the accesses to it: requests, reads, writes and
    /// mappings at its handles; with ``FaultMoment/always`` it happens at once.
    case device(DeviceFault)
}

/// What happens to a write of a device to memory.
public enum DMAWriteFault: Sendable, Equatable {
    /// It is refused, as by an IOMMU; the device notices.
    case refused
    /// It is lost; the device believes that it was done.
    case dropped
    /// Some of its bits are inverted: those in `bits` of the byte at index `byte`. Nil for each: one that chance
    /// chooses. A byte beyond the write's end leaves it as it is.
    case flipped(byte: Int?, bits: UInt8?)
}

/// What happens to an interrupt.
public enum InterruptFault: Sendable, Equatable {
    /// It is lost.
    case dropped
    /// It comes later, by that many milliseconds. At most ``SoftwareHost/delayedInterruptLimit`` wait at a time;
    /// further ones come at once. Closing the device forgets those that wait.
    case delayed(milliseconds: UInt32)
}

/// What happens to a device as a whole.
public enum DeviceFault: Sendable, Equatable {
    /// It is pulled out (surprise removal). Its registers read as all ones, writes to them are lost, it reaches
    /// no memory and raises no interrupt, resetting fails; the users are asked to give it back
    /// (`VFIO_PCI_REQ_IRQ_INDEX`, at once and at
    /// intervals, ``MachineDescription/releaseRequestMilliseconds``); it can't be opened any more. Everything else goes on until they close
    /// it; then the machine doesn't have it any more, and withdrawing the rule doesn't bring it back
    /// (``SoftwareHost/plug(_:intoGroup:)`` does).
    case vanished
    /// The link to it is dead: the same for its registers, its DMA and its interrupts, but it is still there as far
    /// as the kernel knows, and the users are told of an error (`VFIO_PCI_ERR_IRQ_INDEX`). It comes back, in the
    /// state in which it was, when the rule is withdrawn.
    case silent
}

/// Which devices or files a rule is about.
public struct FaultScope: Sendable, Equatable {
    /// Kinds of files.
    public struct Files: OptionSet, Sendable {
        /// One bit for each kind.
        public let rawValue: UInt8
        /// Wraps bits.
        public init(rawValue: UInt8) { self.rawValue = rawValue }
        /// `/dev/vfio/vfio`
        public static let containers = Files(rawValue: 1)
        /// `/dev/vfio/<number>`
        public static let groups = Files(rawValue: 2)
        /// Devices, however they were opened.
        public static let devices = Files(rawValue: 4)
        /// `/dev/iommu`
        public static let iommufds = Files(rawValue: 8)
        /// All of them.
        public static let all: Files = [.containers, .groups, .devices, .iommufds]
    }

    /// For requests: the kinds of files that they are sent to. Several requests share a number and differ in the
    /// kind of file only.
    public var files: Files
    /// The device; nil for any. A rule with a device isn't about requests to other kinds of files, nor about the
    /// opening of nodes and the locking of memory.
    public var device: DeviceID?

    /// A scope.
    public init(files: Files = .all, device: DeviceID? = nil) {
        self.files = files
        self.device = device
    }

    /// A scope of one PCI function.
    public init(files: Files = .all, device: PCIAddress) {
        self.init(files: files, device: DeviceID(device))
    }

    /// Everything.
    public static let any = FaultScope()
    /// One PCI function.
    public static func device(_ address: PCIAddress) -> FaultScope { FaultScope(device: address) }
    /// One device of any bus.
    public static func device(_ id: DeviceID) -> FaultScope { FaultScope(device: id) }
}

/// At which of its events a rule fires. Events are counted from 1, from the moment when the rule was made known.
public enum FaultMoment: Sendable, Equatable {
    /// At each of them.
    case always
    /// At one of them.
    case nth(UInt64)
    /// At that one and at all later ones.
    case from(UInt64)
    /// At every second, third, …
    case every(UInt64)
    /// At each with a chance of that many in a million.
    case chance(perMillion: UInt32)

    /// At each with some probability.
    /// - Parameter probability: 0 to 1; what lies beyond counts as the nearer of them.
    public static func probability(_ probability: Double) -> FaultMoment {
        .chance(perMillion: UInt32(max(0, min(1, probability.isNaN ? 0 : probability)) * 1_000_000))
    }

    /// Whether it is the turn of an event.
    /// - Parameter draw: 64 random bits that belong to the event.
    func has(event: UInt64, draw: UInt64) -> Bool {
        switch self {
        case .always: true
        case .nth(let number): event == number
        case .from(let number): event >= number
        case .every(let number): number > 0 && event % number == 0
        case .chance(let perMillion): draw % 1_000_000 < UInt64(perMillion)
        }
    }
}
