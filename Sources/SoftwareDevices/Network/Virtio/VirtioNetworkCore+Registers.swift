import DeviceModel
import LinuxSystem

extension VirtioNetworkCore {
    private typealias Register = VirtioNetworkCard.Register

    /// Whether the two registers for vectors are there, and the configuration behind them.
    private var hasVectors: Bool { function.msix?.isEnabled == true }

    private var configurationOffset: UInt64 { Register.configuration + (hasVectors ? 4 : 0) }

    /// Reads 1, 2 or 4 bytes.
    func read(_ offset: UInt64, width: Int) -> UInt64 {
        let ones = UInt64.max >> UInt64(64 - 8 * width)
        if offset >= configurationOffset { return readConfiguration(offset - configurationOffset, width) }
        if offset == Register.interruptStatus { return UInt64(takeInterruptStatus()) }
        let value = lock.withLock { () -> UInt64 in
            let selected = Int(registers.queueSelect)
            let exists = selected < VirtioNetworkCard.Queue.count
            switch offset {
            case Register.deviceFeatures: return UInt64(VirtioNetworkCard.Feature.all)
            case Register.driverFeatures: return UInt64(registers.driverFeatures)
            case Register.queueAddress: return exists ? UInt64(registers.pages[selected]) : 0
            case Register.queueSize: return exists ? UInt64(Virtqueue.size) : 0
            case Register.queueSelect: return UInt64(registers.queueSelect)
            case Register.status: return UInt64(registers.status)
            case Register.configurationVector: return UInt64(registers.configurationVector)
            case Register.queueVector:
                return UInt64(exists ? registers.vectors[selected] : VirtioNetworkCard.noVector)
            default: return 0
            }
        }
        return value & ones
    }

    /// Writes a register. Accesses of another width than the register's do nothing.
    func write(_ offset: UInt64, width: Int, value: UInt64) {
        if offset >= configurationOffset {
            return writeConfiguration(offset - configurationOffset, width, value)
        }
        switch (offset, width) {
        case (Register.driverFeatures, 4):
            let known = UInt32(truncatingIfNeeded: value) & VirtioNetworkCard.Feature.all
            lock.withLock { registers.driverFeatures = known }
        case (Register.queueAddress, 4):
            let selected = lock.withLock { Int(registers.queueSelect) }
            if selected < VirtioNetworkCard.Queue.count {
                placeQueue(selected, at: UInt32(truncatingIfNeeded: value))
            }
        case (Register.queueSelect, 2):
            lock.withLock { registers.queueSelect = UInt16(truncatingIfNeeded: value) }
        case (Register.queueNotify, 2): notify(Int(UInt16(truncatingIfNeeded: value)))
        case (Register.status, 1): setStatus(UInt8(truncatingIfNeeded: value))
        case (Register.configurationVector, 2):
            lock.withLock { registers.configurationVector = vector(value) }
        case (Register.queueVector, 2):
            lock.withLock {
                let selected = Int(registers.queueSelect)
                if selected < VirtioNetworkCard.Queue.count { registers.vectors[selected] = vector(value) }
            }
        default: break
        }
    }

    /// A vector that exists, or none.
    private func vector(_ value: UInt64) -> UInt16 {
        value < UInt64(VirtioNetworkCard.Queue.count)
            ? UInt16(truncatingIfNeeded: value) : VirtioNetworkCard.noVector
    }

    private func setStatus(_ status: UInt8) {
        if status == 0 { return reset() }
        lock.withLock { registers.status = status }
        if status & VirtioNetworkCard.Status.driverReady != 0 { notify(VirtioNetworkCard.Queue.receive) }
    }

    private func readConfiguration(_ offset: UInt64, _ width: Int) -> UInt64 {
        let isUp = hasLink
        let address = currentAddress
        var value: UInt64 = 0
        for index in 0..<width {
            let byte: UInt8 =
                switch offset + UInt64(index) {
                case let place where place < 6: address[Int(place)]
                case 6: isUp ? 1 : 0
                default: 0
                }
            value |= UInt64(byte) << UInt64(8 * index)
        }
        return value
    }

    /// The hardware address can be written byte by byte, as drivers did before there was a command for it.
    private func writeConfiguration(_ offset: UInt64, _ width: Int, _ value: UInt64) {
        lock.withLock {
            var number = registers.address.rawValue
            for index in 0..<width where offset + UInt64(index) < 6 {
                let shift = 8 * (5 - (offset + UInt64(index)))
                number = number & ~(0xff << shift) | (value >> UInt64(8 * index) & 0xff) << shift
            }
            registers.address = MACAddress(rawValue: number)
        }
    }
}

extension VirtioNetworkCore.Registers {
    /// Carries out a command: its class, its number and what follows (virtio 1.0, 5.1.6.5).
    /// - Returns: whether it is known and whole.
    mutating func obey(_ command: MemoryWindow) -> Bool {
        guard driverFeatures & VirtioNetworkCard.Feature.controlQueue != 0, command.byteCount >= 3 else {
            return false
        }
        let rest = command.window(at: 2, byteCount: command.byteCount - 2)
        switch (command.load8(0), command.load8(1)) {
        case (0, let mode): return filter.set(mode, to: rest.load8(0) != 0)
        case (1, 0):
            var place = 0
            guard let unicast = addresses(in: rest, at: &place),
                let multicast = addresses(in: rest, at: &place)
            else { return false }
            filter.unicast = unicast.isComplete ? unicast.list : nil
            filter.multicast = multicast.isComplete ? multicast.list : nil
            return true
        case (1, 1):
            guard rest.byteCount == 6 else { return false }
            address = Self.address(in: rest, at: 0)
            return true
        default: return false
        }
    }

    private static func address(in window: MemoryWindow, at offset: Int) -> MACAddress {
        var number: UInt64 = 0
        for index in 0..<6 { number = number << 8 | UInt64(window.load8(offset + index)) }
        return MACAddress(rawValue: number)
    }

    /// A table: its length in entries, and the addresses.
    private func addresses(
        in window: MemoryWindow, at place: inout Int
    ) -> (list: [MACAddress], isComplete: Bool)? {
        guard window.byteCount - place >= 4 else { return nil }
        let count = Int(window.load32(place))
        place += 4
        guard count <= (window.byteCount - place) / 6 else { return nil }
        var list: [MACAddress] = []
        for index in 0..<min(count, VirtioReceiveFilter.capacity) {
            list.append(Self.address(in: window, at: place + 6 * index))
        }
        place += 6 * count
        return (list, count <= VirtioReceiveFilter.capacity)
    }
}
