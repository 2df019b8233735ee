import LinuxSystem
import VFIOABI
import VFIOHost

/// What errors are isolated for on a POWER machine (EEH): the devices of one group. When one of them fails all are
/// frozen: registers read as ones, writes are lost, and no DMA goes through.
///
/// Recovery by the book is ``recover(by:)``, after which the devices must be set up anew. May be used from any
/// thread; keeps the device open.
public struct PartitionableEndpoint: Sendable {
    private let device: Device

    init(of device: Device) { self.device = device }

    /// How to reset it.
    public enum Reset: Sendable {
        /// The bus: `VFIO_EEH_PE_RESET_HOT`.
        case hot
        /// The slot: `VFIO_EEH_PE_RESET_FUNDAMENTAL`.
        case fundamental
    }

    /// How it is: `VFIO_EEH_PE_GET_STATE`.
    public func state() throws(VFIOError) -> EEHState {
        EEHState(rawValue: try operate(.getState, "ask for its state"))
    }

    /// Lets errors be handled by whoever uses the device, and thaws it if it is frozen: `VFIO_EEH_PE_ENABLE`.
    public func enable() throws(VFIOError) { try operate(.enable, "enable the handling of errors") }

    /// Does nothing any more: `VFIO_EEH_PE_DISABLE`.
    public func disable() throws(VFIOError) { try operate(.disable, "disable the handling of errors") }

    /// Lets registers be reached, to find out what happened: `VFIO_EEH_PE_UNFREEZE_IO`.
    public func thawRegisters() throws(VFIOError) { try operate(.unfreezeIO, "thaw its registers") }

    /// Lets DMA go through: `VFIO_EEH_PE_UNFREEZE_DMA`.
    public func thawDMA() throws(VFIOError) { try operate(.unfreezeDMA, "thaw its DMA") }

    /// Begins a reset, which lasts until ``endReset()``: `VFIO_EEH_PE_RESET_HOT` or
    /// `VFIO_EEH_PE_RESET_FUNDAMENTAL`.
    public func beginReset(_ reset: Reset = .hot) throws(VFIOError) {
        try operate(reset == .hot ? .resetHot : .resetFundamental, "reset it")
    }

    /// Ends a reset: `VFIO_EEH_PE_RESET_DEACTIVATE`.
    public func endReset() throws(VFIOError) { try operate(.resetDeactivate, "end its reset") }

    /// Restores bridges and configuration spaces: `VFIO_EEH_PE_CONFIGURE`.
    public func configure() throws(VFIOError) { try operate(.configure, "configure it") }

    /// Lets an error happen: `VFIO_EEH_PE_INJECT_ERR`.
    public func inject(_ error: EEHError) throws(VFIOError) {
        try operate(.injectError, "inject an error", error)
    }

    /// Brings it back after an error: thaws its registers, resets it, and restores its configuration space.
    /// - Throws: also if it doesn't work again afterwards.
    public func recover(by reset: Reset = .hot) throws(VFIOError) {
        try thawRegisters()
        try beginReset(reset)
        try endReset()
        try configure()
        let state = try state()
        guard state == .normal else {
            throw VFIOError(
                operation: "recover it", object: "\(device.id)",
                cause: "its state is \(state.rawValue) after a reset")
        }
    }

    /// Does anything to it, by number, as the firmware of a guest asks for it: `VFIO_EEH_PE_OP`.
    /// - Returns: what the host answers: an ``/VFIOABI/EEHState`` for ``/VFIOABI/EEHOperation/getState``, otherwise 0.
    @discardableResult
    public func perform(
        _ operation: EEHOperation, _ error: EEHError = EEHError()
    ) throws(VFIOError) -> UInt32 {
        try operate(operation, "do operation \(operation.rawValue) of EEH", error)
    }

    @discardableResult
    private func operate(
        _ operation: EEHOperation, _ words: String, _ error: EEHError = EEHError()
    ) throws(VFIOError) -> UInt32 {
        let space = device.addressSpace
        let object = "\(device.id)"
        return try space.lock.withLock { () throws(VFIOError) -> UInt32 in
            let tce = try Self.find(in: space, words, object)
            do throws(Errno) {
                return try tce.handle.handleErrors(operation, error)
            } catch {
                throw VFIOError(operation: words, object: object, errno: error)
            }
        }
    }

    /// The container, if errors can be handled there. Called under the space's lock.
    fileprivate static func find(
        in space: AddressSpace, _ words: String, _ object: String
    ) throws(VFIOError) -> TCEBackend {
        guard let tce = space.backend?.tce, tce.isolatesErrors else {
            throw VFIOError(
                operation: words, object: object, code: .notSupported,
                cause: "the machine doesn't isolate errors (EEH)")
        }
        // A request goes to all groups of the container one after the other: nobody could tell which answered.
        guard tce.groupCount == 1 else {
            throw VFIOError(
                operation: words, object: object, code: .notSupported,
                cause:
                    "its address space has devices of \(tce.groupCount) groups, and errors are handled for one",
                remedy: "open it in an address space of its own")
        }
        return tce
    }
}

extension Device {
    /// What is frozen together when the device fails (EEH), on machines that isolate errors.
    /// - Throws: ``VFIOError/Code/notSupported`` elsewhere, and in an address space with several groups.
    public var partitionableEndpoint: PartitionableEndpoint {
        get throws(VFIOError) {
            try addressSpace.lock.withLock { () throws(VFIOError) in
                _ = try PartitionableEndpoint.find(in: addressSpace, "handle its errors", name)
            }
            return PartitionableEndpoint(of: self)
        }
    }
}

extension AddressSpace {
    /// How many groups errors would be handled for; 0 where errors aren't isolated, or nothing is open yet.
    package var isolatedGroupCount: Int { lock.withLock { backend?.tce?.groupCount ?? 0 } }
}
