import JSONText
import LinuxSystem
import VFIOHost

/// What is remembered of a device whose driver was changed.
public struct BindingRecord: Sendable, Equatable {
    /// A write that hadn't come back.
    public struct Pending: Sendable, Equatable {
        /// What it was for.
        public var kind: BindStep.Kind
        /// The process that waits for it.
        public var process: Int32
        /// When that was started, in the kernel's ticks since the machine was: tells it from a later process with
        /// its number. Nil where that isn't known.
        public var started: UInt64?

        /// Describes a write.
        public init(_ kind: BindStep.Kind, process: Int32, started: UInt64?) {
            self.kind = kind
            self.process = process
            self.started = started
        }
    }

    /// The device.
    public var device: DeviceID
    /// Vendor and device ID ("8086:10d3"): tells it from another that sits there later. Nil on other buses.
    public var identity: String?
    /// How it was before it was changed for the first time.
    public var original: DriverState
    /// How it was left.
    public var left: DriverState
    /// The write that hadn't come back.
    public var pending: Pending?

    /// Describes what is remembered.
    public init(
        _ device: DeviceID, identity: String?, original: DriverState, left: DriverState,
        pending: Pending? = nil
    ) {
        self.device = device
        self.identity = identity
        self.original = original
        self.left = left
        self.pending = pending
    }
}

extension BindingRecord {
    var json: JSON {
        func text(_ text: String?) -> JSON { text.map { .string($0) } ?? .null }
        func state(_ state: DriverState) -> JSON {
            .object([
                JSON.Member("driver", text(state.driver)), JSON.Member("override", text(state.override)),
            ])
        }
        return .object([
            JSON.Member("device", .string(device.qualifiedName)), JSON.Member("identity", text(identity)),
            JSON.Member("original", state(original)), JSON.Member("left", state(left)),
            JSON.Member(
                "pending",
                pending.map { pending in
                    .object([
                        JSON.Member("step", .string(pending.kind.rawValue)),
                        JSON.Member("process", .integer(Int64(pending.process))),
                        JSON.Member(
                            "started",
                            pending.started.map { .integer(Int64(truncatingIfNeeded: $0)) } ?? .null),
                    ])
                } ?? .null),
        ])
    }

    /// Reads what ``json`` is; nil for anything else.
    init?(_ json: JSON) {
        /// A text of a length that names and attributes have: nil inside for null, nil for anything else.
        func text(_ json: JSON?) -> String?? {
            switch json {
            case .null: .some(nil)
            case .string(let text): .some(text)
            default: nil
            }
        }
        func state(_ json: JSON?) -> DriverState? {
            guard let json, let driver = text(json["driver"]), let override = text(json["override"]),
                driver.map({ DriverName.isPossible($0) }) ?? true,
                override.map({ DriverName.isPossibleOverride($0) }) ?? true
            else { return nil }
            return DriverState(driver: driver, override: override)
        }
        guard case .string(let name) = json["device"], let device = DeviceID(name),
            let identity = text(json["identity"]), let original = state(json["original"]),
            let left = state(json["left"])
        else { return nil }
        self.init(device, identity: identity, original: original, left: left)
        switch json["pending"] {
        case .null: break
        case .some(let write):
            guard case .string(let step) = write["step"], let kind = BindStep.Kind(rawValue: step),
                case .integer(let number) = write["process"], let process = Int32(exactly: number)
            else { return nil }
            var started: UInt64?
            if case .integer(let ticks) = write["started"] { started = UInt64(exactly: ticks) }
            pending = Pending(kind, process: process, started: started)
        case nil: return nil
        }
    }
}

/// The names of drivers.
enum DriverName {
    /// Whether a text can stand in `driver_override`, which takes anything of less than a page; one that was read and
    /// isn't UTF-8 couldn't be written back as it was.
    static func isPossibleOverride(_ text: String) -> Bool {
        (1..<4095).contains(text.utf8.count)
            && !text.unicodeScalars.contains { $0.value < 0x20 || $0.value == 0x7f || $0.value == 0xfffd }
    }

    /// Whether a driver can have a name: it is the name of a folder.
    static func isPossible(_ name: String) -> Bool {
        (1...255).contains(name.utf8.count) && name != "." && name != ".."
            && !name.utf8.contains { $0 <= 0x20 || $0 == 0x2f || $0 == 0x7f }
    }
}
