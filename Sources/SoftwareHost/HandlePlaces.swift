import LinuxSystem
import VFIOHost

/// Where the numbers of a host's handles come from, where they live as real descriptors do: copied by dup(2) and
/// fork(2), kept or closed by exec(2), passed in messages, gone with the last copy in whatever process.
///
/// An open file has one number inside the host, chosen here, and any number of descriptors in processes. All may be
/// called from any thread; "the caller" is ``/LinuxSystem/CallerOfThread``.
public protocol HandlePlaces: AnyObject, Sendable {
    /// Makes a descriptor for a file that is about to be opened.
    /// - Parameter node: what is opened; nil for what has no node.
    /// - Returns: the descriptor's number in the caller, and the host's own number of the file.
    /// - Throws: `EMFILE`
    func make(_ node: Node?) throws(Errno) -> (number: Int32, file: Int32)

    /// Takes back a descriptor that was made for a file that couldn't be opened.
    func discard(_ number: Int32)

    /// The host's own number of the file that a descriptor of the caller's stands for; nil if it isn't one.
    func file(of number: Int32) -> Int32?

    /// Closes a descriptor of the caller's.
    /// - Parameter release: is called with the file if that was its last descriptor anywhere, before the host's number
    ///   of the file can be that of another one.
    func close(_ number: Int32, _ release: (Int32) -> Void)
}

extension SoftwareHost {
    /// Makes a host of a machine whose handles live as real descriptors do.
    /// - Parameter places: makes them. It calls ``release(_:)`` when the last descriptor of a file goes without
    ///   ``close(_:)``.
    /// - Throws: what is wrong with the description.
    public convenience init(
        _ machine: MachineDescription, places: any HandlePlaces
    ) throws(MachineError) {
        try self.init(machine, places: places) { (model, address, faults) throws(Errno) -> any BusDriver in
            PCIBusDriver(model: model, address: address, faults: faults)
        }
    }

    /// The last descriptor of a file has gone.
    /// - Parameter file: the host's own number of it; see ``HandlePlaces``. Unknown ones are left alone.
    public func release(_ file: Int32) { core.files.release(file) }
}
