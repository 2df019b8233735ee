import IOVASpace
import LinuxSystem
import VFIO
import VFIOHost

/// As much of a driver of an NVMe disk as it takes to see which memory it reaches: the disk reads a command there, and
/// writes a page and a completion.
struct DiskDevice {
    let lab: Lab
    let device: Device
    let registers: Region

    private enum Register {
        static let configuration = 0x14
        static let status = 0x1c
        static let adminQueueAttributes = 0x24
        static let adminSubmissionQueue = 0x28
        static let adminCompletionQueue = 0x30
        static let submissionDoorbell = 0x1000
    }

    /// The pages that one command takes: a queue of commands, one of completions, the answer.
    static let pageCount = 3

    init(_ lab: Lab, _ device: Device) throws {
        self.lab = lab
        self.device = device
        try device.setMemoryEnabled(true)
        try device.setBusMaster(true)
        registers = try device.region(.bar0)
    }

    /// Lets the disk identify itself (Identify Controller).
    /// - Parameters:
    ///   - memory: ``pageCount`` pages.
    ///   - iova: where the disk sees them.
    /// - Returns: the page that it wrote, which is among them; nil if it wrote no completion in time.
    func identify(in memory: MemoryWindow, at iova: UInt64, milliseconds: Int? = nil) throws -> MemoryWindow?
    {
        try setEnabled(false)
        for index in 0..<memory.byteCount / 8 { memory.store64(index * 8, 0) }
        let completions = iova + UInt64(pageSize)
        // Two entries each.
        try registers.store32(Register.adminQueueAttributes, 0x1_0001)
        try registers.store64(Register.adminSubmissionQueue, iova)
        try registers.store64(Register.adminCompletionQueue, completions)
        // Identify, command 7; the page; the controller's.
        memory.store32(0, 0x7_0006)
        memory.store64(24, iova + 2 * UInt64(pageSize))
        memory.store32(40, 1)
        try setEnabled(true)
        Fence.beforeDoorbell()
        try registers.store32(Register.submissionDoorbell, 1)
        let deadline = Clock.now + UInt64(milliseconds ?? lab.patience) * 1_000_000
        // The phase tag of the first round.
        while memory.load32(pageSize + 12) & 0x1_0000 == 0 {
            if Clock.now >= deadline {
                try setEnabled(false)
                return nil
            }
            Clock.sleep(nanoseconds: 1_000_000)
        }
        Fence.afterCompletion()
        try expectEqual(memory.load32(pageSize + 12), 0x1_0007, "the completion")
        return memory.window(at: 2 * pageSize, byteCount: pageSize)
    }

    /// Ends the scenario unless the disk reaches some memory, and tells there who made it.
    func expectIdentifies(in memory: MemoryWindow, at iova: UInt64, _ what: String) throws {
        guard let page = try identify(in: memory, at: iova) else {
            throw Unexpected("\(what): the disk has written no completion")
        }
        try expectEqual(
            UInt16(page.load32(0) & 0xffff), try device.configuration.vendor, "\(what): the disk's vendor")
    }

    /// Whether it carries out commands.
    var isReady: Bool {
        get throws { try registers.load32(Register.status) & 1 != 0 }
    }

    private func setEnabled(_ isEnabled: Bool) throws {
        // Entries of 64 and 16 bytes.
        try registers.store32(Register.configuration, isEnabled ? 0x46_0001 : 0)
        let deadline = Clock.now + UInt64(lab.patience) * 1_000_000
        while try isReady != isEnabled {
            try expect(Clock.now < deadline, "the disk isn't \(isEnabled ? "ready" : "off") in time")
            Clock.sleep(nanoseconds: 1_000_000)
        }
    }
}

extension Lab {
    /// The address of the NVMe disk.
    /// - Throws: ``Skipped`` where there is none.
    func diskAddress() throws(Skipped) -> PCIAddress {
        guard let disk else { throw Skipped("no NVMe disk was named") }
        return disk
    }
}
