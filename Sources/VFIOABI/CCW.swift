/// The sizes, in bytes, of the areas in the regions of a channel device (vfio_ccw.h).
public enum CCWAreaSize {
    /// `ORB_AREA_SIZE`: an operation request block.
    @inlinable public static var orb: Int { 12 }

    /// `SCSW_AREA_SIZE`: a subchannel status word.
    @inlinable public static var scsw: Int { 12 }

    /// `IRB_AREA_SIZE`: an interruption response block.
    @inlinable public static var irb: Int { 96 }

    /// `SCHIB_AREA_SIZE`: a subchannel information block.
    @inlinable public static var schib: Int { 52 }
}

/// `ccw_io_region`: the region `CCWRegion.config`. Packed in C; here aligned to 4, with the same size and
/// offsets.
public struct CCWIORegion: ABIValue, Equatable {
    /// `orb_area`: the operation request block.
    public var orbArea: InlineArray<12, UInt8>
    /// `scsw_area`: the subchannel status word; writing its start function starts the program.
    public var scswArea: InlineArray<12, UInt8>
    /// `irb_area`: the interruption response block.
    public var irbArea: InlineArray<96, UInt8>
    /// `ret_code`: the result of the last start, an errno.
    public var returnCode: UInt32

    /// Makes the structure; what is not given is zero.
    @inlinable
    public init(
        orbArea: InlineArray<12, UInt8> = InlineArray<12, UInt8>(repeating: 0),
        scswArea: InlineArray<12, UInt8> = InlineArray<12, UInt8>(repeating: 0),
        irbArea: InlineArray<96, UInt8> = InlineArray<96, UInt8>(repeating: 0),
        returnCode: UInt32 = 0
    ) {
        self.orbArea = orbArea
        self.scswArea = scswArea
        self.irbArea = irbArea
        self.returnCode = returnCode
    }

    /// Compares field by field.
    public static func == (left: Self, right: Self) -> Bool {
        sameElements(left.orbArea, right.orbArea)
            && sameElements(left.scswArea, right.scswArea)
            && sameElements(left.irbArea, right.irbArea)
            && left.returnCode == right.returnCode
    }
}

/// A command of `CCWCommandRegion`.
public struct CCWAsyncCommand: RawRepresentable, Hashable, ABIValue {
    /// The number as the uAPI has it; unknown ones are kept.
    public var rawValue: UInt32

    /// Takes any number, known or not.
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// `VFIO_CCW_ASYNC_CMD_HSCH`: halt the subchannel.
    @inlinable public static var haltSubchannel: CCWAsyncCommand { CCWAsyncCommand(rawValue: 1) }

    /// `VFIO_CCW_ASYNC_CMD_CSCH`: clear the subchannel.
    @inlinable public static var clearSubchannel: CCWAsyncCommand { CCWAsyncCommand(rawValue: 2) }
}

/// `ccw_cmd_region`: the region `RegionSubtype.ccwAsyncCommand`. Packed in C; here aligned to 4, with the
/// same size and offsets.
public struct CCWCommandRegion: ABIValue, Equatable {
    /// `command`: the command.
    public var command: CCWAsyncCommand
    /// `ret_code`: its result, an errno.
    public var returnCode: UInt32

    /// Makes the structure; what is not given is zero.
    @inlinable
    public init(
        command: CCWAsyncCommand = CCWAsyncCommand(rawValue: 0),
        returnCode: UInt32 = 0
    ) {
        self.command = command
        self.returnCode = returnCode
    }
}

/// `ccw_schib_region`: the region `RegionSubtype.ccwSCHIB`.
public struct CCWSCHIBRegion: ABIValue, Equatable {
    /// `schib_area`: the subchannel information block.
    public var schibArea: InlineArray<52, UInt8>

    /// Makes the structure; what is not given is zero.
    @inlinable
    public init(
        schibArea: InlineArray<52, UInt8> = InlineArray<52, UInt8>(repeating: 0)
    ) {
        self.schibArea = schibArea
    }

    /// Compares field by field.
    public static func == (left: Self, right: Self) -> Bool {
        sameElements(left.schibArea, right.schibArea)
    }
}

/// `ccw_crw_region`: the region `RegionSubtype.ccwCRW`. Packed in C; here aligned to 4, with the same size
/// and offsets.
public struct CCWCRWRegion: ABIValue, Equatable {
    /// `crw`: the channel report word.
    public var crw: UInt32
    /// `pad`: zero.
    public var padding: UInt32

    /// Makes the structure; what is not given is zero.
    @inlinable
    public init(
        crw: UInt32 = 0,
        padding: UInt32 = 0
    ) {
        self.crw = crw
        self.padding = padding
    }
}
