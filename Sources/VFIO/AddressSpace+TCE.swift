import IOVASpace
import LinuxSystem
import VFIOABI

extension AddressSpace {
    /// The DMA windows of an sPAPR IOMMU; nil before the first device, and where the IOMMU is of another kind.
    public var tce: TCEWindows? {
        lock.withLock { backend?.tce != nil } ? TCEWindows(space: self) : nil
    }
}

/// The DMA windows of an address space on a POWER machine.
///
/// Mapping works as anywhere else: there is a default window to begin with, and memory is registered while it is
/// mapped. Who knows in advance what will be mapped, as a virtual machine does, registers it once, and replaces the
/// default window by those of the guest. May be used from any thread.
public struct TCEWindows: Sendable {
    let space: AddressSpace

    /// The version of the kernel's driver: 1 has one window that can't be changed, 2 has them all.
    public var version: Int { ask { $0.isVersion2 ? 2 : 1 } ?? 1 }

    /// The windows that there are, by address.
    public var windows: [TCEWindow] { ask { $0.windows } ?? [] }

    /// The page sizes that windows can have, in bytes, one bit each; 0 with version 1.
    public var pageSizes: UInt64 { ask { $0.description.ddw.pageSizes } ?? 0 }

    /// How many windows there can be at a time.
    public var mostWindows: Int {
        ask { $0.isVersion2 ? Int($0.description.ddw.maxDynamicWindows) : 1 } ?? 1
    }

    /// How many levels the table of a window can have; 0 with version 1.
    public var mostLevels: Int { ask { Int($0.description.ddw.levels) } ?? 0 }

    private func ask<T>(_ question: (TCEBackend) -> T) -> T? {
        space.lock.withLock { space.backend?.tce.map(question) }
    }

    /// Makes a window: `VFIO_IOMMU_SPAPR_TCE_CREATE`. The platform says where it begins; one that takes the place of the
    /// default window begins there, so that must be removed first.
    /// - Parameters:
    ///   - pageSize: in bytes; one of ``pageSizes``.
    ///   - byteCount: its length; a power of two.
    ///   - levels: how many levels its table has; nil for as many as suit its length, and more where the host can't
    ///     have so few.
    /// - Throws: ``VFIOError/Code/notSupported`` with version 1; ``VFIOError/Code/memlockLimit`` if its table is
    ///   too much for the limit of locked memory; ``VFIOError/Code/noSpace`` if there are as many already as can
    ///   be.
    @discardableResult
    public func createWindow(
        pageSize: UInt64, byteCount: UInt64, levels: Int? = nil
    ) throws(VFIOError) -> TCEWindow {
        try change("make a DMA window of \(counted(byteCount, "byte")) in pages of \(pageSize)") {
            (tce) throws(Errno) in
            try tce.createWindow(pageSize: pageSize, byteCount: byteCount, levels: levels)
        }
    }

    /// Removes a window: `VFIO_IOMMU_SPAPR_TCE_REMOVE`.
    /// - Throws: ``VFIOError/Code/notSupported`` with version 1; ``VFIOError/Code/busy`` while something is mapped in
    ///   it.
    public func remove(_ window: TCEWindow) throws(VFIOError) {
        try change("remove the DMA window \(window.range)") { (tce) throws(Errno) in
            try tce.removeWindow(window)
        }
    }

    /// Registers memory: it is locked once, and mapping it costs nothing more:
    /// `VFIO_IOMMU_SPAPR_REGISTER_MEMORY`. Stays until it is unregistered, or the address space goes.
    /// - Parameters:
    ///   - memory: whole pages of this process.
    ///   - byteCount: a multiple of the page size.
    /// - Throws: ``VFIOError/Code/notSupported`` with version 1; ``VFIOError/Code/memlockLimit``;
    ///   ``VFIOError/Code/badMemory``; ``VFIOError/Code/overlap`` if a part of it is registered already.
    public func register(_ memory: HostAddress, byteCount: UInt64) throws(VFIOError) {
        try change("register \(counted(byteCount, "byte")) of memory for DMA") { (tce) throws(Errno) in
            try tce.register(memory, byteCount: byteCount)
        }
    }

