import CLinux
import LinuxSystem
import SoftwareHost
import VFIOHost

/// Which descriptor numbers of this process are ours, and what they look like.
///
/// Asked at every call of the names here, so it must cost next to nothing: a word for each number, in memory that
/// isn't there until it is used. A number that dup(2) makes of one of ours is ours as well; the kernel here knows which
/// numbers stand for the same file (`Host.share(_:as:)`).
enum Handles {
    /// How many numbers can be told apart; higher ones are never ours.
    static let most = 65_536

    // SAFETY: set once, before any number can be ours, and never freed.
    nonisolated(unsafe) private static var words: UnsafeMutablePointer<UInt64>?
    // SAFETY: a word that only grows; whoever reads an old value looks for numbers that aren't used yet.
    nonisolated(unsafe) private(set) static var highest: Int32 = -1
    // SAFETY: set when the first number becomes ours, and in a forked child before anybody else runs.
    nonisolated(unsafe) private static var process: Int32 = 0

    /// What a number is: the bits of its word. 0: not ours. A node's kind and number lie above (``Node/mark``).
    private struct Word {
        static let ours: UInt64 = 1
        static let hasNode: UInt64 = 2
        static let accessShift: UInt64 = 2
        /// Not one of ours, but a file of the run's folder that is looked at when it is written to.
        static let control: UInt64 = 1 << 4
    }

    /// Makes room. Called when the first node is opened, with the run's lock held.
    static func prepare() throws(Errno) {
        guard unsafe words == nil else { return }
        let window = try Mapping(anonymous: most * MemoryLayout<UInt64>.size).release()
        unsafe process = ProcessLimits.processID
        _ = clinux_at_fork_child { unsafe Handles.process = ProcessLimits.processID }
        // SAFETY: the mapping is page-aligned, zeroed, that long, and stays for ever.
        unsafe words = UnsafeMutablePointer(bitPattern: window.address.rawValue)
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

    /// Whether a number is ours, or that of a file that is looked at when it is written to (``ControlFiles``).
    @inline(__always)
    static func isKnown(_ number: Int32) -> Bool { word(number) != 0 }

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
        if unsafe number > highest { unsafe highest = number }
    }

    /// Whether a number can be one of ours.
    static func canHold(_ number: Int32) -> Bool { number >= 0 && number < most }

    /// A number has become ours.
    /// - Parameters:
    ///   - node: what was opened; nil for what has no node.
    ///   - access: `O_RDONLY`, `O_WRONLY` or `O_RDWR`.
    static func add(_ number: Int32, _ node: Node? = nil, access: Int32 = O_RDWR) {
        var word = Word.ours | UInt64(access & O_ACCMODE) << Word.accessShift
        if let mark = node?.mark {
            word |= Word.hasNode | UInt64(mark.kind) << 8 | UInt64(mark.number) << 32
        }
        set(number, word)
    }

    /// A number stands for what another stands for.
    static func copy(_ number: Int32, to other: Int32) { set(other, word(number)) }

    /// A number is about to be closed.
    static func remove(_ number: Int32) { if isKnown(number) { set(number, 0) } }

    /// The node that was opened; nil for what has none.
    static func node(_ number: Int32) -> Node? {
        let word = word(number)
        guard word & Word.hasNode != 0 else { return nil }
        return Node(mark: (Int64(word >> 8 & 0xff), Int(word >> 32)))
    }

    /// What fcntl(2) tells of how a number was opened (`F_GETFL`), without what can be changed later.
    static func openFlags(_ number: Int32) -> Int32 {
        let word = word(number)
        // On 64-bit machines open(2) puts O_LARGEFILE there by itself.
        return Int32(word >> Word.accessShift & 3) | (word & Word.hasNode != 0 ? 0x8000 : 0)
    }
}

/// Puts each new handle of the kernel here into the table, however it came about.
final class NewHandles: HandleWatcher {
    func canWatch(_ number: Int32) -> Bool { Handles.canHold(number) }
    func handleOpened(_ number: Int32) { Handles.add(number) }
}
