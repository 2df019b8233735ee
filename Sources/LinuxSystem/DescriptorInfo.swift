extension Descriptor {
    /// What the kernel tells of an open descriptor under a label, in `/proc/self/fdinfo`: the rest of each line
    /// that begins with it, e.g. "7" of "eventfd-id: 7".
    /// - Returns: by line; nothing if there is no such line, or no such descriptor.
    public static func information(_ label: String, of number: Int32) -> [[UInt8]] {
        guard let bytes = try? FileSystem.bytes(of: "/proc/self/fdinfo/\(number)") else { return [] }
        let label = Array(label.utf8) + [UInt8(ascii: ":")]
        var values: [[UInt8]] = []
        for line in bytes.split(separator: UInt8(ascii: "\n")) where line.starts(with: label) {
            values.append(Array(line.dropFirst(label.count).drop { $0 == 0x20 || $0 == 0x09 }))
        }
        return values
    }
}
