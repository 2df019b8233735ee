import LinuxSystem

/// The parts of devices, and of their pictures, that users have mapped: which addresses of the process show one.
final class UserMappings: @unchecked Sendable {
    // SAFETY: `mappings` is only touched with `lock` held.
    private let lock = Lock()
    private var mappings: [(window: MemoryWindow, file: FileObject)] = []

    /// Takes over a hold on the file.
    func add(_ window: MemoryWindow, of file: FileObject) {
        lock.withLock { mappings.append((window, file)) }
    }

    /// Forgets a mapping; the hold on the file goes over to the caller.
    /// - Returns: nil if there is no such mapping.
    func remove(_ window: MemoryWindow) -> FileObject? {
        lock.withLock {
            let index = mappings.firstIndex {
                $0.window.address == window.address && $0.window.byteCount == window.byteCount
            }
            guard let index else { return nil }
            return mappings.remove(at: index).file
        }
    }

    /// Takes all of them away.
    func removeAll() -> [(window: MemoryWindow, file: FileObject)] {
        lock.withLock {
            defer { mappings = [] }
            return mappings
        }
    }

    /// Whether a device shows anywhere in a range of addresses.
    func overlap(_ address: UInt64, byteCount: UInt64) -> Bool {
        lock.withLock {
            mappings.contains {
                let start = UInt64($0.window.address.rawValue)
                return start < address &+ byteCount && address < start &+ UInt64($0.window.byteCount)
            }
        }
    }
}
