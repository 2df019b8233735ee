import LinuxSystem
import VFIOHost

// What a process and the kernel in another process say to one another, on a stream socket. Both are the same library:
// the structures travel as they lie in memory.

/// A call on the kernel. Bytes to write follow.
struct CallMessage: BitwiseCopyable {
    enum Kind {
        static let open: UInt32 = 1
        static let control: UInt32 = 2
        static let readAt: UInt32 = 3
        static let writeAt: UInt32 = 4
        static let read: UInt32 = 5
        static let write: UInt32 = 6
        static let map: UInt32 = 7
        /// Nothing but to notice what was closed.
        static let collect: UInt32 = 8
        /// Something is written to one of ``ControlFiles``: a path, whose length is the argument, and what is written.
        static let controlFile: UInt32 = 9
    }

    /// One of ``Kind``.
    var kind: UInt32 = 0
    /// The caller's number.
    var handle: Int32 = -1
    /// The kernel's number of the open file behind it.
    var file: Int32 = -1
    /// The request's number; the kind of a node.
    var request: UInt32 = 0
    /// The request's argument; the number of a node.
    var argument: UInt64 = 0
    var offset: UInt64 = 0
    var byteCount: UInt64 = 0
    /// Tells what the process is from what it was before exec(2).
    var image: UInt64 = 0
    /// The caller's number for a handle that the call may make, whose other end comes along; -1 for none.
    var place: Int32 = -1
    /// What a mapping allows.
    var protection: Int32 = 0

    /// Whether bytes follow.
    var hasBody: Bool { kind == Kind.write || kind == Kind.writeAt || kind == Kind.controlFile }
}

/// What the kernel answers, or asks while it is about it. Bytes that were read follow.
struct AnswerMessage: BitwiseCopyable {
    enum Kind {
        static let answer: UInt32 = 1
        /// Asks for pages to be there; answered with a ``ReplyMessage``.
        static let populate: UInt32 = 2
        /// Asks for a descriptor; answered with a ``ReplyMessage`` that it comes with.
        static let descriptor: UInt32 = 3
    }

    /// One of ``Kind``.
    var kind: UInt32 = 0
    /// 0, or why the call failed.
    var errno: Int32 = 0
    /// The result; a descriptor's number.
    var value: Int64 = 0
    /// Of memory of the caller's, or within a file.
    var address: UInt64 = 0
    var byteCount: UInt64 = 0
    /// 1 if the call made a handle; whether pages are to be written.
    var flag: UInt64 = 0
}

/// What a process answers when it was asked.
struct ReplyMessage: BitwiseCopyable {
    /// 0, or why it couldn't be done.
    var errno: Int32 = 0
    var reserved: Int32 = 0
}

/// The most bytes that one call moves.
let mostBytesOfCall = 65_536

/// How long a change of drivers waits in the kernel for a device's users; then it is asked for again. While it waits, the
/// process can't be copied (``ForkGate``).
let mostMillisecondsOfChange = 400

extension UnixSocket {
    /// Sends a structure, with a descriptor unless it is -1.
    func send<T: BitwiseCopyable>(_ message: T, passing descriptor: Int32 = -1) throws(Errno) {
        // SAFETY: only the structure's own bytes are read.
        try unsafe withUnsafeBytes(of: message) { (bytes) throws(Errno) in
            try sendAll(unsafe RawSpan(_unsafeBytes: bytes), passing: descriptor)
        }
    }

    /// Receives a structure whole.
    /// - Parameter passed: gets the descriptors that came with it.
    /// - Throws: `ECONNRESET` where the other side is gone.
    func receive<T: BitwiseCopyable>(_ initial: T, _ passed: inout PassedDescriptors) throws(Errno) -> T {
        var message = initial
        // SAFETY: any bits are a value of a BitwiseCopyable structure.
        try unsafe withUnsafeMutableBytes(of: &message) { (bytes) throws(Errno) in
            var span = unsafe MutableRawSpan(_unsafeBytes: bytes)
            try receiveAll(into: &span, &passed)
        }
        return message
    }

    /// Fills a span.
    /// - Throws: `ECONNRESET` where the other side is gone.
    func receiveAll(into span: inout MutableRawSpan, _ passed: inout PassedDescriptors) throws(Errno) {
        var done = 0
        while done < span.byteCount {
            var rest = span._mutatingExtracting(done..<span.byteCount)
            let count =
                done == 0
                ? try receiveMessage(into: &rest, descriptors: &passed).byteCount : try receive(into: &rest)
            guard count > 0 else { throw .connectionReset }
            done += count
        }
    }
}

extension Node {
    /// The node as two numbers of a message.
    var numbers: (kind: UInt32, number: UInt64) {
        switch self {
        case .container: (0, 0)
        case .group(let number): (1, UInt64(number))
        case .unprotectedGroup(let number): (2, UInt64(number))
        case .device(let number): (3, UInt64(number))
        case .iommu: (4, 0)
        }
    }

    /// The node that two numbers of a message stand for.
    init?(kind: UInt32, number: UInt64) {
        let number = Int(truncatingIfNeeded: number & 0x7fff_ffff)
        switch kind {
        case 0: self = .container
        case 1: self = .group(number)
        case 2: self = .unprotectedGroup(number)
        case 3: self = .device(number)
        case 4: self = .iommu
        default: return nil
        }
    }
}
