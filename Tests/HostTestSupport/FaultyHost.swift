import LinuxSystem
import VFIOABI
import VFIOHost

/// A host in front of another one: counts what is open, lets a chosen call fail, and changes answers.
///
/// What it is told to do with requests is done under its lock: it must not call the host.
package final class FaultyHost: Host, @unchecked Sendable {
    /// A call that can be made to fail.
    package enum Call: Equatable {
        case open(Node)
        case control(UInt32)
        case read
        case write
        case map
    }

    private let inner: any Host
    private let lock = Lock()
    // Guarded by `lock`.
    private var openHandles: [Int32] = []
    private var mappings: [HostAddress] = []
    private var madeUpWindows: [HostAddress] = []
    private var calls: [Call] = []
    private var closings: [String] = []
    private var failing: (number: Int, errno: Errno)?
    private var rules: [(matches: (Call) -> Bool, answer: (UInt) -> Result<Int32, Errno>?)] = []
    private var amendments: [(request: UInt32, change: (UInt) -> Void)] = []
    private var names: [Int32: String] = [:]
    /// Changes the inventory.
    package var inventoryChange: (@Sendable (inout Inventory) -> Void)?
    /// Answers reads at these offsets of a handle instead of the host, and tells how many bytes it gave; for made-up
    /// configuration spaces, and hosts that give too few.
    package var madeUpRead: (@Sendable (UInt64, inout MutableRawSpan) -> Int?)?
    /// Answers writes at these offsets instead of the host, and tells how many bytes it took.
    package var madeUpWrite: (@Sendable (UInt64, RawSpan) -> Int?)?

    /// Answers mappings with memory of its own instead of the host; the host in front owns that from then on.
    package var madeUpMap: (@Sendable (_ offset: UInt64, _ byteCount: Int) -> MemoryWindow?)?

    package init(_ inner: any Host) { self.inner = inner }

    package var kind: HostKind { inner.kind }

    /// Handles that are open.
    package var openCount: Int { lock.withLock { openHandles.count } }
    /// Mappings that are there.
    package var mappingCount: Int { lock.withLock { mappings.count } }
    /// How many calls have been made.
    package var callCount: Int { lock.withLock { calls.count } }
    /// The order in which handles were closed, by what they were opened as.
    package var closingOrder: [String] { lock.withLock { closings } }
    /// All calls so far.
    package var allCalls: [Call] { lock.withLock { calls } }

    /// Lets the call with a number (from 1) fail.
    package func fail(call number: Int, with errno: Errno) {
        lock.withLock {
            failing = (number, errno)
            calls = []
        }
    }

    /// Ends all made-up failures.
    package func healAll() {
        lock.withLock {
            failing = nil
            rules = []
            amendments = []
        }
    }

    /// Lets every call of a kind fail.
    package func fail(_ call: Call, with errno: Errno) {
        lock.withLock { rules.append(({ $0 == call }, { _ in .failure(errno) })) }
    }

    /// Lets the calls fail that a rule is true for. The rule sees every call once.
    package func fail(calls matches: @escaping (Call) -> Bool, with errno: Errno) {
        lock.withLock { rules.append((matches, { _ in .failure(errno) })) }
    }

    /// Answers a request with success at once, without the host.
    package func accept(_ request: Request) { answer(request) { _ in .success(0) } }

    /// Answers a request in the host's place; `nil` leaves it to the host.
    package func answer(_ request: Request, _ body: @escaping (UInt) -> Result<Int32, Errno>?) {
        let number = UInt32(request.rawValue)
        lock.withLock { rules.append(({ $0 == .control(number) }, body)) }
    }

    /// Sees a request's argument before the host does.
    package func watch<T: ABIValue>(_ request: Request, _ empty: T, _ body: @escaping (T) -> Void) {
        answer(request) { argument in
            if let value = try? UserMemory.load(empty, from: HostAddress(rawValue: argument)) { body(value) }
            return nil
        }
    }

    /// Changes the answers that the host gave to a request.
    package func amend(_ request: Request, _ body: @escaping (UInt) -> Void) {
        lock.withLock { amendments.append((UInt32(request.rawValue), body)) }
    }

    private func enter(_ call: Call, _ argument: UInt = 0) throws(Errno) -> Int32? {
        let verdict = lock.withLock { () -> Result<Int32, Errno>? in
            calls.append(call)
            if let failing, failing.number == calls.count { return .failure(failing.errno) }
            for rule in rules where rule.matches(call) {
                if let answer = rule.answer(argument) { return answer }
            }
            return nil
        }
        guard let verdict else { return nil }
        return try verdict.get()
    }

    private func note(_ handle: Int32, _ name: String) {
        lock.withLock {
            openHandles.append(handle)
            names[handle] = name
        }
    }

    package func open(_ node: Node) throws(Errno) -> Int32 {
        _ = try enter(.open(node))
        let handle = try inner.open(node)
        note(handle, node.path)
        return handle
    }

    package func close(_ handle: Int32) {
        lock.withLock {
            openHandles.removeAll { $0 == handle }
            closings.append(names[handle] ?? "unknown")
        }
        inner.close(handle)
    }

    package func control(_ handle: Int32, _ request: UInt32, _ argument: UInt) throws(Errno) -> Int32 {
        if let answer = try enter(.control(request), argument) { return answer }
        let result = try inner.control(handle, request, argument)
        lock.withLock {
            for amendment in amendments where amendment.request == request { amendment.change(argument) }
        }
        if request == UInt32(Request.groupGetDeviceFD.rawValue) { note(result, "device") }
        return result
    }

    package func read(_ handle: Int32, at offset: UInt64, into bytes: inout MutableRawSpan) throws(Errno)
        -> Int
    {
        _ = try enter(.read)
        if let count = madeUpRead?(offset, &bytes) { return count }
        return try inner.read(handle, at: offset, into: &bytes)
    }

    package func write(_ handle: Int32, at offset: UInt64, _ bytes: RawSpan) throws(Errno) -> Int {
        _ = try enter(.write)
        if let count = madeUpWrite?(offset, bytes) { return count }
        return try inner.write(handle, at: offset, bytes)
    }

    package func map(
        _ handle: Int32, at offset: UInt64, byteCount: Int, protection: Mapping.Protection
    ) throws(Errno) -> MemoryWindow {
        _ = try enter(.map)
        if let window = madeUpMap?(offset, byteCount) {
            lock.withLock {
                mappings.append(window.address)
                madeUpWindows.append(window.address)
            }
            return window
        }
        let window = try inner.map(handle, at: offset, byteCount: byteCount, protection: protection)
        lock.withLock { mappings.append(window.address) }
        return window
    }

    package func unmap(_ window: MemoryWindow) {
        let isMadeUp = lock.withLock {
            mappings.removeAll { $0 == window.address }
            defer { madeUpWindows.removeAll { $0 == window.address } }
            return madeUpWindows.contains(window.address)
        }
        if !isMadeUp { return inner.unmap(window) }
        // SAFETY: a whole mapping that was given away to this host.
        _ = unsafe Mapping(owning: window)
    }

    package func inventory() throws(InventoryError) -> Inventory {
        var inventory = try inner.inventory()
        inventoryChange?(&inventory)
        return inventory
    }
}
