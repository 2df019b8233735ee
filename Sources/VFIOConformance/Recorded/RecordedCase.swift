/// A case that was made from a trace: the calls that a program made, and what it was answered.
///
/// What differs from run to run is told by name: handles, eventfds, objects of an iommufd, and memory that devices
/// are given. All else is as it was, byte by byte.
public struct RecordedCase: Codable, Sendable {
    /// The version of this form.
    public var version = 1
    /// What it shows, for people.
    public var name: String
    /// The memory that the program gave to devices, and bad addresses that it gave.
    public var areas: [Area]
    /// The calls, in the order in which they began.
    public var steps: [Step]
    /// What of the trace isn't in the case, and why.
    public var omissions: [String]

    /// A stretch of memory.
    public struct Area: Codable, Sendable {
        /// Its length, whole pages.
        public var byteCount: Int
        /// Whether it is there at all; some programs give addresses where nothing is.
        public var isAccessible: Bool
    }

    /// What was done.
    public enum Call: String, Codable, Sendable {
        /// A node was opened.
        case open
        /// A handle was closed.
        case close
        /// A request was sent.
        case control
        /// An access at an offset.
        case read
        /// An access at an offset.
        case write
        /// Reading from a stream.
        case receive
        /// Writing to a stream.
        case send
        /// A part of a handle's memory was mapped.
        case map
        /// A mapping ended.
        case unmap
    }

    /// A place in a structure where something stands that differs from run to run.
    public struct Reference: Codable, Sendable {
        /// What stands there.
        public enum Kind: String, Codable, Sendable {
            /// A handle that an earlier step opened.
            case handle
            /// An eventfd, or another descriptor of the program's own.
            case event
            /// An object of an iommufd.
            case object
            /// Memory of ``RecordedCase/areas``.
            case area
            /// A buffer of the program.
            case buffer
        }

        /// What stands there.
        public var kind: Kind
        /// Which one.
        public var name: Int
        /// Where in the structure, in bytes.
        public var offset: Int
        /// How long, in bytes.
        public var width: Int
        /// What is added to its address; for memory only.
        public var addend: Int?
    }

    /// Bytes that a structure points to.
    public struct Nested: Codable, Sendable {
        /// Where in the structure their address is.
        public var offset: Int
        /// The bytes before, in hexadecimal.
        public var before: String
        /// The bytes afterwards; nil where they stay.
        public var after: String?
    }

    /// One call, and what it was answered.
    public struct Step: Codable, Sendable {
        /// The call as people read it.
        public var label: String
        /// What was done.
        public var call: Call
        /// The handle, by the name that an earlier step gave it.
        public var handle: Int?
        /// The name of the handle that is answered.
        public var newHandle: Int?
        /// The node's path.
        public var node: String?
        /// The request's number, or a mapping's protection.
        public var request: UInt32?
        /// The request's argument, where it isn't the address of ``before``.
        public var argument: UInt64?
        /// The structure, in hexadecimal.
        public var before: String?
        /// The structure afterwards; nil where it stays as it is.
        public var after: String?
        /// What in ``before`` differs from run to run.
        public var inputs: [Reference] = []
        /// What in ``after`` differs from run to run: known things are compared, others are learned.
        public var outputs: [Reference] = []
        /// Bytes that the structure points to.
        public var nested: Nested?
        /// Where in the handle's file.
        public var offset: UInt64?
        /// How many bytes.
        public var byteCount: Int?
        /// What is written, or what was read, as far as the trace has it.
        public var data: String?
        /// Whether it is read again until it is what it should be: the program waited for it.
        public var isPolled: Bool?
        /// The name of a mapping.
        public var mapping: Int?
        /// What it returned.
        public var result: Int64
        /// What it failed with; nil where it succeeded.
        public var errno: Int32?

        init(_ call: Call, _ label: String) {
            self.call = call
            self.label = label
            result = 0
        }
    }
}

/// Bytes as text.
enum HexText {
    static func text(_ bytes: some Sequence<UInt8>) -> String {
        var text = ""
        for byte in bytes {
            if byte < 16 { text += "0" }
            text += String(byte, radix: 16)
        }
        return text
    }

    /// - Returns: nil for what isn't pairs of digits.
    static func bytes(_ text: String) -> [UInt8]? {
        let digits = Array(text.utf8)
        guard digits.count % 2 == 0 else { return nil }
        func worth(_ digit: UInt8) -> UInt8? {
            switch digit {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
            default: nil
            }
        }
        var bytes: [UInt8] = []
        for index in stride(from: 0, to: digits.count, by: 2) {
            guard let high = worth(digits[index]), let low = worth(digits[index + 1]) else { return nil }
            bytes.append(high << 4 | low)
        }
        return bytes
    }
}
