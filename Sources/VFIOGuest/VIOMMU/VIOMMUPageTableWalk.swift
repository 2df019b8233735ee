import IOVASpace
import VFIO

/// Goes over everything that a ``VIOMMUPageTable`` maps in a range, in ascending order, page by page.
///
/// Each word is read once. A table may hold the same table many times over, or itself: the number of words is limited,
/// so that no guest can keep a walk going.
public struct VIOMMUPageTableWalk {
    private let table: VIOMMUPageTable
    /// The next address to look at.
    private(set) var position: UInt64
    private let last: UInt64
    /// How many words may still be read.
    public private(set) var wordLimit: Int
    private var isDone = false
    /// The level of the lowest known table that holds the word for `position`.
    private var level = VIOMMUPageTable.levelCount
    /// The known tables on the way down, by level less one, and what is allowed in them.
    private var tables: InlineArray<4, GuestAddress>
    private var permissions: InlineArray<4, DMAPermissions>

    /// A walk over the pages that have addresses in `range`.
    /// - Parameters:
    ///   - range: what lies beyond 48 bits is left out.
    ///   - wordLimit: how many words of the tables to read at most.
    public init(of range: IOVARange, in table: VIOMMUPageTable, wordLimit: Int) {
        self.table = table
        self.wordLimit = wordLimit
        position = range.first.rawValue
        last = min(range.last.rawValue, VIOMMUPageTable.inputRange.last.rawValue)
        tables = InlineArray(repeating: table.root)
        permissions = InlineArray(repeating: .readWrite)
    }

    /// The next page; nil at the end.
    /// - Throws: the fault of a word. The walk goes on behind it at the next call, except for
    ///   ``VIOMMUFault/Reason/walkTooLong``, which ends it.
    public mutating func next<Words: GuestWords & ~Copyable>(
        in memory: inout Words
    ) throws(VIOMMUFault) -> VIOMMUPage? {
        while !isDone, position <= last {
            let iova = IOVA(position)
            guard wordLimit > 0 else {
                isDone = true
                throw VIOMMUFault(.walkTooLong, at: iova)
            }
            wordLimit -= 1
            let place = VIOMMUPageTable.word(for: position, in: tables[level - 1], level: level)
            let found: VIOMMUPageTable.Step
            do throws(VIOMMUFault) {
                found = try table.step(place, level, permissions[level - 1], iova, &memory)
            } catch {
                goBehind()
                throw error
            }
            switch found {
            case .nothing: goBehind()
            case .table(let next, let allowed):
                // Where nothing is allowed any more nothing is mapped, whatever the tables below say.
                if allowed.isEmpty {
                    goBehind()
                } else {
                    level -= 1
                    tables[level - 1] = next
                    permissions[level - 1] = allowed
                }
            case .page(let address, let allowed):
                let page = VIOMMUPage(position, address, level, allowed)
                goBehind()
                if !allowed.isEmpty { return page }
            }
        }
        return nil
    }

    /// Moves to the first address that the current word doesn't stand for.
    private mutating func goBehind() {
        // Never overflows: positions end at 2^48.
        let size = VIOMMUPageTable.pageSize(level: level)
        position = (position | (size - 1)) + 1
        // At the end of a table the next word is one of a table above.
        while level < VIOMMUPageTable.levelCount,
            position & (VIOMMUPageTable.pageSize(level: level + 1) - 1) == 0
        {
            level += 1
        }
    }
}
