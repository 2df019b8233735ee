import DeviceModel
import LinuxSystem
import Testing

@Suite("Device model: interrupts")
struct InterruptTests {
    private func msixBoard(vectors: Int = 70) -> Board {
        let board = Board([0: BAR(.memory32, byteCount: 0x4000)])
        board.function.addMSIX(
            vectors: vectors, table: (bar: 0, offset: 0x1000), pending: (bar: 0, offset: 0x2000))
        board.enable()
        return board
    }

    private func control(_ board: Board, _ value: UInt32) throws {
        let at = try #require(board.configuration.capability(0x11))
        board.configuration.write(value, at: at + 2, width: 2)
    }

    @Test("An MSI-X vector is sent when enabled and unmasked, and waits as pending when masked")
    func msixMasks() throws {
        let board = msixBoard()
        try control(board, 0x8000)
        board.function.signal(vector: 65)
        #expect(board.slot.take() == [])
        #expect(board.function.msix?.isPending(65) == true)
        #expect(board.model.loadBAR(0, offset: 0x2008, width: 8) == 2)
        board.model.storeBAR(0, offset: 0x1000 + 65 * 16 + 12, width: 4, value: 0)
        #expect(board.slot.take() == ["msix 65"])
        #expect(board.model.loadBAR(0, offset: 0x2008, width: 8) == 0)
        board.function.signal(vector: 65)
        #expect(board.slot.take() == ["msix 65"])
        board.function.signal(vector: 70)
        board.function.signal(vector: -1)
        #expect(board.slot.take() == [])
    }

    @Test("The function mask holds back all vectors, and a raised one is sent once")
    func functionMask() throws {
        let board = msixBoard(vectors: 4)
        for vector in 0..<4 { board.function.msix?.setMask(vector, false) }
        try control(board, 0xc000)
        for _ in 0..<3 { board.function.signal(vector: 2) }
        board.function.signal(vector: 0)
        #expect(board.slot.take() == [])
        try control(board, 0x8000)
        #expect(board.slot.take() == ["msix 0", "msix 2"])
    }

    @Test("A withdrawn vector isn't sent")
    func withdraw() throws {
        let board = msixBoard(vectors: 4)
        try control(board, 0x8000)
        board.function.signal(vector: 1)
        board.function.msix?.withdraw(1)
        board.function.msix?.setMask(1, false)
        #expect(board.slot.take() == [])
    }

    @Test("The MSI-X table holds what is written, one writable bit in vector control, addresses of dwords")
    func table() {
        let board = msixBoard(vectors: 2)
        board.model.storeBAR(0, offset: 0x1000, width: 8, value: 0x1234_5678_fee0_1007)
        #expect(board.model.loadBAR(0, offset: 0x1000, width: 4) == 0xfee0_1004)
        #expect(board.model.loadBAR(0, offset: 0x1004, width: 4) == 0x1234_5678)
        board.model.storeBAR(0, offset: 0x1018, width: 8, value: 0xffff_ffff_0000_4021)
        #expect(board.model.loadBAR(0, offset: 0x1018, width: 8) == 0x0000_0001_0000_4021)
        board.model.storeBAR(0, offset: 0x1019, width: 1, value: 0xaa)
        #expect(board.model.loadBAR(0, offset: 0x1018, width: 2) == 0xaa21)
        board.model.storeBAR(0, offset: 0x2000, width: 8, value: .max)
        #expect(board.model.loadBAR(0, offset: 0x2000, width: 8) == 0)
    }

    @Test("Messages wait for bus mastering and for D0")
    func gates() throws {
        let board = msixBoard(vectors: 2)
        let power = board.function.addPowerManagement()
        board.function.msix?.setMask(0, false)
        try control(board, 0x8000)
        board.configuration.write(0x2, at: 4, width: 2)
        board.function.signal(vector: 0)
        #expect(board.slot.take() == [])
        board.enable()
        #expect(board.slot.take() == ["msix 0"])
        board.configuration.write(3, at: power + 4, width: 2)
        board.function.signal(vector: 0)
        #expect(board.slot.take() == [])
        board.configuration.write(0, at: power + 4, width: 2)
        #expect(board.slot.take() == ["msix 0"])
    }

