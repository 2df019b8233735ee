import IOVASpace
import LinuxSystem
import NVMe
import Testing

@testable import NVMeDriver

@Suite("PRP entries")
struct PRPTests {
    let rules = PRPRules(pageSizeExponent: 0)

    func build(
        _ segments: [DMASegment], listPages: Int = 4, listOffset: Int = 0, exponent: UInt8 = 0
    ) throws -> (first: UInt64, second: UInt64, list: SharedMemory) {
        let rules = PRPRules(pageSizeExponent: exponent)
        let list = try SharedMemory(byteCount: listPages * rules.pageSize, at: 0x7000_0000)
        let count = listPages * rules.pageSize - listOffset
        var builder = PRPBuilder(
            rules: rules,
            list: ListArea(
                window: list.window.window(at: listOffset, byteCount: count), iova: list.iova.at(listOffset)))
        for segment in segments { try builder.append(segment) }
        let pointers = try builder.finish()
        return (pointers.first, pointers.second, list)
    }

    @Test("one page or less needs PRP1 only")
    func onePage() throws {
        let whole = try build([segment(0x10000, 4096)])
        #expect(whole.first == 0x10000 && whole.second == 0)
        let part = try build([segment(0x10200, 512)])
        #expect(part.first == 0x10200 && part.second == 0)
        let rest = try build([segment(0x10e00, 512)])
        #expect(rest.first == 0x10e00 && rest.second == 0)
    }

    @Test("a second page is named by PRP2 itself")
    func twoPages() throws {
        let aligned = try build([segment(0x10000, 8192)])
        #expect(aligned.first == 0x10000 && aligned.second == 0x11000)
        let crossing = try build([segment(0x10e00, 1024)])
        #expect(crossing.first == 0x10e00 && crossing.second == 0x11000)
        let barely = try build([segment(0x10ffc, 8)])
        #expect(barely.first == 0x10ffc && barely.second == 0x11000)
    }

    @Test("from the third page on PRP2 names a list that begins with the second page")
    func list() throws {
        let built = try build([segment(0x10e00, 8192)])
        #expect(built.first == 0x10e00)
        #expect(built.second == built.list.iova.rawValue)
        #expect(built.list.window.load64(0) == 0x11000)
        #expect(built.list.window.load64(8) == 0x12000)
        #expect(built.list.window.load64(16) == 0)
    }

    @Test("a list that fills its page exactly has no link")
    func fullList() throws {
        let built = try build([segment(0x100000, 513 * 4096)])
        #expect(built.list.window.load64(511 * 8) == 0x100000 + 512 * 4096)
        #expect(built.list.window.load64(512 * 8) == 0)
    }

    @Test("one entry more turns the last entry of the list page into a link")
    func link() throws {
        let built = try build([segment(0x100000, 514 * 4096)])
        #expect(built.list.window.load64(510 * 8) == 0x100000 + 511 * 4096)
        #expect(built.list.window.load64(511 * 8) == built.list.iova.rawValue + 4096)
        #expect(built.list.window.load64(512 * 8) == 0x100000 + 512 * 4096)
        #expect(built.list.window.load64(513 * 8) == 0x100000 + 513 * 4096)
    }

    @Test("a list that begins inside a page links at the end of that page")
    func listInsidePage() throws {
        let built = try build([segment(0x100000, 6 * 4096)], listOffset: 4096 - 24)
        #expect(built.second == built.list.iova.rawValue + 4096 - 24)
        let pieces = followPRP(
            built.first, built.second, byteCount: 6 * 4096, pageSize: 4096, list: built.list)
        let wanted: [ClosedRange<UInt64>] = [0x100000...0x105fff]
        #expect(pieces.map(joined) == wanted)
    }

    @Test("pieces that go on inside a page share its entry")
    func contiguousPieces() throws {
        let built = try build([segment(0x10100, 0x100), segment(0x10200, 0xe00), segment(0x11000, 0x200)])
        #expect(built.first == 0x10100 && built.second == 0x11000)
    }

