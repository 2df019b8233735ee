import PCIDecoder
import VFIOHost

/// Why drivers aren't changed; nothing has been written then.
public struct BindRefusal: Error, Sendable, Equatable {
    /// One reason of possibly several.
    public struct Reason: Sendable, Equatable {
        /// What sort of reason. The words are those of `--json`.
        public enum Code: String, Sendable {
            /// There is no such device.
            case noSuchDevice = "no-such-device"
            /// Devices of its bus, or its kind, don't change drivers like this.
            case notPossible = "not-possible"
            /// There is no such driver.
            case noSuchDriver = "no-such-driver"
            /// A bridge, which VFIO doesn't take.
            case bridge
            /// It has no IOMMU group.
            case noIOMMU = "no-iommu"
            /// Another member of its group would keep the group from being used.
            case group
            /// The machine uses it.
            case inUse = "in-use"
            /// A process has it open through VFIO.
            case held
            /// An earlier change hasn't come back yet.
            case pending
            /// This process may not change it.
            case permission
            /// No earlier change of it is remembered.
            case notRecorded = "not-recorded"
            /// Something else sits at its address now.
            case replaced
            /// What has to be known can't be read.
            case undetermined = "could-not-be-determined"
            /// What is remembered of earlier changes can't be read or written.
            case state
        }

        /// What sort of reason.
        public var code: Code
        /// The device; nil where all of them are meant.
        public var device: DeviceID?
        /// What is the matter, as a sentence without an end.
        public var cause: String
        /// What to do about it: a command or an instruction.
        public var remedy: String?

        /// Describes a reason.
        public init(_ code: Code, _ device: DeviceID?, _ cause: String, remedy: String? = nil) {
            self.code = code
            self.device = device
            self.cause = PrintableText.of(cause.utf8, limit: 1024)
            self.remedy = remedy.map { PrintableText.of($0.utf8, limit: 1024) }
        }
    }

    /// All that was found, in the order in which devices were named.
    public var reasons: [Reason]

    /// Describes a refusal.
    public init(_ reasons: [Reason]) { self.reasons = reasons }
}

extension BindRefusal.Reason: CustomStringConvertible {
    /// "0000:01:00.0: eth0 is up (ip link set eth0 down)"
    public var description: String {
        (device.map { "\($0): " } ?? "") + cause + (remedy.map { "; remedy: \($0)" } ?? "")
    }
}
