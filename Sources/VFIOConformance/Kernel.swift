import LinuxSystem
import VFIOHost

/// Whose answers a run collects.
public struct Kernel: Sendable, Equatable, CustomStringConvertible {
    /// Who it is.
    public let kind: HostKind
    /// What it calls itself, e.g. "6.12.107+deb13-cloud-amd64". The software kernel goes by the Linux whose
    /// answers it gives.
    public let release: String
    let major: Int
    let minor: Int

    /// A kernel.
    public init(_ kind: HostKind, release: String) {
        self.kind = kind
        self.release = release
        let numbers = release.split(separator: ".", maxSplits: 2).map { part in
            Int(part.prefix { $0.isNumber }) ?? 0
        }
        major = numbers.first ?? 0
        minor = numbers.count > 1 ? numbers[1] : 0
    }

    /// The kernel behind a host.
    public init(of host: any Host) {
        let own = (try? FileSystem.text(of: "/proc/sys/kernel/osrelease")) ?? ""
        self.init(host.kind, release: host.kind == .linux ? own : Self.reference)
    }

    /// The Linux that all others are compared with.
    public static let reference = "7.2"

    /// Whether this is a Linux older than a release.
    func isBefore(_ major: Int, _ minor: Int) -> Bool {
        kind == .linux && (self.major, self.minor) < (major, minor)
    }

    /// E.g. "Linux 6.12.107+deb13-cloud-amd64".
    public var description: String {
        switch kind {
        case .linux: "Linux \(release)"
        case .software: "the software kernel"
        case .vfioUser: "a vfio-user server"
        }
    }
}
