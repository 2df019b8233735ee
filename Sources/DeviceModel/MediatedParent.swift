import LinuxSystem

/// What mediated devices are made of: a device whose driver divides it up, and the driver (kernel.md G.6).
///
/// Hosts make one call at a time.
public protocol MediatedParent: AnyObject {
    /// The device's name in `/sys/class/mdev_bus`.
    var name: String { get }

    /// The driver's name, which also begins the types' names.
    var driver: String { get }

    /// The types of devices that can be made. They never change.
    var types: [MediatedType] { get }

    /// How many more devices of a type can be made: `available_instances`.
    /// - Parameter type: its position in ``types``.
    func availableInstances(of type: Int) -> Int

    /// Makes a device.
    /// - Parameter type: its position in ``types``.
    /// - Throws: `ENOSPC` or `EUSERS`, as the driver has it, where nothing is left to make it of.
    func makeDevice(of type: Int) throws(Errno) -> any MediatedDevice

    /// A device has been removed: what it was made of is free again.
    func reclaimDevice(of type: Int)
}

/// A type of mediated devices.
public struct MediatedType: Sendable {
    /// Its name without the driver's: "1" of "mtty-1".
    public var name: String
    /// A name for people (`name` in sysfs).
    public var title: String
    /// More about it (`description` in sysfs); nil for nothing.
    public var summary: String?

    /// Describes a type.
    public init(_ name: String, title: String, summary: String? = nil) {
        self.name = name
        self.title = title
        self.summary = summary
    }
}

/// Instances that a parent can make, each taking so much of what there is.
public struct MediatedPool: Sendable {
    /// What is left.
    public private(set) var left: Int
    /// The answer to whoever wants more.
    private let refusal: Errno

    /// A pool.
    /// - Parameters:
    ///   - amount: what there is.
    ///   - refusal: the answer to whoever wants more than what is left.
    public init(_ amount: Int, refusal: Errno) {
        left = amount
        self.refusal = refusal
    }

    /// How often so much can be taken.
    public func instances(taking amount: Int) -> Int { left / max(1, amount) }

    /// Takes something.
    /// - Throws: the refusal.
    public mutating func take(_ amount: Int) throws(Errno) {
        guard amount <= left else { throw refusal }
        left -= amount
    }

    /// Gives something back.
    public mutating func giveBack(_ amount: Int) { left += amount }
}
