/// What a model says and does to be moved to another host. A model that can be moved hands out an object with
/// these by ``DeviceModel/migratable``, mostly itself.
///
/// What belongs to the function (configuration space, MSI and MSI-X, the line, Vital Product Data, memory in BARs)
/// is saved and loaded for the model; it does so for what it has itself.
public protocol MigratableDevice: AnyObject {
    /// How it can be moved; always with `stopCopy`.
    var migrationCapabilities: MigrationCapabilities { get }

    /// The version of the state's form: a device takes states of its own version only.
    var stateVersion: UInt16 { get }

    /// The most bytes that a state of its own can have.
    var stateByteLimit: Int { get }

    /// Writes what a device must have in common with this one to take its state, such as sizes and settings: it is
    /// compared byte for byte, before the device is stopped. Identity, BARs and capabilities of the function need
    /// not be told.
    func describe(to writer: inout StateWriter)

    /// Ends DMA and whatever changes the state by itself, and keeps everything: the state is about to be looked at.
    /// No register is touched until ``thaw()``; what the model tries meanwhile, memory and interrupts, is held back
    /// by its function.
    func freeze()

    /// Goes on where it stood: on the same host, or on another one after ``loadState(from:)``.
    func thaw()

    /// Begins no DMA to other devices from now on (or does again); asked of devices with `peerToPeer` only.
    func sparePeers(_ spared: Bool)

    /// Writes its state. It is frozen.
    func saveState(to writer: inout StateWriter)

    /// Takes over a state. It is frozen.
    ///
    /// The bytes may be anybody's: nothing may trap, and nothing may change before all of them were checked.
    /// - Throws: ``MigrationError`` if they are no state that this device can have; then it is as before.
    func loadState(from reader: inout StateReader) throws(MigrationError)
}

extension MigratableDevice {
    /// Nothing beyond the function.
    public func describe(to writer: inout StateWriter) {}
    /// Nothing to end: a model that acts inside register accesses only.
    public func freeze() {}
    /// Nothing to begin again.
    public func thaw() {}
    /// Nothing to spare: see `peerToPeer`.
    public func sparePeers(_ spared: Bool) {}
}

/// Why a device can't be moved, or didn't take what it was given. The device is as it was, but for `deviceFailed`.
public enum MigrationError: Error, Equatable, Sendable {
    /// There is no way to that state from here, or the device hasn't got it.
    case noWay
    /// State is read or written in a state that isn't for that.
    case wrongPhase
    /// The device can't be moved at all.
    case notMigratable
    /// More bytes than a state of this device can have.
    case tooLong
    /// The state ends too early.
    case truncated
    /// What is there can't be a state of this device.
    case malformed
    /// The state is in a form of another version.
    case version
    /// The state is that of another kind of device, or of one with other settings.
    case differentDevice
    /// The device failed on its way. It may be in ``MigrationPhase/error``, out of which only a reset leads.
    case deviceFailed
}
