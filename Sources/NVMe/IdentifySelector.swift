/// CNS: what Identify is asked for (NVMe Base 2.0, Figure 273).
public struct IdentifySelector: RawRepresentable, Equatable, Sendable {
    /// The CNS byte.
    public var rawValue: UInt8
    /// A selector from its byte.
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// `IdentifyNamespace` of an active namespace.
    public static let namespace = IdentifySelector(rawValue: 0x00)
    /// `IdentifyController`.
    public static let controller = IdentifySelector(rawValue: 0x01)
    /// `NamespaceList` of active namespaces beyond NSID.
    public static let activeNamespaces = IdentifySelector(rawValue: 0x02)
    /// `NamespaceDescriptors` of an active namespace.
    public static let namespaceDescriptors = IdentifySelector(rawValue: 0x03)
    /// NVM set list.
    public static let nvmSets = IdentifySelector(rawValue: 0x04)
    /// What a command set tells of a namespace; `IdentifyNVMNamespace` for the NVM command set.
    public static let commandSetNamespace = IdentifySelector(rawValue: 0x05)
    /// What a command set tells of the controller; `IdentifyNVMController` for the NVM command set.
    public static let commandSetController = IdentifySelector(rawValue: 0x06)
    /// `NamespaceList` of active namespaces of a command set.
    public static let commandSetActiveNamespaces = IdentifySelector(rawValue: 0x07)
    /// `IdentifyIndependentNamespace`: what doesn't depend on the command set.
    public static let independentNamespace = IdentifySelector(rawValue: 0x08)
    /// `NamespaceList` of allocated namespaces beyond NSID.
    public static let allocatedNamespaces = IdentifySelector(rawValue: 0x10)
    /// `IdentifyNamespace` of an allocated namespace.
    public static let allocatedNamespace = IdentifySelector(rawValue: 0x11)
    /// `ControllerList` of those that have the namespace.
    public static let namespaceControllers = IdentifySelector(rawValue: 0x12)
    /// `ControllerList` of the subsystem.
    public static let controllers = IdentifySelector(rawValue: 0x13)
    /// Primary controller capabilities.
    public static let primaryController = IdentifySelector(rawValue: 0x14)
    /// Secondary controller list.
    public static let secondaryControllers = IdentifySelector(rawValue: 0x15)
    /// Namespace granularity list.
    public static let namespaceGranularity = IdentifySelector(rawValue: 0x16)
    /// UUID list.
    public static let uuids = IdentifySelector(rawValue: 0x17)
    /// Combinations of command sets that can be enabled.
    public static let commandSets = IdentifySelector(rawValue: 0x1c)
}

/// CSI: an I/O command set (NVMe Base 2.0, Figure 274).
public struct CommandSet: RawRepresentable, Equatable, Sendable {
    /// The CSI byte.
    public var rawValue: UInt8
    /// A command set from its byte.
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    /// Blocks: the NVM command set.
    public static let nvm = CommandSet(rawValue: 0)
    /// Keys and values.
    public static let keyValue = CommandSet(rawValue: 1)
    /// Zoned namespaces.
    public static let zoned = CommandSet(rawValue: 2)
}
