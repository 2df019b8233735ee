import LinuxSystem
import VFIOABI
import VFIOHost

/// A host in front of another one: counts what is open, lets a chosen call fail, and changes answers.
final class FaultyHost: Host, @unchecked Sendable {
    /// A call that can be made to fail.
    enum Call: Equatable {
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
    private var calls: [Call] = []
    private var closings: [String] = []
    private var failing: (number: Int, errno: Errno)?
    private var rules: [(matches: (Call) -> Bool, answer: (UInt) -> Result<Int32, Errno>?)] = []
    private var names: [Int32: String] = [:]
    /// Changes the inventory.
    var inventoryChange: (@Sendable (inout Inventory) -> Void)?
    /// Answers reads below this offset of a handle instead of the host; for made-up configuration spaces.
    var madeUpRead: (@Sendable (UInt64, inout MutableRawSpan) -> Bool)?

    init(_ inner: any Host) { self.inner = inner }

    var kind: HostKind { inner.kind }

    /// Handles that are open.
    var openCount: Int { lock.withLock { openHandles.count } }
    /// Mappings that are there.
    var mappingCount: Int { lock.withLock { mappings.count } }
    /// How many calls have been made.
    var callCount: Int { lock.withLock { calls.count } }
    /// The order in which handles were closed, by what they were opened as.
    var closingOrder: [String] { lock.withLock { closings } }
    /// All calls so far.
    var allCalls: [Call] { lock.withLock { calls } }

    /// Lets the call with a number (from 1) fail.
    func fail(call number: Int, with errno: Errno) {
        lock.withLock {
            failing = (number, errno)
            calls = []
        }
    }

    /// Ends all made-up failures.
    func healAll() {
        lock.withLock {
            failing = nil
            rules = []
        }
    }

    /// Lets every call of a kind fail.
    func fail(_ call: Call, with errno: Errno) {
        lock.withLock { rules.append(({ $0 == call }, { _ in .failure(errno) })) }
    }

    /// Answers a request in the host's place; `nil` leaves it to the host.
    func answer(_ request: Request, _ body: @escaping (UInt) -> Result<Int32, Errno>?) {
        let number = UInt32(request.rawValue)
        lock.withLock { rules.append(({ $0 == .control(number) }, body)) }
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

    func open(_ node: Node) throws(Errno) -> Int32 {
        _ = try enter(.open(node))
        let handle = try inner.open(node)
        note(handle, node.path)
        return handle
    }

    func close(_ handle: Int32) {
        lock.withLock {
            openHandles.removeAll { $0 == handle }
            closings.append(names[handle] ?? "unknown")
        }
        inner.close(handle)
    }

    func control(_ handle: Int32, _ request: UInt32, _ argument: UInt) throws(Errno) -> Int32 {
        if let answer = try enter(.control(request), argument) { return answer }
        let result = try inner.control(handle, request, argument)
        if request == UInt32(Request.groupGetDeviceFD.rawValue) { note(result, "device") }
        return result
    }

    func read(_ handle: Int32, at offset: UInt64, into bytes: inout MutableRawSpan) throws(Errno) -> Int {
        _ = try enter(.read)
        if let madeUpRead, madeUpRead(offset, &bytes) { return bytes.byteCount }
        return try inner.read(handle, at: offset, into: &bytes)
    }

    func write(_ handle: Int32, at offset: UInt64, _ bytes: RawSpan) throws(Errno) -> Int {
        _ = try enter(.write)
        return try inner.write(handle, at: offset, bytes)
    }

    func map(
        _ handle: Int32, at offset: UInt64, byteCount: Int, protection: Mapping.Protection
    ) throws(Errno) -> MemoryWindow {
        _ = try enter(.map)
        let window = try inner.map(handle, at: offset, byteCount: byteCount, protection: protection)
        lock.withLock { mappings.append(window.address) }
        return window
    }

    func unmap(_ window: MemoryWindow) {
        lock.withLock { mappings.removeAll { $0 == window.address } }
        inner.unmap(window)
    }

    func inventory() throws(InventoryError) -> Inventory {
        var inventory = try inner.inventory()
        inventoryChange?(&inventory)
        return inventory
    }
}
