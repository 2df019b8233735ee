import VFIO

/// A register of a device that has a name.
public struct NamedRegister: Sendable, Equatable {
    /// The short name, as traces have it: "PCIE.DEVCTL", "CSTS".
    public var name: String
    /// The name in the specification's words: "Device Control"; empty where nobody knows.
    public var title: String
    /// The region that it is in.
    public var region: RegionIndex
    /// Where it begins in the region, in bytes.
    public var offset: UInt64
    /// How long it is, in bytes.
    public var byteCount: Int
    /// Whether what is read there has no meaning, as with doorbells.
    public var isWriteOnly: Bool
    /// Another name by which it is found: its capability's, and the title with underscores.
    var alias: String

    /// Describes a register.
    public init(
        _ name: String, _ title: String, in region: RegionIndex, at offset: UInt64, byteCount: Int,
        isWriteOnly: Bool = false
    ) {
        self.init(name, title, in: region, at: offset, byteCount: byteCount, isWriteOnly, alias: "")
    }

    init(
        _ name: String, _ title: String, in region: RegionIndex, at offset: UInt64, byteCount: Int,
        _ isWriteOnly: Bool, alias: String
    ) {
        self.name = name
        self.title = title
        self.region = region
        self.offset = offset
        self.byteCount = byteCount
        self.isWriteOnly = isWriteOnly
        self.alias = alias
    }

    /// Whether a name is one of its names; capital letters and small ones are the same, and so are "-" and "_".
    func isCalled(_ name: String) -> Bool {
        let wanted = Self.key(name)
        return Self.key(self.name) == wanted || !alias.isEmpty && alias == wanted
    }

    /// A title as a name: "Device Control 2" is "DEVICE_CONTROL_2".
    static func key(_ title: String) -> String {
        var key = ""
        var isPending = false
        for byte in title.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."):
                if isPending, !key.isEmpty { key += "_" }
                isPending = false
                key.unicodeScalars.append(Unicode.Scalar(byte))
            default: isPending = true
            }
        }
        return key.uppercased()
    }
}
