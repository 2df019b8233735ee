import LinuxSystem
import VFIOABI
import VFIOHost

/// A container with one group and a type 1 IOMMU, memory to map, and short ways to do it.
struct DMABench {
    let container: File
    let group: File
    let memory: UserPages

    /// The page size, which is the unit of mappings here.
    var page: UInt64 { UInt64(pageSize) }

    /// MAP_DMA of pages of the bench's memory.
    func map(
        _ iova: UInt64, pages: Int = 1, from first: Int = 0, _ flags: DMAMapFlags = [.read, .write]
    ) -> Answer {
        map(
            DMAMap(
                flags: flags, vaddr: memory.vaddr + UInt64(first) * page, iova: iova,
                size: UInt64(pages) * page))
    }

    /// MAP_DMA with a structure.
    func map(_ request: DMAMap) -> Answer { container.request(.iommuMapDMA, request) }

    /// UNMAP_DMA: the answer, and the size that came back.
    func unmap(
        _ iova: UInt64, size: UInt64, _ flags: DMAUnmapFlags = []
    ) -> (answer: Answer, size: UInt64) {
        var request = DMAUnmap(flags: flags, iova: iova, size: size)
        let answer = container.request(.iommuUnmapDMA, &request)
        return (answer, request.size)
    }

    /// UNMAP_DMA in one text: the size that came back, in pages, or the errno.
    func unmapped(_ iova: UInt64, pages: UInt64, _ flags: DMAUnmapFlags = []) -> String {
        let (answer, size) = unmap(iova, size: pages * page, flags)
        return answer == .success ? "\(size / page) pages" : "\(answer)"
    }

    /// How many further mappings there may be, by the container's own account.
    var available: UInt32? { Type1Chain(container)?.available }

    // MARK: dirty pages

    /// DIRTY_PAGES with START or STOP.
    func dirty(_ flags: DirtyBitmapFlags, argsz: UInt32 = 8) -> Answer {
        container.request(.iommuDirtyPages, DirtyBitmap(argsz: argsz, flags: flags))
    }

    /// DIRTY_PAGES with GET_BITMAP.
    func getDirty(_ iova: UInt64, size: UInt64, _ bitmap: Bitmap) -> Answer {
        container.request(.iommuDirtyPages, DirtyBitmapWithGet(iova: iova, size: size, bitmap: bitmap))
    }

    /// UNMAP_DMA with GET_DIRTY_BITMAP: the answer, and the size that came back.
    func unmapDirty(_ iova: UInt64, size: UInt64, _ bitmap: Bitmap) -> (answer: Answer, size: UInt64) {
        var request = DMAUnmapWithBitmap(iova: iova, size: size, bitmap: bitmap)
        let answer = container.request(.iommuUnmapDMA, &request)
        return (answer, request.unmap.size)
    }
}

/// Words for dirty bits, with one guarded page behind the last.
struct DirtyWords {
    let buffer: UserBuffer
    let pageSize: UInt64

    /// A bitmap of all the words.
    var bitmap: Bitmap { Bitmap(pageSize: pageSize, size: UInt64(buffer.byteCount), data: data) }
    /// Where they are.
    var data: UInt64 { UInt64(buffer.address.rawValue) }

    subscript(index: Int) -> UInt64 {
        get { buffer.load(UInt64(0), at: 8 * index) }
        nonmutating set { buffer.store(newValue, at: 8 * index) }
    }

    /// All words in hexadecimal.
    var text: String {
        (0..<buffer.byteCount / 8).map { "0x" + String(self[$0], radix: 16) }.joined(separator: " ")
    }
}

extension Trial {
    /// A container with the group of a device, and memory.
    /// - Parameter kind: the version of the driver.
    func bench(pages: Int = 16, _ kind: IOMMUType = .type1v2) throws -> DMABench {
        let attached = try attach(edu, iommu: kind)
        return DMABench(
            container: attached.container, group: attached.group, memory: try memory(pages: pages))
    }

    /// Words for dirty bits at the end of a page.
    func words(_ count: Int, filledWith value: UInt64 = 0) throws -> DirtyWords {
        let words = DirtyWords(buffer: try buffer(atEndOfPage: 8 * count), pageSize: UInt64(pageSize))
        for index in 0..<count { words[index] = value }
        return words
    }
}

extension Exception {
    /// Sums that wrap were told apart from other mistakes in 6.18.
    static var wrapIsInvalid: Exception {
        .before(6, 18, .errno(.invalid), "6.18 tells sums that overflow apart, with EOVERFLOW")
    }
}

/// The capabilities that VFIO_IOMMU_GET_INFO tells, as they lie in the user's buffer.
struct Type1Chain {
    let info: IOMMUType1Info
    private(set) var links: [(id: UInt16, version: UInt16, offset: Int)] = []
    private let bytes: [UInt8]

    /// Asks a container, with room enough; nil if it refuses, or its chain leaves the buffer.
    init?(_ container: File) {
        guard let buffer = try? UserBuffer(byteCount: 4096, atEndOfPage: false) else { return nil }
        buffer.store(UInt32(4096))
        guard container.request(.iommuGetInfo, buffer) == .success else { return nil }
        info = buffer.load(IOMMUType1Info())
        bytes = buffer.bytes
        var next = Int(info.capabilityOffset)
        while next != 0 {
            guard next <= 4096 - 8, links.count < 16 else { return nil }
            links.append((buffer.load(0, at: next), buffer.load(0, at: next + 2), next))
            next = Int(buffer.load(UInt32(0), at: next + 4))
        }
    }

    private func load(_ count: Int, at offset: Int) -> UInt64 {
        guard offset + count <= bytes.count else { return 0 }
        return bytes[offset..<offset + count].reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    private func offset(of id: UInt16) -> Int? { links.first { $0.id == id }?.offset }

    /// What DMA_AVAIL says.
    var available: UInt32? { offset(of: 3).map { UInt32(truncatingIfNeeded: load(4, at: $0 + 8)) } }

    /// What MIGRATION says.
    var migration: (flags: UInt64, pageSizes: UInt64, mostBytes: UInt64)? {
        offset(of: 2).map { (load(4, at: $0 + 8), load(8, at: $0 + 16), load(8, at: $0 + 24)) }
    }

    /// What IOVA_RANGE says.
    var ranges: [ClosedRange<UInt64>] {
        guard let offset = offset(of: 1) else { return [] }
        return (0..<Int(min(load(4, at: offset + 8), 64))).compactMap { index in
            let first = load(8, at: offset + 16 + 16 * index)
            let last = load(8, at: offset + 24 + 16 * index)
            return first <= last ? first...last : nil
        }
    }
}
