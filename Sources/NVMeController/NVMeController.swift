import DeviceModel
import IOVASpace
import LinuxSystem
import NVMe

/// An NVMe controller (NVMe 1.4, NVM command set) as a device model.
///
/// Commands run inside the doorbell write that submits them; when the write returns, their completions are in
/// the completion queue, as far as it has room. Whatever a driver writes, the answer is a status that the
/// specification names, an asynchronous event or CSTS.CFS.
///
/// BAR 0 has 16 KiB: registers at 0, doorbells at 0x1000, the MSI-X table at 0x2000, its pending bits at 0x3000.
public final class NVMeController: DeviceModel {
    /// The PCI side.
    public let function: PCIFunction
    /// What the controller is like, with every number in its range.
    public let settings: Settings

    /// By identifier less one; nil where there is none.
    var namespaces: [NVMeNamespace?]

    // The registers.
    let capabilities: ControllerCapabilities
    var configuration = ControllerConfiguration(rawValue: 0)
    var status = ControllerStatus(rawValue: 0)
    var interruptMask: UInt32 = 0
    var adminAttributes = AdminQueueAttributes(rawValue: 0)
    var adminSubmissionAddress: UInt64 = 0
    var adminCompletionAddress: UInt64 = 0

    // The queues by identifier; 0 is the admin queue.
    var submissionQueues: [SubmissionQueue?]
    var completionQueues: [CompletionQueue?]
    var shadow: ShadowDoorbells?

    // What the controller remembers.
    var features: FeatureValues
    var events = EventState()
    var errorLog = ErrorLog()
    var health = Health()
    var changedNamespaces: [UInt32] = []

    // While the device is moved to another host.
    /// Whether it stands still.
    var isFrozen = false
    /// Whether it keeps away from other devices.
    var sparesPeers = false

    let transfer: DataTransfer
    /// The rules for the page that CC.MPS names.
    var pageRules = PRPRules(pageSizeExponent: 0)

    /// Makes a controller with namespaces 1, 2, …; those beyond `settings.namespaceLimit` are left out.
    public init(_ namespaces: [NVMeNamespace], settings wish: Settings = Settings()) {
        let settings = wish.normalized()
        self.settings = settings
        function = PCIFunction(
            PCIIdentity(vendor: settings.vendor, device: settings.device, classCode: 0x01_0802),
            bars: [0: BAR(.memory64, byteCount: 0x4000)], interruptPin: 1, isExpress: true)
        function.addPowerManagement()
        function.addMSIX(vectors: settings.queuePairs + 1, table: (0, 0x2000), pending: (0, 0x3000))
        function.addExpress(functionLevelReset: true, integrated: settings.isIntegrated)

        var places = [NVMeNamespace?](repeating: nil, count: settings.namespaceLimit)
        for (index, namespace) in namespaces.enumerated() where index < places.count {
            places[index] = namespace
        }
        self.namespaces = places

        var capabilities = ControllerCapabilities(rawValue: 0)
        capabilities.maximumQueueEntriesZeroBased = UInt16(settings.queueEntries - 1)
        capabilities.requiresContiguousQueues = true
        capabilities.timeout = 20
        capabilities.commandSets = 1
        capabilities.maximumPageSizeExponent = 4
        self.capabilities = capabilities

        submissionQueues = [SubmissionQueue?](repeating: nil, count: settings.queuePairs + 1)
        completionQueues = [CompletionQueue?](repeating: nil, count: settings.queuePairs + 1)
        features = FeatureValues(settings)
        transfer = DataTransfer(
            function.dma, limit: 4096 << Int(settings.maximumTransferExponent), hasSGLs: settings.hasSGLs)
    }

    /// Makes a controller with one namespace, an image file.
    /// - Throws: ``BlockStoreError`` that says what is wrong with the file.
    public convenience init(
        image path: String, blockSize: Int = 512, readOnly: Bool = false, settings: Settings = Settings()
    ) throws(BlockStoreError) {
        let store = try FileStore(path: path, blockSize: blockSize, readOnly: readOnly)
        self.init([try NVMeNamespace(store, blockSize: blockSize)], settings: settings)
    }

    // MARK: the host's side

