/// Why a text isn't a JSON document that is accepted here.
public enum JSONError: Error, Sendable {
    /// Something stands at this byte that can't stand there, or the text ends there.
    case syntax(at: Int)
    /// Lists and objects are nested deeper than allowed.
    case tooDeep
    /// There are more values than allowed.
    case tooLarge
    /// An object has the same name twice.
    case duplicate(String)
}

extension JSONError: CustomStringConvertible {
    /// "byte 12 can't stand there", …
    public var description: String {
        switch self {
        case .syntax(let at): "what stands at byte \(at) can't stand there, or the text ends too early"
        case .tooDeep: "lists and objects are nested too deep"
        case .tooLarge: "there are too many values"
        case .duplicate(let name): "there are two \"\(name)\" in one object"
        }
    }
}

#if !hasFeature(Embedded)
    extension JSONError: Equatable {}
#endif

extension JSON {
    /// Reads a document strictly: all of the bytes are one value, UTF-8, with white space around.
    /// - Parameters:
    ///   - maximumDepth: how deep lists and objects may be nested.
    ///   - maximumCount: how many values there may be in all.
    public init(_ bytes: [UInt8], maximumDepth: Int = 8, maximumCount: Int = 256) throws(JSONError) {
        var reader = JSONReader(bytes: bytes, depth: maximumDepth, left: maximumCount)
        self = try reader.document()
    }
}

/// A reader of one text. Recursion is bounded by `depth`, memory by `left` and the text's length.
private struct JSONReader {
    let bytes: [UInt8]
    var depth: Int
    var left: Int
    var at = 0

    mutating func document() throws(JSONError) -> JSON {
        let value = try value()
        skipSpace()
        guard at == bytes.count else { throw .syntax(at: at) }
        return value
    }

    private var next: UInt8? { at < bytes.count ? bytes[at] : nil }

    private mutating func skipSpace() {
        while let byte = next, byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 { at += 1 }
    }

    /// Takes a byte if it comes next.
    private mutating func take(_ byte: Unicode.Scalar) -> Bool {
        guard next == UInt8(ascii: byte) else { return false }
        at += 1
        return true
    }

    private mutating func expect(_ byte: Unicode.Scalar) throws(JSONError) {
        guard take(byte) else { throw .syntax(at: at) }
    }

    private mutating func word(_ word: StaticString, _ value: JSON) throws(JSONError) -> JSON {
        for index in 0..<word.utf8CodeUnitCount {
            // SAFETY: the index is below the text's length.
            let expected = unsafe word.utf8Start[index]
            guard next == expected else { throw .syntax(at: at) }
            at += 1
        }
        return value
    }

    private mutating func value() throws(JSONError) -> JSON {
        guard left > 0 else { throw .tooLarge }
        left -= 1
        skipSpace()
        switch next {
        case UInt8(ascii: "{"): return try object()
        case UInt8(ascii: "["): return try array()
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        default: return try number()
        }
    }

    private mutating func enter() throws(JSONError) {
        guard depth > 0 else { throw .tooDeep }
        depth -= 1
        at += 1
        skipSpace()
    }

    private mutating func object() throws(JSONError) -> JSON {
        try enter()
        defer { depth += 1 }
        var members: [JSON.Member] = []
        if take("}") { return .object([]) }
        while true {
            skipSpace()
            guard next == UInt8(ascii: "\"") else { throw .syntax(at: at) }
            let name = try string()
            // Quadratic, but in a number of members that is bounded.
            if members.contains(where: { $0.name.utf8.elementsEqual(name.utf8) }) { throw .duplicate(name) }
            skipSpace()
            try expect(":")
            members.append(JSON.Member(name, try value()))
            skipSpace()
            if take("}") { return .object(members) }
            try expect(",")
        }
    }

    private mutating func array() throws(JSONError) -> JSON {
        try enter()
        defer { depth += 1 }
        var items: [JSON] = []
        if take("]") { return .array([]) }
        while true {
            items.append(try value())
            skipSpace()
            if take("]") { return .array(items) }
            try expect(",")
        }
    }

    private mutating func number() throws(JSONError) -> JSON {
        let start = at
        var isInteger = true
        _ = take("-")
        if !take("0") { try digits() }
        if take(".") {
            isInteger = false
            try digits()
        }
        if take("e") || take("E") {
            isInteger = false
            _ = take("+") || take("-")
            try digits()
        }
        let text = String(decoding: bytes[start..<at], as: UTF8.self)
        if isInteger, let number = Int64(text) { return .integer(number) }
        return .number(text)
    }

    private mutating func digits() throws(JSONError) {
        let start = at
        while let byte = next, byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") { at += 1 }
        guard at > start else { throw .syntax(at: at) }
    }

    private mutating func string() throws(JSONError) -> String {
        let start = at
        at += 1
        var text: [UInt8] = []
        while true {
            guard let byte = next, byte >= 0x20 else { throw .syntax(at: at) }
            at += 1
            switch byte {
            case UInt8(ascii: "\""):
                guard let string = String(validating: text, as: UTF8.self) else { throw .syntax(at: start) }
                return string
            case UInt8(ascii: "\\"): try escape(&text)
            default: text.append(byte)
            }
        }
    }

    private mutating func escape(_ text: inout [UInt8]) throws(JSONError) {
        guard let byte = next else { throw .syntax(at: at) }
        at += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(byte)
        case UInt8(ascii: "b"): text.append(0x08)
        case UInt8(ascii: "f"): text.append(0x0c)
        case UInt8(ascii: "n"): text.append(0x0a)
        case UInt8(ascii: "r"): text.append(0x0d)
        case UInt8(ascii: "t"): text.append(0x09)
        case UInt8(ascii: "u"):
            let start = at - 2
            var code = try hexadecimal()
            if code >= 0xd800 && code < 0xdc00 {
                try expect("\\")
                try expect("u")
                let low = try hexadecimal()
                guard low >= 0xdc00 && low < 0xe000 else { throw .syntax(at: start) }
                code = 0x10000 + (code - 0xd800) << 10 + (low - 0xdc00)
            }
            guard let scalar = Unicode.Scalar(code) else { throw .syntax(at: start) }
            text.append(contentsOf: UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter)
        default: throw .syntax(at: at - 1)
        }
    }

    private mutating func hexadecimal() throws(JSONError) -> UInt32 {
        var code: UInt32 = 0
        for _ in 0..<4 {
            switch next {
            case .some(let byte) where byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9"):
                code = code << 4 | UInt32(byte - UInt8(ascii: "0"))
            case .some(let byte)
            where (byte | 0x20) >= UInt8(ascii: "a") && (byte | 0x20) <= UInt8(ascii: "f"):
                code = code << 4 | UInt32((byte | 0x20) - UInt8(ascii: "a") + 10)
            default: throw .syntax(at: at)
            }
            at += 1
        }
        return code
    }
}
