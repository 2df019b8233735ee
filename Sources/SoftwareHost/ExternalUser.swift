import LinuxSystem
import VFIOABI
import VFIOHost

// What a kernel offers to other parts of itself that get VFIO's files from user space, as KVM does (kernel.md
// A.10): the protocol of 2013, by which a group can't leave its container while somebody else relies on it, and
// today's, which only keeps files open and asks about them.

/// Somebody besides the program who relies on a group's being in a container with an IOMMU (the protocol of
/// 2013 to 2022, Linux 3.10 to 5.18).
///
/// As long as this object lives, or until ``release()``, the group can't leave its container
/// (`VFIO_GROUP_UNSET_CONTAINER` is refused with `EBUSY`), and its file stays open when the program closes it.
public final class ExternalGroupUser: @unchecked Sendable {
    // SAFETY: `file` is only touched with `lock` held.
    private let lock = Lock()
    private var file: GroupFile?
    /// The number of the IOMMU group (`vfio_external_user_iommu_id`).
    public let groupNumber: Int

    fileprivate init(_ file: GroupFile) {
        self.file = file
        groupNumber = file.group.number
    }

    deinit { release() }

    /// Whether the group's container offers something (`vfio_external_check_extension`): as
    /// `VFIO_CHECK_EXTENSION`; 0 after the release.
    public func checkExtension(_ number: UInt) -> Int32 {
        lock.withLock { file }?.checkExtension(Extension(rawValue: number)) ?? 0
    }

    /// Relies on the group no longer (`vfio_group_put_external_user`); nothing happens the second time.
    public func release() {
        let file = lock.withLock { () -> GroupFile? in
            defer { self.file = nil }
            return self.file
        }
        file?.removeExternalUser()
    }
}

/// A file that is kept open, whatever the program does with its handle.
public final class HeldFile: Sendable {
    // SAFETY: never changes; the files guard themselves.
    nonisolated(unsafe) private let file: OpenFile?

    /// Takes over the hold on the file.
    fileprivate init(_ file: OpenFile?) { unsafe self.file = file }

    deinit { opened?.object.letGo() }

    fileprivate var opened: OpenFile? { unsafe file }

    /// Whether it is a group's or a device's (`vfio_file_is_valid`).
    public var isValid: Bool {
        switch opened {
        case .group, .device: true
        default: false
        }
    }

    /// Whether it is a group's (`vfio_file_is_group`).
    public var isGroup: Bool {
        if case .group = opened { true } else { false }
    }

    /// Whether the IOMMU makes the DMA of all its devices coherent with the processor's caches
    /// (`vfio_file_enforced_coherent`); true for files that aren't VFIO's.
    public var enforcesCoherency: Bool {
        switch opened {
        case .group(let file): file.enforcesCoherency
        case .device(let file): file.core.iommu.enforcesCoherency
        default: true
        }
    }

    /// Whether it gives access to a device (`vfio_file_has_dev`): the device's own, or its group's.
    public func has(_ address: PCIAddress) -> Bool {
        switch opened {
        case .group(let file): file.has(address)
        case .device(let file): file.device.address == address
        default: false
        }
    }

    /// One virtual machine more or less knows the group, if the file is one's.
    fileprivate func countVirtualMachine(_ change: Int) {
        guard case .group(let file) = opened else { return }
        file.core.lock.withLock { file.group.virtualMachineCount += change }
    }

    fileprivate func isSame(as other: HeldFile) -> Bool { opened?.object === other.opened?.object }
}

/// A set of groups and devices that is kept open, as KVM's VFIO device does (`KVM_DEV_TYPE_VFIO`).
public final class VFIODeviceFiles: @unchecked Sendable {
    // SAFETY: `files` is only touched with `lock` held.
    private let host: SoftwareHost
    private let lock = Lock()
    private var files: [HeldFile] = []

    /// An empty set of files of a host.
    public init(of host: SoftwareHost) { self.host = host }

    deinit {
        for file in files { file.countVirtualMachine(-1) }
    }

    /// Adds the file behind a handle (`KVM_DEV_VFIO_FILE_ADD`).
    /// - Throws: `EBADF` for a number that nothing is open behind; `EINVAL` for a file that isn't a group's or a
    ///   device's; `EEXIST` for one that is in the set.
    public func add(_ handle: Int32) throws(Errno) {
        let file = try host.holdFile(handle)
        guard file.isValid else { throw .invalid }
        try lock.withLock { () throws(Errno) in
            if files.contains(where: { $0.isSame(as: file) }) { throw .exists }
            files.append(file)
        }
        file.countVirtualMachine(1)
    }

    /// Removes the file behind a handle (`KVM_DEV_VFIO_FILE_DEL`).
    /// - Throws: `EBADF` for a number that nothing is open behind; `ENOENT` for a file that isn't in the set.
    public func remove(_ handle: Int32) throws(Errno) {
        let file = try host.holdFile(handle)
        // The last hold ends after the lock's: files may be closed by it.
        let removed = try lock.withLock { () throws(Errno) -> HeldFile in
            guard let index = files.firstIndex(where: { $0.isSame(as: file) }) else { throw .noSuchEntry }
            return files.remove(at: index)
        }
        removed.countVirtualMachine(-1)
    }

    /// How many files there are.
    public var count: Int { lock.withLock { files.count } }

    /// Whether the DMA of all their devices is coherent with the processor's caches.
    public var enforcesCoherency: Bool {
        lock.withLock { files }.allSatisfy { $0.enforcesCoherency }
    }
}

extension SoftwareHost {
    /// Relies on a group, as KVM did until Linux 5.18 (`vfio_group_get_external_user`).
    /// - Throws: `EBADF` for a number that isn't a handle; `EINVAL` for one that isn't a group's, and for a group
    ///   without a container or whose container has no IOMMU; `EPERM` for a group without an IOMMU behind it.
    public func externalUser(ofGroup handle: Int32) throws(Errno) -> ExternalGroupUser {
        let file = try core.files.hold(handle)
        guard case .group(let group) = file else {
            file.object.letGo()
            throw .invalid
        }
        do throws(Errno) {
            try group.addExternalUser()
        } catch {
            group.letGo()
            throw error
        }
        return ExternalGroupUser(group)
    }

    /// The file behind a handle, kept open as long as the result lives. Descriptors of other kinds have one, too,
    /// which isn't valid.
    /// - Throws: `EBADF` for a number that nothing is open behind.
    public func holdFile(_ handle: Int32) throws(Errno) -> HeldFile {
        do throws(Errno) {
            return HeldFile(try core.files.hold(handle))
        } catch {
            guard Descriptor.isOpen(handle) else { throw error }
            return HeldFile(nil)
        }
    }
}
