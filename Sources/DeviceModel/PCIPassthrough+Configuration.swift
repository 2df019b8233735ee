private typealias Register = PCIConfiguration.Register
private typealias Command = PCIConfiguration.Command

/// What reading and writing configuration space sets off (kernel.md D.6). All of it with the lock held.
extension PCIPassthrough {
    /// Reads a chunk: the copy's bits where they are virtual, the hardware's elsewhere.
    /// - Parameter hardware: the function's registers, or what they were a moment ago.
    package func readRegisters<Registers: PCIRegisters>(
        at offset: Int, width: Int, from hardware: Registers
    ) throws(Registers.Failure) -> UInt32 {
        if view.msi != 0 && touches(offset, width, view.msi + 2, 1) {
            // From the first use of MSI on, the capability tells of as many vectors as were used.
            let flags = view.value(at: view.msi + 2, width: 1) & ~0x0e | UInt32(view.messageLimit) << 1
            view.set(flags, at: view.msi + 2, width: 1)
        }
        let mask = view.virtualMask(at: offset, width: width)
        let copy = view.value(at: offset, width: width) & mask
        let all = UInt32.max >> UInt32(32 - 8 * width)
        return mask == all ? copy : copy | (try hardware.value(at: offset, width: width)) & ~mask
    }

    /// Writes a chunk and does what follows from it.
    package func writeRegisters(_ value: UInt32, at offset: Int, width: Int) throws(Failure) {
        switch view.owner(of: offset) {
        case PCIConfigurationView.Owner.header: try writeHeader(value, offset, width)
        case PCIConfigurationView.Owner.none: try store(value, offset, width)
        case UInt16(view.power) where view.power != 0: try writePower(value, offset, width)
        case UInt16(view.productData) where view.productData != 0: try writeProductData(value, offset, width)
        case UInt16(view.msi) where view.msi != 0: try writeMSI(value, offset, width)
        case UInt16(view.express) where view.express != 0: try writeExpress(value, offset, width)
        case UInt16(view.advancedFeatures) where view.advancedFeatures != 0:
            try writeAdvancedFeatures(value, offset, width)
        default: try store(value, offset, width)
        }
    }

    private func touches(_ offset: Int, _ width: Int, _ start: Int, _ count: Int) -> Bool {
        offset < start + count && start < offset + width
    }

    /// Writes what the user may: virtual bits to the copy, others to the hardware.
    private func store(_ value: UInt32, _ offset: Int, _ width: Int) throws(Failure) {
        let writable = view.writableMask(at: offset, width: width)
        guard writable != 0 else { return }
        let virtual = view.virtualMask(at: offset, width: width)
        let toCopy = writable & virtual
        if toCopy != 0 {
            view.set(
                view.value(at: offset, width: width) & ~toCopy | value & toCopy, at: offset, width: width)
        }
        let toHardware = writable & ~virtual
        if toHardware != 0 {
            let old = try self.value(at: offset, width: width)
            try set(old & ~toHardware | value & toHardware, at: offset, width: width)
        }
    }

    // MARK: the header

    private func writeHeader(_ value: UInt32, _ offset: Int, _ width: Int) throws(Failure) {
        if offset == Register.command { try prepareCommand(value) }
        try store(value, offset, width)
        if touches(offset, width, Register.command, 2) {
            if offset == Register.command {
                // What the user believes to have enabled, whatever the hardware says later.
                let spaces = UInt32(Command.memory | Command.io)
                let old = view.value(at: Register.command, width: 2)
                view.set(old & ~spaces | value & spaces, at: Register.command, width: 2)
            }
            let command = view.value(at: Register.command, width: 2)
            try setLineDisabled(command & UInt32(Command.interruptDisable) != 0)
            updateMemory()
        }
        for index in 0..<6 where touches(offset, width, Register.bar0 + 4 * index, 4) { fixBAR(index) }
        if touches(offset, width, Register.rom, 4) {
            let size = romByteCount
            let mask: UInt32 = size == 0 ? 0 : ~UInt32(truncatingIfNeeded: size - 1) | 1
            view.set(view.value(at: Register.rom, width: 4) & mask, at: Register.rom, width: 4)
        }
    }

