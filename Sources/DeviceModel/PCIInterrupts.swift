import LinuxSystem

/// An eventfd that an interrupt signals.
package final class PCITrigger: Sendable {
    private let event: EventDescriptor

    /// - Throws: `EBADF` for a number that isn't open, `EINVAL` for one that isn't an eventfd.
    package init(_ number: Int32) throws(Errno) { event = try EventDescriptor(duplicating: number) }

    package func signal() { event.signal() }

    /// The number of a descriptor of it.
    package var number: Int32 { event.number }
}

/// What becomes of a device's interrupts: which kind is in use and which eventfds are signalled
/// (kernel.md D.8).
///
/// One short lock guards it. It is the innermost one: nothing is called while it is held but write(2) on an
/// eventfd, so that interrupts may be raised from any thread and from within any access, and so that no
/// eventfd is signalled any more once it has been replaced.
package final class PCIInterrupts: @unchecked Sendable {
    // SAFETY: all state is guarded by `lock`.

    /// The kind of interrupt in use: one at a time.
    package enum Kind: Equatable {
        case none, line, msi, msix
    }

    /// Nothing is in use.
    package init() {}

    private let lock = Lock()
    private var active = Kind.none
    private var vectors: [PCITrigger?] = []
    /// The MSI vectors, as bits, that have had no eventfd since MSI was enabled. A message that comes for one
    /// is kept for its first eventfd, as Linux does for devices whose messages can't be masked.
    private var untouched: UInt32 = 0
    /// Those of them that a message came for.
    private var kept: UInt32 = 0
    private var lineTrigger: PCITrigger?
    private var isLineMasked = false
    private var isLineHigh = false
    private var lineIsDisabled = false
    private var errorTrigger: PCITrigger?
    private var requestTrigger: PCITrigger?

    /// How many interrupts have signalled an eventfd, by kind.
    package struct Deliveries: Equatable, Sendable {
        package var line: UInt64 = 0
        package var msi: UInt64 = 0
        package var msix: UInt64 = 0
        package var error: UInt64 = 0
        package var request: UInt64 = 0

        package init() {}
    }

    private var delivered = Deliveries()

    /// What was delivered since this was made.
    package var deliveries: Deliveries { lock.withLock { delivered } }

    /// The kind in use.
    package var kind: Kind { lock.withLock { active } }

    /// Everything off and forgotten: the last handle is gone, or the first is about to come. The level of the
    /// line is the device's and stays.
    package func clear() {
        lock.withLock {
            active = .none
            vectors = []
            lineTrigger = nil
            isLineMasked = false
            lineIsDisabled = false
            errorTrigger = nil
            requestTrigger = nil
        }
    }

    /// Ends the kind in use.
    package func disable() {
        lock.withLock {
            active = .none
            vectors = []
            lineTrigger = nil
            isLineMasked = false
        }
    }

    // MARK: what is set up

    /// Whether the user's own view of COMMAND has Interrupt Disable set.
    package var isLineDisabled: Bool { lock.withLock { lineIsDisabled } }
    /// The line's eventfd.
    package var lineEvent: PCITrigger? { lock.withLock { lineTrigger } }
    /// The vectors' eventfds.
    package var vectorEvents: [PCITrigger?] { lock.withLock { vectors } }
    /// A notice's eventfd.
    package func event(of notice: Notice) -> PCITrigger? {
        lock.withLock { notice == .error ? errorTrigger : requestTrigger }
    }

    // MARK: the line

    /// The device changes its interrupt line.
    package func setLine(_ high: Bool) {
        lock.withLock {
            isLineHigh = high
            fireLine()
        }
    }

    /// An asserted line that isn't masked is masked first, then signalled. The lock is held.
    private func fireLine() {
        guard active == .line, isLineHigh, !isLineMasked else { return }
        isLineMasked = true
        signalLine()
    }

    private func signalLine() {
        guard !lineIsDisabled, let lineTrigger else { return }
        lineTrigger.signal()
        delivered.line += 1
    }

    /// Starts with the line, or gives it another eventfd. With none it is in use all the same.
    package func enableLine(_ trigger: PCITrigger?) {
        lock.withLock {
            lineTrigger = trigger
            if active == .line { return }
            active = .line
            isLineMasked = lineIsDisabled
            fireLine()
        }
    }

    /// Signals the line's eventfd as the device would, but masks nothing.
    package func loopLine() { lock.withLock { signalLine() } }

    /// Masks the line, if it is in use.
    /// - Returns: whether that changed anything.
    @discardableResult
    package func maskLine() -> Bool {
        lock.withLock {
            guard active == .line, !isLineMasked else { return false }
            isLineMasked = true
            return true
        }
    }

    /// Unmasks; a line that is still asserted signals again and stays masked.
    package func unmaskLine() { lock.withLock { unmask() } }

    private func unmask() {
        guard active == .line, isLineMasked, !lineIsDisabled else { return }
        if isLineHigh { signalLine() } else { isLineMasked = false }
    }

    /// The user's own view of COMMAND's Interrupt Disable has changed.
    package func setLineDisabled(_ disabled: Bool) {
        lock.withLock {
            guard disabled != lineIsDisabled else { return }
            lineIsDisabled = disabled
            guard active == .line else { return }
            if disabled { isLineMasked = true } else { unmask() }
        }
    }

    // MARK: messages

    /// The device sends a message.
    package func deliver(_ message: MessageKind, vector: Int) {
        lock.withLock {
            guard active == (message == .msi ? .msi : .msix), vector >= 0, vector < vectors.count else {
                return
            }
            if let trigger = vectors[vector] {
                send(trigger)
            } else if message == .msi {
                kept |= untouched & Self.bit(vector)
            }
        }
    }

    /// Signals the eventfd of a message. The lock is held.
    private func send(_ trigger: PCITrigger) {
        trigger.signal()
        if active == .msi { delivered.msi += 1 } else { delivered.msix += 1 }
    }

    private static func bit(_ vector: Int) -> UInt32 { vector < 32 ? 1 << UInt32(vector) : 0 }

    /// Starts with messages: room for `count` vectors, none of which has an eventfd yet.
    package func enableMessages(_ kind: Kind, count: Int) {
        lock.withLock {
            active = kind
            vectors = [PCITrigger?](repeating: nil, count: count)
            untouched = kind == .msi ? .max : 0
            kept = 0
        }
    }

    /// How many vectors there is room for.
    package var vectorCount: Int { lock.withLock { vectors.count } }

    /// Whether a vector has an eventfd.
    package func hasTrigger(_ vector: Int) -> Bool {
        lock.withLock { vector < vectors.count && vectors[vector] != nil }
    }

    /// Gives a vector an eventfd, or takes it away.
    package func setTrigger(_ trigger: PCITrigger?, vector: Int) {
        lock.withLock {
            guard vector < vectors.count else { return }
            vectors[vector] = trigger
            guard let trigger else { return }
            if kept & Self.bit(vector) != 0 { send(trigger) }
            kept &= ~Self.bit(vector)
            untouched &= ~Self.bit(vector)
        }
    }

    /// Signals a vector's eventfd as the device would.
    package func loop(vector: Int) {
        lock.withLock {
            if vector < vectors.count, let trigger = vectors[vector] { send(trigger) }
        }
    }

    // MARK: errors and requests

    /// The two interrupts that don't come from the device.
    package enum Notice {
        /// An uncorrectable error was reported: `VFIO_PCI_ERR_IRQ_INDEX`.
        case error
        /// The host would like to have the device back: `VFIO_PCI_REQ_IRQ_INDEX`.
        case request
    }

    /// Gives a notice its eventfd, or takes it away.
    package func setTrigger(_ trigger: PCITrigger?, for notice: Notice) {
        lock.withLock {
            switch notice {
            case .error: errorTrigger = trigger
            case .request: requestTrigger = trigger
            }
        }
    }

    /// Signals a notice.
    /// - Returns: whether it has an eventfd.
    @discardableResult
    package func signal(_ notice: Notice) -> Bool {
        lock.withLock {
            guard let trigger = notice == .error ? errorTrigger : requestTrigger else { return false }
            trigger.signal()
            if notice == .error { delivered.error += 1 } else { delivered.request += 1 }
            return true
        }
    }

    /// Whether a notice has an eventfd.
    package func hasTrigger(_ notice: Notice) -> Bool {
        lock.withLock { (notice == .error ? errorTrigger : requestTrigger) != nil }
    }
}
