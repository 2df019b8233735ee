import CLinux
import LinuxSystem
import Synchronization
import VFIOHost

/// Which descriptor numbers of this process are ours, and what they look like.
///
/// Asked at every call of the names here, so it must cost next to nothing: a word for each number, in memory that
/// isn't there until it is used. A number that dup(2) makes of one of ours is ours as well, and stands for the same open
/// file in the kernel of the run.
enum Handles {
    /// How many numbers can be told apart; higher ones are never ours.
    static let most = 65_536

    // SAFETY: set once, before any number can be ours, and never freed.
    nonisolated(unsafe) private static var words: UnsafeMutablePointer<UInt64>?
    /// Only grows; whoever reads an old value looks for numbers that aren't used yet.
    private static let highestEver = Atomic<Int32>(-1)
    /// The highest number that was ever known; -1 for none.
    static var highest: Int32 { highestEver.load(ordering: .relaxed) }
    // SAFETY: set when the first number becomes ours, and in a forked child before anybody else runs.
    nonisolated(unsafe) private static var process: Int32 = 0

    /// What a number is: the bits of its word. 0: not ours. Bits 12 to 31 are the kernel's number of the open file, 8 to
    /// 11 and the high half the kind and the number of its node (``Node/mark``).
    private struct Word {
        static let ours: UInt64 = 1
        static let hasNode: UInt64 = 2
        static let accessShift: UInt64 = 2
        /// Not one of ours, but a file of the run's folder that is looked at when it is written to.
        static let control: UInt64 = 1 << 4
        /// The library's own, and nothing to the program.
        static let protected: UInt64 = 1 << 5
        /// The same for what something in the library has opened, as long as it has it.
        static let owned: UInt64 = 1 << 6
        static let node: UInt64 = 0xffff_ffff_0000_0f02
        static let fileShift: UInt64 = 12
        static let file: UInt64 = 0xf_ffff << fileShift
    }

    /// Makes room. Called when the first node is opened, with the run's lock held.
    static func prepare() throws(Errno) {
        guard unsafe words == nil else { return }
        let window = try Mapping(anonymous: most * MemoryLayout<UInt64>.size).release()
        unsafe process = ProcessLimits.processID
        _ = clinux_at_fork_child { unsafe Handles.process = ProcessLimits.processID }
        // SAFETY: the mapping is page-aligned, zeroed, that long, and stays for ever.
        unsafe words = UnsafeMutablePointer(bitPattern: window.address.rawValue)
        OwnedDescriptors.observe { number, isOwned in
            // Not in a child of vfork(2), whose descriptors these are, but not whose table.
            guard Handles.isOwnProcess else { return }
            let word = Handles.word(number)
            Handles.set(number, isOwned ? word | Word.owned : word & ~Word.owned)
        }
    }

    /// Whether there can be any number of ours.
    @inline(__always)
    static var isInUse: Bool { unsafe words != nil }

    /// Whether the caller has the process to itself, with its descriptors. False in a child of vfork(2), which has
    /// descriptors of its own, but shares this memory with its parent: what it closes goes on in the parent.
    static var isOwnProcess: Bool { unsafe process == ProcessLimits.processID }

    /// Whether a number is ours.
    @inline(__always)
    static func contains(_ number: Int32) -> Bool { word(number) & Word.ours != 0 }

    /// Whether a number is ours, the library's own, or that of a file that is looked at when it is written to
    /// (``ControlFiles``).
    @inline(__always)
    static func isKnown(_ number: Int32) -> Bool { word(number) != 0 }

    /// Whether a number is the library's own: programs that close everything leave it alone.
    static func isProtected(_ number: Int32) -> Bool {
        word(number) & (Word.protected | Word.owned) != 0
    }

    /// A number is the library's own from now on, also if it is a handle. Numbers too high for the table are left
    /// unprotected.
    static func protect(_ number: Int32) { set(number, word(number) | Word.protected) }

