import LinuxSystem
import Synchronization

/// An open file of the software kernel: counted by everything that keeps it open, released when the last of it
/// has gone. Linux's `struct file`.
///
/// Holders are the descriptor table, calls under way, mappings, and other files (an open device holds its
/// group's file). `release` runs once, on the thread of the last holder, with no lock held.
class FileObject {
    private let holders = Atomic<Int>(1)

    /// Keeps the file open. The caller holds it already, or holds the table's lock.
    final func hold() { holders.wrappingAdd(1, ordering: .relaxed) }

    /// Lets go of the file.
    final func letGo() {
        if holders.wrappingSubtract(1, ordering: .acquiringAndReleasing).newValue == 0 { release() }
    }

    /// The last holder has gone.
    func release() {}

    /// A mapping of the file ends; only files that can be mapped are asked.
    func unmap(_ window: MemoryWindow) {}
}

/// The kinds of open files. An enumeration instead of casts: those don't exist in Embedded Swift.
enum OpenFile {
    case container(Container)
    case group(GroupFile)
    case device(DeviceFile)
    case iommufd(IOMMUFD)
    case migration(MigrationFile)
    case plane(PlaneFile)
    case dmaBuf(DMABuf)
    case faultQueue(FaultQueueFile)

    /// The file, whatever its kind.
    var object: FileObject {
        switch self {
        case .container(let file): file
        case .group(let file): file
        case .device(let file): file
        case .iommufd(let file): file
        case .migration(let file): file
        case .plane(let file): file
        case .dmaBuf(let file): file
        case .faultQueue(let file): file
        }
    }
}

/// The handles of one host: which descriptor number stands for which open file.
///
/// The numbers are real: an empty memory file holds the place of each, so that nobody else in the process gets
/// it.
final class FileTable: @unchecked Sendable {
    // SAFETY: `files` and `watcher` are only touched with `lock` held.
    private let lock = Lock()
    private var files: [OpenFile?] = []
    private var watcher: (any HandleWatcher)?

    /// Tells somebody of each new number from now on.
    func watch(_ watcher: any HandleWatcher) { lock.withLock { self.watcher = watcher } }

    /// How many files are open.
    var count: Int { lock.withLock { files.count { $0 != nil } } }

    /// Gives a new file a number. As in a kernel the number comes first: whoever has no more descriptors is told
    /// so before anything is opened.
    /// - Parameter make: opens the file; the table takes over the hold on it.
    /// - Throws: `EMFILE` if the process can't have more descriptors, or the watcher can't; what `make` throws.
    func install(_ make: () throws(Errno) -> OpenFile) throws(Errno) -> Int32 {
        let place = try MemoryFile.create("vfio-handle", byteCount: 0)
        if let watcher = lock.withLock({ watcher }), !watcher.canWatch(place.number) {
            throw .tooManyDescriptors
        }
        let file = try make()
        let number = place.release()
        put(file, at: number)
        lock.withLock { watcher }?.handleOpened(number)
        return number
    }

    /// Gives a file a further number, which dup(2) or one of its relatives has made of another: both stand for it from
    /// now on, and it is closed with the last.
    /// - Throws: `EBADF` for a number that isn't a handle.
    func share(_ number: Int32, as other: Int32) throws(Errno) {
        guard other >= 0 else { throw .badDescriptor }
        // The hold is the table's own from here on.
        put(try hold(number), at: other)
    }

    /// Takes a number out of the table that isn't the process's descriptor for the file any more. Unknown numbers are
    /// left alone.
    func forget(_ number: Int32) { take(number)?.object.letGo() }

    private func put(_ file: OpenFile, at number: Int32) {
        let index = Int(number)
        let stale = lock.withLock { () -> OpenFile? in
            if index >= files.count {
                files.append(contentsOf: repeatElement(nil, count: max(16, index + 1 - files.count)))
            }
            let stale = files[index]
            files[index] = file
            return stale
        }
        // Somebody closed the number behind our back, and the system gave it out again; or it was put over.
        stale?.object.letGo()
    }

    private func take(_ number: Int32) -> OpenFile? {
        let index = Int(number)
        return lock.withLock { () -> OpenFile? in
            guard index >= 0 && index < files.count else { return nil }
            let file = files[index]
            files[index] = nil
            return file
        }
    }

    /// The file that a number stands for. The caller lets go of it when done.
    /// - Throws: `EBADF`
    func hold(_ number: Int32) throws(Errno) -> OpenFile {
        lock.lock()
        defer { lock.unlock() }
        let index = Int(number)
        guard index >= 0 && index < files.count, let file = files[index] else { throw .badDescriptor }
        file.object.hold()
        return file
    }

    /// Takes a number out of the table and closes it. Unknown numbers are left alone.
    func close(_ number: Int32) {
        guard let file = take(number) else { return }
        // Out of the table first: from here on the number may be anybody's.
        _ = Descriptor(owning: number)
        file.object.letGo()
    }

    /// Closes all numbers, in ascending order.
    func closeAll() {
        let count = lock.withLock { files.count }
        for number in 0..<count { close(Int32(number)) }
    }
}
