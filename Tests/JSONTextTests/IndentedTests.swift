import JSONText
import Testing

@Suite("A document for people")
struct IndentedTests {
    @Test("has a line for each value, and what is short on one line; it says the same")
    func indented() throws {
        let long = String(repeating: "y", count: 90)
        let json = JSON.object([
            JSON.Member("name", .string("a \"b\"")), JSON.Member("list", .array([.integer(1), .integer(2)])),
            JSON.Member("empty", .object([])),
            JSON.Member("deep", .array([.object([JSON.Member("x", .array([.null]))])])),
            JSON.Member("long", .array([.string(long), .object([JSON.Member("x", .integer(2))])])),
        ])
        let text = json.indentedText()
        #expect(
            text == """
                {
                  "name": "a \\"b\\"",
                  "list": [1,2],
                  "empty": {},
                  "deep": [{"x":[null]}],
                  "long": [
                    "\(long)",
                    {"x":2}
                  ]
                }
                """)
        #expect(try JSON(Array(text.utf8)) == json)
        #expect(JSON.array([.integer(1)]).indentedText() == "[\n  1\n]")
        #expect(JSON.integer(7).indentedText() == "7")
    }
}
