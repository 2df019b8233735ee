import DeviceModel
import LinuxSystem
import Testing

@Suite("What a host knows of a BAR")
struct PlanTests {
    /// A BAR with an MSI-X table and pieces of memory.
    private struct Board: ~Copyable {
        let backing: Mapping
        let plan: PCIBARPlan

        init(table: UInt64, pending: UInt64, _ memories: [(start: UInt64, byteCount: Int)]) throws {
            backing = try Mapping(anonymous: 0x10000)
            let function = PCIFunction(
                PCIIdentity(vendor: 1, device: 2, classCode: 0xff0000),
                bars: [2: BAR(.memory32, byteCount: 0x10000)])
            function.addMSIX(vectors: 70, table: (2, table), pending: (2, pending))
            for memory in memories {
                function.addMemory(
                    BARMemory(
                        bar: 2, offset: memory.start,
                        window: backing.window.window(at: Int(memory.start), byteCount: memory.byteCount),
                        descriptor: -1))
            }
            plan = PCIBARPlan(2, of: function)
        }
    }

    @Test("is where plain memory lies that can be touched without asking anybody")
    func memory() throws {
        let board = try Board(table: 0, pending: 0x1000, [(0x4000, 0x1000), (0x8000, 0x2000)])
        let plan = board.plan
        #expect(plan.plainMemory(at: 0x7fff) == nil)
        let first = try #require(plan.plainMemory(at: 0x8000))
        #expect(first.offset == 0)
        #expect(first.window.address == board.backing.window.address + 0x8000)
        #expect(plan.plainMemory(at: 0x9fff)?.offset == 0x1fff)
        #expect(plan.plainMemory(at: 0xa000) == nil)
        #expect(plan.plainMemory(at: .max) == nil)
        // The smaller piece is reached like registers, by asking.
        #expect(plan.plainMemory(at: 0x4000) == nil)
        #expect(!plan.isRegister(0x4000))
    }

    @Test("isn't memory where the table of vectors or their pending bits lie in it")
    func table() throws {
        func isMemory(at offset: UInt64, table: UInt64, pending: UInt64) throws -> Bool {
            let board = try Board(table: table, pending: pending, [(0x8000, 0x1000)])
            return board.plan.plainMemory(at: offset) != nil
        }
        #expect(try !isMemory(at: 0x8800, table: 0x8000, pending: 0x1000))
        #expect(try !isMemory(at: 0x8800, table: 0x7ff0, pending: 0x1000))
        #expect(try !isMemory(at: 0x8000, table: 0, pending: 0x8ff0))
        #expect(try isMemory(at: 0x8000, table: 0, pending: 0x9000))
        #expect(try isMemory(at: 0x8000, table: 0x9000, pending: 0x1000))
    }
}
