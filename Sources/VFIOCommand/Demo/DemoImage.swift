import LinuxSystem

/// The disk image of the demo: one that was given, or an ext4 file system made for the occasion.
struct DemoImage {
    /// Where it is.
    let path: String
    /// Whether it is the user's own and must not change.
    let isGiven: Bool
    /// How it came to be, in words.
    let origin: String

    private static let byteCount = 64 << 20

    /// Takes the image at a path, or makes one in the folder for temporary files.
    init(given: String?, _ console: Console) throws(CommandFailure) {
        if let given {
            path = given
            isGiven = true
            origin = "your image, which stays as it is"
            return
        }
        let name = "/tmp/vfio-demo-\(Clock.now).img"
        path = name
        isGiven = false
        var files: [(name: String, contents: [UInt8])] = []
        var generator = SystemRandomNumberGenerator()
        files.append(("README", Array("A file system that was read through VFIO.\n".utf8)))
        files.append(("numbers", (0..<8 << 20).map { _ in UInt8(truncatingIfNeeded: generator.next()) }))
        do throws(Errno) {
            if try Self.makeWithTool(name) {
                origin = "made with mkfs.ext4"
                // The tool leaves most blocks zero; fill the end of the disk, which no file uses yet, so that
                // reading has something to find.
                let file = try Descriptor(opening: name, .readWrite)
                let filler = try Mapping(anonymous: 8 << 20)
                Self.copy(files[1].contents, into: filler.window)
                try file.write(at: UInt64(Self.byteCount - (24 << 20)), from: filler.window)
            } else {
                origin = "an ext4 file system written by this program (mkfs.ext4 isn't installed)"
                let identifier = (0..<16).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
                let image: ExtImage
                do throws(ExtImage.Failure) {
                    image = try ExtImage(byteCount: Self.byteCount, identifier: identifier, files: files)
                } catch {
                    throw Errno.noSpace
                }
                let file = try Descriptor(opening: name, [.readWrite, .create, .exclusive])
                let memory = try Mapping(anonymous: image.bytes.count)
                Self.copy(image.bytes, into: memory.window)
                try file.write(at: 0, from: memory.window)
            }
        } catch {
            try? FileSystem.unlink(name)
            throw .refused(
                "\(name) can't be made: \(error)", remedy: "give an image of your own with --image FILE")
        }
    }

    /// Makes the image with `mkfs.ext4`; false where that isn't installed or fails.
    private static func makeWithTool(_ path: String) throws(Errno) -> Bool {
        let file = try Descriptor(opening: path, [.readWrite, .create, .exclusive])
        try file.resize(to: UInt64(byteCount))
        for tool in ["mkfs.ext4", "/usr/sbin/mkfs.ext4", "/sbin/mkfs.ext4"] {
            if (try? ChildProcess.run(tool, ["-q", "-F", "-L", "swift-vfio", path])) == 0 { return true }
        }
        try FileSystem.unlink(path)
        return false
    }

    private static func copy(_ bytes: [UInt8], into window: MemoryWindow) {
        // SAFETY: bytes have no padding that could be read uninitialised.
        unsafe window.write(bytes.span.bytes, at: 0)
    }

    /// Removes the image if the demo made it.
    func remove() {
        if !isGiven { try? FileSystem.unlink(path) }
    }
}
