import LinuxSystem
import VFIOHost

/// The text that VFIO_GROUP_GET_DEVICE_FD takes: a device's name, and options after it (kernel.md A.8).
enum DeviceName {
    /// Looks whether a text means a device.
    /// - Returns: nil if it doesn't; otherwise the token in its options, if there is one.
    /// - Throws: `EINVAL` if it does and its options are wrong.
    static func match(_ text: [UInt8], _ name: [UInt8]) throws(Errno) -> Match? {
        guard text.count >= name.count else { return nil }
        for index in name.indices where text[index] != name[index] { return nil }
        var rest = text[name.count...]
        var match = Match()
        guard let next = rest.first else { return match }
        guard next == space else { return nil }
        while let byte = rest.first {
            if byte == space {
                rest = rest.dropFirst()
                continue
            }
            guard match.token == nil, rest.starts(with: tokenOption) else { throw .invalid }
            rest = rest.dropFirst(tokenOption.count)
            guard let token = DeviceUUID(rest.prefix(DeviceUUID.textLength)) else {
                throw .invalid
            }
            rest = rest.dropFirst(DeviceUUID.textLength)
            match.token = token
        }
        return match
    }

    /// What a text says besides the name.
    struct Match {
        /// `vf_token=`
        var token: DeviceUUID?
    }

    private static let space = UInt8(ascii: " ")
    private static let tokenOption: [UInt8] = Array("vf_token=".utf8)
}
