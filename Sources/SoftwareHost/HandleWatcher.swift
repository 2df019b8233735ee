/// Who is told of each new handle of a ``SoftwareHost``, however it came about: by a node, by a request, inside a
/// structure. Called on the thread that asked for the handle.
public protocol HandleWatcher: AnyObject, Sendable {
    /// Whether a handle of this number can be watched.
    /// - Returns: false: it isn't made, and whoever asked for it is answered with `EMFILE`.
    func canWatch(_ number: Int32) -> Bool

    /// There is a new handle. That it was closed isn't told: who closes it knows.
    func handleOpened(_ number: Int32)
}
