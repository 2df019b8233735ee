/// What one side of a connection takes from the other at most. The defaults are those of the protocol's document,
/// as far as the implementations in use agree with it.
public struct Limits: Sendable, Equatable {
    /// The most descriptors that come with one message, 1...16: `max_msg_fds`. QEMU refuses a server that says more
    /// than 16.
    public var descriptorsPerMessage: Int

    /// The most bytes of data that one message carries: `max_data_xfer_size`, 4 KiB...64 MiB.
    public var transferByteCount: Int

    /// The most DMA mappings at a time: `max_dma_maps`, 1...65535.
    public var mappingCount: Int

    /// The most bytes of the JSON text that comes with a version, 256...65536.
    public var textByteCount: Int

    /// How long the other side is waited for.
    public var patience: Patience

    /// Whether a client takes a second socket for the server's commands, if the server has one: a device may then
    /// want memory at any moment, also while a read of its registers is under way.
    public var takesTwinSocket = true

    /// Makes limits; what is out of range is brought into it.
    public init(
        descriptorsPerMessage: Int = 16, transferByteCount: Int = 1 << 20, mappingCount: Int = 65_535,
        textByteCount: Int = 4096, patience: Patience = Patience()
    ) {
        self.patience = patience
        self.descriptorsPerMessage = min(max(descriptorsPerMessage, 1), 16)
        self.transferByteCount = min(max(transferByteCount, 4096), 64 << 20)
        self.mappingCount = min(max(mappingCount, 1), 65_535)
        self.textByteCount = min(max(textByteCount, 256), 65_536)
    }

    /// The most bytes of a whole message: a header, the longest fixed part and the data.
    public var messageByteCount: Int { 64 + max(transferByteCount, textByteCount) }
}
