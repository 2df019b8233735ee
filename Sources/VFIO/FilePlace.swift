/// A place in a file.
package struct FilePlace: Sendable, Equatable {
    /// The open file; stays open as long as the place is used.
    package let descriptor: Int32
    /// Where it begins, in bytes.
    package let offset: UInt64

    /// A place.
    package init(descriptor: Int32, offset: UInt64) {
        self.descriptor = descriptor
        self.offset = offset
    }
}
