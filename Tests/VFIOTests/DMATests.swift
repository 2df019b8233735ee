import HostTestSupport
import IOVASpace
import LinuxSystem
import SoftwareHost
import Testing
import VFIO
import VFIOABI
import VFIOHost

@Suite("DMA memory")
struct DMATests {
    private func open(_ host: FaultyHost, _ choice: RouteChoice = .automatic) throws -> Device {
        try Device(opening: benchAddress, on: host, choice)
    }

    @Test(
        "is zeroed, whole pages, and inside the usable ranges, never at 0",
        arguments: [
            RouteChoice.group, .cdev,
        ])
    func allocation(choice: RouteChoice) throws {
        let device = try open(try machine(), choice)
        let space = device.addressSpace
        #expect(
            space.usableRanges.map { "\($0)" } == ["0x0...0xfedfffff", "0xfef00000...0x7fffffffff"])
        let memory = try space.allocate(byteCount: 5000)
        #expect(memory.byteCount == 8192)
        #expect(memory.window.address.rawValue % UInt(pageSize) == 0)
        #expect(memory.iova.rawValue != 0)
        #expect(memory.iova.rawValue % 4096 == 0)
        #expect((0..<1024).allSatisfy { memory.window.load64($0 * 8) == 0 })
        #expect(space.mappedByteCount == 8192)
    }

    @Test("doesn't overlap, avoids what is reserved, and goes back", arguments: [RouteChoice.group, .cdev])
    func many(choice: RouteChoice) throws {
        // Little room: 16 pages in two pieces.
        let host = try machine {
            $0.iommu = IOMMU(pageSizes: .kib4, apertures: [0...0xffff, 0xfedf_c000...0xfef0_3fff])
        }
        let space = try open(host, choice).addressSpace
        var ranges: [IOVARange] = []
        var held: [Holder] = []
        while true {
            do throws(VFIOError) {
                let memory = try space.allocate(byteCount: 4096)
                ranges.append(contentsOf: [IOVARange(memory.iova, byteCount: 4096)].compactMap { $0 })
                held.append(Holder(memory))
            } catch {
                #expect(error.code == .noSpace)
                #expect(
                    error.says("no free range", "0x1...0xffff") || error.says("no free range", "0x0...0xffff")
                )
                break
            }
        }
        // All pages but the one at 0.
        #expect(ranges.count == 15 + 4 + 4)
        for (index, range) in ranges.enumerated() {
            #expect(space.usableRanges.contains { $0.contains(range) })
            #expect(!ranges[..<index].contains { $0.overlaps(range) })
        }
        held.removeAll()
        #expect(space.mappingCount == 0)
        #expect(space.mappedByteCount == 0)
        let again = try space.allocate(byteCount: 4096)
        #expect(again.byteCount == 4096)
    }

    @Test("can be had below an address, for devices that drive few bits")
    func below() throws {
        let space = try open(try machine()).addressSpace
        let memory = try space.allocate(byteCount: 4096, below: IOVA(0x2000))
        #expect(memory.iova == IOVA(0x1000))
        let error = failure { () throws(VFIOError) in
            try space.allocate(byteCount: 4096, below: IOVA(0x2000)).release()
        }
        #expect(error?.code == .noSpace)
        #expect(error?.says("below 0x2000") == true)
        let nothing = failure { () throws(VFIOError) in
            try space.allocate(byteCount: 4096, below: IOVA(0)).release()
        }
        #expect(nothing?.code == .noSpace)
    }

    @Test("can be had at a chosen place, also at 0")
    func fixed() throws {
        let space = try open(try machine()).addressSpace
        let zero = try space.allocate(byteCount: 4096, at: IOVA(0))
        #expect(zero.iova == IOVA(0))
        let high = try space.allocate(byteCount: 4096, at: IOVA(0x7f_ffff_f000))
        #expect(high.iova == IOVA(0x7f_ffff_f000))
        let error = failure { () throws(VFIOError) in
            try space.allocate(byteCount: 8192, at: IOVA(0), below: IOVA(0x1000)).release()
        }
        #expect(error?.code == .outOfBounds)
    }

    @Test("long memory begins where the IOMMU can use huge pages")
    func alignment() throws {
        let space = try open(try machine()).addressSpace
        let small = try space.allocate(byteCount: 4096)
        let large = try space.allocate(byteCount: 4 << 20, pages: .transparentHuge)
        #expect(small.byteCount == 4096)
        #expect(large.iova.rawValue % (2 << 20) == 0)
    }

    @Test("in a reserved range is refused, and the range named", arguments: [RouteChoice.group, .cdev])
    func reserved(choice: RouteChoice) throws {
        let space = try open(try machine(), choice).addressSpace
        let error = failure { () throws(VFIOError) in
            try space.allocate(byteCount: 0x20_0000, at: IOVA(0xfed0_0000)).release()
        }
        #expect(error?.code == .reservedRange)
        #expect(
            error?.says(
                "map 2097152 bytes for DMA at IOVA 0xfed00000", "0xfed00000...0xfeefffff touches",
                "0xfee00000...0xfeefffff, which is reserved (msi)") == true)
    }

    @Test("a reserved range that sysfs doesn't know is found by the gap in the usable ones")
    func reservedGap() throws {
        let host = try machine()
        host.inventoryChange = { $0.groups[0].reservedRegions = [] }
        let space = try open(host).addressSpace
        let error = failure { () throws(VFIOError) in
            try space.allocate(byteCount: 4096, at: IOVA(0xfee0_1000)).release()
        }
        #expect(error?.code == .reservedRange)
        #expect(error?.says("touches 0xfee00000...0xfeefffff, which is reserved;") == true)
    }

    @Test("outside the aperture is refused, and the aperture named", arguments: [RouteChoice.group, .cdev])
    func aperture(choice: RouteChoice) throws {
        let space = try open(try machine(), choice).addressSpace
        let error = failure { () throws(VFIOError) in
            try space.allocate(byteCount: 8192, at: IOVA(0x7f_ffff_f000)).release()
        }
        #expect(error?.code == .outsideAperture)
        #expect(
            error?.says(
                "0x7ffffff000...0x8000000fff isn't inside what the IOMMU translates",
                "0x0...0xfedfffff and 0xfef00000...0x7fffffffff") == true)
        let wrapping = failure { () throws(VFIOError) in
            try space.allocate(byteCount: 8192, at: IOVA(0xffff_ffff_ffff_f000)).release()
        }
        #expect(wrapping?.code == .outsideAperture)
        #expect(wrapping?.says("beyond the end of the 64-bit address space") == true)
    }

    @Test("over what is mapped is refused, and that named")
    func overlap() throws {
        let space = try open(try machine()).addressSpace
        let first = try space.allocate(byteCount: 8192, at: IOVA(0x10_0000))
        let error = failure { () throws(VFIOError) in
            try space.allocate(byteCount: 8192, at: IOVA(0x10_1000)).release()
        }
        #expect(error?.code == .overlap)
        #expect(
            error?.says("0x101000...0x102fff overlaps 0x100000...0x101fff, which is mapped already") == true)
        #expect(first.iova == IOVA(0x10_0000))
    }

    @Test("lengths and places that aren't pages are refused with the page size")
    func misaligned() throws {
        let space = try open(try machine()).addressSpace
        let mapping = try Mapping(anonymous: 8192)
        let short = mapping.window.window(at: 0, byteCount: 5000)
        let error = failure { () throws(VFIOError) in try space.map(short).release() }
        #expect(error?.code == .misaligned)
        #expect(error?.says("5000 bytes aren't a multiple of the IOMMU's page size, 4096 bytes") == true)
        let shifted = mapping.window.window(at: 16, byteCount: 4096)
        let second = failure { () throws(VFIOError) in try space.map(shifted).release() }
        #expect(second?.code == .misaligned)
        #expect(second?.says("doesn't begin on a page of the IOMMU, 4096 bytes") == true)
        let third = failure { () throws(VFIOError) in
            try space.map(mapping.window, at: IOVA(0x1001)).release()
        }
        #expect(third?.code == .misaligned)
        let none = failure { () throws(VFIOError) in try space.allocate(byteCount: 0).release() }
        #expect(none?.code == .outOfBounds)
        let huge = failure { () throws(VFIOError) in try space.allocate(byteCount: .max).release() }
        #expect(huge?.code == .outOfBounds || huge?.code == .noMemory)
    }

    @Test("the user's own memory is mapped, and stays the user's")
    func userMemory() throws {
        let space = try open(try machine()).addressSpace
        let mapping = try Mapping(anonymous: 8192)
        let mapped = try space.map(mapping.window, access: .read)
        #expect(mapped.window.address == mapping.window.address)
        #expect(mapped.byteCount == 8192)
        try mapped.release()
        #expect(space.mappingCount == 0)
        mapping.window.store8(0, 1)
        let none = failure { () throws(VFIOError) in try space.map(mapping.window, access: []).release() }
        #expect(none?.says("neither reading nor writing") == true)
    }

    @Test("memory that isn't there is refused in plain words")
    func badMemory() throws {
        let space = try open(try machine(), .group).addressSpace
        let address: HostAddress
        do { address = try Mapping(anonymous: 4096).window.address }
        // SAFETY: nothing here touches the memory, which is gone; the host answers EFAULT.
        let window = unsafe MemoryWindow(unsafeAddress: address, byteCount: 4096)
        let error = failure { () throws(VFIOError) in try space.map(window).release() }
        #expect(error?.code == .badMemory)
        #expect(error?.errno == .badAddress)
        #expect(error?.says("not all of the memory is there and writable") == true)
        #expect(space.mappingCount == 0)
    }

    @Test(
        "over the memlock limit is refused with the bytes needed and the limit",
        arguments: [
            RouteChoice.group, .cdev,
        ])
    func memlock(choice: RouteChoice) throws {
        let host = try machine { $0.process.lockedMemoryLimit = 1 << 20 }
        // The device stays: an iommufd locks nothing that no device could reach.
        let device = try open(host, choice)
        let space = device.addressSpace
        let first = try space.allocate(byteCount: 512 << 10)
        let error = failure { () throws(VFIOError) in try space.allocate(byteCount: 1 << 20).release() }
        #expect(error?.code == .memlockLimit)
        #expect(error?.errno == .noMemory)
        #expect(
            error?.says(
                "the limit of locked memory (RLIMIT_MEMLOCK) is 1048576 bytes",
                "1048576 bytes are to be locked",
                "has locked 524288 already", "raise it to at least 1572864 bytes: ulimit -l 1536") == true)
        #expect(first.byteCount == 512 << 10)
        #expect(space.mappedByteCount == 512 << 10)
        #expect(device.address == benchAddress)
    }

    @Test("more mappings than the IOMMU's table has are refused with their number")
    func entryLimit() throws {
        let host = try machine { $0.parameters.dmaEntryLimit = 2 }
        let space = try open(host, .group).addressSpace
        let a = try space.allocate(byteCount: 4096)
        let b = try space.allocate(byteCount: 4096)
        let error = failure { () throws(VFIOError) in try space.allocate(byteCount: 4096).release() }
        #expect(error?.code == .entryLimit)
        #expect(error?.says("the IOMMU's table of mappings is full: 2 are there", "dma_entry_limit") == true)
        #expect(a.iova != b.iova)
    }

    @Test("tells how many more mappings fit, where there is a limit")
    func mappingsLeft() throws {
        let host = try machine { $0.parameters.dmaEntryLimit = 5 }
        let space = try open(host, .group).addressSpace
        #expect(try space.mappingsLeft() == 5)
        let memory = try space.allocate(byteCount: 4096)
        #expect(try space.mappingsLeft() == 4)
        try memory.release()
        #expect(try space.mappingsLeft() == 5)
        #expect(try open(try machine(), .cdev).addressSpace.mappingsLeft() == nil)
        let empty = try AddressSpace(on: host)
        #expect(failure { () throws(VFIOError) in try empty.mappingsLeft() }?.code == .noDeviceYet)
        host.fail(.control(UInt32(Request.iommuGetInfo.rawValue)), with: .inputOutput)
        #expect(failure { () throws(VFIOError) in try space.mappingsLeft() }?.errno == .inputOutput)
    }

    @Test("can't be had before the first device")
    func noDevice() throws {
        let space = try AddressSpace(on: try machine())
        #expect(space.route == nil)
        let error = failure { () throws(VFIOError) in try space.allocate(byteCount: 4096).release() }
        #expect(error?.code == .noDeviceYet)
    }

    @Test(
        "can all be unmapped at once; what holders then give back harms nobody",
        arguments: [
            RouteChoice.group, .cdev,
        ])
    func unmapAll(choice: RouteChoice) throws {
        let space = try open(try machine(), choice).addressSpace
        let old = try space.allocate(byteCount: 4096, at: IOVA(0x5000))
        let other = try space.allocate(byteCount: 4096)
        try space.unmapAll()
        #expect(space.mappingCount == 0)
        // The same place, used again: the old holder must not take it away.
        let new = try space.allocate(byteCount: 4096, at: IOVA(0x5000))
        try old.release()
        try other.release()
        #expect(space.mappingCount == 1)
        #expect(new.iova == IOVA(0x5000))
    }

    @Test("dirty pages are told where the IOMMU tracks them, and refused where it doesn't")
    func dirty() throws {
        let host = try machine()
        do {
            let space = try open(host, .group).addressSpace
            let memory = try space.allocate(byteCount: 8 * 4096, at: IOVA(0x10000))
            try space.startDirtyTracking()
            let range = try #require(IOVARange(memory.iova, byteCount: 8 * 4096))
            // An IOMMU that can't tell reports all.
            let pages = try space.dirtyPages(in: range)
            #expect(pages.count == 8)
            #expect(pages.pageSize == 4096)
            #expect(pages.contains(IOVA(0x17fff)))
            #expect(pages.contains(IOVA(0x18000)) == false)
            try space.stopDirtyTracking()
            let off = failure { () throws(VFIOError) in try space.dirtyPages(in: range) }
            #expect(off?.says("tracking isn't on") == true)
            let odd = try #require(IOVARange(IOVA(0x10010), byteCount: 4096))
            #expect(failure { () throws(VFIOError) in try space.dirtyPages(in: odd) }?.code == .misaligned)
            #expect(failure { () throws(VFIOError) in try space.dirtyPages(in: .all) }?.code == .outOfBounds)
        }
        let cdev = try open(host, .cdev).addressSpace
        let error = failure { () throws(VFIOError) in try cdev.startDirtyTracking() }
        #expect(error?.code == .notSupported)
        #expect(error?.says("through its group") == true)
    }

    @Test("mapping and unmapping at random keeps the book in step with the host")
    func random() throws {
        let seed = UInt64.random(in: 0 ... .max)
        var random = SplitMix(state: seed)
        let host = try machine()
        let space = try open(host, .group).addressSpace
        var held: [Holder] = []
        for step in 0..<2000 {
            if held.isEmpty || random.next() % 3 != 0 {
                let pages = Int(random.next() % 8) + 1
                let memory = try space.allocate(byteCount: pages * 4096)
                held.append(Holder(memory))
            } else {
                held.remove(at: Int(random.next() % UInt64(held.count)))
            }
            #expect(space.mappingCount == held.count, "seed \(seed), step \(step)")
        }
        let bytes = held.reduce(0) { $0 + $1.byteCount }
        #expect(space.mappedByteCount == UInt64(bytes), "seed \(seed)")
        held = []
        #expect(space.mappedByteCount == 0, "seed \(seed)")
    }
}

/// Holds DMA memory, for arrays.
final class Holder {
    private let memory: DMAMemory
    init(_ memory: consuming DMAMemory) { self.memory = memory }
    var byteCount: Int { memory.byteCount }
}

/// A small generator of numbers that can be repeated.
struct SplitMix {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
