import VFIO

/// Someone who decides which parts of a piece of guest RAM have memory behind them: a memory device whose blocks are
/// plugged and unplugged, or the record of which pages a confidential guest shares.
///
/// Offsets are bytes from the start of the RAM. A source is asked, and tells, under the memory map's lock
/// (``GuestMemory/lock``).
public protocol RAMDiscardSource: AnyObject, Sendable {
    /// The length of what changes at a time, in bytes: a power of two. Changes begin and end at its multiples.
    var granularity: UInt64 { get }

    /// The first unbroken run, inside `range`, of what is populated or of what is discarded; nil if there is none.
    ///
    /// The run is as long as `range` allows.
    func firstRun(populated: Bool, in range: Range<UInt64>) -> Range<UInt64>?

    /// Tells that a manager asks from now on, whom the source tells of every change; nil that none does.
    ///
    /// The manager keeps the source, so the source must keep the manager only weakly.
    func didJoin(_ manager: RAMDiscardManager?)
}

/// Someone who must know which parts of a piece of guest RAM are populated: who maps it for DMA, for one.
///
/// Called under the memory map's lock. A listener may ask the manager then, but change
/// nothing; only its own registration may end if it accepts a double discard.
public protocol RAMDiscardListener: AnyObject, Sendable {
    /// Whether a part may be discarded that isn't populated, or is so only here and there.
    ///
    /// If so, the end of a registration is one discard of all that was registered, and it may end while a listener is
    /// being told; if not, the end is one discard for each populated part.
    var acceptsDoubleDiscard: Bool { get }

    /// Takes up a part that is going to be populated. It touches nothing that is populated.
    ///
    /// Begins and ends at multiples of the granularity, unless the registered range doesn't.
    /// - Throws: why it can't be. Nothing of the part must then be left taken up. The part stays discarded, and so do
    ///   those that listened before hear.
    func populate(_ range: Range<UInt64>) throws(VFIOError)

    /// Lets go of a part that isn't populated any more. May be several parts that were populated one by one, or a
    /// piece of one.
    func discard(_ range: Range<UInt64>)
}
