import VFIOHost

/// One behaviour of VFIO: a short scenario at the level of the uAPI, with the answers that Linux 7.2 gives.
public struct Case: Sendable {
    /// The section of the specification that it shows, e.g. "A.4".
    public let section: String
    /// What it shows, in plain words; unique in its section.
    public let name: String
    /// The ways in that it is about.
    public let routes: Routes
    let body: @Sendable (Trial) throws -> Void

    /// A case.
    /// - Parameter body: the scenario. What it opens is closed after it; what else it changes it puts back.
    init(
        _ section: String, _ name: String, on routes: Routes = .group,
        _ body: @escaping @Sendable (Trial) throws -> Void
    ) {
        self.section = section
        self.name = name
        self.routes = routes
        self.body = body
    }
}

/// Why a case ends early.
enum Halt: Error {
    /// It can't be run here, and why.
    case skipped(String)
    /// What it builds on failed.
    case broken(String)
}

/// A reason why an answer isn't Linux 7.2's, and what it is instead.
public struct Exception: Sendable {
    enum Condition: Sendable {
        case before(Int, Int)
        case software
        case remote
        case always(Bool)
    }

    let condition: Condition
    let wanted: String
    let reason: String

    /// Older kernels answer differently: those before a release.
    /// - Parameter reason: what Linux changed.
    static func before(_ major: Int, _ minor: Int, _ answer: Answer, _ reason: String) -> Exception {
        Exception(condition: .before(major, minor), wanted: "\(answer)", reason: reason)
    }

    /// Older kernels have a different value: those before a release.
    static func before(
        _ major: Int, _ minor: Int, value: some CustomStringConvertible, _ reason: String
    ) -> Exception {
        Exception(condition: .before(major, minor), wanted: "\(value)", reason: reason)
    }

    /// The software kernel answers differently, on purpose.
    /// - Parameter reason: which quirk of Linux it doesn't have, or what a process can't do.
    static func software(_ answer: Answer, _ reason: String) -> Exception {
        Exception(condition: .software, wanted: "\(answer)", reason: reason)
    }

    /// The software kernel has a different value, on purpose.
    static func software(value: some CustomStringConvertible, _ reason: String) -> Exception {
        Exception(condition: .software, wanted: "\(value)", reason: reason)
    }

    /// A device behind a socket answers differently: the protocol can't carry it, or the device isn't a kernel's.
    /// - Parameter reason: what the protocol lacks, or the server does.
    static func remote(_ answer: Answer, _ reason: String) -> Exception {
        Exception(condition: .remote, wanted: "\(answer)", reason: reason)
    }

    /// A device behind a socket has a different value.
    static func remote(value: some CustomStringConvertible, _ reason: String) -> Exception {
        Exception(condition: .remote, wanted: "\(value)", reason: reason)
    }

    /// Machines differ: a kernel built without something, an IOMMU that can't do something.
    static func when(_ applies: Bool, _ answer: Answer, _ reason: String) -> Exception {
        Exception(condition: .always(applies), wanted: "\(answer)", reason: reason)
    }

    /// Machines differ in a value.
    static func when(
        _ applies: Bool, value: some CustomStringConvertible, _ reason: String
    ) -> Exception {
        Exception(condition: .always(applies), wanted: "\(value)", reason: reason)
    }

    func applies(to kernel: Kernel) -> Bool {
        switch condition {
        case .before(let major, let minor): kernel.isBefore(major, minor)
        case .software: kernel.kind == .software
        case .remote: kernel.kind == .vfioUser
        case .always(let applies): applies
        }
    }
}
