import Testing
import JSONText

@Suite("JSON")
struct JSONTests {
    private func read(_ text: String) throws -> JSON { try JSON(Array(text.utf8)) }

    @Test(
        "is read as RFC 8259 has it",
        arguments: [
            ("null", JSON.null), (" true\n", .bool(true)), ("false", .bool(false)), ("0", .integer(0)),
            ("-12", .integer(-12)), ("9223372036854775807", .integer(.max)),
            ("9223372036854775808", .number("9223372036854775808")), ("1.5", .number("1.5")),
            ("1e3", .number("1e3")), ("-0.5E-2", .number("-0.5E-2")), ("\"\"", .string("")),
            (#""a\"\\\/\b\f\n\r\t""#, .string("a\"\\/\u{8}\u{c}\n\r\t")),
            (#""\u0041\ud83d\ude00é""#, .string("A😀é")),
            ("[]", .array([])), ("[1, [2] ]", .array([.integer(1), .array([.integer(2)])])),
            ("{}", .object([])),
            (#"{"a" : 1,"b":{}}"#, .object([.init("a", .integer(1)), .init("b", .object([]))])),
        ])
    func good(_ text: String, _ value: JSON) throws {
        #expect(try read(text) == value)
        #expect(try read(value.text) == value)
    }

    @Test(
        "is refused where it isn't",
        arguments: [
            "", " ", "nul", "tru e", "01", "+1", "-", "1.", ".5", "1e", "1e+", "\"", "\"\n\"", #""\x""#,
            #""\u12""#,
            #""\ud800""#, #""\ud800\u0041""#, #""\udc00""#, "[", "[1", "[1,]", "[,1]", "{", "{\"a\"}",
            "{\"a\":}", "{\"a\":1,}",
            "{a:1}", "1 2", "{} {}", "\u{feff}1", "NaN", "'a'",
        ])
    func bad(_ text: String) {
        #expect(throws: JSONError.self) { _ = try read(text) }
    }

    @Test("is refused where it isn't UTF-8")
    func encoding() {
        for bytes: [UInt8] in [
            [0x22, 0xff, 0x22], [0x22, 0xc0, 0x80, 0x22], [0x22, 0xed, 0xa0, 0x80, 0x22],
        ] {
            #expect(throws: JSONError.self) { _ = try JSON(bytes) }
        }
    }

    @Test("has bounds: depth, number of values, names only once")
    func bounds() throws {
        let deep = String(repeating: "[", count: 9) + String(repeating: "]", count: 9)
        #expect(throws: JSONError.tooDeep) { _ = try read(deep) }
        #expect(throws: JSONError.tooDeep) { _ = try read(String(repeating: "[", count: 100_000)) }
        _ = try read(String(repeating: "[", count: 8) + String(repeating: "]", count: 8))
        #expect(throws: JSONError.tooLarge) {
            _ = try read("[" + String(repeating: "1,", count: 255) + "1]")
        }
        _ = try read("[" + String(repeating: "1,", count: 254) + "1]")
        #expect(throws: JSONError.duplicate("a")) { _ = try read(#"{"a":1,"\u0061":2}"#) }
    }
}