    @Test("pieces that begin or end inside a page elsewhere are refused")
    func misaligned() throws {
        #expect(throws: DataPointerError.misaligned(address: 0x10002)) { try build([segment(0x10002, 512)]) }
        #expect(throws: DataPointerError.misaligned(address: 0x10200)) {
            try build([segment(0x10000, 0x200), segment(0x20000, 0x200)])
        }
        #expect(throws: DataPointerError.misaligned(address: 0x20200)) {
            try build([segment(0x10000, 0x1000), segment(0x20200, 0x200)])
        }
    }

    @Test("no memory, memory beyond the address space and too small a list are refused")
    func refused() throws {
        #expect(throws: DataPointerError.empty) { try build([]) }
        #expect(throws: DataPointerError.empty) { try build([segment(0x1000, 0)]) }
        #expect(throws: DataPointerError.tooLong(address: 0xffff_ffff_ffff_f000, byteCount: 8192)) {
            try build([segment(0xffff_ffff_ffff_f000, 8192)])
        }
        #expect(throws: DataPointerError.tooManyPieces(limit: 512)) {
            try build([segment(0x100000, 514 * 4096)], listPages: 1)
        }
    }

    @Test("the last page of the address space can be described")
    func lastPage() throws {
        let built = try build([segment(0xffff_ffff_ffff_e000, 8192)])
        #expect(built.first == 0xffff_ffff_ffff_e000 && built.second == 0xffff_ffff_ffff_f000)
    }

    @Test("whatever the pieces, a controller finds exactly their bytes")
    func random() throws {
        var random = TestRandom("PRP")
        for _ in 0..<2000 {
            let exponent = UInt8(random.below(3))
            let page = 4096 << Int(exponent)
            var segments: [DMASegment] = []
            let count = 1 + random.below(5)
            var address = UInt64(1 + random.below(1000)) * UInt64(page)
            for index in 0..<count {
                let isFirst = index == 0
                let isLast = index == count - 1
                let offset = isFirst ? random.below(page / 4) * 4 : 0
                // Some transfers are long enough for more than two list pages.
                let pages = 1 + random.below(random.below(8) == 0 ? 700 : 4)
                let length = pages * page - offset - (isLast ? random.below(page / 4) * 4 : 0)
                guard length > 0 else { continue }
                segments.append(segment(address + UInt64(offset), length))
                address += UInt64(pages + random.below(3)) * UInt64(page)
            }
            let total = segments.reduce(0) { $0 + $1.byteCount }
            // A piece that was left out at the end would leave one before that ends inside a page, and is the
            // first and only one then.
            guard total > 0 else { continue }
            let built = try build(segments, listPages: 9, exponent: exponent)
            let pieces = followPRP(
                built.first, built.second, byteCount: total, pageSize: page, list: built.list)
            let wanted = joined(segments.map { $0.address...($0.end - 1) })
            #expect(pieces.map(joined) == wanted)
        }
    }
}

@Suite("Scatter gather lists")
struct SGLTests {
    let list: SharedMemory

    init() throws { list = try SharedMemory(byteCount: 4096, at: 0x7000_0000) }

    func build(_ segments: [DMASegment], dword: Bool = false, room: Int = 4096) throws -> SGLDescriptor {
        var builder = SGLBuilder(
            list: ListArea(window: list.window.window(at: 0, byteCount: room), iova: list.iova),
            isDwordAligned: dword)
        for segment in segments { try builder.append(segment) }
        return try builder.finish()
    }

    @Test("one piece is described inside the command, at any address")
    func onePiece() throws {
        let descriptor = try build([segment(0x12345, 777)])
        #expect(descriptor.kind == .dataBlock)
        #expect(descriptor.address == 0x12345 && descriptor.length == 777)
    }

    @Test("several pieces are one last segment of data blocks")
    func severalPieces() throws {
        let descriptor = try build([segment(0x1001, 10), segment(0x2003, 20), segment(0x3005, 482)])
        #expect(descriptor.kind == .lastSegment)
        #expect(descriptor.address == list.iova.rawValue && descriptor.length == 48)
        for (index, wanted) in [(0x1001, 10), (0x2003, 20), (0x3005, 482)].enumerated() {
            let entry = SGLDescriptor(
                words: list.window.load64(16 * index), list.window.load64(16 * index + 8))
            #expect(entry.kind == .dataBlock)
            #expect(entry.address == UInt64(wanted.0) && entry.length == UInt32(wanted.1))
        }
    }

    @Test("pieces that follow one another become one")
    func merged() throws {
        let descriptor = try build([segment(0x1000, 100), segment(0x1064, 412), segment(0x1200, 512)])
        #expect(descriptor.kind == .dataBlock && descriptor.length == 1024)
    }