    /// Leaves of what was written to a BAR what a BAR of its length can hold, and says again what it is.
    private func fixBAR(_ index: Int) {
        let at = Register.bar0 + 4 * index
        let written = view.value(at: at, width: 4)
        let fixed: UInt32
        if let bar = bars[index] {
            fixed = written & ~UInt32(truncatingIfNeeded: bar.byteCount - 1) | bar.typeBits
        } else if index > 0, let below = bars[index - 1], below.kind == .memory64 {
            fixed = written & ~UInt32(truncatingIfNeeded: (below.byteCount - 1) >> 32)
        } else {
            fixed = 0
        }
        view.set(fixed, at: at, width: 4)
    }

    // MARK: capabilities

    private func writePower(_ value: UInt32, _ offset: Int, _ width: Int) throws(Failure) {
        try store(value, offset, width)
        if offset == view.power + 4 { try setPowerState(value & 3) }
    }

    private func writeProductData(_ value: UInt32, _ offset: Int, _ width: Int) throws(Failure) {
        try store(value, offset, width)
        let capability = view.productData
        // The access begins with the byte that holds the flag.
        guard touches(offset, width, capability + 3, 1) else { return }
        let address = view.value(at: capability + 2, width: 2)
        guard address & 3 == 0 else { return }
        let isWrite = address & 0x8000 != 0
        if isWrite {
            try set(view.value(at: capability + 4, width: 4), at: capability + 4, width: 4)
        }
        try set(address, at: capability + 2, width: 2)
        let answer = try self.value(at: capability + 2, width: 2)
        guard (answer ^ address) & 0x8000 != 0 else { return }  // no answer: the user waits in vain
        if !isWrite {
            view.set(try self.value(at: capability + 4, width: 4), at: capability + 4, width: 4)
        }
        view.set(address ^ 0x8000, at: capability + 2, width: 2)
    }

    private func writeMSI(_ value: UInt32, _ offset: Int, _ width: Int) throws(Failure) {
        try store(value, offset, width)
        let control = view.msi + 2
        guard touches(offset, width, control, 1) else { return }
        var flags = view.value(at: control, width: 1)
        // Enabling is SET_IRQS's: a 1 sticks only where that has been done.
        if interrupts.kind != .msi { flags &= ~1 }
        if (flags >> 4) & 7 > UInt32(view.messageLimit) {
            flags = flags & ~0x70 | UInt32(view.messageLimit) << 4
        }
        view.set(flags, at: control, width: 1)
        // As on Linux the hardware gets it too: a user who writes 0 while vectors are in use stops them.
        try set(flags, at: control, width: 1)
    }

    private func writeExpress(_ value: UInt32, _ offset: Int, _ width: Int) throws(Failure) {
        let control = view.express + 8
        let before = view.value(at: control, width: 2)
        try store(value, offset, width)
        guard touches(offset, width, control, 2) else { return }
        var after = view.value(at: control, width: 2)
        if after & 0x8000 != 0 {
            after &= ~0x8000
            view.set(after, at: control, width: 2)
            resetByBit(of: .express)
        }
        if (before ^ after) & 0x7000 != 0 {
            // Requests may not be shorter than the payload that the kernel has set up.
            let hardware = try self.value(at: control, width: 2)
            let request = max((after >> 12) & 7, (hardware >> 5) & 7)
            try set(hardware & ~0x7000 | request << 12, at: control, width: 2)
        }
    }

    private func writeAdvancedFeatures(_ value: UInt32, _ offset: Int, _ width: Int) throws(Failure) {
        try store(value, offset, width)
        let control = view.advancedFeatures + 4
        guard view.value(at: control, width: 1) & 1 != 0 else { return }
        view.set(view.value(at: control, width: 1) & ~1, at: control, width: 1)
        resetByBit(of: .advancedFeatures)
    }
}