    /// Answers a read of a register.
    public func readRegister(bar: Int, offset: UInt64, width: Int) -> UInt64 {
        guard bar == 0 else { return 0 }
        let low = UInt64(registerValue(offset & ~3))
        if width == 8 { return low | UInt64(registerValue(offset + 4)) << 32 }
        return (low >> (8 * (offset & 3))) & (UInt64.max >> UInt64(64 - 8 * width))
    }

    /// Carries out a write to a register. Writes narrower than 32 bits have no defined meaning and none here.
    public func writeRegister(bar: Int, offset: UInt64, width: Int, value: UInt64) {
        guard bar == 0, width >= 4 else { return }
        setRegister(offset, UInt32(truncatingIfNeeded: value))
        if width == 8 { setRegister(offset + 4, UInt32(truncatingIfNeeded: value >> 32)) }
    }

    /// The doorbells of the queues, the admin queue's first.
    public var doorbells: [DoorbellRegister] {
        var list: [DoorbellRegister] = []
        let layout = Doorbell(stride: 0)
        for queue in 0...settings.queuePairs {
            let queue = UInt16(truncatingIfNeeded: queue)
            for offset in [layout.submissionTail(of: queue), layout.completionHead(of: queue)] {
                list.append(DoorbellRegister(bar: 0, offset: offset, width: 4, value: .latest))
            }
        }
        return list
    }

    /// Registers are plain values: commands under way change none of them halfway.
    public var answersReadsDuringDMA: Bool { true }

    /// Puts every register into its state after power on. Blocks that were written stay.
    public func reset(_ kind: ResetKind) {
        stop()
        status = ControllerStatus(rawValue: 0)
        configuration = ControllerConfiguration(rawValue: 0)
        adminAttributes = AdminQueueAttributes(rawValue: 0)
        adminSubmissionAddress = 0
        adminCompletionAddress = 0
    }

    /// Nobody uses the controller any more: it forgets its queues, so that nothing reaches memory.
    public func quiesce() {
        stop()
        status = ControllerStatus(rawValue: 0)
        configuration.isEnabled = false
    }

    // MARK: the owner's side

    /// The number of namespaces there are.
    public var namespaceCount: Int { namespaces.reduce(0) { $1 == nil ? $0 : $0 + 1 } }

    /// The namespace with an identifier; nil if there is none.
    public func namespace(_ identifier: UInt32) -> NVMeNamespace? {
        guard identifier >= 1, identifier <= UInt32(namespaces.count) else { return nil }
        return namespaces[Int(identifier) - 1]
    }

    /// Puts everything that was written to any namespace on stable storage, as a driver's Flush does. Must be
    /// called as a register access would be: one call at a time.
    /// - Throws: the errno of the first store that refused; the others have been flushed all the same.
    public func synchronize() throws(Errno) {
        var problem: Errno?
        for case let namespace? in namespaces where !namespace.store.isReadOnly {
            do throws(Errno) {
                try namespace.store.synchronize()
            } catch {
                if problem == nil { problem = error }
            }
        }
        if let problem { throw problem }
    }

    /// Adds, replaces or (with nil) removes a namespace, and tells the driver by an asynchronous event if it asked
    /// for that. Must be called as a register access would be: one call at a time.
    /// - Returns: whether the identifier is one that a namespace can have.
    @discardableResult
    public func setNamespace(_ identifier: UInt32, _ namespace: NVMeNamespace?) -> Bool {
        guard identifier >= 1, identifier <= UInt32(namespaces.count) else { return false }
        namespaces[Int(identifier) - 1] = namespace
        if !changedNamespaces.contains(identifier) {
            changedNamespaces.append(identifier)
            changedNamespaces.sortCompactly(by: <)
        }
        if features.eventConfiguration.contains(.namespaceAttributes) { raise(.namespacesChanged) }
        deliverEvents()
        return true
    }

    /// The temperature that the controller reports, in kelvins. Crossing a threshold that the driver has set
    /// is an asynchronous event. Must be set as a register access would be made: one at a time.
    public var temperature: UInt16 {
        get { health.temperature }
        set {
            health.temperature = newValue
            checkTemperature()
            deliverEvents()
        }
    }
}
