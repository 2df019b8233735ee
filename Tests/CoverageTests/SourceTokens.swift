import Foundation

/// A file of Swift, cut into words, marks and strings; comments and what strings interpolate are left out.
struct SourceTokens {
    enum Kind {
        case word
        case mark
        case string
    }

    /// The target whose folder it is in.
    let target: String
    /// The file's name without ".swift".
    let file: String
    private(set) var texts: [String] = []
    private(set) var kinds: [Kind] = []
    /// Whether nothing stands between each token and the one before.
    private(set) var adjoins: [Bool] = []
    /// Where each word stands.
    private(set) var places: [String: [Int]] = [:]

    init(target: String, file: String, text: String) {
        self.target = target
        self.file = file
        var cutter = Cutter(bytes: Array(text.utf8))
        var end = -1
        while let (kind, text) = cutter.next() {
            adjoins.append(cutter.start == end)
            end = cutter.at
            if kind == .word { places[text, default: []].append(texts.count) }
            texts.append(text)
            kinds.append(kind)
        }
    }

    /// The text at a place; nothing outside.
    func at(_ place: Int) -> String { texts.indices.contains(place) ? texts[place] : "" }

    func isWord(_ place: Int) -> Bool { kinds.indices.contains(place) && kinds[place] == .word }

    /// The place of the mark that closes what is opened at `place`.
    func end(ofBracketAt place: Int) -> Int {
        let open = texts[place]
        guard let close = ["(": ")", "{": "}", "[": "]"][open] else { return place }
        var depth = 0
        for at in place..<texts.count where kinds[at] == .mark {
            if texts[at] == open { depth += 1 }
            if texts[at] == close { depth -= 1 }
            if depth == 0 { return at }
        }
        return texts.count - 1
    }
}

/// Cuts bytes into tokens.
private struct Cutter {
    let bytes: [UInt8]
    var at = 0
    /// Where the last token began.
    var start = 0

    init(bytes: [UInt8]) { self.bytes = bytes }

    private func byte(_ offset: Int) -> UInt8 {
        at + offset < bytes.count ? bytes[at + offset] : 0
    }

    private func isWord(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), 0x80...:
            true
        default: false
        }
    }

    mutating func next() -> (SourceTokens.Kind, String)? {
        while at < bytes.count {
            if byte(0) == UInt8(ascii: "/"), byte(1) == UInt8(ascii: "/") {
                while at < bytes.count, byte(0) != UInt8(ascii: "\n") { at += 1 }
            } else if byte(0) == UInt8(ascii: "/"), byte(1) == UInt8(ascii: "*") {
                skipComment()
            } else if byte(0) <= 0x20 {
                at += 1
            } else {
                break
            }
        }
        guard at < bytes.count else { return nil }
        start = at
        if byte(0) == UInt8(ascii: "\"") { return (.string, string()) }
        if isWord(byte(0)) {
            while at < bytes.count, isWord(byte(0)) { at += 1 }
            return (.word, String(decoding: bytes[start..<at], as: UTF8.self))
        }
        at += 1
        return (.mark, String(decoding: bytes[start..<at], as: UTF8.self))
    }

    private mutating func skipComment() {
        var depth = 0
        repeat {
            if byte(0) == UInt8(ascii: "/"), byte(1) == UInt8(ascii: "*") {
                depth += 1
                at += 2
            } else if byte(0) == UInt8(ascii: "*"), byte(1) == UInt8(ascii: "/") {
                depth -= 1
                at += 2
            } else {
                at += 1
            }
        } while depth > 0 && at < bytes.count
    }

    /// A string's text; what it interpolates shows as "…".
    private mutating func string() -> String {
        let quote = UInt8(ascii: "\"")
        let isLong = byte(1) == quote && byte(2) == quote
        at += isLong ? 3 : 1
        var text: [UInt8] = []
        while at < bytes.count {
            if byte(0) == UInt8(ascii: "\\") {
                if byte(1) == UInt8(ascii: "(") {
                    at += 1
                    skipInterpolation()
                    text += Array("…".utf8)
                } else {
                    text.append(byte(1))
                    at += 2
                }
            } else if byte(0) == quote, !isLong || (byte(1) == quote && byte(2) == quote) {
                at += isLong ? 3 : 1
                break
            } else {
                text.append(byte(0))
                at += 1
            }
        }
        return String(decoding: text, as: UTF8.self)
    }

    private mutating func skipInterpolation() {
        var depth = 0
        repeat {
            switch byte(0) {
            case UInt8(ascii: "("):
                depth += 1
                at += 1
            case UInt8(ascii: ")"):
                depth -= 1
                at += 1
            case UInt8(ascii: "\""): _ = string()
            default: at += 1
            }
        } while depth > 0 && at < bytes.count
    }
}
