import IOVASpace
import LinuxSystem

/// The pages of one mapping that devices have pinned one by one, each with how often (kernel.md B.10): what
/// Linux keeps as the mapping's `pfn_list`.
final class PinnedPages {
    /// One entry for each page; its tag counts the pins.
    private var pages = IOVAMap(mergingAdjacent: false)

    /// How many different pages are pinned.
    var count: UInt64 { UInt64(pages.count) }

    /// Pins a page that is pinned already once more.
    /// - Returns: its memory; nil if it isn't pinned.
    /// - Throws: `EOVERFLOW` if it has been pinned 2^32 - 1 times.
    func pinAgain(_ iova: IOVA) throws(Errno) -> HostAddress? {
        guard var page = pages.mapping(startingAt: iova) else { return nil }
        guard page.tag < .max else { throw .overflow }
        page.tag += 1
        replace(page)
        return HostAddress(page.backing)
    }

    /// Notes the first pin of a page.
    func insert(_ iova: IOVA, memory: HostAddress) {
        guard let range = IOVARange(iova, byteCount: UInt64(pageSize)) else { return }
        do throws(IOVAMapError) {
            try pages.map(range, to: UInt64(memory.rawValue), tag: 1)
        } catch {
            preconditionFailure("a page was noted twice")
        }
    }

    /// Takes one pin of a page back.
    /// - Returns: whether that was the last.
    func unpin(_ iova: IOVA) -> Bool {
        guard var page = pages.mapping(startingAt: iova) else { return false }
        guard page.tag == 1 else {
            page.tag -= 1
            replace(page)
            return false
        }
        pages.removeMapping(startingAt: iova)
        return true
    }

    /// Goes through the pages, in ascending order.
    func forEach(_ body: (IOVA) -> Void) { pages.forEachMapping { body($0.range.first) } }

    private func replace(_ page: IOVAMapping) {
        do throws(IOVAMapError) {
            try pages.remap(page)
        } catch {
            preconditionFailure("a page that is noted wasn't found")
        }
    }
}
