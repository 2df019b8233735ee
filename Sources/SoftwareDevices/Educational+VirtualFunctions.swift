import DeviceModel

// The engine as PCI Express hardware that can be shared: a physical function and virtual functions, each with
// registers, DMA and an interrupt of its own. QEMU has nothing of the kind; the engine is the same.

extension Educational {
    /// The device ID of the engine that can have virtual functions.
    public static let sharedDevice: UInt16 = 0x11e9
    /// The device ID of its virtual functions.
    public static let virtualDevice: UInt16 = 0x11ea

    /// Makes an engine that can be shared: 1234:11e9 on PCI Express, BAR 0 of 1 MiB, INTA and one MSI vector,
    /// function level reset, and virtual functions (1234:11ea) that have the same but INTA.
    /// - Parameters:
    ///   - virtualFunctions: how many of them there can be, 1...256.
    ///   - dmaMask: the bits of a memory address that each function's DMA engine drives.
    public convenience init(virtualFunctions: Int, dmaMask: UInt64 = defaultDMAMask) {
        let function = PCIFunction(
            Self.identity(Self.sharedDevice), bars: Self.registers, isExpress: true)
        function.addPowerManagement()
        function.addExpress()
        function.addMSI(vectors: 1, hasMasks: false)
        function.addVirtualFunctions(
            total: virtualFunctions, device: Self.virtualDevice, bars: Self.registers)
        self.init(function, dmaMask: dmaMask)
    }

    /// Makes an engine on PCI Express, with function level reset: 1234:11e9, BAR 0 of 1 MiB, INTA and one MSI vector.
    /// - Parameters:
    ///   - dmaMask: the bits of a memory address that its DMA engine drives.
    ///   - moves: how it can be moved to another host, besides being stopped and copied.
    public static func express(
        dmaMask: UInt64 = defaultDMAMask, moves: MigrationCapabilities = [.peerToPeer, .preCopy]
    ) -> Educational {
        let function = PCIFunction(
            identity(sharedDevice), bars: registers, isExpress: true)
        function.addPowerManagement()
        function.addExpress()
        function.addMSI(vectors: 1, hasMasks: false)
        return Educational(function, dmaMask: dmaMask, moves: moves)
    }

    /// A virtual function below a physical one.
    static func virtualFunction(
        of physical: PCIIdentity, _ layout: VirtualFunctions, dmaMask: UInt64
    ) -> Educational {
        var identity = physical
        identity.device = layout.device
        let function = PCIFunction(identity, bars: registers, isExpress: true, isVirtual: true)
        function.addExpress()
        function.addMSI(vectors: 1, hasMasks: false)
        return Educational(function, dmaMask: dmaMask)
    }

    private static var registers: [Int: BAR] { [0: BAR(.memory32, byteCount: 1 << 20)] }

    private static func identity(_ device: UInt16) -> PCIIdentity {
        PCIIdentity(
            vendor: 0x1234, device: device, subsystemVendor: 0x1af4, subsystem: 0x1100, classCode: 0x00ff00,
            revision: 0x10)
    }
}
