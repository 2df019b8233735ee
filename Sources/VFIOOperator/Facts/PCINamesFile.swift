import LinuxSystem
import PCIDecoder

extension PCINames {
    /// Where distributions put the file.
    private static let places = [
        "/usr/share/misc/pci.ids", "/usr/share/hwdata/pci.ids", "/usr/share/pci.ids",
        "/usr/local/share/pci.ids",
    ]

    /// The names that this machine knows: those of the first `pci.ids` that is there; none where none is.
    public static func ofThisMachine() -> PCINames {
        for path in places {
            if let names = try? PCINames(readingFile: path) { return names }
        }
        return PCINames()
    }

    /// The names in a file.
    /// - Throws: why the file can't be read.
    public init(readingFile path: String) throws(Errno) {
        self.init(parsing: try FileSystem.bytes(of: path, limit: Self.longestFile))
    }
}
