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
        self.name = PlainText.of(name)
        self.sentence = PlainText.of(sentence)
        self.isActive = isActive
        self.remedy = remedy.map { PlainText.of($0) }
    }
}

/// Text of the machine's, as it may be shown.
enum PlainText {
    /// A text with a question mark for each control character, so that no file's contents can steer a terminal, and at
    /// most 512 characters of it.
    static func of(_ text: String) -> String {
        var scalars = String.UnicodeScalarView()
        for scalar in text.unicodeScalars.prefix(512) {
            // C0, DEL and C1, and what changes the direction or begins a line of its own.
            let isControl =
                scalar.value < 0x20 || (0x7f...0x9f).contains(scalar.value)
                || (0x2028...0x202e).contains(scalar.value) || (0x2066...0x2069).contains(scalar.value)
            scalars.append(isControl ? "?" : scalar)
        }
        return String(scalars)
    }
}
