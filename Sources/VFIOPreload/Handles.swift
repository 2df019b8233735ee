import LinuxSystem
import VFIOHost

/// Which descriptor numbers of this process are ours, and what they look like.
///
/// Asked at every call of the names here, so it must cost next to nothing: a byte for each number, in memory that
/// isn't there until it is used.
enum Handles {
    /// How many numbers can be told apart; higher ones are never ours.
    static let most = 65_536

    // SAFETY: set once, before any number can be ours, and never freed.
    nonisolated(unsafe) private static var words: UnsafeMutablePointer<UInt32>?

    /// Nothing of ours.
    private static let none: UInt32 = 0
    /// Ours, and no node of /dev: a device that was opened through its group, a migration's data.
    private static let anonymous: UInt32 = 1

    /// Makes room. Called when the first node is opened.
    static func prepare() throws(Errno) {
        guard unsafe words == nil else { return }
        let window = try Mapping(anonymous: most * MemoryLayout<UInt32>.size).release()
        // SAFETY: the mapping is page-aligned, zeroed, that long, and stays for ever.
        unsafe words = UnsafeMutablePointer(bitPattern: window.address.rawValue)
    }

    /// Whether a number is ours.
    @inline(__always)
    static func contains(_ number: Int32) -> Bool { word(number) != none }

    @inline(__always)
    private static func word(_ number: Int32) -> UInt32 {
        guard let words = unsafe words, UInt32(bitPattern: number) < UInt32(most) else { return none }
        return unsafe words[Int(number)]
    }

    /// A number has become ours.
    /// - Parameter node: what was opened; nil for what has no node.
    /// - Returns: false for a number that is too high.
    static func add(_ number: Int32, _ node: Node?) -> Bool {
        guard let words = unsafe words, number >= 0, number < most else { return false }
        var word = anonymous
        if let node {
            let place = node.deviceNumber
            word = place.major << 20 | place.minor | 1 << 31
        }
        unsafe words[Int(number)] = word
        return true
    }

    /// A number is about to be closed.
    static func remove(_ number: Int32) {
        guard let words = unsafe words, number >= 0, number < most else { return }
        unsafe words[Int(number)] = none
    }

    /// The numbers that stat(2) tells of a node; nil for what has none.
    static func deviceNumber(_ number: Int32) -> (major: UInt32, minor: UInt32)? {
        let word = word(number)
        guard word & 1 << 31 != 0 else { return nil }
        return (word >> 20 & 0x7ff, word & 0xf_ffff)
    }
}
