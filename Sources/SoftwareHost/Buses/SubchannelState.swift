import DeviceModel
import IOVASpace
import LinuxSystem
import VFIOABI

/// The regions of vfio-ccw: `VFIO_CCW_CONFIG_REGION_INDEX`, and those that only their types name.
enum CCWRegionKind: Int, CaseIterable {
    case io, command, schib, crw

    var byteCount: Int {
        switch self {
        case .io: MemoryLayout<CCWIORegion>.size
        case .command: MemoryLayout<CCWCommandRegion>.size
        case .schib: MemoryLayout<CCWSCHIBRegion>.size
        case .crw: MemoryLayout<CCWCRWRegion>.size
        }
    }

    var isWritable: Bool { self == .io || self == .command }
}

/// A subchannel as its user sees it: its regions, and the program under way (kernel.md G.4).
///
/// The device's end of the subchannel holds it, so it doesn't know the device: that is handed in.
final class SubchannelState: SubchannelHost, @unchecked Sendable {
    // SAFETY: what changes is guarded by `lock`.

    /// What becomes of the subchannel.
    private enum State {
        /// Nobody uses it.
        case standby
        case idle
        /// A program waits for the device.
        case pending(ChannelProgram)
    }

    /// Bits of a subchannel status word's third and fourth byte.
    private enum Status {
        static let start: UInt8 = 0x40
        static let halt: UInt8 = 0x20
        static let clear: UInt8 = 0x10
        static let alert: UInt8 = 0x10
        static let ended: UInt8 = 0x06
        static let pending: UInt8 = 0x01
    }

    private let slot: PCIDriverSlot
    private let interrupts: NoticeInterrupts
    private let deviceNumber: UInt16
    private let lock = Lock()
    private var state = State.standby
    private var io = [UInt8](repeating: 0, count: CCWRegionKind.io.byteCount)
    private var command = CCWCommandRegion()
    /// Channel report words that wait to be read.
    private var reports: [UInt32] = []

    private static let mostReports = 64
    /// Where `ret_code` is in the I/O region.
    private static let codePlace = CCWAreaSize.orb + CCWAreaSize.scsw + CCWAreaSize.irb

    init(_ slot: PCIDriverSlot, _ interrupts: NoticeInterrupts, deviceNumber: UInt16) {
        self.slot = slot
        self.interrupts = interrupts
        self.deviceNumber = deviceNumber
    }

    /// It can be used from now on.
    func enable() { lock.withLock { state = .idle } }

    /// Nobody uses it any more: whatever is under way ends.
    func disable(_ device: any ChannelDevice) { lock.withLock { stop(device, .standby) } }

    /// `VFIO_DEVICE_RESET`
    func reset(_ device: any ChannelDevice) { lock.withLock { stop(device, .idle) } }

    private func stop(_ device: any ChannelDevice, _ next: State) {
        device.reset()
        state = next
        reports = []
    }

    // MARK: regions

    /// All bytes of a region, as read now.
    func contents(of region: CCWRegionKind) -> [UInt8] {
        lock.lock()
        defer { lock.unlock() }
        switch region {
        case .io: return io
        case .command: return Self.bytes(command.command.rawValue) + Self.bytes(command.returnCode)
        case .schib: return schib
        case .crw:
            let word = reports.isEmpty ? 0 : reports.removeFirst()
            if !reports.isEmpty { interrupts.signal(Int(CCWInterrupt.crw.rawValue)) }
            return Self.bytes(word) + [0, 0, 0, 0]
        }
    }

    /// Writes a part of the I/O region or of the region of commands, and does what that asks for.
    func write(
        _ bytes: [UInt8], to region: CCWRegionKind, at start: Int, _ device: any ChannelDevice
    ) throws(Errno) {
        lock.lock()
        defer { lock.unlock() }
        if region == .io {
            io.replaceSubrange(start..<start + bytes.count, with: bytes)
            do throws(Errno) {
                try takeRequest(device)
            } catch {
                returnCode = -error.rawValue
                throw error
            }
        } else {
            var contents = Self.bytes(command.command.rawValue) + Self.bytes(command.returnCode)
            contents.replaceSubrange(start..<start + bytes.count, with: bytes)
            command.command = CCWAsyncCommand(rawValue: Self.number(contents[0..<4]))
            do throws(Errno) {
                try takeCommand(device)
                command.returnCode = 0
            } catch {
                command.returnCode = UInt32(bitPattern: -error.rawValue)
                throw error
            }
        }
    }

    private static func bytes(_ number: UInt32) -> [UInt8] {
        (0..<4).map { UInt8(truncatingIfNeeded: number >> UInt32(8 * $0)) }
    }

