import LinuxSystem
import Synchronization
import VFIOHost

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
/// The numbers are real. Where a host has a process to itself, an empty memory file holds the place of each, so that
/// nobody else in the process gets it, and ``close(_:)`` ends it. Otherwise ``HandlePlaces`` makes and tells them.
final class FileTable: @unchecked Sendable {
    // SAFETY: `files` is only touched with `lock` held.
    private let lock = Lock()
    /// By number, or by what `places` knows the file by.
    private var files: [OpenFile?] = []
    private let places: (any HandlePlaces)?

    init(_ places: (any HandlePlaces)?) { self.places = places }

    /// How many files are open.
    var count: Int { lock.withLock { files.count { $0 != nil } } }

    /// Gives a new file a number. As in a kernel the number comes first: whoever has no more descriptors is told
    /// so before anything is opened.
    /// - Parameters:
    ///   - node: what is opened; nil for what has no node.
    ///   - make: opens the file; the table takes over the hold on it.
    /// - Throws: `EMFILE` if the process can't have more descriptors; what `make` throws.
    func install(_ node: Node? = nil, _ make: () throws(Errno) -> OpenFile) throws(Errno) -> Int32 {
        if let places {
            let place = try places.make(node)
            do throws(Errno) {
                put(try make(), at: place.file)
            } catch {
                places.discard(place.number)
                throw error
            }
            return place.number
        }
        let place = try MemoryFile.create("vfio-handle", byteCount: 0)
        let file = try make()
        let number = place.release()
        put(file, at: number)
        return number
    }

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
        // Somebody closed the number behind our back, and the system gave it out again.
        stale?.object.letGo()
    }

    /// The file that a number of the caller's stands for. The caller lets go of it when done.
    /// - Throws: `EBADF`
    func hold(_ number: Int32) throws(Errno) -> OpenFile {
        var index = Int(number)
        if let places {
            guard let file = places.file(of: number) else { throw .badDescriptor }
            index = Int(file)
        }
        lock.lock()
        defer { lock.unlock() }
        guard index >= 0 && index < files.count, let file = files[index] else { throw .badDescriptor }
        file.object.hold()
        return file
    }

    /// Takes a number out of the table and closes it. Unknown numbers are left alone.
    func close(_ number: Int32) {
        if let places {
            places.close(number) { release($0) }
            return
        }
        guard let file = take(number) else { return }
        // Out of the table first: from here on the number may be anybody's.
        _ = Descriptor(owning: number)
        file.object.letGo()
    }

    /// The last number of a file has gone, in whatever process; see ``HandlePlaces``.
    func release(_ file: Int32) { take(file)?.object.letGo() }

    private func take(_ number: Int32) -> OpenFile? {
        let index = Int(number)
        lock.lock()
        defer { lock.unlock() }
        guard index >= 0 && index < files.count else { return nil }
        return files[index].take()
    }

    /// Closes all numbers, in ascending order.
    func closeAll() {
        let count = lock.withLock { files.count }
        for number in 0..<count {
            if places == nil { close(Int32(number)) } else { release(Int32(number)) }
        }
    }
}
