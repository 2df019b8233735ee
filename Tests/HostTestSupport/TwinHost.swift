import LinuxSystem
import VFIOABI
import VFIOHost

/// Two hosts that a program takes for one, because its device is moved from one to the other and back: what a machine
/// monitor does for its guest.
///
/// Requests that change something go to both, so that the device that waits has the same memory, interrupts and configuration space. Registers are those
/// of the device that works. Requests about migration go to the side that was chosen with ``side``. Only the way in by
/// container and group, and one device.
package final class TwinHost: Host, @unchecked Sendable {
    private let sides: [any Host]
    /// Held by whoever touches the registers, and while the device is nowhere.
    private let registers = Lock()
    private let lock = Lock()
    // Guarded by `lock`.
    private var seconds: [Int32: Int32] = [:]
    private var streams: [Int32: Int] = [:]
    private var chosen = 0
    // Guarded by `registers`.
    private var working = 0

    package init(_ first: any Host, _ second: any Host) { sides = [first, second] }

    package var kind: HostKind { sides[0].kind }

    /// The side that requests about migration are for: 0 or 1.
    package var side: Int {
        get { lock.withLock { chosen } }
        set { lock.withLock { chosen = newValue } }
    }

    /// Keeps everybody from the registers.
    package func stop() { registers.lock() }

    /// Lets everybody touch the registers of the device on a side.
    package func resume(on side: Int) {
        working = side
        registers.unlock()
    }

    private func handle(_ handle: Int32, on side: Int) -> Int32 {
        side == 0 ? handle : lock.withLock { seconds[handle] ?? -1 }
    }

    private func remember(_ first: Int32, _ second: Int32) { lock.withLock { seconds[first] = second } }

    package func open(_ node: Node) throws(Errno) -> Int32 {
        let first = try sides[0].open(node)
        remember(first, try sides[1].open(node))
        return first
    }

    package func close(_ handle: Int32) {
        if let side = lock.withLock({ streams.removeValue(forKey: handle) }) {
            return sides[side].close(handle)
        }
        let second = lock.withLock { seconds.removeValue(forKey: handle) }
        sides[0].close(handle)
        if let second { sides[1].close(second) }
    }

    package func control(_ handle: Int32, _ request: UInt32, _ argument: UInt) throws(Errno) -> Int32 {
        switch Request(rawValue: UInt(request)) {
        case .groupSetContainer:
            let result = try sides[0].control(handle, request, argument)
            var container = self.handle(
                try UserMemory.load(Int32(0), from: HostAddress(rawValue: argument)), on: 1)
            let group = self.handle(handle, on: 1)
            // SAFETY: the address is used during the call only.
            _ = try unsafe withUnsafeMutableBytes(of: &container) { (bytes) throws(Errno) -> Int32 in
                try sides[1].control(group, request, UInt(bitPattern: bytes.baseAddress))
            }
            return result
        case .groupGetDeviceFD:
            let first = try sides[0].control(handle, request, argument)
            remember(first, try sides[1].control(self.handle(handle, on: 1), request, argument))
            return first
        case .deviceFeature: return try feature(handle, request, argument)
        case .migrationGetPrecopyInfo:
            return try sides[lock.withLock { streams[handle] ?? 0 }].control(handle, request, argument)
        case .setIOMMU, .iommuMapDMA, .iommuUnmapDMA, .deviceSetIRQs, .deviceReset, .groupUnsetContainer:
            let result = try sides[0].control(handle, request, argument)
            _ = try sides[1].control(self.handle(handle, on: 1), request, argument)
            return result
        default:
            // Questions, whose answers are the same. Asked with the same structure again, the second side would take
            // the size that the first one says it needs for the size that there is.
            return try sides[0].control(handle, request, argument)
        }
    }

    private func feature(_ handle: Int32, _ request: UInt32, _ argument: UInt) throws(Errno) -> Int32 {
        let side = self.side
        let address = HostAddress(rawValue: argument)
        let header = try UserMemory.load(DeviceFeature(), from: address)
        let result = try sides[side].control(self.handle(handle, on: side), request, argument)
        if header.flags.feature == .migrationDeviceState, header.flags.contains(.set) {
            let answer = try UserMemory.load(MigrationStateFeature(), from: address + 8)
            if answer.dataFD >= 0 { lock.withLock { streams[answer.dataFD] = side } }
        }
        return result
    }

    package func read(_ handle: Int32, at offset: UInt64, into bytes: inout MutableRawSpan) throws(Errno)
        -> Int
    {
        registers.lock()
        defer { registers.unlock() }
        return try sides[working].read(self.handle(handle, on: working), at: offset, into: &bytes)
    }

    package func write(_ handle: Int32, at offset: UInt64, _ bytes: RawSpan) throws(Errno) -> Int {
        registers.lock()
        defer { registers.unlock() }
        let result = try sides[working].write(self.handle(handle, on: working), at: offset, bytes)
        // The configuration space of the one that waits follows.
        if offset >> 40 == UInt64(PCIRegion.config.rawValue) {
            _ = try sides[1 - working].write(self.handle(handle, on: 1 - working), at: offset, bytes)
        }
        return result
    }

    package func read(_ handle: Int32, into bytes: inout MutableRawSpan) throws(Errno) -> Int {
        try sides[lock.withLock { streams[handle] ?? 0 }].read(handle, into: &bytes)
    }

    package func write(_ handle: Int32, _ bytes: RawSpan) throws(Errno) -> Int {
        try sides[lock.withLock { streams[handle] ?? 0 }].write(handle, bytes)
    }

    /// Nothing can be mapped: a mapping would stay with one side.
    package func map(
        _ handle: Int32, at offset: UInt64, byteCount: Int, protection: Mapping.Protection
    ) throws(Errno) -> MemoryWindow {
        throw .invalid
    }

    package func unmap(_ window: MemoryWindow) {}

    package func inventory() throws(InventoryError) -> Inventory { try sides[0].inventory() }
}
