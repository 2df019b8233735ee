import LinuxSystem

/// What is at the far end of a mainframe's channel: a disk, a tape, a terminal. It gets the commands of channel
/// programs, one after the other, with their data.
///
/// One call at a time, on the thread that started the program or, for a program that had to wait, on the one that
/// called ``Subchannel/resume(_:)``. Commands and data come from an untrusted driver and must never trap, loop without
/// bound or allocate without bound.
public protocol ChannelDevice: AnyObject {
    /// The subchannel that it is attached by. The device makes it in its initialiser and keeps it.
    var subchannel: Subchannel { get }

    /// Whether it can take a command now. A program waits for a device that can't, until that calls
    /// ``Subchannel/resume(_:)``.
    var isReady: Bool { get }

    /// Carries out a command that gives data to the device: a write or a control command (the lowest bit is set).
    /// - Returns: how it ended.
    func carryOut(_ command: UInt8, _ data: [UInt8]) -> ChannelStatus

    /// Carries out a command that takes data from the device: a read or a sense command.
    /// - Parameter limit: how many bytes there is room for, below 2^24.
    /// - Returns: the data, no more than that, and how it ended.
    func answer(_ command: UInt8, limit: Int) -> (data: [UInt8], status: ChannelStatus)

    /// What was under way ends; the device forgets what a program has set up.
    func reset()
}

extension ChannelDevice {
    /// Always.
    public var isReady: Bool { true }
}

/// How a device ended a command: the unit status (z/Architecture Principles of Operation, chapter 16).
public struct ChannelStatus: OptionSet, Sendable {
    /// The bits of the unit status.
    public let rawValue: UInt8
    /// Wraps bits.
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    /// Something has happened that no command asked for.
    public static let attention = ChannelStatus(rawValue: 0x80)
    /// With device end: the next command of the program is skipped.
    public static let modifier = ChannelStatus(rawValue: 0x40)
    /// It can't take a command.
    public static let busy = ChannelStatus(rawValue: 0x10)
    /// The channel is done with the command.
    public static let channelEnd = ChannelStatus(rawValue: 0x08)
    /// The device is done with it.
    public static let deviceEnd = ChannelStatus(rawValue: 0x04)
    /// It failed; a sense command tells why.
    public static let unitCheck = ChannelStatus(rawValue: 0x02)
    /// Something unusual, such as the end of a tape.
    public static let unitException = ChannelStatus(rawValue: 0x01)
    /// It was carried out.
    public static let done: ChannelStatus = [.channelEnd, .deviceEnd]
}

/// Where a device's subchannel leads to. Written by hosts.
///
/// May be called from any thread, but not from within a command.
public protocol SubchannelHost: AnyObject, Sendable {
    /// The program that waits for the device may go on.
    func resumeProgram(on device: any ChannelDevice)
    /// The device has something to tell that no program asked for.
    func presentStatus(_ status: ChannelStatus)
    /// Something has happened to the channel: a channel report word.
    func report(_ word: UInt32)
}

/// A device's end of its subchannel.
public final class Subchannel: @unchecked Sendable {
    // SAFETY: `host` is only touched with `lock` held.
    /// The device's number, as in "0.0.4fb2".
    public let deviceNumber: UInt16
    private let lock = Lock()
    private var host: (any SubchannelHost)?

    /// The subchannel of a device.
    public init(deviceNumber: UInt16) { self.deviceNumber = deviceNumber }

    /// Connects it to a host, or cuts it off (nil).
    public func plug(into host: (any SubchannelHost)?) { lock.withLock { self.host = host } }

    private var current: (any SubchannelHost)? { lock.withLock { host } }

    /// The device, whose subchannel this is, can take commands again: a program that waits for that goes on.
    public func resume(_ device: any ChannelDevice) { current?.resumeProgram(on: device) }

    /// Tells that something has happened which no program asked for.
    public func present(_ status: ChannelStatus) { current?.presentStatus(status) }

    /// Tells that something has happened to the channel, by a channel report word. At most 64 wait to be read; further
    /// ones get lost.
    public func report(_ word: UInt32) { current?.report(word) }
}
