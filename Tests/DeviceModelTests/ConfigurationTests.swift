import DeviceModel
import IOVASpace
import LinuxSystem
import Testing

@Suite("Device model: configuration space, BARs, DMA")
struct ConfigurationTests {
    @Test("The header says who the function is and can't be changed")
    func header() {
        let board = Board()
        let all = UInt32.max
        for at in stride(from: 0, to: 64, by: 4) where at != 4 && at != 0x0c && at != 0x3c {
            board.configuration.write(all, at: at, width: 4)
        }
        #expect(board.configuration.value(at: 0, width: 4) == 0x5678_1234)
        #expect(board.configuration.value(at: 8, width: 4) == 0x0108_0202)
        #expect(board.configuration.value(at: 0x2c, width: 4) == 0x5678_1234)
        #expect(board.configuration.value(at: 0x3d, width: 1) == 1)
    }

    @Test("BARs of every kind answer sizing with their length and type")
    func sizing() {
        let board = Board(
            [
                0: BAR(.memory64, byteCount: 1 << 33, isPrefetchable: true),
                2: BAR(.memory32, byteCount: 0x1000),
                3: BAR(.io, byteCount: 4), 4: BAR(.memory64, byteCount: 0x4000),
            ], rom: [UInt8](repeating: 0, count: 3000))
        for index in 0..<6 { board.configuration.write(.max, at: 0x10 + 4 * index, width: 4) }
        board.configuration.write(.max, at: 0x30, width: 4)
        let values = (0..<6).map { board.configuration.value(at: 0x10 + 4 * $0, width: 4) }
        #expect(values == [0x0000_000c, 0xffff_fffe, 0xffff_f000, 0xffff_fffd, 0xffff_c004, 0xffff_ffff])
        #expect(board.configuration.value(at: 0x30, width: 4) == 0xffff_f001)
        #expect(board.function.romByteCount == 4096)
    }

    @Test("COMMAND has the bits of what the function has")
    func command() {
        let ports = Board([0: BAR(.io, byteCount: 16)])
        ports.configuration.write(0xffff, at: 4, width: 2)
        #expect(ports.configuration.command == 0x0545)
        let rom = Board(rom: [1])
        rom.configuration.write(0xffff, at: 4, width: 2)
        #expect(rom.function.isMemoryEnabled)
    }

    @Test("Errors in STATUS are cleared by writing ones")
    func status() {
        let board = Board()
        board.configuration.setHardware(0xf900, at: 6, width: 2)
        board.configuration.write(0x8100, at: 6, width: 2)
        #expect(board.configuration.value(at: 6, width: 2) == 0x7800)
    }

    @Test("Capabilities form a chain in the order in which they were added")
    func chain() {
        let board = Board(isExpress: true)
        board.function.addPowerManagement()
        board.function.addMSI(vectors: 1)
        board.function.addExpress()
        let serial = board.configuration.addExtendedCapability(
            id: 3, version: 1, body: [1, 2, 3, 4, 5, 6, 7, 8])
        let errors = board.configuration.addExtendedCapability(
            id: 1, version: 2, body: [UInt8](repeating: 0, count: 0x44))
        #expect(board.configuration.value(at: 6, width: 2) & 0x10 != 0)
        var ids: [UInt32] = []
        var at = Int(board.configuration.value(at: 0x34, width: 1))
        while at != 0 {
            ids.append(board.configuration.value(at: at, width: 1))
            at = Int(board.configuration.value(at: at + 1, width: 1))
        }
        #expect(ids == [0x01, 0x05, 0x10])
        #expect(serial == 0x100)
        #expect(board.configuration.value(at: 0x100, width: 4) == UInt32(errors) << 20 | 0x1_0003)
        #expect(board.configuration.value(at: errors, width: 4) == 0x2_0001)
        #expect(board.configuration.extendedCapability(1) == errors)
        #expect(board.configuration.extendedCapability(9) == nil)
        #expect(board.configuration.capability(0x11) == nil)
    }

    @Test("A function level reset is asked for where it is offered, and only there")
    func functionLevelReset() {
        for offered in [true, false] {
            let board = Board(isExpress: true)
            let at = board.function.addExpress(functionLevelReset: offered)
            #expect(board.configuration.write(0x8000, at: at + 8, width: 2) == offered)
            #expect(board.configuration.value(at: at + 8, width: 2) & 0x8000 == 0)
        }
        let board = Board()
        let at = board.function.addAdvancedFeatures()
        #expect(board.configuration.store(1, at: at + 4, width: 1) == .function)
        #expect(board.configuration.value(at: at + 4, width: 1) == 0)
    }

    @Test("Leaving D3hot asks for a reset unless the function keeps its state; D1 and D2 don't exist")
    func power() {
        for keeps in [true, false] {
            let board = Board([0: BAR(.memory32, byteCount: 16)])
            let at = board.function.addPowerManagement(noSoftReset: keeps)
            board.enable()
            for state in [UInt32(1), 2] {
                #expect(board.configuration.store(state, at: at + 4, width: 2) == nil)
                #expect(board.configuration.powerState == 0)
            }
            #expect(board.configuration.store(3, at: at + 4, width: 2) == nil)
            #expect(board.configuration.powerState == 3)
            #expect(!board.function.isMemoryEnabled && !board.function.isBusMasterEnabled)
            #expect(board.configuration.store(0, at: at + 4, width: 2) == (keeps ? nil : .power))
        }
    }

