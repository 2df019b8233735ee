import PCIDecoder

/// Something that a machine uses a device for.
public struct Use: Sendable, Equatable {
    /// What sort of use it is. The words are those of `--json`.
    public enum Kind: String, Sendable, CaseIterable {
        /// A file system on it is mounted.
        case mounted
        /// Memory is paged out to it.
        case swap
        /// A volume of the device mapper, a RAID array or a like thing is made of it.
        case volume
        /// A network interface.
        case network
        /// The machine's own messages and log-ins go there.
        case console
        /// Mediated devices are made from it.
        case mediated
        /// Its virtual functions are there.
        case virtualFunctions = "virtual-functions"
        /// A display.
        case display
        /// A sound card.
        case sound
        /// What a person types or points with.
        case input
        /// A USB bus with what is attached to it.
        case usb
        /// A device for remote direct memory access.
        case rdma
        /// A watchdog timer.
        case watchdog
    }

    /// What sort of use it is.
    public var kind: Kind
    /// What the kernel calls the part that is used, such as "nvme0n1p2" or "eth0".
    public var name: String
    /// What it is used for, as a clause: "nvme0n1p2 is mounted at /". Has no control characters.
    public var sentence: String
    /// Whether it is in use right now, so that taking its driver away would lose data or break something off.
    /// What isn't is worth knowing only: an interface that is down, a sound card.
    public var isActive: Bool
    /// What ends the use, as a command; nil where there is no such command.
    public var remedy: String?

    /// Describes a use.
    public init(_ kind: Kind, _ name: String, _ sentence: String, isActive: Bool, remedy: String? = nil) {
        self.kind = kind
        self.name = PrintableText.of(name.utf8, limit: 1024)
        self.sentence = PrintableText.of(sentence.utf8, limit: 1024)
        self.isActive = isActive
        self.remedy = remedy.map { PrintableText.of($0.utf8, limit: 1024) }
    }
}
