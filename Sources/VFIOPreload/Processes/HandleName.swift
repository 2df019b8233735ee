import LinuxSystem

/// What a handle says of itself in any process: the name of the other end of its socket.
///
/// A handle is one end of a pair of sockets whose other end the kernel keeps. So the real system keeps count of its
/// copies, in all processes and in messages on their way, and hangs up the kernel's end when the last has gone.
struct HandleName: BitwiseCopyable {
    private var magic: UInt64 = 0
    /// Which kernel.
    private(set) var kernel: UInt64 = 0
    /// What was opened, as in ``Handles/bits(of:)``.
    private(set) var node: UInt64 = 0
    /// The kernel's number of the open file.
    private(set) var file: Int32 = 0
    private var unused: Int32 = 0

    private static let magic: UInt64 = 0x6e75_722d_6f69_6676

    private init() {}

    init(kernel: UInt64, file: Int32, node: UInt64) {
        magic = Self.magic
        self.kernel = kernel
        self.file = file
        self.node = node
    }

    /// The name of what a descriptor stands for; nil if it isn't a handle.
    static func of(_ number: Int32) -> HandleName? {
        guard let name = UnixSocket.hiddenPeer(of: number, HandleName()), name.magic == magic else {
            return nil
        }
        return name
    }

    /// Makes a number known as a handle if it is one: it came from elsewhere.
    /// - Returns: whether it is.
    @discardableResult
    static func learn(_ number: Int32) -> Bool {
        guard let name = of(number), name.file >= 0 else { return false }
        return Handles.add(number, file: name.file, node: name.node)
    }
}
