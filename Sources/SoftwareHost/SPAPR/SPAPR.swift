import IOVASpace
import LinuxSystem
import VFIOABI

/// The sPAPR TCE driver of one container (kernel.md C.1): DMA windows, into which memory of the user is mapped for
/// all devices of its groups.
///
/// Version 1 has one group and one window, and counts all of the window as locked memory while it is enabled.
/// Version 2 makes and removes windows, takes several groups, and maps only memory that was registered before.
///
/// Every request runs alone, under `mutex`, as in ``Type1``.
final class SPAPR: @unchecked Sendable {
    // SAFETY: everything that changes is changed with `mutex` held.
    let mutex = Lock()
    /// Where the devices find the mappings; changed with `mutex` held. The tag of a mapping is the registered
    /// region that its memory lies in; version 1 has none.
    let space: DMASpace
    let isVersion2: Bool
    let iommu: SPAPRIOMMU
    let process: Process
    let memory: RegisteredMemory
    /// The windows, each in its place.
    var windows: [Window?] = [Window?](repeating: nil, count: SPAPRIOMMU.mostWindows)
    /// Whether the default window is still to be made.
    var isDefaultWindowPending = false
    /// Whether anything may be mapped.
    var isEnabled = false
    /// Whether the container belongs to the program whose memory it maps (version 2): from the first request on that
    /// is about windows or memory, also one that was refused.
    var isOwned = false
    /// How many pages count as locked since version 1 was enabled.
    var enabledPages: UInt64 = 0
    /// The groups, in the order in which they were attached.
    var groups: [MachineGroup] = []
    /// The regions of memory that this container has registered.
    var regions: [UInt32] = []
    private var isReleased = false

    /// A window: bus addresses with a table behind them.
    struct Window {
        let range: IOVARange
        let pageShift: UInt32
        /// How much its table counts as locked memory.
        let chargedPages: UInt64

        /// Its page size less one.
        var mask: UInt64 { UInt64(1) << UInt64(pageShift) - 1 }
    }

    /// - Parameter kind: what VFIO_SET_IOMMU says.
    /// - Throws: `EINVAL` for a number that is an extension and no kind of IOMMU.
    init(kind: Extension, _ iommu: SPAPRIOMMU, _ core: Core) throws(Errno) {
        guard kind == .spaprTCE || kind == .spaprTCEv2 else { throw .invalid }
        isVersion2 = kind == .spaprTCEv2
        self.iommu = iommu
        process = core.process
        memory = core.registeredMemory
        space = DMASpace(core, mergingAdjacent: true)
    }

    /// VFIO_CHECK_EXTENSION, whether this driver is set or not.
    static func isKnown(extension number: Extension, _ iommu: SPAPRIOMMU) -> Bool {
        number == .spaprTCE || number == .spaprTCEv2 || number == .eeh && iommu.hasErrorHandling
    }

    func control(_ request: Request, _ argument: UInt) throws(Errno) -> Int32 {
        let address = HostAddress(rawValue: argument)
        switch request {
        case .spaprTCEGetInfo: try getInfo(address)
        case .iommuMapDMA: try mapDMA(address)
        case .iommuUnmapDMA: try unmapDMA(address)
        case .eehOperation: return try handleErrors(address)
        case .iommuEnable where !isVersion2: try enable()
        case .iommuDisable where !isVersion2: mutex.withLock { disable() }
        case .spaprRegisterMemory where isVersion2: try registerMemory(address)
        case .spaprUnregisterMemory where isVersion2: try unregisterMemory(address)
        case .spaprTCECreate where isVersion2: try createWindow(address)
        case .spaprTCERemove where isVersion2: try removeWindow(address)
        default: throw .noSuchRequest
        }
        return 0
    }

    /// Runs one request's work alone.
    func exclusively<R>(_ body: () throws(Errno) -> R) throws(Errno) -> R {
        try mutex.withLock { () throws(Errno) -> R in
            // The last group left while the request was on its way.
            if isReleased { throw .invalid }
            return try body()
        }
    }

    /// Version 2 remembers whose it is. There is one program here only, so nobody is ever turned away.
    func takeOwner() throws(Errno) { try exclusively { () throws(Errno) in isOwned = true } }

    // MARK: groups

    /// A group's devices are to use these windows; the tests are in the kernel's order.
    func attach(_ group: MachineGroup) throws(Errno) {
        try exclusively { () throws(Errno) in
            if group.isEmulated { throw .invalid }
            if isVersion2 && iommu.dynamicWindows == 0 { throw .invalid }
            if !isVersion2 && !groups.isEmpty { throw .busy }
            if groups.contains(where: { $0 === group }) { throw .busy }
            if groups.isEmpty { takeDefaultWindow() }
            groups.append(group)
        }
    }

    /// The first group brings its default window, or the promise of one.
    private func takeDefaultWindow() {
        guard let range = defaultRange else { return }
        switch iommu.platform {
        case .powerNV: isDefaultWindowPending = true
        case .pSeries:
            windows[0] = Window(range: range, pageShift: SPAPR.defaultPageShift, chargedPages: 0)
        }
    }

    /// A group's devices no longer use these windows.
    func detach(_ group: MachineGroup) { mutex.withLock { groups.removeAll { $0 === group } } }

    /// The last group has left: all windows go, and what was locked for them.
    func release() {
        mutex.withLock {
            for index in windows.indices { dropWindow(index) }
            for region in regions { memory.abandon(region) }
            regions = []
            isDefaultWindowPending = false
            disable()
            isEnabled = false
            isReleased = true
        }
    }

    // MARK: version 1

    /// VFIO_IOMMU_ENABLE: the window counts as locked memory from now on, whatever is mapped.
    private func enable() throws(Errno) {
        try exclusively { () throws(Errno) in
            if isEnabled { throw .busy }
            if groups.isEmpty { throw .noDevice }
            if iommu.defaultWindowByteCount == 0 { throw .notPermitted }
            let pages = UInt64(iommu.defaultWindowByteCount) / UInt64(pageSize)
            try process.charge(pages)
            enabledPages = pages
            isEnabled = true
        }
    }

    /// VFIO_IOMMU_DISABLE: nothing can be mapped and unmapped any more; what is mapped stays.
    private func disable() {
        process.unpin(enabledPages)
        enabledPages = 0
        isEnabled = false
    }
}
