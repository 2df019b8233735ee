import DeviceModel
import IOVASpace
import LinuxSystem

/// What the kernel does for a device that reaches memory through the processor instead of an IOMMU: a mediated
/// device, whose driver looks up, pins and copies what the user mapped (kernel.md B.10).
///
/// A device in an emulated group (``IOMMUGroup/isEmulated``) has all its DMA carried out this way; one that
/// names a client (``PCIDevice/dmaClient``) also gets the services themselves. Valid between the first opening
/// and the last closing of the device; afterwards everything fails with `EINVAL`. Any thread may call it, but
/// not from inside a lent window.
public final class EmulatedDMA: @unchecked Sendable {
    // SAFETY: what changes is only touched with `lock` held.
    private let lock = Lock()
    private var type1: Type1?
    private var held: (any EmulatedDMAClient)?
    let group: MachineGroup

    init(_ type1: Type1, _ group: MachineGroup, _ client: (any EmulatedDMAClient)?) {
        self.type1 = type1
        self.group = group
        held = client
    }

    /// The most pages that can be pinned at once: `VFIO_PIN_PAGES_MAX_ENTRIES`.
    public static let mostPages = 512

    /// Who is told of unmappings.
    var client: (any EmulatedDMAClient)? { lock.withLock { held } }

    /// The device is closed.
    func end() {
        let type1 = lock.withLock { () -> Type1? in
            let type1 = self.type1
            self.type1 = nil
            held = nil
            return type1
        }
        type1?.unregister(self)
    }

    private func connected() throws(Errno) -> Type1 {
        guard let type1 = lock.withLock({ type1 }) else { throw .invalid }
        return type1
    }

    /// Pins pages, so that the device may use their memory until it unpins them: `vfio_pin_pages`.
    ///
    /// A page may be pinned several times, and must be unpinned as often. While dirty pages are tracked a
    /// pinned page counts as written. From the first success on, the device's group is one that dirties
    /// nothing but what it pins.
    /// - Parameters:
    ///   - iova: where the user mapped the first page; a multiple of the page size.
    ///   - pageCount: 1 to ``mostPages``.
    ///   - permissions: what the device is about to do.
    /// - Returns: the memory of each page.
    /// - Throws: `EINVAL` for a device without a client, an impossible count, an unaligned address, and pages
    ///   that aren't mapped; `E2BIG` for too many pages; `EACCES` in a type 1 container of version 1; `EBUSY`
    ///   while a mapping waits for a new address; `EOVERFLOW` beyond the last address; `EPERM` for a mapping
    ///   that doesn't allow it; `EFAULT` if the memory isn't there; `ENOMEM` over the limit of locked memory.
    ///   No page is pinned then.
    public func pin(
        at iova: IOVA, pageCount: Int, for permissions: IOVAPermissions
    ) throws(Errno) -> [HostAddress] {
        let type1 = try connected()
        guard pageCount > 0, client != nil else { throw .invalid }
        guard pageCount <= EmulatedDMA.mostPages else { throw .tooBig }
        return try type1.pin(iova, pageCount: pageCount, permissions, for: group)
    }

    /// Takes one pin of each page back: `vfio_unpin_pages`. Pages that aren't pinned are left alone; the first
    /// address that isn't mapped ends the work.
    public func unpin(at iova: IOVA, pageCount: Int) {
        guard pageCount > 0, let type1 = lock.withLock({ type1 }) else { return }
        type1.unpin(iova, pageCount: pageCount)
    }

    /// Copies from the user's memory: `vfio_dma_rw` for reading.
    /// - Throws: `EINVAL` where nothing is mapped, or nothing is asked for; `EPERM` for a mapping that devices
    ///   may not read; `EFAULT` if the memory isn't there; `EBUSY` while a mapping waits for a new address. What
    ///   came before the error has been copied.
    public func read(at iova: IOVA, into bytes: inout MutableRawSpan) throws(Errno) {
        try connected().read(iova, into: &bytes, wholly: false)
    }

    /// Copies to the user's memory, and marks it dirty: `vfio_dma_rw` for writing.
    /// - Throws: as ``read(at:into:)``; `EPERM` also for a mapping that devices may write but not read, as on
    ///   Linux.
    public func write(_ bytes: RawSpan, at iova: IOVA) throws(Errno) {
        try connected().write(bytes, at: iova, wholly: false)
    }
}

/// A device that uses the services of ``EmulatedDMA`` itself: what a driver of mediated devices has as
/// `vfio_device_ops.dma_unmap`.
public protocol EmulatedDMAClient: AnyObject, Sendable {
    /// The device is being opened for the first time: these are the services until it is closed.
    func connectDMA(_ dma: EmulatedDMA)

    /// A range with pages pinned is about to be unmapped: they must be unpinned before this returns. The unmapping
    /// is tried ten times, and ends with `EBUSY` if pages are still pinned then (where Linux would stop).
    ///
    /// Called with no lock held, on the thread that unmaps.
    func prepareUnmap(_ range: IOVARange)

    /// The device is being closed for the last time: the last chance to unpin.
    func disconnectDMA()
}

extension EmulatedDMA: DMAAddressSpace {
    func readMemory(at iova: IOVA, into bytes: inout MutableRawSpan) throws(DMAFault) {
        guard bytes.byteCount > 0 else { return }
        do throws(Errno) {
            try connected().read(iova, into: &bytes, wholly: true)
        } catch {
            throw Self.fault(error, iova, .read)
        }
    }

    func writeMemory(_ bytes: RawSpan, at iova: IOVA) throws(DMAFault) {
        guard bytes.byteCount > 0 else { return }
        do throws(Errno) {
            try connected().write(bytes, at: iova, wholly: true)
        } catch {
            throw Self.fault(error, iova, .write)
        }
    }

    /// Lends nothing: the memory behind these mappings isn't pinned.
    func withMemory(
        at iova: IOVA, byteCount: Int, for access: DMAAccess, _ body: (MemoryWindow) -> Bool
    ) throws(DMAFault) {
        guard byteCount > 0 else { return }
        throw DMAFault(iova: iova, access: access, reason: .notLendable)
    }

    private static func fault(_ errno: Errno, _ iova: IOVA, _ access: DMAAccess) -> DMAFault {
        let reason: DMAFault.Reason =
            switch errno {
            case .notPermitted: .notPermitted
            case .overflow: .outOfRange
            case .busy: .notAttached
            default: .notMapped
            }
        return DMAFault(iova: iova, access: access, reason: reason)
    }
}

extension MachineDevice {
    /// The device is being opened: it gets the services that it is meant to have. With `Core.lock` held.
    func startEmulatedDMA(of group: Group) {
        guard group.home.isEmulated || dmaClient != nil else { return }
        guard case .type1(let type1) = group.container?.driver else { return }
        let dma = EmulatedDMA(type1, group.home, dmaClient)
        emulatedDMA = dma
        if dmaClient != nil { type1.register(dma) }
        if group.home.isEmulated { bus?.attach(to: dma) }
    }

    /// The device has been closed. Without `Core.lock`, with the device's `openLock` held.
    func endEmulatedDMA() {
        guard let dma = emulatedDMA else { return }
        emulatedDMA = nil
        dma.client?.disconnectDMA()
        if dma.group.isEmulated { bus?.attach(to: nil) }
        dma.end()
    }
}
