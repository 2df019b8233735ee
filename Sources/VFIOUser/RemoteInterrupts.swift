import LinuxSystem
import VFIOABI

/// A SET_IRQS of a program, its lengths checked.
struct RemoteInterruptRequest {
    var flags: IRQSetFlags
    var index: UInt32
    var start: Int
    var count: Int
    /// One for each of `count`, where `flags` says so.
    var booleans: [UInt8] = []
    /// One for each of `count`, where `flags` says so; nil for none.
    var events: [RemoteEvent?] = []

    var data: IRQSetFlags { flags.intersection(.dataTypeMask) }
    var action: IRQSetFlags { flags.intersection(.actionTypeMask) }
}

/// An eventfd of a program's, kept open as a kernel keeps it.
final class RemoteEvent: Sendable {
    private let event: EventDescriptor
    var number: Int32 { event.number }
    func signal() { event.signal() }

    /// - Throws: `EBADF`; `EINVAL` for a descriptor that isn't an eventfd's.
    init(_ number: Int32) throws(Errno) { event = try EventDescriptor(duplicating: number) }
}

/// The interrupts that a program has set up in a server's device, and the way to set them up again.
struct RemoteInterrupts {
    /// The index in use of those that exclude one another: INTx, MSI, MSI-X.
    private var kind: UInt32?
    /// The eventfds by index.
    private var triggers: [UInt32: [RemoteEvent?]] = [:]
    /// The eventfd that unmasks INTx.
    private var unmask: RemoteEvent?

    /// The eventfd for errors.
    var errorEvent: RemoteEvent? { triggers[PCIInterrupt.err.rawValue]?.first ?? nil }

    /// The indices that something is set up for.
    var indicesInUse: [UInt32] { triggers.keys.sorted() }

    private static func isExclusive(_ index: UInt32) -> Bool { index <= PCIInterrupt.msix.rawValue }

    /// What Linux refuses before the device is asked (kernel.md D.7, D.8).
    func check(_ request: RemoteInterruptRequest) throws(Errno) {
        let isLine = request.index == PCIInterrupt.intx.rawValue
        let isInUse = kind == request.index
        guard request.action == .actionTrigger else {
            guard isLine, request.action == .actionMask || request.action == .actionUnmask else {
                throw .noSuchRequest
            }
            guard isInUse, request.start == 0, request.count == 1 else { throw .invalid }
            if request.data == .dataEventFD && request.action == .actionMask { throw .noSuchRequest }
            return
        }
        guard Self.isExclusive(request.index) else {
            if request.data == .dataNone && triggers[request.index] == nil { throw .invalid }
            if request.data != .dataNone && request.count == 0 { throw .invalid }
            return
        }
        if isInUse && request.count == 0 && request.data == .dataNone { return }
        guard isInUse || kind == nil, request.count > 0 else { throw .invalid }
        if isLine && request.start != 0 { throw .invalid }
        if request.data != .dataEventFD && !isInUse { throw .invalid }
    }

    /// Sends a request on, in as many commands as the server's limits ask for, and remembers what it set up.
    mutating func carryOut(_ request: RemoteInterruptRequest, _ client: Client) throws(ClientFailure) {
        let header = IRQSet(
            flags: request.flags, index: request.index, start: UInt32(request.start),
            count: UInt32(request.count))
        guard request.data == .dataEventFD else {
            try client.setInterrupts(header, booleans: request.booleans)
            if request.action == .actionTrigger && request.data == .dataNone && request.count == 0 {
                forget(request.index)
            }
            return
        }
        try Self.send(request.events, request.flags, request.index, from: request.start, client)
        if request.action == .actionUnmask {
            unmask = request.events[0]
            return
        }
        if !Self.isExclusive(request.index) && request.events.allSatisfy({ $0 == nil }) {
            triggers[request.index] = nil
            return
        }
        if Self.isExclusive(request.index) { kind = request.index }
        var all = triggers[request.index] ?? []
        while all.count < request.start + request.count { all.append(nil) }
        for offset in 0..<request.count { all[request.start + offset] = request.events[offset] }
        triggers[request.index] = all
    }

    private mutating func forget(_ index: UInt32) {
        triggers[index] = nil
        if kind == index {
            kind = nil
            unmask = nil
        }
    }

    /// Sets everything up in a server that has just come.
    func restore(_ client: Client) throws(ClientFailure) {
        let flags: IRQSetFlags = [.dataEventFD, .actionTrigger]
        for (index, events) in triggers { try Self.send(events, flags, index, from: 0, client) }
        if let unmask {
            try Self.send(
                [unmask], [.dataEventFD, .actionUnmask], PCIInterrupt.intx.rawValue, from: 0, client)
        }
    }

    /// Sends eventfds. A command has one for each of its interrupts, or none for all of them.
    private static func send(
        _ events: [RemoteEvent?], _ flags: IRQSetFlags, _ index: UInt32, from start: Int, _ client: Client
    ) throws(ClientFailure) {
        var done = 0
        while done < events.count {
            let isNone = events[done] == nil
            var numbers: [Int32] = []
            var end = done
            while end < events.count, (events[end] == nil) == isNone,
                isNone || numbers.count < client.mostDescriptors
            {
                if let event = events[end] { numbers.append(event.number) }
                end += 1
            }
            try client.setInterrupts(
                IRQSet(
                    flags: flags, index: index, start: UInt32(start + done), count: UInt32(end - done)),
                descriptors: numbers)
            done = end
        }
    }
}
