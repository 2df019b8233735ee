import LinuxSystem
import VFIOABI
import VFIOHost

/// A record, and what is known of it from those before.
public struct TraceEvent: Sendable {
    /// What was written down.
    public let record: TraceRecord
    /// What kind of file the handle is; nil where that isn't known.
    public let file: RequestName.File?
    /// What the handle is: "container", "group 26", "0000:01:00.0", …; "" where there is none.
    public let object: String
    /// The device, where it is about one.
    public let device: String?
    /// The place in the device, for accesses and mappings.
    public let place: TracePlace?
    /// What the request is called.
    public let request: RequestName?

    /// The word for what was done: the request's own, without "VFIO_", or "open", "read", ….
    public var verb: String {
        switch record.kind {
        case .process: "process"
        case .device: "device"
        case .open: "open"
        case .close: "close"
        case .read: "read"
        case .write: "write"
        case .receive: "receive"
        case .send: "send"
        case .map: "map"
        case .unmap: "unmap"
        case .control:
            if let request {
                "\(request.word)".hasPrefix("VFIO_")
                    ? String("\(request.word)".dropFirst(5)) : "\(request.word)"
            } else {
                "request 0x" + String(record.request, radix: 16)
            }
        default: "record of kind \(record.kind.rawValue)"
        }
    }

    /// Whether it is a call; other records tell of processes and devices.
    public var isCall: Bool { record.kind != .process && record.kind != .device }

    /// The name of the errno that it failed with; nil where it succeeded.
    public var errorName: String? {
        record.errno.map { "\($0.name)" == "errno" ? "errno \($0.rawValue)" : "\($0.name)" }
    }
}
