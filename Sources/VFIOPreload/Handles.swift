import LinuxSystem
import VFIOHost

/// Which descriptor numbers of this process are ours, and what they look like.
///
/// Asked at every call of the names here, so it must cost next to nothing: a word for each number, in memory that
/// isn't there until it is used.
enum Handles {
    /// How many numbers can be told apart; higher ones are never ours.
    static let most = 65_536

    // SAFETY: set once, before any number can be ours, and never freed.
    nonisolated(unsafe) private static var words: UnsafeMutablePointer<UInt64>?

    /// Nothing of ours.
    private static let none: UInt64 = 0
    /// The library's own: the program can't close it.
    private static let protected: UInt64 = 1
    /// A handle. The kernel's number of the open file is in bits 32 to 51, what the node is in the low half.
    private static let handle: UInt64 = 1 << 63

    /// Makes room. Called when the first node is opened.
    static func prepare() throws(Errno) {
        guard unsafe words == nil else { return }
        let window = try Mapping(anonymous: most * MemoryLayout<UInt64>.size).release()
        // SAFETY: the mapping is page-aligned, zeroed, that long, and stays for ever.
        unsafe words = UnsafeMutablePointer(bitPattern: window.address.rawValue)
    }

    /// Whether a number is a handle.
    @inline(__always)
    static func contains(_ number: Int32) -> Bool { word(number) >= handle }

    /// Whether a number is the library's own and nothing to the program.
    static func isProtected(_ number: Int32) -> Bool { word(number) == protected }

    @inline(__always)
    private static func word(_ number: Int32) -> UInt64 {
        guard let words = unsafe words, UInt32(bitPattern: number) < UInt32(most) else { return none }
        return unsafe words[Int(number)]
    }

    private static func set(_ number: Int32, _ word: UInt64) -> Bool {
        guard let words = unsafe words, number >= 0, number < most else { return false }
        unsafe words[Int(number)] = word
        return true
    }

    /// A number has become a handle.
    /// - Parameters:
    ///   - file: the kernel's number of the open file.
    ///   - node: what was opened, as in ``word(of:)``.
    /// - Returns: false for a number that is too high.
    static func add(_ number: Int32, file: Int32, node: UInt32) -> Bool {
        set(number, handle | UInt64(UInt32(bitPattern: file)) << 32 & (1 << 52 - 1) | UInt64(node))
    }

    /// A node in a word; 0 for what has none: a device that was opened through its group, a migration's data.
    static func word(of node: Node?) -> UInt32 {
        guard let place = node?.deviceNumber else { return 0 }
        return place.major << 20 | place.minor | 1 << 31
    }

    /// A number is the library's own from now on. Numbers too high for the table are left unprotected.
    static func protect(_ number: Int32) { _ = set(number, protected) }

    /// A number is about to be closed, or isn't the library's own any more.
    static func remove(_ number: Int32) { _ = set(number, none) }

    /// A number stands for the same open file as another one now, as after dup(2); or for nothing of ours.
    static func copy(_ number: Int32, to other: Int32) {
        let word = word(number)
        _ = set(other, word >= handle ? word : none)
    }

    /// The kernel is gone: no handle stands for anything any more.
    static func loseFiles() {
        guard let words = unsafe words else { return }
        for index in 0..<most {
            if unsafe words[index] >= handle { unsafe words[index] |= 0xf_ffff << 32 }
        }
    }

    /// The kernel's number of the open file that a handle stands for.
    static func file(of number: Int32) -> Int32? {
        let word = word(number)
        return word >= handle ? Int32(truncatingIfNeeded: word >> 32 & 0xf_ffff) : nil
    }

    /// The numbers that stat(2) tells of a node; nil for what has none.
    static func deviceNumber(_ number: Int32) -> (major: UInt32, minor: UInt32)? {
        let word = word(number)
        guard word >= handle, word & 1 << 31 != 0 else { return nil }
        return (UInt32(truncatingIfNeeded: word >> 20 & 0x7ff), UInt32(truncatingIfNeeded: word & 0xf_ffff))
    }
}
