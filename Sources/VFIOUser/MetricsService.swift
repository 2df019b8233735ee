import LinuxSystem

/// The connections of a ``MetricsEndpoint``, all of them the one thread's.
final class MetricsService: @unchecked Sendable {
    // SAFETY: made by one thread and then used by another alone.
    private let listener: LoopbackSocket
    private let poller: Poller
    /// Stays open as long as it is waited for.
    private let wake: Wake
    private let patience: UInt64
    private let text: @Sendable () -> String
    private var visitors: [MetricsVisitor?] = Array(repeating: nil, count: 16)
    private var isListening = false

    private static let wakeTag = UInt64.max
    private static let listenerTag = UInt64.max - 1

    /// What ends the thread.
    final class Wake: Sendable {
        let event: EventDescriptor
        init() throws(Errno) { event = try EventDescriptor() }
    }

    init(
        _ listener: consuming LoopbackSocket, wake: Wake, milliseconds: Int,
        _ text: @escaping @Sendable () -> String
    ) throws(Errno) {
        poller = try Poller()
        try poller.add(wake.event.number, .readable, tag: Self.wakeTag)
        self.wake = wake
        self.listener = listener
        patience = UInt64(max(milliseconds, 1)) * 1_000_000
        self.text = text
    }

    /// Answers until the eventfd is signalled.
    func run() {
        var events: [Poller.Event] = []
        while true {
            listen(visitors.contains { $0 == nil })
            events.removeAll(keepingCapacity: true)
            // Where even waiting fails there is nothing that could be answered.
            guard (try? poller.wait(into: &events, milliseconds: remaining())) != nil else { return }
            for event in events {
                switch event.tag {
                case Self.wakeTag: return
                case Self.listenerTag: welcome()
                default: attend(Int(event.tag))
                }
            }
            let now = Clock.now
            for place in visitors.indices {
                if let visitor = visitors[place], now >= visitor.deadline { dismiss(place) }
            }
        }
    }

    /// Listens only while there is room: others wait in the system's queue.
    private func listen(_ wanted: Bool) {
        guard wanted != isListening else { return }
        if wanted {
            guard (try? poller.add(listener.descriptor.number, .readable, tag: Self.listenerTag)) != nil
            else { return }
        } else {
            try? poller.remove(listener.descriptor.number)
        }
        isListening = wanted
    }

    /// How long until the next connection's time is over, in milliseconds; nil without any.
    private func remaining() -> Int? {
        guard let first = visitors.compactMap({ $0?.deadline }).min() else { return nil }
        let now = Clock.now
        return first > now ? Int((first - now) / 1_000_000) + 1 : 0
    }

    private func welcome() {
        while let place = visitors.firstIndex(where: { $0 == nil }) {
            do throws(Errno) {
                let visitor = MetricsVisitor(try listener.accept(), deadline: Clock.now + patience)
                try poller.add(visitor.number, .readable, tag: UInt64(place))
                visitors[place] = visitor
            } catch .again {
                return
            } catch .connectionAborted {
                continue
            } catch {
                // No descriptors, for instance: it would be told at once again.
                return Clock.sleep(nanoseconds: 20_000_000)
            }
        }
    }

    private func attend(_ place: Int) {
        guard let visitor = visitors[place] else { return }
        guard visitor.proceed(text) else { return dismiss(place) }
        try? poller.change(visitor.number, visitor.isSending ? .writable : .readable, tag: UInt64(place))
    }

    private func dismiss(_ place: Int) {
        guard let visitor = visitors[place] else { return }
        try? poller.remove(visitor.number)
        visitors[place] = nil
    }
}