    /// The file in ``ControlFiles`` that a number is open for writing to; nil if it isn't.
    static func control(_ number: Int32) -> Int? {
        let word = word(number)
        return word & Word.control != 0 ? Int(word >> 32) : nil
    }

    /// A number is open for writing to a file in ``ControlFiles``.
    static func add(_ number: Int32, control: Int) { set(number, Word.control | UInt64(control) << 32) }

    @inline(__always)
    private static func word(_ number: Int32) -> UInt64 {
        guard let words = unsafe words, UInt32(bitPattern: number) < UInt32(most) else { return 0 }
        return unsafe words[Int(number)]
    }

    private static func set(_ number: Int32, _ word: UInt64) {
        guard let words = unsafe words, canHold(number) else { return }
        unsafe words[Int(number)] = word
        if number > highest { highestEver.max(number, ordering: .relaxed) }
    }

    /// Whether a number can be one of ours.
    static func canHold(_ number: Int32) -> Bool { unsafe words != nil && number >= 0 && number < most }

    /// A number has become ours.
    /// - Parameters:
    ///   - file: the kernel's number of the open file.
    ///   - node: what was opened, as ``bits(of:)`` has it.
    /// - Returns: false for a number that is too high.
    static func add(_ number: Int32, file: Int32, node: UInt64) -> Bool {
        guard canHold(number) else { return false }
        let place = UInt64(UInt32(bitPattern: file)) << Word.fileShift & Word.file
        set(number, Word.ours | place | node & Word.node | UInt64(O_RDWR) << Word.accessShift)
        return true
    }

    /// A node in the bits of a word; 0 for what has none: a device that was opened through its group, a migration's data.
    static func bits(of node: Node?) -> UInt64 {
        guard let mark = node?.mark else { return 0 }
        return Word.hasNode | UInt64(mark.kind) << 8 | UInt64(mark.number) << 32
    }

    /// How a number of ours was opened: `O_RDONLY`, `O_WRONLY` or `O_RDWR`.
    static func setAccess(_ number: Int32, _ access: Int32) {
        let word = word(number)
        guard word & Word.ours != 0 else { return }
        set(
            number,
            word & ~(3 << Word.accessShift) | UInt64(access & O_ACCMODE) << Word.accessShift)
    }

    /// A number stands for what another stands for.
    static func copy(_ number: Int32, to other: Int32) { set(other, word(number)) }

    /// A number is about to be closed, or isn't the library's own any more.
    static func remove(_ number: Int32) { if isKnown(number) { set(number, 0) } }

    /// All numbers that are handles, also those that the library has for itself.
    static func forEach(_ body: (Int32) -> Void) {
        guard isInUse, highest >= 0 else { return }
        for number in 0...highest where contains(number) { body(number) }
    }

    /// The kernel is gone: no handle stands for anything any more.
    static func loseFiles() {
        for number in 0..<Int32(most) {
            let word = word(number)
            if word & Word.ours != 0 { set(number, word | Word.file) }
        }
    }

    /// The kernel's number of the open file that a handle stands for; nil for a number that isn't one.
    static func file(of number: Int32) -> Int32? {
        let word = word(number)
        guard word & Word.ours != 0 else { return nil }
        return Int32(truncatingIfNeeded: (word & Word.file) >> Word.fileShift)
    }

    /// The node that was opened; nil for what has none.
    static func node(_ number: Int32) -> Node? {
        let word = word(number)
        guard word & Word.ours != 0, word & Word.hasNode != 0 else { return nil }
        return Node(mark: (Int64(word >> 8 & 0xf), Int(word >> 32)))
    }

    /// What fcntl(2) tells of how a number was opened (`F_GETFL`), without what can be changed later.
    static func openFlags(_ number: Int32) -> Int32 {
        let word = word(number)
        // On 64-bit machines open(2) puts O_LARGEFILE there by itself.
        return Int32(word >> Word.accessShift & 3) | (word & Word.hasNode != 0 ? 0x8000 : 0)
    }
}
