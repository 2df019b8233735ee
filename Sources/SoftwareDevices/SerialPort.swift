import DeviceModel

/// A serial port with a 16550 whose line leads back to itself: what is sent is received (kernel.md G.7).
///
/// It behaves as the port of Linux's sample driver mtty: the first byte that is waiting raises the interrupt whatever
/// trigger level is set, and the causes of an interrupt are told all at once instead of by their priority.
public struct SerialPort: Equatable, Sendable {
    /// Offsets of the registers.
    public enum Register {
        /// Read: what was received. Written: what to send. With ``LineControl/divisorLatch`` the divisor's lower byte.
        public static let data: UInt64 = 0
        /// ``InterruptEnable``. With ``LineControl/divisorLatch`` the divisor's upper byte.
        public static let interruptEnable: UInt64 = 1
        /// Read: ``Identification``. Written: ``FIFOControl``.
        public static let identification: UInt64 = 2
        /// Written: ``FIFOControl``.
        public static let fifoControl: UInt64 = 2
        /// ``LineControl``.
        public static let lineControl: UInt64 = 3
        /// ``ModemControl``.
        public static let modemControl: UInt64 = 4
        /// Read only: ``LineStatus``.
        public static let lineStatus: UInt64 = 5
        /// Read only: ``ModemStatus``.
        public static let modemStatus: UInt64 = 6
        /// A byte for the driver.
        public static let scratch: UInt64 = 7
    }

    /// Bits of ``Register/interruptEnable``.
    public enum InterruptEnable {
        /// When something was received.
        public static let received: UInt8 = 0x01
        /// When everything has been sent.
        public static let sent: UInt8 = 0x02
        /// When something was lost.
        public static let lineStatus: UInt8 = 0x04
        /// When the modem's lines change.
        public static let modemStatus: UInt8 = 0x08
    }

    /// Values of ``Register/identification``.
    public enum Identification {
        /// No interrupt is pending.
        public static let nothing: UInt8 = 0x01
        /// Everything has been sent.
        public static let sent: UInt8 = 0x02
        /// Something was received.
        public static let received: UInt8 = 0x04
        /// Something was lost.
        public static let lineStatus: UInt8 = 0x06
        /// Always set: there are FIFOs.
        public static let hasFIFOs: UInt8 = 0xc0
    }

    /// Bits of ``Register/fifoControl``.
    public enum FIFOControl {
        /// 16 bytes wait instead of one.
        public static let enable: UInt8 = 0x01
        /// Forget what was received.
        public static let clearReceived: UInt8 = 0x02
        /// Forget what is to be sent.
        public static let clearSent: UInt8 = 0x04
    }

    /// Bits of ``Register/lineControl``.
    public enum LineControl {
        /// The first two registers are the divisor, which is cleared by this.
        public static let divisorLatch: UInt8 = 0x80
    }

    /// Bits of ``Register/modemControl``.
    public enum ModemControl {
        /// DTR
        public static let terminalReady: UInt8 = 0x01
        /// RTS
        public static let requestToSend: UInt8 = 0x02
        /// OUT2
        public static let output2: UInt8 = 0x08
        /// Automatic flow control: clear to send is what there is room for.
        public static let flowControl: UInt8 = 0x20
    }

    /// Bits of ``Register/lineStatus``.
    public enum LineStatus {
        /// Something was received.
        public static let ready: UInt8 = 0x01
        /// Something was lost.
        public static let overrun: UInt8 = 0x02
        /// Nothing is left to be sent.
        public static let empty: UInt8 = 0x60
    }

    /// Bits of ``Register/modemStatus``.
    public enum ModemStatus {
        /// The other side is ready and was before, and there is a carrier: always set.
        public static let ready: UInt8 = 0xa2
        /// Clear to send, and that has changed.
        public static let clearToSend: UInt8 = 0x11
    }

    /// The registers that hold what was written to them: interrupt enable, line and modem control, scratch.
    var stored = [UInt8](repeating: 0, count: 8)
    var fifo = [UInt8](repeating: 0, count: 16)
    var head = 0
    var tail = 0
    var count = 0
    var showsDivisor = false
    var hasOverrun = false
    var divisor: UInt16 = 0
    var fifoControl: UInt8 = 0
    /// How many bytes may wait: 1 or 16.
    var room = 16
    /// From how many bytes on an interrupt is raised; 0 until the FIFOs are first set up.
    var level: UInt8 = 0

    /// A port that nobody has used.
    public init() {}

    private func isEnabled(_ bit: UInt8) -> Bool { stored[1] & bit != 0 }

