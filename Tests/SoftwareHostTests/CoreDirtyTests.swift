import Glibc
import LinuxSystem
import Testing
import VFIOABI
import VFIOHost

@testable import SoftwareHost

@Suite("Dirty pages are reported as by Linux, bit by bit")
struct CoreDirtyTests {
    let page = UInt64(pageSize)

    func dirty(_ rig: Rig, _ container: Int32, _ flags: UInt32, argsz: UInt32 = 8) -> Int32 {
        rig.ask(
            container, .iommuDirtyPages,
            with: VFIOABI.DirtyBitmap(argsz: argsz, flags: DirtyBitmapFlags(rawValue: flags)))
    }

    func get(
        _ rig: Rig, _ container: Int32, _ iova: UInt64, pages: Int, into words: inout [UInt64],
        pageSize: UInt64? = nil
    ) -> Int32 {
        let count = words.count * 8
        return words.withUnsafeMutableBufferPointer { buffer in
            let data = UInt64(UInt(bitPattern: buffer.baseAddress))
            let bitmap = Bitmap(pageSize: pageSize ?? page, size: UInt64(count), data: data)
            return rig.ask(
                container, .iommuDirtyPages,
                with: DirtyBitmapWithGet(iova: iova, size: UInt64(pages) * page, bitmap: bitmap))
        }
    }

