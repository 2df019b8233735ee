import DeviceModel
import LinuxSystem

/// What an 82574 consists of. It is apart from the model so that the wire can hold it while the model alone decides how
/// long the card lives.
///
/// `lock` guards the registers, and is never held while the host, the wire or the function is called. What belongs to
/// a direction is used by whoever has passed its turnstile.
final class Intel82574Core: WireEnd, @unchecked Sendable {
    // SAFETY: as told above.
    typealias Register = Intel82574.Register
    typealias Ring = Intel82574.Ring

    /// All that registers hold.
    struct State {
        /// Registers that are what was written to them, by offset / 4.
        var words = [UInt32](repeating: 0, count: registerByteCount / 4)
        var nvm: Intel82574NVM
        var phy = Intel82574PHY()
        var interrupts = Intel82574Interrupts()
        var statistics = Intel82574Statistics()
        var clock = Intel82574Clock()
        /// Which register IODATA reaches.
        var portAddress: UInt32 = 0
        /// The last user has gone, and the card wasn't reset since.
        var isStopped = false
        var port: WirePort?

        init(_ address: MACAddress) { nvm = Intel82574NVM(address) }

        subscript(_ offset: UInt64) -> UInt32 {
            get { words[Int(offset / 4)] }
            set { words[Int(offset / 4)] = newValue }
        }
    }

    /// How many bytes of registers there are.
    static let registerByteCount = 128 << 10
    /// The longest frame that is sent or received, without its checksum (datasheet 10.2.5.1, LPE).
    static let longestFrame = 16_384 - 4

    let function: PCIFunction
    let lock = Lock()
    var state: State
    private let level = InterruptLevel()

    let sendTurnstile = Turnstile()
    let receiveTurnstile = Turnstile()
    /// The packet buffer's part for receiving.
    let inbox = FrameQueue(byteCount: 40 << 10)
    let transmitter: Intel82574Transmitter
    let receiver: Intel82574Receiver

    init(_ function: PCIFunction, _ address: MACAddress) {
        self.function = function
        state = State(address)
        transmitter = Intel82574Transmitter(function.dma)
        receiver = Intel82574Receiver(function.dma)
        state.loadDefaults()
        inbox.setLimit(state.receiveByteCount)
    }

    func attach(to port: WirePort) { lock.withLock { state.port = port } }

    func detach() {
        let port = lock.withLock { () -> WirePort? in
            defer { state.port = nil }
            state.isStopped = true
            return state.port
        }
        port?.disconnect()
    }

    // MARK: resets

    /// Runs while nothing is moved.
    func paused(_ body: () -> Void) { receiveTurnstile.pause { sendTurnstile.pause(body) } }

    /// Resets the card, with its PHY or without.
    func reset(withPHY: Bool) {
        paused {
            lock.withLock {
                var fresh = State(state.nvm.address)
                fresh.nvm = state.nvm
                fresh.port = state.port
                if !withPHY { fresh.phy = state.phy }
                state = fresh
                state.loadDefaults()
                level.want(false)
                inbox.setLimit(state.receiveByteCount)
            }
            inbox.removeAll()
            transmitter.reset()
            receiver.reset()
        }
        level.tell(function)
    }

    /// Ends all work until a reset; what arrives is lost.
    func stop() {
        lock.withLock { state.isStopped = true }
        paused { inbox.removeAll() }
    }

    // MARK: interrupts

    /// Whether MSI-X is enabled, so that causes have vectors.
    var hasVectors: Bool { function.msix?.isEnabled == true }

    /// Changes the interrupt registers and sends what follows.
    func interrupt(_ change: (inout Intel82574Interrupts) -> Intel82574Interrupts.Messages) {
        let messages = lock.withLock {
            let messages = change(&state.interrupts)
            level.want(messages.line)
            if messages.vectors != 0 || messages.single {
                state.statistics.count(Intel82574Statistics.Counter.interrupts)
            }
            return messages
        }
        if messages.vectors != 0 {
            for vector in 0..<5 where messages.vectors >> UInt8(vector) & 1 != 0 {
                function.signal(vector: vector)
            }
        } else if messages.single && function.isMessageSignalled {
            function.signal(vector: 0)
        }
        level.tell(function)
    }

    /// Raises interrupts for causes.
    func raise(_ causes: UInt32) {
        if causes == 0 { return }
        let hasVectors = hasVectors
        interrupt { $0.raise(causes, hasVectors: hasVectors) }
    }

    // MARK: the link

    func linkChanged() {
        lock.withLock { state.phy.noteLinkLoss() }
        raise(Intel82574.Cause.link)
    }
}

extension Intel82574Core.State {
    private typealias Register = Intel82574.Register

    /// The registers that aren't 0 after a reset.
    mutating func loadDefaults() {
        self[Register.control] = Intel82574.Control.fullDuplex | Intel82574.Control.linkUp | 0x200
        self[Register.vlanType] = 0x8100
        self[Register.packetBuffer] = 0x0014_0014
        self[Register.receiveChecksum] =
            Intel82574.ReceiveChecksum.network | Intel82574.ReceiveChecksum.transport
        let address = nvm.address
        self[Register.receiveAddress] =
            UInt32(address[0]) | UInt32(address[1]) << 8 | UInt32(address[2]) << 16 | UInt32(address[3]) << 24
        self[Register.receiveAddress + 4] = UInt32(address[4]) | UInt32(address[5]) << 8 | 1 << 31
    }

    /// The part of the packet buffer that frames are received into: KiB in the lower half of PBA.
    var receiveByteCount: Int { Int(min(self[Register.packetBuffer] & 0xff, 40)) << 10 }

    /// Whether the transceiver has a link.
    var hasLink: Bool { !phy.isPoweredDown && (phy.loopsBack || port?.isUp == true) }

    /// Whether what is sent comes back.
    var loopsBack: Bool {
        phy.loopsBack || self[Register.receiveControl] & 3 << 6 == Intel82574.ReceiveControl.loopBack
    }
}