    /// Reads a register.
    /// - Parameter raise: raises the interrupt.
    public mutating func read(_ register: UInt64, raise: () -> Void) -> UInt8 {
        switch register {
        case Register.data: return showsDivisor ? UInt8(truncatingIfNeeded: divisor) : receive(raise)
        case Register.interruptEnable:
            return showsDivisor ? UInt8(divisor >> 8) : stored[1] & 0x0f
        case Register.identification: return identification
        case Register.lineControl, Register.modemControl, Register.scratch: return stored[Int(register)]
        case Register.lineStatus:
            return (count > 0 ? LineStatus.ready : LineStatus.empty) | (hasOverrun ? LineStatus.overrun : 0)
        case Register.modemStatus:
            let isFull = stored[4] & ModemControl.flowControl != 0 && count >= room
            return ModemStatus.ready | (isFull ? 0 : ModemStatus.clearToSend)
        default: return 0
        }
    }

    /// Writes a register.
    /// - Parameter raise: raises the interrupt.
    public mutating func write(_ register: UInt64, _ value: UInt8, raise: () -> Void) {
        switch register {
        case Register.data:
            if showsDivisor { divisor |= UInt16(value) } else { send(value, raise) }
        case Register.interruptEnable:
            if showsDivisor {
                divisor |= UInt16(value) << 8
            } else {
                stored[1] = value
                if isEnabled(InterruptEnable.sent) && count == 0 { raise() }
            }
        case Register.fifoControl: setFIFO(value)
        case Register.lineControl:
            stored[3] = value
            showsDivisor = value & LineControl.divisorLatch != 0
            if showsDivisor { divisor = 0 }
        case Register.modemControl:
            stored[4] = value
            guard isEnabled(InterruptEnable.modemStatus) else { return }
            // Once for each of the two groups of lines.
            if value & ModemControl.output2 != 0 { raise() }
            if value & (ModemControl.terminalReady | ModemControl.requestToSend) != 0 { raise() }
        case Register.scratch: stored[7] = value
        default: break
        }
    }

    private mutating func send(_ value: UInt8, _ raise: () -> Void) {
        guard count < room else {
            hasOverrun = true
            if isEnabled(InterruptEnable.lineStatus) { raise() }
            return
        }
        fifo[head] = value
        head = (head + 1) % fifo.count
        count += 1
        hasOverrun = false
        if isEnabled(InterruptEnable.received) && count == Int(level) { raise() }
    }

    private mutating func receive(_ raise: () -> Void) -> UInt8 {
        var value: UInt8 = 0
        if count > 0 {
            value = fifo[tail]
            tail = (tail + 1) % fifo.count
            count -= 1
        }
        if count == 0 && isEnabled(InterruptEnable.sent) { raise() }
        return value
    }

    private mutating func setFIFO(_ value: UInt8) {
        fifoControl = value
        if value & (FIFOControl.clearReceived | FIFOControl.clearSent) != 0 {
            head = 0
            tail = 0
            count = 0
        }
        level = 1
        room = value & FIFOControl.enable != 0 ? fifo.count : 1
    }

    private var identification: UInt8 {
        var causes: UInt8 = 0
        if isEnabled(InterruptEnable.lineStatus) && hasOverrun { causes |= Identification.lineStatus }
        if isEnabled(InterruptEnable.received) && count >= Int(level) { causes |= Identification.received }
        if isEnabled(InterruptEnable.sent) && count == 0 { causes |= Identification.sent }
        // A change of the modem's lines, the fourth cause, has the number 0.
        return (causes == 0 ? Identification.nothing : causes) | Identification.hasFIFOs
    }
}

/// A port's state as mtty sends it: 36 bytes.
extension SerialPort {
    /// How many bytes a state has.
    static let stateByteCount = 36

    /// Appends the port's state.
    func save(to writer: inout StateWriter) {
        writer.append(bytes: stored)
        writer.append(bytes: fifo)
        writer.append(UInt8(head))
        writer.append(UInt8(tail))
        writer.append(UInt8(count))
        writer.append(showsDivisor)
        writer.append(hasOverrun)
        writer.append(UInt8(0))
        writer.append(divisor)
        writer.append(fifoControl)
        writer.append(UInt8(room))
        writer.append(level)
        writer.append(UInt8(0))
    }

    /// A port in a state that somebody sent.
    /// - Throws: `truncated`, `malformed`.
    init(from reader: inout StateReader) throws(MigrationError) {
        stored = try reader.next(byteCount: 8)
        fifo = try reader.next(byteCount: 16)
        head = Int(try reader.next(in: UInt8(0)...15))
        tail = Int(try reader.next(in: UInt8(0)...15))
        count = Int(try reader.next(in: UInt8(0)...16))
        showsDivisor = try reader.nextFlag()
        hasOverrun = try reader.nextFlag()
        _ = try reader.next(UInt8.self)
        divisor = try reader.next(UInt16.self)
        fifoControl = try reader.next(UInt8.self)
        room = Int(try reader.next(in: UInt8(1)...16))
        level = try reader.next(UInt8.self)
        _ = try reader.next(UInt8.self)
        guard (tail + count) % fifo.count == head else { throw .malformed }
    }
}