    private static func number(_ bytes: ArraySlice<UInt8>) -> UInt32 {
        bytes.reversed().reduce(0) { $0 << 8 | UInt32($1) }
    }

    /// `ret_code` of the I/O region.
    private var returnCode: Int32 {
        get { Int32(bitPattern: Self.number(io[Self.codePlace..<Self.codePlace + 4])) }
        set {
            for (index, byte) in Self.bytes(UInt32(bitPattern: newValue)).enumerated() {
                io[Self.codePlace + index] = byte
            }
        }
    }

    /// The subchannel information block.
    private var schib: [UInt8] {
        var block = [UInt8](repeating: 0, count: CCWRegionKind.schib.byteCount)
        var isEnabled = true
        if case .standby = state { isEnabled = false }
        // Enabled; the device number is valid.
        block[5] = (isEnabled ? 0x80 : 0) | 0x01
        block[6] = UInt8(deviceNumber >> 8)
        block[7] = UInt8(truncatingIfNeeded: deviceNumber)
        // One path, installed, available and operational.
        for mask in [8, 11, 15] { block[mask] = 0x80 }
        if case .pending = state { block[28 + 2] = Status.start }
        return block
    }

    // MARK: programs. With `lock` held.

    private func takeRequest(_ device: any ChannelDevice) throws(Errno) {
        switch state {
        case .standby: throw .inputOutput
        case .pending: throw .busy
        case .idle: break
        }
        let functions = io[CCWAreaSize.orb + 2]
        guard functions & Status.start != 0 else {
            // Those go through the region of commands.
            guard functions & (Status.halt | Status.clear) == 0 else { throw .notSupported }
            // Nothing is asked for: what stands there is the answer.
            let code = returnCode
            if code < 0 && code > -4096 { throw Errno(rawValue: -code) }
            return
        }
        let program = try ChannelProgram(Array(io[0..<CCWAreaSize.orb]), ChannelProgram.Memory(slot: slot))
        returnCode = 0
        run(program, device)
    }

    private func run(_ program: ChannelProgram, _ device: any ChannelDevice) {
        var program = program
        guard let end = program.run(device) else {
            state = .pending(program)
            return
        }
        state = .idle
        var isAlert = end.subchannel != 0
        if !end.device.isSubset(of: [.done, .modifier]) { isAlert = true }
        var word = [UInt8](repeating: 0, count: CCWAreaSize.scsw)
        word[0] = io[4] & 0xf0
        word[1] = io[5] & 0xf8
        word[2] = Status.start
        word[3] = Status.ended | Status.pending | (isAlert ? Status.alert : 0)
        for index in 0..<4 {
            word[4 + index] = UInt8(truncatingIfNeeded: end.address >> UInt32(24 - 8 * index))
        }
        word[8] = end.device.rawValue
        word[9] = end.subchannel
        word[10] = UInt8(truncatingIfNeeded: end.residual >> 8)
        word[11] = UInt8(truncatingIfNeeded: end.residual)
        interrupt(word)
    }

    /// Puts a status word into the interruption response block, and signals.
    private func interrupt(_ word: [UInt8]) {
        let start = CCWAreaSize.orb + CCWAreaSize.scsw
        for index in start..<start + CCWAreaSize.irb { io[index] = 0 }
        for (index, byte) in word.enumerated() { io[start + index] = byte }
        interrupts.signal(Int(CCWInterrupt.io.rawValue))
    }

    private func takeCommand(_ device: any ChannelDevice) throws(Errno) {
        if case .standby = state { throw .inputOutput }
        let function: UInt8
        switch command.command {
        case .haltSubchannel: function = Status.halt
        case .clearSubchannel: function = Status.clear
        default: throw .invalid
        }
        if case .pending = state { device.reset() }
        state = .idle
        var word = [UInt8](repeating: 0, count: CCWAreaSize.scsw)
        word[2] = function
        word[3] = Status.pending
        interrupt(word)
    }

    // MARK: what comes from the device

    func resumeProgram(on device: any ChannelDevice) {
        lock.withLock {
            if case .pending(let program) = state { run(program, device) }
        }
    }

    func presentStatus(_ status: ChannelStatus) {
        lock.withLock {
            guard case .idle = state else { return }
            var word = [UInt8](repeating: 0, count: CCWAreaSize.scsw)
            word[3] = Status.alert | Status.pending
            word[8] = status.rawValue
            interrupt(word)
        }
    }

    func report(_ word: UInt32) {
        lock.withLock {
            if case .standby = state { return }
            guard reports.count < Self.mostReports else { return }
            reports.append(word)
            interrupts.signal(Int(CCWInterrupt.crw.rawValue))
        }
    }
}
