import LinuxSystem

/// The text that VFIO_GROUP_GET_DEVICE_FD takes: a device's name, and options after it (kernel.md A.8).
enum DeviceName {
    /// Whether a text means this device.
    /// - Throws: `EINVAL` if it does and its options are wrong, or ask for what the device doesn't have.
    static func matches(_ text: [UInt8], _ device: MachineDevice) throws(Errno) -> Bool {
        let name = device.name
        guard text.count >= name.count else { return false }
        for index in name.indices where text[index] != name[index] { return false }
        var rest = text[name.count...]
        guard let next = rest.first else { return true }
        guard next == space else { return false }
        var hasToken = false
        while let byte = rest.first {
            if byte == space {
                rest = rest.dropFirst()
                continue
            }
            guard !hasToken, rest.starts(with: tokenOption) else { throw .invalid }
            rest = rest.dropFirst(tokenOption.count)
            guard isUUID(rest.prefix(uuidLength)) else { throw .invalid }
            rest = rest.dropFirst(uuidLength)
            hasToken = true
        }
        // No device here is a virtual function or has any: those with neither take no token.
        if hasToken { throw .invalid }
        return true
    }

    private static let space = UInt8(ascii: " ")
    private static let tokenOption: [UInt8] = Array("vf_token=".utf8)
    private static let uuidLength = 36

    /// Whether these are 36 characters of the form 8-4-4-4-12.
    private static func isUUID(_ text: ArraySlice<UInt8>) -> Bool {
        guard text.count == uuidLength else { return false }
        for (index, byte) in text.enumerated() {
            switch (index, byte) {
            case (8, UInt8(ascii: "-")), (13, UInt8(ascii: "-")), (18, UInt8(ascii: "-")),
                (23, UInt8(ascii: "-")):
                continue
            case (8, _), (13, _), (18, _), (23, _): return false
            case (_, UInt8(ascii: "0")...UInt8(ascii: "9")), (_, UInt8(ascii: "a")...UInt8(ascii: "f")),
                (_, UInt8(ascii: "A")...UInt8(ascii: "F")):
                continue
            default: return false
            }
        }
        return true
    }
}
