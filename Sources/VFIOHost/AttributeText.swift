/// Reads the words and numbers of sysfs attributes. Whatever isn't exactly as the kernel writes it is nil.
enum AttributeText {
    /// A number in decimal, with an optional minus sign.
    static func decimal(_ text: some Sequence<UInt8>) -> Int? {
        var value = 0
        var digits = 0
        var isNegative = false
        for (index, byte) in text.enumerated() {
            if index == 0 && byte == UInt8(ascii: "-") {
                isNegative = true
                continue
            }
            guard byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") else { return nil }
            let (product, tooBig) = value.multipliedReportingOverflow(by: 10)
            let (sum, stillTooBig) = product.addingReportingOverflow(Int(byte - UInt8(ascii: "0")))
            if tooBig || stillTooBig { return nil }
            value = sum
            digits += 1
        }
        if digits == 0 { return nil }
        return isNegative ? -value : value
    }

    /// A number in hexadecimal that begins with "0x" and has at most 16 digits.
    static func hexadecimal(_ text: some Sequence<UInt8>) -> UInt64? {
        var value: UInt64 = 0
        var digits = 0
        for (index, byte) in text.enumerated() {
            if index == 0 {
                guard byte == UInt8(ascii: "0") else { return nil }
                continue
            }
            if index == 1 {
                guard byte == UInt8(ascii: "x") else { return nil }
                continue
            }
            let digit: UInt8
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = byte - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = byte - UInt8(ascii: "a") + 10
            case UInt8(ascii: "A")...UInt8(ascii: "F"): digit = byte - UInt8(ascii: "A") + 10
            default: return nil
            }
            digits += 1
            if digits > 16 { return nil }
            value = value << 4 | UInt64(digit)
        }
        return digits == 0 ? nil : value
    }

    /// The pieces between runs of spaces and tabs.
    static func words(_ line: some Collection<UInt8>) -> [[UInt8]] {
        line.split { $0 == 0x20 || $0 == 0x09 }.map { Array($0) }
    }

    /// The pieces between line feeds, without empty ones.
    static func lines(_ text: [UInt8]) -> [[UInt8]] {
        text.split { $0 == 0x0a }.map { Array($0) }
    }

    /// The last component of a path, as text; nil if it is empty.
    static func lastComponent(_ path: String) -> String? {
        let bytes = Array(path.utf8)
        let start = (bytes.lastIndex(of: UInt8(ascii: "/")) ?? -1) + 1
        return start < bytes.count ? String(decoding: bytes[start...], as: UTF8.self) : nil
    }

    /// The number that follows `prefix` in a name like "vfio17"; nil if the name is anything else.
    static func number(in name: String, after prefix: StaticString) -> Int? {
        // SAFETY: a StaticString's text is a constant of that length.
        let wanted = unsafe UnsafeBufferPointer(start: prefix.utf8Start, count: prefix.utf8CodeUnitCount)
        guard unsafe name.utf8.starts(with: wanted) else { return nil }
        guard let number = decimal(name.utf8.dropFirst(prefix.utf8CodeUnitCount)), number >= 0 else {
            return nil
        }
        return number
    }
}
