import DeviceModel

// The whole state is in registers and the buffer: work is done inside register writes, so between two of them
// nothing is under way but an interrupt that wasn't acknowledged, and a transfer that waits until other devices may
// be written to again.
extension Educational: MigratableDevice {
    /// Itself; except that an engine with virtual functions can't leave them behind.
    public var migratable: (any MigratableDevice)? { function.virtualFunctions == nil ? self : nil }

    /// The second: a transfer may wait.
    public var stateVersion: UInt16 { 2 }

    /// The registers and the buffer.
    public var stateByteLimit: Int { 256 + Educational.bufferByteCount }

    /// The width of the DMA engine's addresses.
    public func describe(to writer: inout StateWriter) { writer.append(dmaMask) }

    /// No transfer begins any more.
    public func freeze() { isFrozen = true }

    /// A transfer that waited begins, unless others are spared.
    public func thaw() {
        isFrozen = false
        carryOut()
    }

    /// No transfer begins, wherever it goes: it can't tell memory from another device. One that is started waits.
    public func sparePeers(_ spared: Bool) {
        sparesPeers = spared
        carryOut()
    }

    /// Writes registers and buffer.
    public func saveState(to writer: inout StateWriter) {
        let state = registers
        writer.append(state.liveness)
        writer.append(state.factorial)
        writer.append(state.interruptsWhenComputed)
        writer.append(state.interruptStatus)
        writer.append(state.source)
        writer.append(state.destination)
        writer.append(state.count)
        writer.append(state.command)
        writer.append(bytes: buffer)
    }

    /// Takes over registers and buffer.
    public func loadState(from reader: inout StateReader) throws(MigrationError) {
        var state = Registers()
        state.liveness = try reader.next(UInt32.self)
        state.factorial = try reader.next(UInt32.self)
        state.interruptsWhenComputed = try reader.nextFlag()
        state.interruptStatus = try reader.next(UInt32.self)
        state.source = try reader.next(UInt64.self)
        state.destination = try reader.next(UInt64.self)
        state.count = try reader.next(UInt64.self)
        state.command = try reader.next(UInt64.self)
        let bytes = try reader.next(byteCount: Educational.bufferByteCount)
        try reader.finish()
        registers = state
        buffer = bytes
    }
}