    @Test("what DIRTY_PAGES tests, and in which order")
    func order() throws {
        let rig = try Rig()
        let (old, _) = rig.ready(1)
        #expect(rig.ask(old, .iommuDirtyPages, 8) == -EACCES)
        let fresh = try Rig()
        let (container, _) = fresh.ready()
        #expect(fresh.ask(container, .iommuDirtyPages, 8) == -EFAULT)
        #expect(dirty(fresh, container, 1, argsz: 7) == -EINVAL)
        for flags in [0, 3, 5, 7, 8, 9] as [UInt32] { #expect(dirty(fresh, container, flags) == -EINVAL) }
        #expect(dirty(fresh, container, 4, argsz: 47) == -EINVAL)
        var words: [UInt64] = [0, 0]
        #expect(get(fresh, container, 0, pages: 0, into: &words) == -EINVAL)
        #expect(get(fresh, container, UInt64.max - page + 1, pages: 2, into: &words) == -EOVERFLOW)
        #expect(get(fresh, container, 0, pages: 64, into: &words) == -EINVAL, "not tracking")
        #expect(fresh.map(container, 0, pages: 64) == 0)
        #expect(dirty(fresh, container, 1) == 0)
        #expect(dirty(fresh, container, 1) == 0)
        #expect(get(fresh, container, 0, pages: 129, into: &words) == -EINVAL, "bitmap too small")
        #expect(get(fresh, container, 0, pages: 64, into: &words, pageSize: 2 * page) == -EINVAL)
        #expect(get(fresh, container, 0, pages: 64, into: &words, pageSize: 0) == -EINVAL)
        #expect(get(fresh, container, 1, pages: 64, into: &words) == -EINVAL)
        #expect(get(fresh, container, page, pages: 63, into: &words) == -EINVAL)
        #expect(get(fresh, container, 0, pages: 32, into: &words) == -EINVAL)
        #expect(get(fresh, container, 0, pages: 64, into: &words) == 0)
        #expect(words == [.max, 0])
        #expect(dirty(fresh, container, 2) == 0)
        #expect(dirty(fresh, container, 2) == 0)
        #expect(get(fresh, container, 0, pages: 64, into: &words) == -EINVAL)
    }

    @Test("a bitmap that can't be written: EFAULT, and what was to be unmapped stays mapped")
    func badBitmap() throws {
        let rig = try Rig()
        let (container, _) = rig.ready()
        #expect(rig.map(container, 0, pages: 4) == 0)
        #expect(dirty(rig, container, 1) == 0)
        for (data, error) in [(4096, EFAULT), (UInt64.max - 7, EINVAL), (1 << 63, EINVAL)]
            as [(UInt64, Int32)]
        {
            let bitmap = Bitmap(pageSize: page, size: 8, data: data)
            #expect(
                rig.ask(
                    container, .iommuDirtyPages,
                    with: DirtyBitmapWithGet(iova: 0, size: 4 * page, bitmap: bitmap)) == -error)
            #expect(
                rig.ask(
                    container, .iommuUnmapDMA,
                    with: DMAUnmapWithBitmap(iova: 0, size: 4 * page, bitmap: bitmap)) == -error)
            #expect(rig.buses[0].canRead(0))
        }
    }

    @Test("unmapping tells which pages were dirty, from the first address asked for")
    func unmapReports() throws {
        let rig = try Rig()
        let (container, _) = rig.ready()
        #expect(rig.map(container, 0x2000, pages: 2) == 0)
        #expect(dirty(rig, container, 1) == 0)
        var words: [UInt64] = [1 << 40]
        words.withUnsafeMutableBufferPointer { buffer in
            let bitmap = Bitmap(pageSize: page, size: 8, data: UInt64(UInt(bitPattern: buffer.baseAddress)))
            var request = DMAUnmapWithBitmap(iova: 0, size: 16 * page, bitmap: bitmap)
            #expect(rig.ask(container, .iommuUnmapDMA, &request) == 0)
            #expect(request.unmap.size == 2 * page)
        }
        #expect(words == [1 << 40 | 0b1100])
    }

    static func bits(of words: [UInt64]) -> [Bool] {
        var bits: [Bool] = []
        for word in words { for bit in 0..<64 { bits.append(word >> UInt64(bit) & 1 == 1) } }
        return bits
    }

    /// What Linux does, bit by bit: kernel-errata.md, box of item 1.
    struct Reference {
        struct Owner {
            var first: Int
            var pages: Int
            var buffer: [Bool]
            init(first: Int, pages: Int) {
                self.first = first
                self.pages = pages
                buffer = [Bool](repeating: false, count: ((pages + 63) / 64 + 1) * 64)
            }
        }
        var owners: [Owner] = []

        /// Reports from a page on into the user's bits.
        mutating func report(from base: Int, pages: Int, into user: inout [Bool]) {
            for index in owners.indices
            where owners[index].first >= base && owners[index].first < base + pages {
                let owner = owners[index]
                let bit = owner.first - base
                let shift = bit % 64
                let word = bit / 64
                let words = (owner.pages + shift + 63) / 64
                var buffer = owner.buffer
                for page in 0..<owner.pages { buffer[page] = true }
                if shift != 0 {
                    for place in stride(from: words * 64 - 1, through: 0, by: -1) {
                        buffer[place] = place >= shift ? buffer[place - shift] : false
                    }
                    for place in 0..<64 where user[word * 64 + place] { buffer[place] = true }
                }
                for place in 0..<words * 64 { user[word * 64 + place] = buffer[place] }
                for page in 0..<owner.pages { buffer[page] = false }
                owners[index].buffer = buffer
            }
        }
    }

    @Test("reports over several mappings, at any offset and repeatedly, leave every bit as Linux does")
    func randomReports() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SplitMix(state: seed)
        for round in 0..<60 {
            let rig = try Rig()
            let (container, _) = rig.ready()
            var reference = Reference()
            var next = Int.random(in: 0..<70, using: &random)
            let base = 1 << 20
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let pages = Int.random(in: 1...200, using: &random)
                #expect(rig.map(container, UInt64((base + next) * pageSize), pages: pages) == 0)
                reference.owners.append(Reference.Owner(first: base + next, pages: pages))
                next += pages + Int.random(in: 0..<100, using: &random)
            }
            #expect(dirty(rig, container, 1) == 0)
            for _ in 0..<4 {
                // The range must begin and end outside of mappings: anywhere before the first.
                let before = Int.random(in: 0...(reference.owners[0].first - base), using: &random)
                let pages = next - before
                let count = (pages + 63) / 64
                var words = (0..<count).map { _ in UInt64.random(in: 0...UInt64.max, using: &random) }
                var bits = Self.bits(of: words)
                let answer = get(
                    rig, container, UInt64((base + before) * pageSize), pages: pages, into: &words)
                #expect(answer == 0)
                reference.report(from: base + before, pages: pages, into: &bits)
                let found = Self.bits(of: words)
                #expect(found == bits, "seed \(seed), round \(round)")
                if found != bits { return }
            }
        }
    }
}