    @Test("controllers that want multiples of four get nothing else")
    func dwordAligned() throws {
        #expect(throws: DataPointerError.misaligned(address: 0x1001)) {
            try build([segment(0x1001, 512)], dword: true)
        }
        #expect(throws: DataPointerError.misaligned(address: 0x1000)) {
            try build([segment(0x1000, 510)], dword: true)
        }
        #expect(try build([segment(0x1004, 508)], dword: true).length == 508)
    }

    @Test("more pieces than the list holds, and none at all, are refused")
    func refused() throws {
        let many = (0..<5).map { segment(UInt64(0x10000 * ($0 + 1)), 100) }
        #expect(throws: DataPointerError.tooManyPieces(limit: 4)) { try build(many, room: 64) }
        #expect(throws: DataPointerError.empty) { try build([]) }
        #expect(try build(Array(many.prefix(4)), room: 64).length == 64)
    }
}

@Suite("Cutting a transfer into commands")
struct TransferPlanTests {
    func parts(
        _ segments: [DMASegment], maximum: Int = 0x10000, block: Int = 512, sgl: SGLSupport = .none,
        style: DataPointerStyle = .automatic
    ) throws -> [[DMASegment]] {
        var plan = TransferPlan(
            TransferPlan.Limits(
                maximumTransfer: maximum, blockByteCount: block, rules: PRPRules(pageSizeExponent: 0),
                sgl: sgl), style: style)
        var result: [[DMASegment]] = []
        var part: [DMASegment] = []
        while try plan.next(of: segments, into: &part) > 0 { result.append(part) }
        return result
    }

    @Test("a long piece is cut at the controller's limit")
    func long() throws {
        let result = try parts([segment(0x100000, 0x24000)])
        #expect(
            result == [
                [segment(0x100000, 0x10000)], [segment(0x110000, 0x10000)], [segment(0x120000, 0x4000)],
            ])
    }

    @Test("whole pages from anywhere share a command")
    func pages() throws {
        let pieces = [segment(0x9000, 4096), segment(0x3000, 4096), segment(0x7000, 8192)]
        #expect(try parts(pieces) == [pieces])
    }

    @Test("pieces of whole blocks that PRP can't join become commands of their own")
    func blocks() throws {
        let pieces = [segment(0x9200, 512), segment(0x3400, 1024), segment(0x7000, 512)]
        #expect(try parts(pieces) == pieces.map { [$0] })
    }

    @Test("pieces that divide a block need an SGL")
    func dividedBlock() throws {
        let pieces = [segment(0x9200, 200), segment(0x3400, 312)]
        #expect(throws: DataPointerError.misaligned(address: 0x3400)) { try parts(pieces) }
        #expect(throws: DataPointerError.misaligned(address: 0x3400)) {
            try parts(pieces, sgl: .unaligned, style: .prp)
        }
        #expect(try parts(pieces, sgl: .unaligned) == [pieces])
    }

    @Test("more pieces than a command can describe become several commands")
    func manyPieces() throws {
        // 128 pieces of 100 bytes are 25 blocks; a limit of 32 pages leaves room for 16 descriptors.
        let pieces = (0..<128).map { segment(UInt64(0x1001 + $0 * 0x333), 100) }
        let result = try parts(pieces, maximum: 0x20000, sgl: .unaligned)
        #expect(result.allSatisfy { $0.count <= 16 && $0.reduce(0) { $0 + $1.byteCount } % 512 == 0 })
        #expect(result.flatMap { $0 }.reduce(0) { $0 + $1.byteCount } == 12800)
        // A block in more pieces than that can't be described at all.
        let crumbs = (0..<64).map { segment(UInt64(0x1001 + $0 * 0x333), 8) }
        #expect(throws: DataPointerError.tooManyPieces(limit: 16)) {
            try parts(crumbs, maximum: 0x20000, sgl: .unaligned)
        }
    }

    @Test("every command is whole blocks, and together they are all bytes in order")
    func random() throws {
        var random = TestRandom("plan")
        for _ in 0..<500 {
            let block = random.below(2) == 0 ? 512 : 4096
            var left = (1 + random.below(200)) * block
            var pieces: [DMASegment] = []
            var address: UInt64 = 0x100000
            while left > 0 {
                let count = min(left, 1 + random.below(20000))
                address += UInt64(1 + random.below(50000))
                pieces.append(segment(address, count))
                address += UInt64(count)
                left -= count
            }
            let result = try parts(pieces, maximum: 0x20000, block: block, sgl: .unaligned)
            for part in result {
                let total = part.reduce(0) { $0 + $1.byteCount }
                #expect(total % block == 0 && total <= 0x20000)
            }
            let flat = joined(result.flatMap { $0 }.map { $0.address...($0.end - 1) })
            #expect(flat == joined(pieces.map { $0.address...($0.end - 1) }))
        }
    }
}