    /// Ends a registration, once nothing in it is mapped any more: `VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY`.
    /// - Throws: ``VFIOError/Code/notSupported`` with version 1; with `ENOENT` for memory that wasn't registered just
    ///   so.
    public func unregister(_ memory: HostAddress, byteCount: UInt64) throws(VFIOError) {
        try change("unregister \(counted(byteCount, "byte")) of memory") { (tce) throws(Errno) in
            try tce.unregister(memory, byteCount: byteCount)
        }
    }

    /// Registers what isn't registered yet of some memory, and keeps all of it so until the hold is let go. Unlike
    /// with ``register(_:byteCount:)``, holds may overlap.
    package func hold(_ memory: HostAddress, byteCount: UInt64) throws(VFIOError) -> RegisteredMemoryHold {
        try change("register \(counted(byteCount, "byte")) of memory for DMA") { (tce) throws(Errno) in
            RegisteredMemoryHold(pieces: try tce.hold(memory, byteCount: byteCount))
        }
    }

    /// Ends a hold, once. What is still mapped stays registered until it isn't.
    package func letGo(_ hold: RegisteredMemoryHold) throws(VFIOError) {
        try change("unregister memory") { (tce) throws(Errno) in try tce.letGo(hold.pieces) }
    }

    /// Lets the virtual machine, if one knows of the groups, put the guest's entries into the windows' tables itself:
    /// `KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE`, for each group.
    /// - Parameter table: the descriptor of KVM's table; it stays the caller's.
    /// - Throws: the first refusal. There is no way to take it back from the groups before it, nor need for one: KVM
    ///   lets go of them with the groups.
    package func setKernelTable(_ table: Int32) throws(VFIOError) {
        try space.lock.withLock { () throws(VFIOError) in try space.backend?.setKernelTable(table) }
    }

    private func change<R>(
        _ operation: String, _ body: (TCEBackend) throws(Errno) -> R
    ) throws(VFIOError) -> R {
        try space.lock.withLock { () throws(VFIOError) -> R in
            guard let tce = space.backend?.tce else { throw Diagnosis.noDevice(operation) }
            guard tce.isVersion2 else {
                throw VFIOError(
                    operation: operation, object: AddressSpace.object, code: .notSupported,
                    cause: "the host has version 1 of sPAPR's windows only")
            }
            do throws(Errno) {
                let result = try body(tce)
                space.info = tce.info
                return result
            } catch {
                throw Diagnosis.window(operation, error, tce.windows)
            }
        }
    }
}

/// Memory that is kept registered, by ``TCEWindows/hold(_:byteCount:)``.
package struct RegisteredMemoryHold: Sendable {
    let pieces: [TCEBackend.Piece]
}

extension Diagnosis {
    /// A change to windows or registered memory that was refused.
    static func window(_ operation: String, _ errno: Errno, _ windows: [TCEWindow]) -> VFIOError {
        var error = VFIOError(operation: operation, object: AddressSpace.object, errno: errno)
        switch errno {
        case .noMemory:
            error.code = .memlockLimit
            error.cause = "the limit of locked memory is too low, for the memory or for the window's table"
            error.remedy = "raise the limit: ulimit -l, or LimitMEMLOCK= in a service"
        case .badAddress:
            error.code = .badMemory
            error.cause = "not all of the memory is there and writable"
        case .busy: error.code = .busy
        case .noSpace:
            error.code = .noSpace
            error.cause = "there are \(counted(windows.count, "window")) already"
            error.remedy = "remove one first"
        case .invalid:
            error.cause =
                "the platform doesn't take these numbers, or a part of the memory is registered already"
        default: break
        }
        return error
    }

    /// Version 1 that couldn't be enabled.
    static func enable(_ number: Int, _ errno: Errno) -> VFIOError {
        var error = VFIOError(
            operation: "enable the IOMMU for group \(number)", object: "/dev/vfio/vfio", errno: errno)
        if errno == .noMemory {
            error.code = .memlockLimit
            error.cause = "all of the DMA window counts as locked memory, which is more than the limit"
            error.remedy = "raise the limit: ulimit -l, or LimitMEMLOCK= in a service"
        }
        return error
    }
}