    @Test("MSI sends as many vectors as software allows, the others as the first")
    func msi() throws {
        let board = Board()
        let at = board.function.addMSI(vectors: 8)
        board.enable()
        #expect(board.configuration.value(at: at + 2, width: 2) == 0x0186)
        board.function.signal(vector: 1)
        #expect(board.slot.take() == [])
        board.configuration.write(0x21, at: at + 2, width: 2)  // four vectors
        #expect(board.function.msi?.enabledCount == 4)
        board.function.signal(vector: 3)
        board.function.signal(vector: 4)
        board.function.signal(vector: 8)
        #expect(board.slot.take() == ["msi 3", "msi 0"])
        board.configuration.write(0x71, at: at + 2, width: 2)
        #expect(board.function.msi?.enabledCount == 8)
    }

    @Test("A masked MSI vector shows as pending and is sent when unmasked")
    func msiMasks() {
        let board = Board()
        let at = board.function.addMSI(vectors: 4)
        board.enable()
        board.configuration.write(0x21, at: at + 2, width: 2)
        board.configuration.write(0xffff_fffe, at: at + 0x10, width: 4)
        #expect(board.configuration.value(at: at + 0x10, width: 4) == 0xe)
        board.function.signal(vector: 2)
        #expect(board.configuration.value(at: at + 0x14, width: 4) == 4)
        board.configuration.write(0, at: at + 0x10, width: 4)
        #expect(board.slot.take() == ["msi 2"])
        #expect(board.configuration.value(at: at + 0x14, width: 4) == 0)
    }

    @Test("The line follows the model, shows in STATUS, and is silenced by Interrupt Disable")
    func line() {
        let board = Board()
        board.function.setLine(true)
        board.function.setLine(true)
        #expect(board.slot.take() == ["line 1"])
        board.configuration.write(0x400, at: 4, width: 2)
        #expect(board.slot.take() == ["line 0"])
        #expect(board.configuration.value(at: 6, width: 2) & 8 == 8)
        #expect(board.function.isLineAsserted)
        board.configuration.write(0, at: 4, width: 2)
        #expect(board.slot.take() == ["line 1"])
        board.function.setLine(false)
        #expect(board.slot.take() == ["line 0"])
        #expect(board.configuration.value(at: 6, width: 2) & 8 == 0)
    }

    @Test("Messages silence the line")
    func lineAndMessages() throws {
        let board = msixBoard()
        board.function.setLine(true)
        #expect(board.slot.take() == ["line 1"])
        try control(board, 0x8000)
        #expect(board.slot.take() == ["line 0"])
        try control(board, 0)
        #expect(board.slot.take() == ["line 1"])
    }

    @Test("A reset masks, clears and silences everything")
    func reset() throws {
        let board = msixBoard(vectors: 2)
        try control(board, 0x8000)
        board.function.signal(vector: 1)
        board.function.setLine(true)
        board.model.performReset(.function)
        #expect(board.model.resets == [.function])
        #expect(board.function.msix?.isEnabled == false)
        #expect(board.function.msix?.isPending(1) == false)
        #expect(!board.function.isLineAsserted && !board.slot.isLineHigh)
        #expect(board.model.loadBAR(0, offset: 0x100c, width: 4) == 1)
    }

    @Test("Whatever threads do to the line, the slot ends with the level that the model set last")
    func lineFromThreads() throws {
        let board = Board()
        let shared = Shared(board.function)
        for last in [true, false] {
            do {
                // Dropping the threads waits for them.
                let threads = try (0..<3).map { _ in
                    try WorkerThread { for round in 0..<2000 { shared.function.setLine(round % 2 == 0) } }
                }
                withExtendedLifetime(threads) {}
            }
            board.function.setLine(last)
            #expect(board.slot.isLineHigh == last)
        }
    }
}

/// A function for several threads; raising interrupts is what it allows them.
private final class Shared: @unchecked Sendable {
    let function: PCIFunction
    init(_ function: PCIFunction) { self.function = function }
}
