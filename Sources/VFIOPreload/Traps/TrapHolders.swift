import LinuxSystem
import VFIOHost

/// What keeps a device open while something of it is mapped, after the program has closed its handle.
enum TrapHolders {
    private struct Holder {
        /// The program's number; nil once it is closed.
        var handle: Int32?
        /// Our own number for the same open device.
        let number: Int32
        /// How many mappings are being made.
        var uses: Int
    }

    // SAFETY: replaced in the child of a fork only, which has one thread.
    nonisolated(unsafe) private static var lock = Lock()
    // SAFETY: only touched with `lock` held.
    nonisolated(unsafe) private static var holders: [Holder] = []

    /// A number of ours for an open device, to be given back with `letGo`; the program's own where there can't be one.
    static func hold(_ handle: Int32) -> Int32 {
        unsafe lock.withLock {
            if let index = unsafe holders.firstIndex(where: { $0.handle == handle }) {
                unsafe holders[index].uses += 1
                return unsafe holders[index].number
            }
            do throws(Errno) {
                // Made by the system, and high, out of the way of the program's own.
                let number = try Descriptor(duplicating: handle, from: 1000).release()
                Handles.copy(handle, to: number)
                Handles.protect(number)
                unsafe holders.append(Holder(handle: handle, number: number, uses: 1))
                return number
            } catch {
                return handle
            }
        }
    }

    /// A mapping has been made, or not.
    static func letGo(_ number: Int32) {
        unsafe lock.withLock {
            if let index = unsafe holders.firstIndex(where: { $0.number == number }) {
                unsafe holders[index].uses -= 1
            }
        }
        letGoIfUnused(number)
    }

    /// Closes a number of ours of which nothing is mapped any more.
    static func letGoIfUnused(_ number: Int32) {
        let isUnused = unsafe lock.withLock { () -> Bool in
            guard let index = unsafe holders.firstIndex(where: { $0.number == number }),
                unsafe holders[index].uses == 0, !TrapRanges.hasAny(of: number),
                !ProgramMappings.hasAny(of: number)
            else { return false }
            unsafe holders.remove(at: index)
            return true
        }
        if isUnused { Run.present.close(number) }
    }

    /// The program closes its number, which may come to mean another device.
    static func forget(_ handle: Int32) {
        unsafe lock.withLock {
            if let index = unsafe holders.firstIndex(where: { $0.handle == handle }) {
                unsafe holders[index].handle = nil
            }
        }
    }

    /// The child of a fork has one thread, which holds no lock.
    static func beginInChild() { unsafe lock = Lock() }
}
