import LinuxSystem
import VFIO
import VFIOHost

/// Where a scenario runs.
public struct Lab: Sendable {
    /// Who answers.
    public let host: any Host
    /// The device.
    public let id: DeviceID
    /// Where it sits, for a PCI function; a place where there is nothing for all others.
    public var address: PCIAddress { id.address ?? PCIAddress(bus: 255, device: 31, function: 7) }
    /// The way in.
    public let choice: RouteChoice
    /// An NVMe disk, for what takes two devices; nil where there is none.
    public let disk: PCIAddress?
    /// Whether DMA of a device gets to another device where the IOMMU lets it. One that is served from outside the
    /// machine reaches memory only.
    public let hasPeerToPeer: Bool
    /// How long anything may take, in milliseconds. Emulated machines are slow at times.
    public let patience: Int

    /// A place to run scenarios of a PCI function in.
    public init(
        host: any Host, address: PCIAddress, disk: PCIAddress? = nil, choice: RouteChoice = .automatic,
        hasPeerToPeer: Bool = true, patience: Int = 60_000
    ) {
        self.init(
            host: host, id: DeviceID(address), disk: disk, choice: choice, hasPeerToPeer: hasPeerToPeer,
            patience: patience)
    }

    /// A place to run scenarios in.
    public init(
        host: any Host, id: DeviceID, disk: PCIAddress? = nil, choice: RouteChoice = .automatic,
        hasPeerToPeer: Bool = true, patience: Int = 60_000
    ) {
        self.host = host
        self.id = id
        self.disk = disk
        self.hasPeerToPeer = hasPeerToPeer
        self.choice = choice
        self.patience = patience
    }

    /// Opens the device in an address space of its own.
    func open() throws(VFIOError) -> Device { try Device(opening: id, on: host, choice) }
}

/// Something that a user of a device relies on, written once and run on every host.
public struct Scenario: Sendable, CustomStringConvertible {
    /// What it says, in plain words.
    public let name: String
    private let body: Body

    private enum Body: Sendable {
        case direct(@Sendable (Lab) throws -> Void)
        case waiting(@Sendable (Lab) async throws -> Void)
    }

    /// One that runs on the caller's thread from end to end. (The optimiser of Swift 6.3.1 crashes on typed errors in
    /// asynchronous closures; only those that must are such ones.)
    init(_ name: String, _ body: @escaping @Sendable (Lab) throws -> Void) {
        self.name = name
        self.body = .direct(body)
    }

    /// One that waits for others.
    init(_ name: String, waiting body: @escaping @Sendable (Lab) async throws -> Void) {
        self.name = name
        self.body = .waiting(body)
    }

    /// Runs it.
    /// - Throws: ``Unexpected``, ``Skipped``, or what the house itself throws.
    public func run(_ lab: Lab) async throws {
        switch body {
        case .direct(let body): try body(lab)
        case .waiting(let body): try await body(lab)
        }
    }

    /// Its name.
    public var description: String { name }
}

/// Something isn't as the scenario says.
public struct Unexpected: Error, CustomStringConvertible {
    /// What, in plain words.
    public let description: String
    init(_ description: String) { self.description = description }
}

/// A scenario doesn't apply where it is run.
public struct Skipped: Error, CustomStringConvertible {
    /// Why.
    public let description: String
    init(_ reason: String) { description = reason }
}

/// Ends the scenario unless the condition holds.
func expect(_ condition: Bool, _ text: @autoclosure () -> String) throws(Unexpected) {
    if !condition { throw Unexpected(text()) }
}

/// Ends the scenario unless both are equal.
func expectEqual<T: Equatable>(_ actual: T, _ expected: T, _ what: String) throws(Unexpected) {
    if actual != expected { throw Unexpected("\(what): \(actual) instead of \(expected)") }
}

/// Ends the scenario unless the body fails with the code and a message that has all the texts.
func expectError(
    _ code: VFIOError.Code, _ texts: [String], _ what: String, _ body: () throws(VFIOError) -> Void
) throws(Unexpected) {
    do throws(VFIOError) {
        try body()
    } catch {
        let message = "\(error)"
        guard error.code == code else {
            throw Unexpected("\(what): the code is \(error.code) instead of \(code): \(message)")
        }
        for text in texts where !message.contains(text) {
            throw Unexpected("\(what): no \"\(text)\" in \"\(message)\"")
        }
        return
    }
    throw Unexpected("\(what): no error")
}

/// Ends the scenario unless the body fails with the errno.
func expectErrno(
    _ errno: Errno, _ what: String, _ body: () throws(Errno) -> Void
) throws(Unexpected) {
    do throws(Errno) {
        try body()
    } catch {
        if error == errno { return }
        throw Unexpected("\(what): \(error) instead of \(errno)")
    }
    throw Unexpected("\(what): no error instead of \(errno)")
}
