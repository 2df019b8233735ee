import LinuxSystem
import VFIOABI
import VFIOHost

/// D.8: MSI-X with interrupts that a disk really raises.
let diskInterruptCases: [Case] = [
    Case("D.8", "an MSI-X vector that a device raises arrives, each time", on: .translated) { t in
        let disk = try RunningDisk(t)
        defer { disk.stop() }
        let event = try t.event()
        try t.require(disk.device.setEvents(.msix, [event.number]), "MSI-X")
        try disk.start()
        for round in 1...3 {
            try disk.identify()
            t.expect(event.arrives(), equals: 1, "signals of command \(round)")
        }
        t.expect(disk.completionCount, equals: 3, "completions")
    },
    Case("D.8", "what an MSI-X vector raises while it has no eventfd waits in the device", on: .translated) {
        t in
        let disk = try RunningDisk(t)
        defer { disk.stop() }
        let event = try t.event()
        try t.require(disk.device.setEvents(.msix, [-1]), "MSI-X with a hole")
        try disk.start()
        try disk.identify()
        try disk.awaitCompletions(1)
        t.expect(disk.device.setEvents(.msix, [event.number]), .success, "the first eventfd")
        t.expect(event.arrives(), equals: 1, "signals")
        t.expect(disk.device.setEvents(.msix, [-1]), .success, "−1")
        try disk.identify()
        try disk.identify()
        try disk.awaitCompletions(3)
        t.expect(event.isSilent(), "silence")
        t.expect(disk.device.setEvents(.msix, [event.number]), .success, "an eventfd again")
        t.expect(event.arrives(), equals: 1, "signals of both")
    },
    Case("D.8", "a replaced MSI-X eventfd is signalled no more, the other one is", on: .translated) { t in
        let disk = try RunningDisk(t)
        defer { disk.stop() }
        let (a, b) = (try t.event(), try t.event())
        try t.require(disk.device.setEvents(.msix, [a.number]), "MSI-X")
        try disk.start()
        try disk.identify()
        t.expect(a.arrives(), equals: 1, "signals of the first")
        t.expect(disk.device.setEvents(.msix, [b.number]), .success, "another")
        try disk.identify()
        t.expect(b.arrives(), equals: 1, "signals of the other")
        t.expect(a.taken, equals: 0, "signals of the first")
    },
    Case(
        "D.9", "after RESET the device's own interrupts arrive as before, once it is set up again",
        on: .translated
    ) {
        t in
        let disk = try RunningDisk(t)
        defer { disk.stop() }
        let event = try t.event()
        try t.require(disk.device.setEvents(.msix, [event.number]), "MSI-X")
        try disk.start()
        try disk.identify()
        t.expect(event.arrives(), equals: 1, "signals")
        disk.takeCompletions()
        t.expect(disk.device.request(.deviceReset), .success, "RESET")
        try disk.start()
        try disk.identify()
        t.expect(event.arrives(), equals: 1, "signals after RESET")
    },
    Case("D.8", "INTx of a disk arrives like that of any device, and masks itself", on: .translated) { t in
        let disk = try RunningDisk(t)
        defer { disk.stop() }
        let event = try t.event()
        guard disk.device.irqInfo(.intx).info.count == 1 else { throw t.skip("the disk has no line") }
        try t.require(disk.device.setEvents(.intx, [event.number]), "INTx")
        try disk.start()
        try disk.identify()
        t.expect(event.arrives(), equals: 1, "signals")
        t.expect(disk.device.setIRQs(.intx, .unmask), .success, "UNMASK, the completion not taken")
        t.expect(event.arrives(), equals: 1, "signals")
        disk.takeCompletions()
        t.expect(disk.device.setIRQs(.intx, .unmask), .success, "UNMASK, the completion taken")
        // QEMU's disk counts waiting completions over resets, also those that an earlier user left behind.
        t.note(event.isSilent(), "silence")
    },
]

/// An NVMe disk that is open, with nothing but its admin queues: enough to have it raise vector 0.
///
/// Interrupts are set up before the disk is started, as drivers do: QEMU's disk doesn't send messages for queues
/// that were made while MSI-X was off.
private final class RunningDisk {
    let device: File
    private let memory: UserPages
    private var tail: UInt32 = 0
    private static let iova: UInt64 = 0x10_0000

    init(_ trial: Trial) throws {
        let setup = try trial.setUp(trial.nvme)
        device = setup.device
        memory = try trial.memory(pages: 3)
        try trial.map(memory, at: Self.iova, for: setup)
    }

    /// The device mustn't go on using the memory. QEMU's doesn't forget by a reset that completions wait.
    func stop() {
        takeCompletions()
        device.store(UInt16(0), at: Place.command)
    }

    /// Enables the controller with empty queues of 16 entries.
    func start() throws {
        device.store(UInt16(6), at: Place.command)
        for offset in stride(from: 0, to: 2 * pageSize, by: 8) { memory.window.store64(offset, 0) }
        tail = 0
        device.store(UInt32(0x000f_000f), at: 0x24)
        device.store(Self.iova, at: 0x28)
        device.store(Self.iova + UInt64(pageSize), at: 0x30)
        device.store(UInt32(0x0046_0001), at: 0x14)
        try wait("the controller isn't ready") { try device.load(UInt32.self, at: 0x1c) & 1 != 0 }
    }

    /// Sends Identify Controller.
    func identify() throws {
        guard tail < 15 else { throw Halt.broken("the queue has no room left") }
        let at = Int(tail) * 64
        memory.window.store32(at, 0x06 | tail << 16)
        memory.window.store64(at + 24, Self.iova + 2 * UInt64(pageSize))
        memory.window.store32(at + 40, 1)
        Fence.beforeDoorbell()
        tail += 1
        device.store(tail, at: 0x1000)
    }

    /// How many commands have been completed.
    var completionCount: Int {
        (0..<16).count { memory.window.load32(pageSize + 16 * $0 + 12) & 0x1_0000 != 0 }
    }

    func awaitCompletions(_ count: Int) throws {
        try wait("commands aren't completed") { completionCount >= count }
    }

    /// Tells the device that all completions have been seen.
    func takeCompletions() { device.store(UInt32(completionCount), at: 0x1004) }

    private func wait(_ reason: String, _ isDone: () throws -> Bool) throws {
        let deadline = Clock.now + 5_000_000_000
        while try !isDone() {
            guard Clock.now < deadline else { throw Halt.broken(reason) }
            Clock.sleep(nanoseconds: 1_000_000)
        }
    }
}