    @Test("A reset brings back the values that a function starts with")
    func reset() {
        let board = Board([0: BAR(.memory32, byteCount: 0x100)])
        let before = (0..<64).map { board.configuration.value(at: 4 * $0, width: 4) }
        board.configuration.write(.max, at: 0x10, width: 4)
        board.configuration.write(0x406, at: 4, width: 2)
        board.configuration.write(0x55, at: 0x3c, width: 1)
        board.function.resetConfiguration()
        #expect((0..<64).map { board.configuration.value(at: 4 * $0, width: 4) } == before)
        #expect(!board.function.isBusMasterEnabled)
    }

    @Test("Vital Product Data is transferred four bytes at a time, and the flag tells when")
    func productData() {
        let board = Board()
        let at = board.function.addVitalProductData([1, 2, 3, 4, 5])
        board.configuration.write(4, at: at + 2, width: 2)
        #expect(board.configuration.value(at: at + 2, width: 2) == 0x8004)
        #expect(board.configuration.value(at: at + 4, width: 4) == 5)
        board.configuration.write(0xa0b0_c0d0, at: at + 4, width: 4)
        board.configuration.write(0x8000, at: at + 2, width: 2)
        #expect(board.configuration.value(at: at + 2, width: 2) == 0)
        board.configuration.write(0x7ffc, at: at + 2, width: 2)
        #expect(board.configuration.value(at: at + 4, width: 4) == 0)
        board.configuration.write(0, at: at + 2, width: 2)
        #expect(board.configuration.value(at: at + 4, width: 4) == 0xa0b0_c0d0)
    }

    @Test("Accesses outside configuration space read zeros and change nothing")
    func outside() {
        let board = Board()
        for at in [256, 4096, -1, -4, Int.max, Int.min] {
            #expect(board.configuration.value(at: at, width: 4) == 0)
            #expect(!board.configuration.write(.max, at: at, width: 4))
            board.configuration.setHardware(.max, at: at, width: 4)
        }
        #expect(board.configuration.value(at: 254, width: 4) == 0)
    }

    @Test("A BAR's parts are answered by the model, and plain memory by itself")
    func bars() throws {
        let board = Board([0: BAR(.memory32, byteCount: 0x2000)])
        let file = try MemoryFile.create("BAR", byteCount: 0x1000)
        let mapping = try Mapping(sharing: file.number, at: 0, byteCount: 0x1000)
        board.function.addMemory(
            BARMemory(bar: 0, offset: 0x1000, window: mapping.window, descriptor: file.number))
        board.model.storeBAR(0, offset: 0, width: 8, value: 77)
        board.model.storeBAR(0, offset: 0x1008, width: 8, value: 0x0102_0304_0506_0708)
        #expect(board.model.values == [0: 77])
        #expect(mapping.window.load64(8) == 0x0102_0304_0506_0708)
        #expect(
            [1, 2, 4, 8].map { board.model.loadBAR(0, offset: 0x1008, width: $0) } == [
                0x08, 0x0708, 0x0506_0708, 0x0102_0304_0506_0708,
            ])
        #expect(board.model.loadBAR(0, offset: 0x2000, width: 4) == 0xffff_ffff)
        #expect(board.model.loadBAR(1, offset: 0, width: 1) == 0xff)
        #expect(board.model.loadBAR(-1, offset: 0, width: 2) == 0xffff)
        #expect(board.model.loadBAR(0, offset: .max, width: 8) == .max)
        board.model.storeBAR(6, offset: 0, width: 4, value: 1)
        #expect(board.model.values == [0: 77])
    }

    @Test("DMA needs a slot, bus mastering and an address that doesn't wrap; what is refused is counted")
    func dma() throws {
        let board = Board()
        let port = try #require(board.function.dma)
        func store(_ address: UInt64) -> DMAFault.Reason? {
            do throws(DMAFault) {
                try port.store(UInt32(9), to: IOVA(address))
                return nil
            } catch {
                return error.reason
            }
        }
        #expect(store(0x1000) == .busMasterDisabled)
        board.enable()
        #expect(store(0x1000) == nil)
        #expect(try port.load(UInt32(0), from: IOVA(0x1000)) == 9)
        #expect(store(0) == .notMapped)
        #expect(store(.max - 2) == .outOfRange)
        #expect(store(.max - 3) == .notMapped)
        #expect(port.refusedCount == 4)
        #expect(port.lastFault == DMAFault(iova: IOVA(.max - 3), access: .write, reason: .notMapped))
        var pieces = 0
        var lending: DMAFault.Reason?
        do throws(DMAFault) {
            try port.withMemory(IOVA(0x1000), byteCount: 4, for: .read) { _ in
                pieces += 1
                return true
            }
        } catch { lending = error.reason }
        #expect(lending == .notLendable && pieces == 0)
        #expect(port.refusedCount == 4)
        board.function.plug(into: nil)
        #expect(store(0x1000) == .notAttached)
    }
}
