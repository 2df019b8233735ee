import LinuxSystem
import VFIO
import VFIOHost

extension EduDevice {
    func raise(_ bits: UInt32) throws { try registers.store32(Register.interruptRaise, bits) }

    func acknowledge() throws {
        try registers.store32(
            Register.interruptAcknowledge, try registers.load32(Register.interruptStatus))
        try expectEqual(try registers.load32(Register.interruptStatus), 0, "what isn't acknowledged")
    }

    func expectInterrupt(_ interrupts: borrowing Interrupts, _ what: String) throws {
        let count = try interrupts.wait(0, milliseconds: lab.patience)
        try expect(count != nil, "\(what): no interrupt within \(lab.patience) ms")
        try expectEqual(count, 1, "\(what): how often it was signalled")
    }

    /// Looks for a while. An interrupt that comes later would be missed, one that comes is always an error.
    func expectSilence(_ interrupts: borrowing Interrupts, _ what: String) throws {
        try expect(try interrupts.wait(0, milliseconds: 50) == nil, "\(what): an interrupt arrived")
    }
}

extension Scenario {
    static let eduInterrupts: [Scenario] = [
        Scenario("the device tells which interrupts it has") { lab in
            let device = try lab.open()
            let line = try device.interruptInfo(.intx)
            try expectEqual(line.count, 1, "lines")
            try expect(line.signalsEvents && line.isMaskable && line.masksItself, "INTx is \(line)")
            let messages = try device.interruptInfo(.msi)
            try expectEqual(messages.count, 1, "MSI vectors")
            try expect(messages.signalsEvents && !messages.masksItself, "MSI is \(messages)")
            try expectEqual(try device.interruptInfo(.msix).count, 0, "MSI-X vectors")
            try expectEqual(
                try device.interruptInfo(.error).count, 0, "error vectors of a conventional device")
        },
        Scenario("MSI arrives") { lab in
            let edu = try EduDevice(lab)
            let interrupts = try edu.device.enableInterrupts(.msi, count: 1)
            for round: UInt32 in 1...3 {
                try edu.raise(round)
                try edu.expectInterrupt(interrupts, "MSI, round \(round)")
                try expectEqual(
                    try edu.registers.load32(EduDevice.Register.interruptStatus), round, "the cause")
                try edu.acknowledge()
            }
            try expectEqual(try interrupts.take(0), 0, "what is left")
        },
        Scenario("INTx arrives, masks itself, and arrives again when unmasked") { lab in
            let edu = try EduDevice(lab)
            let interrupts = try edu.device.enableInterrupts(.intx, count: 1)
            for round: UInt32 in 1...3 {
                try edu.raise(round)
                try edu.expectInterrupt(interrupts, "INTx, round \(round)")
                try edu.acknowledge()
                // The host has masked the line, so this one waits.
                try edu.raise(0x10)
                try edu.expectSilence(interrupts, "the line masked by the host")
                try interrupts.unmask()
                try edu.expectInterrupt(interrupts, "INTx asserted when it is unmasked, round \(round)")
                try edu.acknowledge()
                try interrupts.unmask()
            }
            try edu.expectSilence(interrupts, "a line that nobody asserts")
        },
        Scenario("a line that stays asserted signals again when it is unmasked") { lab in
            let edu = try EduDevice(lab)
            let interrupts = try edu.device.enableInterrupts(.intx, count: 1)
            try edu.raise(1)
            try edu.expectInterrupt(interrupts, "INTx")
            for round in 1...3 {
                try interrupts.unmask()
                try edu.expectInterrupt(interrupts, "INTx not acknowledged, round \(round)")
            }
            try edu.acknowledge()
            try interrupts.unmask()
            try edu.expectSilence(interrupts, "an acknowledged line")
        },
        Scenario("a line masked by the user is silent until it is unmasked") { lab in
            let edu = try EduDevice(lab)
            let interrupts = try edu.device.enableInterrupts(.intx, count: 1)
            try interrupts.mask()
            try edu.raise(2)
            try edu.expectSilence(interrupts, "a masked line")
            try interrupts.unmask()
            try edu.expectInterrupt(interrupts, "the line after unmasking")
            try edu.acknowledge()
        },
        Scenario("an interrupt can be triggered through the host, without the device") { lab in
            let edu = try EduDevice(lab)
            for index: InterruptIndex in [.msi, .intx] {
                let interrupts = try edu.device.enableInterrupts(index, count: 1)
                try interrupts.trigger(0)
                try edu.expectInterrupt(interrupts, "\(index) by the host")
                try expectEqual(
                    try edu.registers.load32(EduDevice.Register.interruptStatus), 0, "the device's cause")
                try interrupts.disable()
            }
        },
        Scenario("interrupts end with their owner, and can be enabled again") { lab in
            let edu = try EduDevice(lab)
            do {
                let interrupts = try edu.device.enableInterrupts(.msi, count: 1)
                try edu.raise(1)
                try edu.expectInterrupt(interrupts, "MSI")
                try edu.acknowledge()
            }
            // Nobody hears this one.
            try edu.raise(4)
            try edu.acknowledge()
            let again = try edu.device.enableInterrupts(.msi, count: 1)
            try expectEqual(try again.take(0), 0, "what was signalled while they were disabled")
            try edu.raise(8)
            try edu.expectInterrupt(again, "MSI enabled again")
            try edu.acknowledge()
            try again.disable()
            // MSI excludes INTx: that this works shows that MSI is off.
            let line = try edu.device.enableInterrupts(.intx, count: 1)
            try edu.raise(1)
            try edu.expectInterrupt(line, "INTx after MSI")
            try edu.acknowledge()
        },
        Scenario("kinds of interrupts that exclude one another, and too many vectors, are refused") { lab in
            let device = try EduDevice(lab).device
            let interrupts = try device.enableInterrupts(.msi, count: 1)
            try expectError(.busy, ["MSI is enabled", "INTx"], "INTx beside MSI") { () throws(VFIOError) in
                _ = try device.enableInterrupts(.intx, count: 1)
            }
            try expectError(.busy, ["enabled already"], "MSI twice") { () throws(VFIOError) in
                _ = try device.enableInterrupts(.msi, count: 1)
            }
            try interrupts.disable()
            try expectError(.tooFewVectors, ["only 1 of the 2"], "two vectors") { () throws(VFIOError) in
                _ = try device.enableInterrupts(.msi, count: 2)
            }
            try expectError(.tooFewVectors, ["no MSI-X"], "MSI-X") { () throws(VFIOError) in
                _ = try device.enableInterrupts(.msix, count: 1)
            }
        },
        Scenario(
            "interrupts can be followed as an asynchronous sequence",
            waiting: { lab in
                let edu = try EduDevice(lab)
                let interrupts = try edu.device.enableInterrupts(.msi, count: 1)
                var events = try interrupts.events(0).makeAsyncIterator()
                for round: UInt32 in 1...2 {
                    try edu.raise(round)
                    let count = await events.next()
                    try expectEqual(count, 1, "round \(round)")
                    try edu.acknowledge()
                }
                try interrupts.disable()
                let end = await events.next()
                try expectEqual(end, nil, "the sequence after its end")
            }),
    ]
}
