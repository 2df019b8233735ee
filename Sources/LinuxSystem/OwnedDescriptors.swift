/// Which descriptors of the process have an owner here (``Descriptor``), for a library that shares the process with a
/// program that knows nothing of them.
public enum OwnedDescriptors {
    // SAFETY: set once, before there is a second thread that knows of it; never changed.
    nonisolated(unsafe) private static var observer: (@convention(c) (Int32, Bool) -> Void)?

    /// Tells of each descriptor that gets an owner (true) or has none any more (false), from now on.
    /// - Parameter observer: a function of C's, which needs nobody to keep it: descriptors come and go on hot paths.
    public static func observe(_ observer: @escaping @convention(c) (Int32, Bool) -> Void) {
        unsafe self.observer = observer
    }

    @usableFromInline
    static func note(_ number: Int32, _ isOwned: Bool) {
        if let observer = unsafe observer { observer(number, isOwned) }
    }
}
